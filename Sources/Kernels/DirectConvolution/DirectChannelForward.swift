import TensorCore

extension ConvolutionShape {
    /// Few input channels, and one or two vectors of output channels.
    var hasDirectChannelForward: Bool {
        isDirect && inputChannels <= laneCount / 2
            && (outputChannels == laneCount || outputChannels == 2 * laneCount)
    }
}

/// Forward for few input and whole vectors of output channels: output channels along the lanes,
/// six pixels at a time. Of each kernel row a pixel reads S·C neighbouring values.
final class DirectChannelForward: DirectPass {
    let weights: DirectWeights
    private let shape: ConvolutionShape
    /// The image with its padding, [padded H, padded W, C].
    private let image: UnsafeMutablePointer<Float>
    /// Where in `image` each pixel's first window value lies, [H′, W′], and of the last pixel five
    /// times more.
    private let places: [Int]

    private let fetching: PrefetchQueue?

    init(_ shape: ConvolutionShape, _ layout: WeightLayout, fetching: PrefetchQueue?) {
        self.shape = shape
        self.fetching = fetching
        let (k, c) = (shape.outputChannels, shape.inputChannels)
        weights = DirectWeights(shape, layout, count: shape.weightCount) { out, channel, r, s in
            let first = out / 32 * 32
            let width = min(32, k - first)
            let input = (r * shape.kernelWidth + s) * c + channel
            return first * shape.kernelHeight * shape.kernelWidth * c + input * width + out - first
        }
        let count = shape.paddedHeight * shape.paddedWidth * c
        image = alignedAllocation(of: Float.self, count: count)
        image.initialize(repeating: 0, count: count)
        let pixels = (0..<shape.outputHeight).flatMap { y in
            (0..<shape.outputWidth).map { x in (y * shape.paddedWidth + x) * c }
        }
        places = pixels + [Int](repeating: pixels.last ?? 0, count: 5)
    }

    deinit { image.deallocate() }

    var counts: (input: Int, output: Int) { (shape.inputCount, shape.outputCount) }

    /// One image.
    ///
    /// - Parameters:
    ///   - input: [H, W, C]
    ///   - packed: [K / 32 panels, R, S, C, 32]; a last panel of 16 is [R, S, C, 16]
    ///   - bias: [K]
    ///   - output: [H′, W′, K]
    func runOne(
        _ input: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>
    ) {
        var source = input
        if shape.paddedHeight > shape.inputHeight || shape.paddedWidth > shape.inputWidth {
            shape.pad(input, into: image)
            source = UnsafePointer(image)
        }
        let outputs = shape.outputChannels
        let inputs = shape.kernelHeight * shape.kernelWidth * shape.inputChannels
        var k = 0
        while k < outputs {
            let first = k / 32 &* 32
            let width = min(32, outputs &- first)
            let (panel, b) = (packed + (first &* inputs &+ k &- first), bias.map { $0 + k })
            if registersAreWide, outputs &- k >= 32 {
                multiply(TileRow2.self, source, panel, width: width, b, output + k)
                k &+= 32
            } else {
                multiply(TileRow1.self, source, panel, width: width, b, output + k)
                k &+= 16
            }
        }
    }

    /// One panel of output channels, of all pixels.
    @inline(__always)
    private func multiply<Row: TileRow>(
        _: Row.Type, _ source: UnsafePointer<Float>, _ panel: UnsafePointer<Float>, width: Int,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>
    ) {
        let outputs = shape.outputChannels
        let pixels = places.count &- 5
        let rowCount = shape.kernelWidth &* shape.inputChannels
        let rowStride = shape.paddedWidth &* shape.inputChannels
        places.withUnsafeBufferPointer { places in
            var pixel = 0
            while pixel < pixels {
                fetching?.fetch(4)
                let first = places[pixel]
                let offsets = TileOffsets(
                    row1: places[pixel &+ 1] &- first, row2: places[pixel &+ 2] &- first,
                    row3: places[pixel &+ 3] &- first, row4: places[pixel &+ 4] &- first,
                    row5: places[pixel &+ 5] &- first)
                let same = TileOffsets(last: 0)
                var tile = bias.map { Tile<Row>(from: $0, at: same) } ?? Tile<Row>()
                var row = panel
                var window = source + first
                for _ in 0..<shape.kernelHeight {
                    for i in 0..<rowCount {
                        tile.add(window + i, at: offsets, times: Row(from: row))
                        row += width
                    }
                    window += rowStride
                }
                tile.store(
                    to: output + pixel &* outputs,
                    at: TileOffsets(last: min(5, pixels &- pixel &- 1)), stride: outputs)
                pixel &+= Tile<Row>.rows
            }
        }
    }
}
