import TensorCore

/// A depthwise convolution's gradient with respect to its weight, [R, S, C]: eight neighbours of a line at
/// a time for all elements of the kernel, whose sums do not wait for each other. It divides into vectors
/// of channels.
struct DepthwiseBackwardWeights: DividedWeightPass {
    let name = "depthwise"

    private let shape: ConvolutionShape
    private let scratch: ConvolutionScratch
    private let lines: DepthwiseLines
    /// Elements of the kernel.
    private let elements: Int
    /// Where they meet the copied lines, in Floats: by first place modulo their depth, [depth, elements].
    private let offsets: [Int]

    init(_ shape: ConvolutionShape, _ scratch: ConvolutionScratch) {
        self.shape = shape
        self.scratch = scratch
        let (rows, columns) = shape.depthwiseAxes
        let lines = DepthwiseLines(
            rows, columns, channels: shape.inputChannels, multiple: neighboursTogether)
        self.lines = lines
        let places = rows.phases[0].elements.flatMap { row in
            columns.phases[0].elements.map { (row: row.place, column: $0.place) }
        }
        elements = places.count
        offsets = (0..<lines.depth).flatMap { start in
            places.map { lines.offset(row: $0.row, column: $0.column, start: start) }
        }
        scratch.reserve(
            elements * laneCount + lines.floats + shape.outputWidth * laneCount)
    }

    var units: Int { (shape.inputChannels + laneCount - 1) / laneCount }

    /// [R · S, channels of the units] of [R · S, C].
    func part(_ units: Range<Int>) -> WeightPart {
        let all = shape.inputChannels
        let first = min(all, units.lowerBound * laneCount)
        return WeightPart(
            first: first, length: min(all, units.upperBound * laneCount) - first,
            runs: shape.kernelHeight * shape.kernelWidth, stride: all)
    }

    /// Nothing is loaded: any number.
    var imagesAtOnce: Int { .max }

    func load(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>
    ) {}

    func run(
        loaded images: Range<Int>, _ input: UnsafePointer<Float>,
        _ outputGradient: UnsafePointer<Float>, units: Range<Int>,
        _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        run(
            images: images.count, input + images.lowerBound &* shape.inputCount,
            outputGradient + images.lowerBound &* shape.outputCount, units: units, weightGradient)
    }

    func run(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        units: Range<Int>, _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        part(units).forEachRun {
            (weightGradient + $0.lowerBound).update(repeating: 0, count: $0.count)
        }
        let channels = shape.inputChannels
        for n in 0..<images {
            let x = input + n &* shape.inputCount
            let dy = outputGradient + n &* shape.outputCount
            var first = 0
            while first < shape.outputHeight {
                let written = first..<min(first &+ lines.together, shape.outputHeight)
                let gradients = dy + first &* shape.outputWidth &* channels
                let after = dy + written.upperBound &* shape.outputWidth &* channels
                var ahead = DepthwiseAhead(
                    behind: written.upperBound &- 1, of: lines, x, after, channels: channels,
                    steps: (shape.outputWidth &+ neighboursTogether &- 1) / neighboursTogether)
                for unit in units {
                    let c = unit &* laneCount
                    add(
                        written, x + c, gradients + c, lanes: min(laneCount, channels &- c),
                        to: weightGradient + c, &ahead)
                }
                first = written.upperBound
            }
        }
    }

    /// Adds some lines of outputs of an image to the gradient of some channels.
    private func add(
        _ written: Range<Int>, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, lanes: Int,
        to weightGradient: UnsafeMutablePointer<Float>, _ ahead: inout DepthwiseAhead
    ) {
        let channels = shape.inputChannels
        let sums = scratch.memory
        let copy = sums + elements &* laneCount
        let vectors = copy + lines.floats
        for element in 0..<elements {
            copyPixels(
                weightGradient + element &* channels, stride: 0, lanes: lanes,
                into: sums + element &* laneCount, count: 1)
        }
        var gradients = dy
        for line in written {
            lines.copy(
                line, isNext: line > written.lowerBound, x, lanes: lanes, into: copy)
            if lanes == laneCount {
                add(line, copy, gradients, stride: channels, to: sums, &ahead)
            } else {
                copyPixels(
                    gradients, stride: channels, lanes: lanes, into: vectors,
                    count: shape.outputWidth)
                add(line, copy, vectors, stride: laneCount, to: sums, &ahead)
            }
            gradients += shape.outputWidth &* channels
        }
        for element in 0..<elements {
            storeLanes(
                loadLanes(sums + element &* laneCount, laneCount),
                weightGradient + element &* channels, lanes)
        }
    }

    /// Adds a line of outputs to the sums of a vector of channels.
    private func add(
        _ line: Int, _ copy: UnsafePointer<Float>, _ gradients: UnsafePointer<Float>, stride: Int,
        to sums: UnsafeMutablePointer<Float>, _ ahead: inout DepthwiseAhead
    ) {
        let firstTap = lines.start(line) &* elements
        var (x, dy, left) = (copy, gradients, shape.outputWidth)
        let half = laneCount / 2
        offsets.withUnsafeBufferPointer { offsets in
            let taps = UnsafeBufferPointer(rebasing: offsets[firstTap..<firstTap &+ elements])
            while left > 0 {
                ahead.advance()
                if registersAreWide {
                    DepthwiseGradients<SIMD16<Float>>(left, from: dy, stride: stride)
                        .add(x, lines.pixel, taps, to: sums)
                } else {
                    DepthwiseGradients<SIMD8<Float>>(left, from: dy, stride: stride)
                        .add(x, lines.pixel, taps, to: sums)
                    DepthwiseGradients<SIMD8<Float>>(left, from: dy + half, stride: stride)
                        .add(x + half, lines.pixel, taps, to: sums + half)
                }
                x += neighboursTogether &* lines.pixel
                dy += neighboursTogether &* stride
                left &-= neighboursTogether
            }
        }
    }
}

/// The gradients of eight neighbours of a line.
private struct DepthwiseGradients<V: RegisterVector> {
    private let (a, b, c, d): (V, V, V, V)
    private let (e, f, g, h): (V, V, V, V)

    /// Zeros for those behind the first `count`.
    @inline(__always)
    init(_ count: Int, from pointer: UnsafePointer<Float>, stride: Int) {
        @inline(__always)
        func load(_ neighbour: Int) -> V {
            neighbour < count ? V(from: pointer + neighbour &* stride) : .zero
        }
        (a, b, c, d) = (load(0), load(1), load(2), load(3))
        (e, f, g, h) = (load(4), load(5), load(6), load(7))
    }

    /// Adds their products with what each element of the kernel meets.
    ///
    /// - Parameters:
    ///   - image: where the first one's place 0 is
    ///   - step: Floats from one to the next
    ///   - taps: by element of the kernel, Floats from the first one's place 0
    ///   - sums: [taps, 16]
    @inline(__always)
    func add(
        _ image: UnsafePointer<Float>, _ step: Int, _ taps: UnsafeBufferPointer<Int>,
        to sums: UnsafeMutablePointer<Float>
    ) {
        var place = sums
        for tap in taps {
            let x = image + tap
            let middle = x + 4 &* step
            var sum = V(from: place)
            sum.addProduct(V(from: x), a)
            sum.addProduct(V(from: x + step), b)
            sum.addProduct(V(from: x + 2 &* step), c)
            sum.addProduct(V(from: x + 3 &* step), d)
            sum.addProduct(V(from: middle), e)
            sum.addProduct(V(from: middle + step), f)
            sum.addProduct(V(from: middle + 2 &* step), g)
            sum.addProduct(V(from: middle + 3 &* step), h)
            sum.store(to: place)
            place += laneCount
        }
    }
}
