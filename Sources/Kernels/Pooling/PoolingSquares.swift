extension PoolingShape {
    /// Whether windows are squares of 2×2 pixels side by side, as in most networks that pool.
    var isSquares: Bool { tilesImage && kernelHeight == 2 && kernelWidth == 2 }
}

/// Pooling over squares of 2×2 pixels, written out: a third of the time that windows of any size
/// take.
struct Squares<Kind: Pooling> {
    private let shape: PoolingShape
    private let channels: Int
    /// Floats from an image's row to the next.
    private let row: Int
    private let (outputHeight, outputWidth): (Int, Int)

    init(_ shape: PoolingShape) {
        self.shape = shape
        channels = shape.channels
        row = shape.inputWidth * shape.channels
        (outputHeight, outputWidth) = (shape.outputHeight, shape.outputWidth)
    }

    /// One image; operands as `maxPool` has them.
    func forward(_ input: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>) {
        var target = output
        for y in 0..<outputHeight {
            var source = input + 2 &* y &* row
            for x in 0..<outputWidth {
                var c = 0
                while c < channels {
                    // A surplus is read from the right, and written where the next windows' are.
                    switch width(c, room: (outputWidth &- x) &* channels &- c) {
                    case HalfVector.lanes: forward(HalfVector(), source + c, target + c)
                    case WholeVector.lanes: forward(WholeVector(), source + c, target + c)
                    default: forward(PartOfVector(lanes: channels &- c), source + c, target + c)
                    }
                    c &+= laneCount
                }
                source += 2 &* channels
                target += channels
            }
        }
    }

    /// The lanes of the vector that takes the channels from `c` on, 0 where neither a half nor a
    /// whole one has room.
    @inline(__always)
    private func width(_ c: Int, room: Int) -> Int {
        let lanes = channels &- c <= HalfVector.lanes ? HalfVector.lanes : WholeVector.lanes
        return lanes <= room ? lanes : 0
    }

    @inline(__always)
    private func forward(
        _ width: some Width, _ input: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>
    ) {
        var sum = width.load(input)
        sum = Kind.combine(sum, width.load(input + channels))
        sum = Kind.combine(sum, width.load(input + row))
        sum = Kind.combine(sum, width.load(input + (row &+ channels)))
        width.store(Kind.finish(sum, scale: 0.25), output)
    }

    /// One image; operands as `maxPoolBackward` has them.
    func backward(
        _ input: UnsafePointer<Float>, _ output: UnsafePointer<Float>,
        _ outputGradient: UnsafePointer<Float>, _ inputGradient: UnsafeMutablePointer<Float>
    ) {
        var after = 0
        for y in 0..<outputHeight {
            var before = 2 &* y &* row
            for x in 0..<outputWidth {
                var c = 0
                while c < channels {
                    // A surplus is written where the window's second pixel and the next windows
                    // are; behind the first block of channels it would fall on that pixel's first.
                    let room = c > 0 ? channels &- c : (outputWidth &- x) &* channels
                    let (i, o) = (input + before + c, output + after + c)
                    let (di, d) = (inputGradient + before + c, outputGradient + after + c)
                    switch width(c, room: room) {
                    case HalfVector.lanes: backward(HalfVector(), i, o, d, di)
                    case WholeVector.lanes: backward(WholeVector(), i, o, d, di)
                    default: backward(PartOfVector(lanes: channels &- c), i, o, d, di)
                    }
                    c &+= laneCount
                }
                before &+= 2 &* channels
                after &+= channels
            }
            shape.clearRight(of: 2 &* y..<2 &* y &+ 2, inputGradient)
        }
        shape.clearBelow(inputGradient)
    }

    // A call, since in its place the compiler keeps a pointer for every operand of every case, most
    // of them in memory.
    @inline(never)
    private func backward(
        _ width: some Width, _ input: UnsafePointer<Float>, _ output: UnsafePointer<Float>,
        _ outputGradient: UnsafePointer<Float>, _ inputGradient: UnsafeMutablePointer<Float>
    ) {
        let gradient = width.load(outputGradient)
        let largest = Kind.readsValues ? width.load(output) : gradient
        var open = SIMDMask<SIMD16<Int32>>(repeating: true)
        @inline(__always)
        func give(_ pixel: Int) {
            let value = Kind.readsValues ? width.load(input + pixel) : gradient
            let share = Kind.share(gradient, x: value, y: largest, scale: 0.25, open: &open)
            width.store(share, inputGradient + pixel)
        }
        give(0)
        give(channels)
        give(row)
        give(row &+ channels)
    }
}

extension Squares<Maximum> {
    /// One image: the largest values, and where they are; operands as `PooledConvolution.forward`
    /// has them.
    func forward(
        _ input: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>,
        maxima: UnsafeMutablePointer<Int32>
    ) {
        var after = 0
        for y in 0..<outputHeight {
            var source = input + 2 &* y &* row
            var pixel = Int32(truncatingIfNeeded: 2 &* y &* (shape.inputWidth))
            for x in 0..<outputWidth {
                var c = 0
                while c < channels {
                    let (i, o, m) = (source + c, output + (after &+ c), maxima + (after &+ c))
                    switch width(c, room: (outputWidth &- x) &* channels &- c) {
                    case HalfVector.lanes: find(HalfVector(), pixel, i, o, m)
                    case WholeVector.lanes: find(WholeVector(), pixel, i, o, m)
                    default: find(PartOfVector(lanes: channels &- c), pixel, i, o, m)
                    }
                    c &+= laneCount
                }
                source += 2 &* channels
                after &+= channels
                pixel &+= 2
            }
        }
    }

    @inline(__always)
    private func find(
        _ width: some Width, _ first: Int32, _ input: UnsafePointer<Float>,
        _ output: UnsafeMutablePointer<Float>, _ maxima: UnsafeMutablePointer<Int32>
    ) {
        var largest = width.load(input)
        var place = SIMD16<Int32>(repeating: first)
        @inline(__always)
        func look(_ offset: Int, _ pixel: Int32) {
            let x = width.load(input + offset)
            let isLarger = (x .> largest) .| ((x .!= x) .& (largest .== largest))
            largest.replace(with: x, where: isLarger)
            place.replace(with: SIMD16(repeating: pixel), where: isLarger)
        }
        let below = first &+ Int32(truncatingIfNeeded: shape.inputWidth)
        look(channels, first &+ 1)
        look(row, below)
        look(row &+ channels, below &+ 1)
        width.store(largest, output)
        width.store(place, maxima)
    }
}

/// How many lanes of a vector are read and written: types, so that no branch is left where the number
/// is known.
private protocol Width {
    func load(_ pointer: UnsafePointer<Float>) -> SIMD16<Float>
    func store<Scalar: SIMDScalar>(
        _ vector: SIMD16<Scalar>, _ pointer: UnsafeMutablePointer<Scalar>)
}

private struct HalfVector: Width {
    static var lanes: Int { 8 }

    @inline(__always)
    func load(_ pointer: UnsafePointer<Float>) -> SIMD16<Float> { loadLanes(pointer, Self.lanes) }

    @inline(__always)
    func store<Scalar: SIMDScalar>(
        _ vector: SIMD16<Scalar>, _ pointer: UnsafeMutablePointer<Scalar>
    ) {
        storeLanes(vector, pointer, Self.lanes)
    }
}

private struct WholeVector: Width {
    static var lanes: Int { laneCount }

    @inline(__always)
    func load(_ pointer: UnsafePointer<Float>) -> SIMD16<Float> { loadLanes(pointer, Self.lanes) }

    @inline(__always)
    func store<Scalar: SIMDScalar>(
        _ vector: SIMD16<Scalar>, _ pointer: UnsafeMutablePointer<Scalar>
    ) {
        storeLanes(vector, pointer, Self.lanes)
    }
}

private struct PartOfVector: Width {
    let lanes: Int

    @inline(__always)
    func load(_ pointer: UnsafePointer<Float>) -> SIMD16<Float> {
        loadLanes(pointer, min(lanes, laneCount))
    }

    @inline(__always)
    func store<Scalar: SIMDScalar>(
        _ vector: SIMD16<Scalar>, _ pointer: UnsafeMutablePointer<Scalar>
    ) {
        storeLanes(vector, pointer, min(lanes, laneCount))
    }
}
