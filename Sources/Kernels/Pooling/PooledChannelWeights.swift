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
                    let x = source + 3 &* c
                    if registersAreWide {
                        add(SIMD16<Float>.self, x, outputGradient + k, maxima + k, to: sum)
                    } else {
                        let half = k + laneCount / 2
                        add(SIMD8<Float>.self, x, outputGradient + k, maxima + k, to: sum)
                        add(
                            SIMD8<Float>.self, x, outputGradient + half, maxima + half,
                            to: sum + laneCount / 2)
                    }
                    sum += 9 &* laneCount
                }
            }
        }
        weights.unpack(sums.pointer, into: weightGradient, count: layout.count)
    }

    /// One image's part of nine weights of some channels, as many as a vector has.
    @inline(__always)
    private func add<V: MaskedVector>(
        _: V.Type, _ image: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ maxima: UnsafePointer<Int32>, to sum: UnsafeMutablePointer<Float>
    ) {
        let (channels, inputs) = (shape.outputChannels, shape.inputChannels)
        let (height, width) = (pooling.outputHeight, pooling.outputWidth)
        let row = shape.paddedWidth &* inputs
        let right = Int32(truncatingIfNeeded: shape.outputWidth)
        var taps = NineTaps<V>(from: sum)
        var place = 0
        for y in 0..<height {
            fetching?.fetch(8)
            var patch = image + 2 &* y &* row
            var pixel = 2 &* Int32(truncatingIfNeeded: y) &* right
            for _ in 0..<width {
                let gradient = V(from: outputGradient + place)
                let chosen = V.numbers(maxima + place)
                @inline(__always)
                func share(of pixel: Int32) -> V { gradient.kept(where: chosen, is: pixel) }
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

/// Vectors of which each lane is kept or not.
///
/// A place is a number between 1 and 2, one for each of 2²³, because the compiler compares vectors of
/// floats by one instruction, and those of integers lane by lane.
private protocol MaskedVector: RegisterVector {
    init(repeating value: Float)
    /// The numbers of places.
    static func numbers(_ places: UnsafePointer<Int32>) -> Self
    /// 0 where the number is not that of `place`.
    func kept(where numbers: Self, is place: Int32) -> Self
}

extension SIMD8: MaskedVector where Scalar == Float {
    @inline(__always)
    fileprivate static func numbers(_ places: UnsafePointer<Int32>) -> Self {
        let places = UnsafeRawPointer(places).loadUnaligned(as: SIMD8<Int32>.self)
        return unsafeBitCast(places | 0x3F80_0000, to: Self.self)
    }

    @inline(__always)
    fileprivate func kept(where numbers: Self, is place: Int32) -> Self {
        let wanted = unsafeBitCast(SIMD8<Int32>(repeating: place | 0x3F80_0000), to: Self.self)
        return replacing(with: 0, where: .!(numbers .== wanted))
    }
}

extension SIMD16: MaskedVector where Scalar == Float {
    @inline(__always)
    fileprivate static func numbers(_ places: UnsafePointer<Int32>) -> Self {
        let places = UnsafeRawPointer(places).loadUnaligned(as: SIMD16<Int32>.self)
        return unsafeBitCast(places | 0x3F80_0000, to: Self.self)
    }

    @inline(__always)
    fileprivate func kept(where numbers: Self, is place: Int32) -> Self {
        let wanted = unsafeBitCast(SIMD16<Int32>(repeating: place | 0x3F80_0000), to: Self.self)
        return replacing(with: 0, where: .!(numbers .== wanted))
    }
}

/// Accumulators of three weights in each of three kernel rows, of 16 channels in memory; named, so that
/// the compiler keeps them in registers.
private struct NineTaps<V: MaskedVector> {
    private var rows: (ThreeTaps<V>, ThreeTaps<V>, ThreeTaps<V>)

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
    mutating func add(_ patch: UnsafePointer<Float>, _ row: Int, times gradient: V) {
        rows.0.add(patch, times: gradient)
        rows.1.add(patch + row, times: gradient)
        rows.2.add(patch + 2 &* row, times: gradient)
    }
}

private struct ThreeTaps<V: MaskedVector> {
    private var taps: (V, V, V)

    @inline(__always)
    init(from pointer: UnsafePointer<Float>) {
        taps = (
            V(from: pointer), V(from: pointer + laneCount), V(from: pointer + 2 &* laneCount)
        )
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>) {
        taps.0.store(to: pointer)
        taps.1.store(to: pointer + laneCount)
        taps.2.store(to: pointer + 2 &* laneCount)
    }

    @inline(__always)
    mutating func add(_ values: UnsafePointer<Float>, times gradient: V) {
        taps.0.addProduct(gradient, V(repeating: values[0]))
        taps.1.addProduct(gradient, V(repeating: values[1]))
        taps.2.addProduct(gradient, V(repeating: values[2]))
    }
}
