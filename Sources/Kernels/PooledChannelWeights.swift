import TensorCore

/// Backward weights from the pixels that pooling has chosen, for few input and whole vectors of output
/// channels: output channels along the lanes, nine weights of each in registers.
///
/// Of a window's four pixels each lane's gradient belongs to one. It is laid out to four vectors with
/// zeros for the others, which meet the input there: as many products as for the whole image, but
/// no gradient of the convolution's output is ever written or read.
final class PooledChannelWeights {
    private let weights: DirectWeights
    private let shape: ConvolutionShape
    private let pooling: PoolingShape
    private let layout: WeightLayout
    /// An image with its padding, [padded H, padded W, C].
    private let image: Tensor
    /// The sums over images, [K / 16, C, 9, 16]: weights (r, s, c) of a kernel row, S·C of them, go
    /// by threes.
    private let sums: Tensor

    /// Whether nine registers hold the weights of each input channel.
    static func suits(_ shape: ConvolutionShape) -> Bool {
        shape.hasDirectChannelForward && shape.kernelHeight == 3 && shape.kernelWidth == 3
            && shape.inputChannels <= 4 && shape.outputHeight * shape.outputWidth <= 1 << 23
    }

    private let fetching: PrefetchQueue?

    init(
        _ shape: ConvolutionShape, _ pooling: PoolingShape, _ layout: WeightLayout,
        fetching: PrefetchQueue?
    ) {
        self.shape = shape
        self.fetching = fetching
        self.pooling = pooling
        self.layout = layout
        let inputs = shape.inputChannels
        weights = DirectWeights(shape, layout, count: shape.weightCount) { k, c, r, s in
            let column = s * inputs + c
            let tap = 3 * r + column % 3
            return ((k / laneCount * inputs + column / 3) * 9 + tap) * laneCount + k % laneCount
        }
        let count = shape.paddedHeight * shape.paddedWidth * inputs
        image = Tensor(rows: 1, columns: count)
        sums = Tensor(rows: 1, columns: weights.count)
    }

    /// All images; operands as `PooledConvolution.backwardWeights` has them.
    func run(
        _ images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ maxima: UnsafePointer<Int32>, _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        sums.pointer.update(repeating: 0, count: weights.count)
        let isPadded = shape.paddingHeight > 0 || shape.paddingWidth > 0
        for n in 0..<images {
            var source = input + n &* shape.inputCount
            if isPadded {
                shape.pad(source, into: image.pointer)
                source = UnsafePointer(image.pointer)
            }
            var sum = sums.pointer
            for k in stride(
                from: n &* pooling.outputCount,
                to: n &* pooling.outputCount &+ shape.outputChannels, by: laneCount)
            {
                for c in 0..<shape.inputChannels {
                    add(source + 3 &* c, outputGradient + k, maxima + k, to: sum)
                    sum += 9 &* laneCount
                }
            }
        }
        weights.unpack(sums.pointer, into: weightGradient, count: layout.count)
    }

    /// One image's part of nine weights of sixteen channels.
    private func add(
        _ image: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ maxima: UnsafePointer<Int32>, to sum: UnsafeMutablePointer<Float>
    ) {
        let (channels, inputs) = (shape.outputChannels, shape.inputChannels)
        let (height, width) = (pooling.outputHeight, pooling.outputWidth)
        let row = shape.paddedWidth &* inputs
        let right = Int32(truncatingIfNeeded: shape.outputWidth)
        var taps = NineTaps(from: sum)
        var place = 0
        for y in 0..<height {
            fetching?.fetch(8)
            var patch = image + 2 &* y &* row
            var pixel = 2 &* Int32(truncatingIfNeeded: y) &* right
            for _ in 0..<width {
                let gradient = TileRow1(from: outputGradient + place).a
                let chosen = numbers(
                    UnsafeRawPointer(maxima + place).loadUnaligned(as: SIMD16<Int32>.self))
                @inline(__always)
                func share(of pixel: Int32) -> TileRow1 {
                    let isChosen = chosen .== numbers(SIMD16(repeating: pixel))
                    return TileRow1(a: gradient.replacing(with: 0, where: .!isChosen))
                }
                taps.add(patch, row, times: share(of: pixel))
                taps.add(patch + inputs, row, times: share(of: pixel &+ 1))
                taps.add(patch + row, row, times: share(of: pixel &+ right))
                taps.add(patch + (row &+ inputs), row, times: share(of: pixel &+ right &+ 1))
                patch += 2 &* inputs
                pixel &+= 2
                place &+= channels
            }
        }
        taps.store(to: sum)
    }
}

/// A number between 1 and 2 for each of 2²³ places, because the compiler compares vectors of floats by
/// one instruction, and those of integers lane by lane.
@inline(__always)
private func numbers(_ places: SIMD16<Int32>) -> SIMD16<Float> {
    unsafeBitCast(places | 0x3F80_0000, to: SIMD16<Float>.self)
}

/// Accumulators of three weights in each of three kernel rows; named, so that the compiler keeps them in
/// registers.
private struct NineTaps {
    private var rows: (ThreeTaps, ThreeTaps, ThreeTaps)

    @inline(__always)
    init(from pointer: UnsafePointer<Float>) {
        rows = (
            ThreeTaps(from: pointer), ThreeTaps(from: pointer + 3 &* laneCount),
            ThreeTaps(from: pointer + 6 &* laneCount)
        )
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>) {
        rows.0.store(to: pointer)
        rows.1.store(to: pointer + 3 &* laneCount)
        rows.2.store(to: pointer + 6 &* laneCount)
    }

    /// Adds the products of `gradient` and the values at `patch`, three each of three rows.
    @inline(__always)
    mutating func add(_ patch: UnsafePointer<Float>, _ row: Int, times gradient: TileRow1) {
        rows.0.add(patch, times: gradient)
        rows.1.add(patch + row, times: gradient)
        rows.2.add(patch + 2 &* row, times: gradient)
    }
}

private struct ThreeTaps {
    private var taps: (TileRow1, TileRow1, TileRow1)

    @inline(__always)
    init(from pointer: UnsafePointer<Float>) {
        taps = (
            TileRow1(from: pointer), TileRow1(from: pointer + laneCount),
            TileRow1(from: pointer + 2 &* laneCount)
        )
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>) {
        taps.0.store(to: pointer)
        taps.1.store(to: pointer + laneCount)
        taps.2.store(to: pointer + 2 &* laneCount)
    }

    @inline(__always)
    mutating func add(_ values: UnsafePointer<Float>, times gradient: TileRow1) {
        taps.0.add(values[0], times: gradient)
        taps.1.add(values[1], times: gradient)
        taps.2.add(values[2], times: gradient)
    }
}
