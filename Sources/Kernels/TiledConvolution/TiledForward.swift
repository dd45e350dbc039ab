import TensorCore

/// A convolution's forward pass as tile products; see TiledConvolution.swift.
struct TiledForward: ImagePass {
    private let shape: ConvolutionShape
    private let scratch: ConvolutionScratch
    private let input: PaddedImage
    private let panels: WeightPanels
    /// Of a group's output channels.
    private let parts: [Range<Int>]
    /// Whether every part lies in one of the parameter's panels, as whole vectors.
    private let readsParameter: Bool

    /// Lines of outputs whose inputs stay in the cache while all parts are computed.
    private let linesTogether: Int

    let name = "tiled"

    init(_ shape: ConvolutionShape, _ scratch: ConvolutionScratch) {
        self.shape = shape
        self.scratch = scratch
        input = shape.paddedInput
        linesTogether = max(1, cachedFloats / (shape.strideHeight * input.rowCount))
        let panels = WeightPanels(shape)
        self.panels = panels
        let parts = channelParts(shape.groupOutputs)
        self.parts = parts
        readsParameter =
            shape.groups == 1
            && parts.allSatisfy {
                $0.lowerBound / panels.width == ($0.upperBound - 1) / panels.width
                    && $0.upperBound <= shape.outputChannels
            }
        // Behind the image: outputs and bias of less than a vector's channels.
        scratch.reserve(
            input.scratchCount
                + (shape.groupOutputs < laneCount
                    ? (shape.outputHeight * shape.outputWidth + 1) * laneCount : 0))
    }

    /// Floats of the weight's copy; nil where the parameter itself serves.
    var packedCount: Int? {
        readsParameter
            ? nil : shape.groups * parts.reduce(0) { $0 + $1.count } * shape.groupRows
    }

    /// The weight in panels of output channels, [groups][parts][R, S, C, width]; zeros where there are
    /// none.
    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {
        let outputs = shape.groupOutputs
        var target = packed
        for group in 0..<shape.groups {
            for part in parts {
                let count = min(part.count, outputs)
                let first = weight + panels.place(group &* outputs &+ part.lowerBound)
                for row in 0..<shape.groupRows {
                    target.update(from: first + row &* panels.width, count: count)
                    (target + count).update(repeating: 0, count: part.count &- count)
                    target += part.count
                }
            }
        }
    }

    func run(
        images: Int, _ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ y: UnsafeMutablePointer<Float>
    ) {
        for n in 0..<images {
            run(x + n &* shape.inputCount, weight, bias, y + n &* shape.outputCount)
        }
    }

    private func run(
        _ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?,
        _ y: UnsafeMutablePointer<Float>
    ) {
        let (c, k, outputs) = (shape.inputChannels, shape.outputChannels, shape.groupOutputs)
        let image = input.padded(x, in: scratch.memory)
        let pixels = shape.outputHeight &* shape.outputWidth
        let isNarrow = outputs < laneCount
        let narrow = scratch.memory + input.scratchCount
        let narrowBias = narrow + pixels &* laneCount
        var packed = weight
        for group in 0..<shape.groups {
            let a = image + group &* shape.groupInputs
            let channel = group &* outputs
            if isNarrow, let bias {
                narrowBias.update(from: bias + channel, count: outputs)
                (narrowBias + outputs).update(repeating: 0, count: laneCount &- outputs)
            }
            for first in stride(from: 0, to: shape.outputHeight, by: linesTogether) {
                let lines = min(linesTogether, shape.outputHeight &- first)
                var place = packed
                for part in parts {
                    let b = readsParameter ? weight + panels.place(part.lowerBound) : place
                    var product = taps(width: readsParameter ? panels.width : part.count)
                    product.rows = lines &* shape.outputWidth
                    product.perLine = shape.outputWidth
                    product.aRows = .init(
                        stride: shape.strideWidth &* c,
                        line: shape.strideHeight &* input.rowCount)
                    let row = isNarrow ? laneCount : k
                    product.cRows = .init(stride: row, line: shape.outputWidth &* row)
                    let target = isNarrow ? narrow : y + (channel &+ part.lowerBound)
                    product.run(
                        a + first &* product.aRows.line, b,
                        bias: bias.map {
                            isNarrow
                                ? UnsafePointer(narrowBias) : $0 + (channel &+ part.lowerBound)
                        },
                        into: target + first &* product.cRows.line, width: part.count)
                    place += shape.groupRows &* part.count
                }
            }
            packed += shape.groupRows &* parts.reduce(0) { $0 &+ $1.count }
            guard isNarrow else { continue }
            for pixel in 0..<pixels {
                (y + (pixel &* k &+ channel)).update(
                    from: narrow + pixel &* laneCount, count: outputs)
            }
        }
    }

    /// The sum: kernel rows, kernel columns, a group's input channels. Without dilation and groups the last
    /// two are one.
    ///
    /// - Parameter width: of the weight's panels.
    private func taps(width: Int) -> TileProduct {
        let c = shape.groupInputs
        let column = TileProduct.Loop(
            count: shape.kernelWidth, a: shape.dilationWidth &* shape.inputChannels, b: c &* width)
        let isWhole = shape.dilationWidth == 1 && shape.groups == 1
        return TileProduct(
            outer: .init(
                count: shape.kernelHeight, a: shape.dilationHeight &* input.rowCount,
                b: column.count &* column.b),
            middle: isWhole ? .once : column,
            inner: .init(count: isWhole ? column.count &* c : c, a: 1, b: width))
    }
}
