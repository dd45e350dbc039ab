import TensorCore

/// A convolution with max pooling over squares of 2×2 pixels right behind it.
///
/// Of each window one value goes on, and it alone has a gradient: the weights' is a sum over a
/// quarter of the pixels, and the convolution's own output is never kept, only which pixel was the
/// largest.
///
/// - input [N, H, W, C], output [N, H″, W″, K], of the pooled H″ = ⌊H′/2⌋, W″ = ⌊W′/2⌋;
/// - maxima [N, H″, W″, K]: the largest value's pixel, y·W′ + x in the convolution's output, as
///   PyTorch's `return_indices` has it; the first of several, the first NaN where there is one.
///
/// Layouts, copies of the weights and bits are as ``Convolution`` has them.
public final class PooledConvolution {
    /// The convolution.
    public let convolution: Convolution

    /// The pooling behind it.
    public let pooling: PoolingShape

    private let weightPass: WeightPass
    /// One image's output of the convolution, or its gradient, [H′, W′, K].
    private let image: UnsafeMutablePointer<Float>

    private enum WeightPass {
        case windows(PooledBackwardWeights)
        case channels(PooledChannelWeights)
    }

    /// Whether the weights' gradient takes less work than the convolution's own, or as much, and its
    /// output gradient need not be written.
    public static func suits(_ shape: ConvolutionShape, _ pooling: PoolingShape) -> Bool {
        shape.isDirect && !shape.isWinograd && pooling.isSquares
            && (PooledBackwardWeights.suits(shape) || PooledChannelWeights.suits(shape))
    }

    /// A plan; operands as ``Convolution/init(_:images:bias:backwardData:scratch:fetching:)``
    /// has them.
    public init(
        _ shape: ConvolutionShape, _ pooling: PoolingShape, bias: Bool, backwardData: Bool,
        scratch: ConvolutionScratch = ConvolutionScratch(),
        fetching: PrefetchQueue? = nil
    ) {
        precondition(
            pooling.inputHeight == shape.outputHeight && pooling.inputWidth == shape.outputWidth
                && pooling.channels == shape.outputChannels,
            "pooling takes what the convolution gives")
        precondition(pooling.isSquares, "pooling is over squares of 2×2 pixels")
        self.pooling = pooling
        convolution = Convolution(
            shape, images: 1, bias: bias, backwardData: backwardData, scratch: scratch,
            fetching: fetching)
        let layout = convolution.layout
        weightPass =
            PooledChannelWeights.suits(shape)
            ? .channels(PooledChannelWeights(shape, pooling, layout, fetching: fetching))
            : .windows(PooledBackwardWeights(shape, pooling, layout, fetching: fetching))
        image = alignedAllocation(of: Float.self, count: shape.outputCount)
        image.initialize(repeating: 0, count: shape.outputCount)
    }

    deinit { image.deallocate() }

    /// output = the largest values of input ⋆ weight + bias, maxima = where they are.
    ///
    /// - Parameters:
    ///   - input: [images, H, W, C]
    ///   - weight: the parameter, or its copy from `packForward`
    ///   - bias: [K], for plans made with one
    ///   - output: [images, H″, W″, K], overwritten
    ///   - maxima: [images, H″, W″, K], overwritten
    public func forward(
        images: Int, input: UnsafePointer<Float>, weight: UnsafePointer<Float>,
        bias: UnsafePointer<Float>?, output: UnsafeMutablePointer<Float>,
        maxima: UnsafeMutablePointer<Int32>
    ) {
        let squares = Squares<Maximum>(pooling)
        for n in 0..<images {
            convolution.forward(
                images: 1, input: input + n * convolution.shape.inputCount, weight: weight,
                bias: bias, output: image)
            let first = n * pooling.outputCount
            squares.forward(image, output + first, maxima: maxima + first)
        }
    }

    /// The gradient with respect to the input.
    ///
    /// - Parameters:
    ///   - outputGradient: [images, H″, W″, K]
    ///   - maxima: what `forward` wrote
    ///   - weight: the parameter, or its copy from `packBackward`
    ///   - inputGradient: [images, H, W, C], overwritten
    public func backwardData(
        images: Int, outputGradient: UnsafePointer<Float>, maxima: UnsafePointer<Int32>,
        weight: UnsafePointer<Float>, inputGradient: UnsafeMutablePointer<Float>
    ) {
        let (shape, channels) = (convolution.shape, pooling.channels)
        for n in 0..<images {
            image.update(repeating: 0, count: shape.outputCount)
            var place = n &* pooling.outputCount
            for _ in 0..<pooling.outputHeight &* pooling.outputWidth {
                for k in 0..<channels {
                    image[Int(maxima[place]) &* channels &+ k] = outputGradient[place]
                    place &+= 1
                }
            }
            convolution.backwardData(
                images: 1, outputGradient: image, weight: weight,
                inputGradient: inputGradient + n * shape.inputCount)
        }
    }

    /// The gradients with respect to weight and bias, summed over the images.
    ///
    /// - Parameters:
    ///   - images: 0 gives zeros
    ///   - input: [images, H, W, C]
    ///   - outputGradient: [images, H″, W″, K]
    ///   - maxima: what `forward` wrote
    ///   - weightGradient: in `layout`, overwritten
    ///   - biasGradient: [K], overwritten, for plans made with a bias
    public func backwardWeights(
        images: Int, input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
        maxima: UnsafePointer<Int32>, weightGradient: UnsafeMutablePointer<Float>,
        biasGradient: UnsafeMutablePointer<Float>?
    ) {
        switch weightPass {
        case .windows(let pass):
            pass.run(images, input, outputGradient, maxima, weightGradient)
        case .channels(let pass):
            pass.run(images, input, outputGradient, maxima, weightGradient)
        }
        guard let biasGradient else { return }
        columnSums(
            outputGradient, rows: images * pooling.outputHeight * pooling.outputWidth,
            columns: pooling.channels, into: biasGradient)
    }
}

/// Backward weights from the pixels that pooling has chosen: for each of them, and each channel by
/// itself, the rows of its window times its gradient sum up in registers.
private final class PooledBackwardWeights {
    private let weights: DirectWeights
    private let shape: ConvolutionShape
    private let layout: WeightLayout
    /// Windows of an image, H″·W″.
    private let windows: Int
    /// Where in an image with its padding each pixel's window begins, [H′, W′].
    private let places: UnsafeMutablePointer<Int32>
    /// An image with its padding, and room for whole vectors behind.
    private let image: Tensor
    /// The sums over images, [K, R in fives, vectors of S·C].
    private let sums: Tensor

    static func suits(_ shape: ConvolutionShape) -> Bool {
        // A window that lies anywhere crosses lines of the cache, so each vector takes two cycles,
        // for a quarter of the pixels.
        shape.rowVectors <= 4
            && 8 * vectors(shape) <= shape.kernelHeight * shape.kernelWidth * shape.inputChannels
    }

    /// Vectors that a window takes: kernel rows are taken in fives, a row as 1, 2 or 4 of them.
    static func vectors(_ shape: ConvolutionShape) -> Int {
        (shape.kernelHeight + 4) / 5 * 5 * rowVectors(shape)
    }

    private static func rowVectors(_ shape: ConvolutionShape) -> Int {
        shape.rowVectors == 3 ? 4 : shape.rowVectors
    }

    private let fetching: PrefetchQueue?

    init(
        _ shape: ConvolutionShape, _ pooling: PoolingShape, _ layout: WeightLayout,
        fetching: PrefetchQueue?
    ) {
        self.shape = shape
        self.fetching = fetching
        self.layout = layout
        windows = pooling.outputHeight * pooling.outputWidth
        let (vectors, rowVectors) = (Self.vectors(shape), Self.rowVectors(shape))
        weights = DirectWeights(
            shape, layout, count: shape.outputChannels * vectors * laneCount
        ) { k, c, r, s in
            (k * vectors + r * rowVectors) * laneCount + s * shape.inputChannels + c
        }
        let pixels = shape.outputHeight * shape.outputWidth
        places = alignedAllocation(of: Int32.self, count: pixels)
        for pixel in 0..<pixels {
            let (y, x) = (pixel / shape.outputWidth, pixel % shape.outputWidth)
            (places + pixel).initialize(
                to: Int32((y * shape.paddedWidth + x) * shape.inputChannels))
        }
        let count =
            shape.paddedHeight * shape.paddedWidth * shape.inputChannels
            + rowVectors * laneCount
        image = Tensor(rows: 1, columns: count)
        sums = Tensor(rows: 1, columns: weights.count)
    }

    deinit { places.deallocate() }

    /// All images; operands as `PooledConvolution.backwardWeights` has them.
    func run(
        _ images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ maxima: UnsafePointer<Int32>, _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        sums.pointer.update(repeating: 0, count: weights.count)
        let isPadded = shape.paddingHeight > 0 || shape.paddingWidth > 0
        for n in 0..<images {
            var source = input + n &* shape.inputCount
            // Whole vectors reach into the next image, whose values fall on no weight.
            if isPadded || n == images &- 1 {
                shape.pad(source, into: image.pointer)
                source = UnsafePointer(image.pointer)
            }
            let first = n &* windows &* shape.outputChannels
            for k in 0..<shape.outputChannels {
                let (gradient, maxima) = (outputGradient + (first &+ k), maxima + (first &+ k))
                let vectors = Self.rowVectors(shape)
                switch vectors {
                case 4 where registersAreWide:
                    add(TileRow4.self, k, 0, source, gradient, maxima)
                case 2 where registersAreWide:
                    add(TileRow2.self, k, 0, source, gradient, maxima)
                default:
                    for vector in 0..<vectors {
                        add(TileRow1.self, k, vector, source, gradient, maxima)
                    }
                }
            }
        }
        weights.unpack(sums.pointer, into: weightGradient, count: layout.count)
    }

    /// One image's part of channel `k`: the vectors of kernel rows from `vector` on.
    @inline(__always)
    private func add<Row: TileRow>(
        _: Row.Type, _ k: Int, _ vector: Int, _ image: UnsafePointer<Float>,
        _ outputGradient: UnsafePointer<Float>, _ maxima: UnsafePointer<Int32>
    ) {
        let stride = shape.paddedWidth &* shape.inputChannels
        let (channels, width) = (shape.outputChannels, laneCount &* Self.rowVectors(shape))
        let first = vector &* laneCount
        var sum = sums.pointer + (k &* Self.vectors(shape) &* laneCount &+ first)
        var r = 0
        while r < shape.kernelHeight {
            fetching?.fetch(24)
            // Of fewer than five rows left, the last one is worked out several times.
            let last = shape.kernelHeight &- r &- 1
            let offsets = (
                r &* stride &+ first, min(1, last) &* stride, min(2, last) &* stride,
                min(3, last) &* stride, min(4, last) &* stride
            )
            var rows = (Row.zero, Row.zero, Row.zero, Row.zero, Row.zero)
            var place = 0
            for _ in 0..<windows {
                let gradient = outputGradient[place]
                let window = image + (Int(places[Int(maxima[place])]) &+ offsets.0)
                rows.0.add(gradient, times: Row(from: window))
                rows.1.add(gradient, times: Row(from: window + offsets.1))
                rows.2.add(gradient, times: Row(from: window + offsets.2))
                rows.3.add(gradient, times: Row(from: window + offsets.3))
                rows.4.add(gradient, times: Row(from: window + offsets.4))
                place &+= channels
            }
            rows.0.addToMemory(sum)
            rows.1.addToMemory(sum + width)
            rows.2.addToMemory(sum + 2 &* width)
            rows.3.addToMemory(sum + 3 &* width)
            rows.4.addToMemory(sum + 4 &* width)
            sum += 5 &* width
            r &+= 5
        }
    }
}

extension TileRow {
    /// Adds the row to the one at `pointer`.
    @inline(__always)
    fileprivate func addToMemory(_ pointer: UnsafeMutablePointer<Float>) {
        var sum = self
        sum.add(left: Self(from: pointer))
        sum.store(to: pointer)
    }
}
