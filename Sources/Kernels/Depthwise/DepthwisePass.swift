import TensorCore

/// Forward, or backward data, of a depthwise convolution: eight neighbours of a line at a time.
struct DepthwisePass: ImagePass {
    let name = "depthwise"
    /// The parameter, [R, S, C], is read as it is.
    var packedCount: Int? { nil }
    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {}

    /// Outputs that meet the same elements of the kernel.
    private struct Window {
        /// The first pixel, and from one line to the next and one column to the next.
        let (first, lineStep, columnStep): (Int, Int, Int)
        let (lines, columns): (Int, Int)
        /// Of `elements` and `offsets`.
        let (firstTap, taps): (Int, Int)
    }

    private let scratch: ConvolutionScratch
    private let channels: Int
    /// Floats of an image that goes in, and of one that comes out.
    private let (imageCount, outputCount): (Int, Int)
    /// Floats that a line of outputs of each phase takes.
    private let outputsPerLine: Int
    private let lines: DepthwiseLines
    private let windows: [Window]
    /// Eights of all windows' lines together.
    private let strips: Int
    /// By window and in the order of its sum, elements r·S + s of the kernel.
    private let elements: [Int]
    /// Where they meet the copied lines, in Floats: by first place modulo their depth, [depth, elements].
    private let offsets: [Int]

    init(_ shape: ConvolutionShape, isBackward: Bool, _ scratch: ConvolutionScratch) {
        self.scratch = scratch
        channels = shape.inputChannels
        let outputWidth = isBackward ? shape.inputWidth : shape.outputWidth
        imageCount = isBackward ? shape.outputCount : shape.inputCount
        outputCount = isBackward ? shape.inputCount : shape.outputCount
        let (rows, columns) = isBackward ? shape.depthwiseBackwardAxes : shape.depthwiseAxes
        let lines = DepthwiseLines(
            rows, columns, channels: channels, multiple: neighboursTogether)
        self.lines = lines
        outputsPerLine = rows.phases.count * outputWidth * shape.inputChannels
        var (windows, elements, places): ([Window], [Int], [(row: Int, column: Int)]) = ([], [], [])
        for row in rows.phases {
            for column in columns.phases {
                let first = elements.count
                for r in row.elements {
                    for s in column.elements {
                        elements.append(r.kernel * shape.kernelWidth + s.kernel)
                        places.append((r.place, s.place))
                    }
                }
                windows.append(
                    Window(
                        first: row.first * outputWidth + column.first,
                        lineStep: row.step * outputWidth, columnStep: column.step,
                        lines: row.count, columns: column.count, firstTap: first,
                        taps: elements.count - first))
            }
        }
        (self.windows, self.elements) = (windows, elements)
        strips = windows.reduce(0) {
            $0 + ($1.columns + neighboursTogether - 1) / neighboursTogether
        }
        offsets = (0..<lines.depth).flatMap { start in
            places.map { lines.offset(row: $0.row, column: $0.column, start: start) }
        }
        scratch.reserve(Self.strip + (elements.count + 1) * laneCount + lines.floats)
    }

    /// Floats of eight vectors, of which some lanes are no channels.
    private static var strip: Int { neighboursTogether * laneCount }

    func run(
        images: Int, _ input: UnsafePointer<Float>, _ weight: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>
    ) {
        for n in 0..<images {
            let (x, y) = (input + n &* imageCount, output + n &* outputCount)
            var first = 0
            while first < lines.count {
                let written = first..<min(first &+ lines.together, lines.count)
                var ahead = DepthwiseAhead(
                    behind: written.upperBound &- 1, of: lines, x,
                    y + written.upperBound &* outputsPerLine, channels: channels, steps: strips)
                var c = 0
                while c < channels {
                    run(
                        written, x + c, weight + c, bias.map { $0 + c }, y + c,
                        lanes: min(laneCount, channels &- c), &ahead)
                    c &+= laneCount
                }
                first = written.upperBound
            }
        }
    }

    /// Some lines of outputs, one vector of channels.
    private func run(
        _ written: Range<Int>, _ image: UnsafePointer<Float>, _ weight: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>, lanes: Int,
        _ ahead: inout DepthwiseAhead
    ) {
        let kernel = scratch.memory + Self.strip
        let addend = kernel + elements.count &* laneCount
        let copy = addend + laneCount
        for tap in elements.indices {
            copyPixels(
                weight + elements[tap] &* channels, stride: 0, lanes: lanes,
                into: kernel + tap &* laneCount, count: 1)
        }
        if let bias { copyPixels(bias, stride: 0, lanes: lanes, into: addend, count: 1) }
        for line in written {
            lines.copy(
                line, isNext: line > written.lowerBound, image, lanes: lanes, into: copy)
            for window in windows where line < window.lines {
                run(
                    window, line, copy, kernel, bias.map { _ in UnsafePointer(addend) }, output,
                    lanes: lanes, &ahead)
            }
        }
    }

    /// A line of a window, one vector of channels.
    private func run(
        _ window: Window, _ line: Int, _ copy: UnsafePointer<Float>,
        _ kernel: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?,
        _ output: UnsafeMutablePointer<Float>, lanes: Int, _ ahead: inout DepthwiseAhead
    ) {
        let firstTap = elements.count &* lines.start(line) &+ window.firstTap
        let weights = kernel + window.firstTap &* laneCount
        let pixel = window.columnStep &* channels
        var x = copy
        var y = output + (window.first &+ line &* window.lineStep) &* channels
        var left = window.columns
        offsets.withUnsafeBufferPointer { offsets in
            let taps = UnsafeBufferPointer(
                rebasing: offsets[firstTap..<firstTap &+ window.taps])
            while left > 0 {
                ahead.advance()
                let count = min(left, neighboursTogether)
                if lanes == laneCount {
                    sum(x, taps, weights, bias, into: y, stride: pixel, count)
                } else {
                    sum(x, taps, weights, bias, into: scratch.memory, stride: laneCount, count)
                    for neighbour in 0..<count {
                        storeLanes(
                            loadLanes(scratch.memory + neighbour &* laneCount, laneCount),
                            y + neighbour &* pixel, lanes)
                    }
                }
                x += neighboursTogether &* lines.pixel
                y += neighboursTogether &* pixel
                left &-= neighboursTogether
            }
        }
    }

    /// The first `count` of eight neighbours.
    @inline(__always)
    private func sum(
        _ x: UnsafePointer<Float>, _ taps: UnsafeBufferPointer<Int>,
        _ weights: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?,
        into target: UnsafeMutablePointer<Float>, stride: Int, _ count: Int
    ) {
        if registersAreWide {
            DepthwiseSums<SIMD16<Float>>(x, lines.pixel, taps, weights, bias)
                .store(count, to: target, stride: stride)
        } else {
            let half = laneCount / 2
            DepthwiseSums<SIMD8<Float>>(x, lines.pixel, taps, weights, bias)
                .store(count, to: target, stride: stride)
            DepthwiseSums<SIMD8<Float>>(
                x + half, lines.pixel, taps, weights + half, bias.map { $0 + half }
            ).store(count, to: target + half, stride: stride)
        }
    }
}

/// The sums of eight neighbours of a line.
private struct DepthwiseSums<V: RegisterVector> {
    private var (a, b, c, d) = (V.zero, V.zero, V.zero, V.zero)
    private var (e, f, g, h) = (V.zero, V.zero, V.zero, V.zero)

    /// - Parameters:
    ///   - image: where the first one's place 0 is
    ///   - step: Floats from one to the next
    ///   - taps: by element of the kernel, Floats from the first one's place 0
    ///   - weights: [taps, 16]
    @inline(__always)
    init(
        _ image: UnsafePointer<Float>, _ step: Int, _ taps: UnsafeBufferPointer<Int>,
        _ weights: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?
    ) {
        var row = weights
        for tap in taps {
            let (x, weight) = (image + tap, V(from: row))
            let middle = x + 4 &* step
            a.addProduct(V(from: x), weight)
            b.addProduct(V(from: x + step), weight)
            c.addProduct(V(from: x + 2 &* step), weight)
            d.addProduct(V(from: x + 3 &* step), weight)
            e.addProduct(V(from: middle), weight)
            f.addProduct(V(from: middle + step), weight)
            g.addProduct(V(from: middle + 2 &* step), weight)
            h.addProduct(V(from: middle + 3 &* step), weight)
            row += laneCount
        }
        guard let bias else { return }
        let addend = V(from: bias)
        (a, b, c, d) = (a + addend, b + addend, c + addend, d + addend)
        (e, f, g, h) = (e + addend, f + addend, g + addend, h + addend)
    }

    /// The first `count`.
    @inline(__always)
    func store(_ count: Int, to pointer: UnsafeMutablePointer<Float>, stride: Int) {
        let middle = pointer + 4 &* stride
        a.store(to: pointer)
        if count > 1 { b.store(to: pointer + stride) }
        if count > 2 { c.store(to: pointer + 2 &* stride) }
        if count > 3 { d.store(to: pointer + 3 &* stride) }
        if count > 4 { e.store(to: middle) }
        if count > 5 { f.store(to: middle + stride) }
        if count > 6 { g.store(to: middle + 2 &* stride) }
        if count > 7 { h.store(to: middle + 3 &* stride) }
    }
}
