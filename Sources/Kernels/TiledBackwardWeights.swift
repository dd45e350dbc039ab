import TensorCore

/// A convolution's gradient with respect to its weight as tile products; see TiledConvolution.swift.
struct TiledBackwardWeights: WeightPass {
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
        let filled = columns == shape.groupOutputs ? 0 : columns
        scratch.reserve(
            together * (input.scratchCount + shape.outputHeight * shape.outputWidth * filled)
                + shape.groupRows * filled)
    }

    /// The weight's gradient, [R, S, C / groups, K], over at least one image.
    func run(
        images: Int, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
        _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        for group in 0..<shape.groups {
            // A few images at a time, so that their padded copies stay in the cache.
            for first in stride(from: 0, to: images, by: together) {
                addWeights(
                    first..<min(first &+ together, images), group, x, dy, weightGradient)
            }
            guard isFilled else { continue }
            let target = weightGradient + group &* shape.groupOutputs
            for row in 0..<shape.groupRows {
                (target + row &* panels.width).update(
                    from: filledWeights + row &* columns, count: shape.groupOutputs)
            }
        }
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

    /// Adds some images to a group's gradient.
    private func addWeights(
        _ images: Range<Int>, _ group: Int, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
        _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        let (c, k, outputs) = (shape.inputChannels, shape.outputChannels, shape.groupOutputs)
        let pixels = shape.outputHeight &* shape.outputWidth
        var a = x + images.lowerBound &* shape.inputCount
        if input.scratchCount > 0 {
            for image in 0..<images.count {
                _ = input.padded(
                    a + image &* shape.inputCount,
                    in: scratch.memory + image &* input.scratchCount)
            }
            a = UnsafePointer(scratch.memory)
        }
        a += group &* shape.groupInputs
        var b = dy + (images.lowerBound &* shape.outputCount &+ group &* outputs)
        if isFilled {
            for pixel in 0..<images.count &* pixels {
                let row = filledGradients + pixel &* columns
                row.update(from: b + pixel &* k, count: outputs)
                (row + outputs).update(repeating: 0, count: columns &- outputs)
            }
            b = UnsafePointer(filledGradients)
        }
        // From a row to the next, of output gradients and of the result.
        let (row, width) = isFilled ? (columns, columns) : (k, panels.width)
        let target = isFilled ? filledWeights : weightGradient + group &* outputs
        // Elements of a row of the kernel that are no neighbours in memory: its rows one by one.
        let isWhole = shape.dilationWidth == 1 && shape.groups == 1
        let kernelRow = shape.kernelWidth &* shape.groupInputs
        let perLine = isWhole ? kernelRow : shape.groupInputs
        var product = TileProduct(
            outer: .init(count: images.count, a: input.count, b: pixels &* row),
            middle: .init(
                count: shape.outputHeight, a: shape.strideHeight &* input.rowCount,
                b: shape.outputWidth &* row),
            inner: .init(count: shape.outputWidth, a: shape.strideWidth &* c, b: row),
            rows: isWhole ? shape.kernelHeight &* kernelRow : kernelRow, perLine: perLine,
            aRows: .init(
                stride: 1,
                line: isWhole
                    ? shape.dilationHeight &* input.rowCount : shape.dilationWidth &* c),
            cRows: .init(stride: width, line: perLine &* width))
        // Of large images some lines at a time, of small ones some images.
        let lines = min(shape.outputHeight, max(1, Self.pixelsTogether / shape.outputWidth))
        let whole = max(1, Self.pixelsTogether / pixels)
        product.middle.count = lines
        for image in stride(from: 0, to: images.count, by: whole) {
            product.outer.count = min(whole, images.count &- image)
            for line in stride(from: 0, to: shape.outputHeight, by: lines) {
                product.middle.count = min(lines, shape.outputHeight &- line)
                product.adds = images.lowerBound > 0 || image > 0 || line > 0
                for part in parts {
                    for r in 0..<(isWhole ? 1 : shape.kernelHeight) {
                        product.run(
                            a + image &* product.outer.a + line &* product.middle.a
                                + r &* shape.dilationHeight &* input.rowCount,
                            b + image &* product.outer.b + line &* product.middle.b
                                + part.lowerBound, bias: nil,
                            into: target
                                + (r &* kernelRow &* width
                                    &+ (isFilled
                                        ? part.lowerBound : panels.place(part.lowerBound))),
                            width: part.count)
                    }
                }
            }
        }
    }

    /// Pixels whose inputs and gradients stay in the cache for all weights.
    private static var pixelsTogether: Int { 128 }
}
