import TensorCore

/// A convolution's gradient with respect to its weight as tile products; see TiledConvolution.swift.
/// It divides into rows of the kernel, or where these are one into input channels, of each panel; not
/// where rows of channels have gaps.
struct TiledBackwardWeights: DividedWeightPass {
    private let shape: ConvolutionShape
    private let scratch: ConvolutionScratch
    private let panels: WeightPanels
    private let input: PaddedImage
    /// A group's output channels, filled up to whole vectors: parts may not overlap, as they are added to.
    private let columns: Int
    /// Of these; each lies in one panel.
    private let parts: [Range<Int>]
    /// Images whose inputs are padded at a time.
    private let together: Int
    /// Rows of a panel of the gradient, of S·C of them or, of kernels of one row, less; the last unit of
    /// a panel may have fewer.
    private let unitRows: Int

    let name = "tiled"

    /// - Parameter images: the most of a call.
    init(_ shape: ConvolutionShape, images: Int, _ scratch: ConvolutionScratch) {
        self.shape = shape
        self.scratch = scratch
        panels = WeightPanels(shape)
        input = shape.paddedInput
        columns = (shape.groupOutputs + laneCount - 1) / laneCount * laneCount
        parts = channelParts(columns)
        // Half a second-level cache.
        together = min(max(images, 1), max(1, (1 << 17) / max(input.count, 1)))
        unitRows =
            !Self.isWhole(shape) || columns != shape.groupOutputs
            ? shape.groupRows
            : shape.kernelHeight > 1
                ? shape.kernelWidth * shape.groupInputs : min(shape.groupRows, Self.rowsOfUnit)
        let filled = columns == shape.groupOutputs ? 0 : columns
        scratch.reserve(
            together * (input.scratchCount + shape.outputHeight * shape.outputWidth * filled)
                + shape.groupRows * filled)
    }

    /// Rows of a panel that fill tiles of six.
    private static var rowsOfUnit: Int { 96 }

    /// Whether the inputs of a row of the kernel are neighbours.
    private static func isWhole(_ shape: ConvolutionShape) -> Bool {
        shape.dilationWidth == 1 && shape.groups == 1
    }

    /// Units of a panel.
    private var panelUnits: Int { (shape.groupRows &+ unitRows &- 1) / unitRows }

    var units: Int {
        unitRows == shape.groupRows && (shape.groups > 1 || isFilled)
            ? 1 : shape.outputChannels / panels.width * panelUnits
    }

    /// Units follow each other in memory, panel by panel.
    func part(_ units: Range<Int>) -> WeightPart {
        func place(_ unit: Int) -> Int {
            let panel = unit / panelUnits
            return (panel &* shape.groupRows &+ unit % panelUnits &* unitRows) &* panels.width
        }
        return WeightPart(
            first: place(units.lowerBound),
            length: place(units.upperBound) - place(units.lowerBound))
    }

    /// None where a group's gradient passes through a copy.
    var imagesAtOnce: Int { shape.groups > 1 || isFilled ? 0 : together }

    func load(
        images: Int, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>
    ) {
        pad(x, images: images)
    }

    func run(
        loaded images: Range<Int>, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
        units: Range<Int>, _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        let inputs = input.scratchCount > 0 ? UnsafePointer(scratch.memory) : x
        addWeights(
            images.count, inputs + images.lowerBound &* input.count,
            dy + images.lowerBound &* shape.outputCount, group: 0, units: units,
            into: weightGradient, isFirst: true)
    }

    func run(
        images: Int, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
        units: Range<Int>, _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        let outputs = shape.groupOutputs
        for group in 0..<shape.groups {
            let target = weightGradient + group &* outputs
            // A few images at a time, so that their padded copies stay in the cache.
            for first in stride(from: 0, to: images, by: together) {
                let count = min(together, images &- first)
                let gradients = dy + (first &* shape.outputCount &+ group &* outputs)
                if isFilled { fill(gradients, images: count) }
                addWeights(
                    count,
                    pad(x + first &* shape.inputCount, images: count)
                        + group &* shape.groupInputs,
                    isFilled ? UnsafePointer(filledGradients) : gradients, group: group,
                    units: units, into: isFilled ? filledWeights : target, isFirst: first == 0)
            }
            guard isFilled else { continue }
            for row in 0..<shape.groupRows {
                (target + row &* panels.width).update(
                    from: filledWeights + row &* columns, count: outputs)
            }
        }
    }

    /// The images with their padding: copies in the scratch, or themselves.
    @discardableResult
    private func pad(_ x: UnsafePointer<Float>, images: Int) -> UnsafePointer<Float> {
        if input.scratchCount == 0 { return x }
        for image in 0..<images {
            _ = input.padded(
                x + image &* shape.inputCount, in: scratch.memory + image &* input.scratchCount)
        }
        return UnsafePointer(scratch.memory)
    }

    /// Whether output gradients and the result pass through copies with whole vectors of channels.
    private var isFilled: Bool { columns != shape.groupOutputs }

    /// Behind the padded inputs: output gradients, [pixels, columns].
    private var filledGradients: UnsafeMutablePointer<Float> {
        scratch.memory + together &* input.scratchCount
    }

    /// Behind them: the weight's gradient, [R, S, C, columns].
    private var filledWeights: UnsafeMutablePointer<Float> {
        filledGradients + together &* shape.outputHeight &* shape.outputWidth &* columns
    }

    /// Copies a group's output gradients.
    private func fill(_ gradients: UnsafePointer<Float>, images: Int) {
        let (k, outputs) = (shape.outputChannels, shape.groupOutputs)
        for pixel in 0..<images &* shape.outputHeight &* shape.outputWidth {
            let row = filledGradients + pixel &* columns
            row.update(from: gradients + pixel &* k, count: outputs)
            (row + outputs).update(repeating: 0, count: columns &- outputs)
        }
    }

    /// Adds some images to a group's gradient.
    ///
    /// - Parameters:
    ///   - x: the images with their padding, from the group's first channel on
    ///   - dy: output gradients, from the group's first channel on, or their copies
    ///   - weightGradient: the group's, or the copy
    private func addWeights(
        _ images: Int, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, group: Int,
        units: Range<Int>, into weightGradient: UnsafeMutablePointer<Float>, isFirst: Bool
    ) {
        let pixels = shape.outputHeight &* shape.outputWidth
        // From a row to the next, of output gradients and of the result.
        let (row, width) =
            isFilled ? (columns, columns) : (shape.outputChannels, panels.width)
        // Elements of a row of the kernel that are no neighbours in memory: its rows one by one.
        let isWhole = Self.isWhole(shape)
        let kernelRow = shape.kernelWidth &* shape.groupInputs
        let perLine = isWhole ? kernelRow : shape.groupInputs
        var product = TileProduct(
            outer: .init(count: images, a: input.count, b: pixels &* row),
            middle: .init(
                count: shape.outputHeight, a: shape.strideHeight &* input.rowCount,
                b: shape.outputWidth &* row),
            inner: .init(
                count: shape.outputWidth, a: shape.strideWidth &* shape.inputChannels, b: row),
            rows: kernelRow, perLine: perLine,
            aRows: .init(
                stride: 1,
                line: isWhole
                    ? shape.dilationHeight &* input.rowCount
                    : shape.dilationWidth &* shape.inputChannels),
            cRows: .init(stride: width, line: perLine &* width))
        // Of large images some lines at a time, of small ones some images.
        let lines = min(shape.outputHeight, max(1, Self.pixelsTogether / shape.outputWidth))
        let whole = max(1, Self.pixelsTogether / pixels)
        for image in stride(from: 0, to: images, by: whole) {
            product.outer.count = min(whole, images &- image)
            for line in stride(from: 0, to: shape.outputHeight, by: lines) {
                product.middle.count = min(lines, shape.outputHeight &- line)
                product.adds = !isFirst || image > 0 || line > 0
                let a = x + (image &* product.outer.a &+ line &* product.middle.a)
                let b = dy + (image &* product.outer.b &+ line &* product.middle.b)
                var unit = units.lowerBound
                while unit < units.upperBound {
                    let panel = unit / panelUnits
                    let last = min(units.upperBound, (panel &+ 1) &* panelUnits)
                    let first = (unit &- panel &* panelUnits) &* unitRows
                    let end = min((last &- panel &* panelUnits) &* unitRows, shape.groupRows)
                    unit = last
                    for part in parts where part.lowerBound / columnsOfPanel == panel {
                        let target =
                            weightGradient
                            + (isFilled ? part.lowerBound : panels.place(part.lowerBound))
                        if isWhole {
                            product.rows = end &- first
                            product.run(
                                a + inputPlace(ofRow: first), b + part.lowerBound, bias: nil,
                                into: target + first &* width, width: part.count)
                            continue
                        }
                        for r in 0..<shape.kernelHeight {
                            product.run(
                                a + inputPlace(ofRow: r &* kernelRow), b + part.lowerBound,
                                bias: nil, into: target + r &* kernelRow &* width,
                                width: part.count)
                        }
                    }
                }
            }
        }
    }

    /// Columns of a panel, of those in `parts`.
    private var columnsOfPanel: Int {
        shape.groups == 1 && panels.width < columns ? panels.width : columns
    }

    /// Where the inputs of a row of the gradient begin; rows of kernels of more than one row are the
    /// first of a kernel row.
    private func inputPlace(ofRow row: Int) -> Int {
        if shape.kernelHeight == 1 { return row }
        return row / (shape.kernelWidth &* shape.groupInputs) &* shape.dilationHeight
            &* input.rowCount
    }

    /// Pixels whose inputs and gradients stay in the cache for all weights.
    private static var pixelsTogether: Int { 128 }
}
