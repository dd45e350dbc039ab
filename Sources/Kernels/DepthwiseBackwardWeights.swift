import TensorCore

/// A depthwise convolution's gradient with respect to its weight, [R, S, C]: for a vector of channels up
/// to nine elements of the kernel sum up in registers, over all pixels. It divides into vectors of channels.
struct DepthwiseBackwardWeights: DividedWeightPass {
    let name = "depthwise"

    private let shape: ConvolutionShape
    /// By kernel column, the outputs of a row that meet the image there.
    private let columns: [Range<Int>]
    /// Outputs of a row that meet the image in every column of the kernel.
    private let inner: Range<Int>

    init(_ shape: ConvolutionShape) {
        self.shape = shape
        let columns = (0..<shape.kernelWidth).map { s in
            Self.outputs(
                shape.outputWidth, of: shape.inputWidth, shape.strideWidth,
                offset: s * shape.dilationWidth - shape.paddingWidth)
        }
        self.columns = columns
        let first = columns.map(\.lowerBound).max() ?? 0
        inner = first..<max(first, columns.map(\.upperBound).min() ?? 0)
    }

    /// The positions o among `count` for which o · stride + offset lies in an image of `extent`.
    private static func outputs(
        _ count: Int, of extent: Int, _ stride: Int, offset: Int
    ) -> Range<Int> {
        let first = min(count, offset >= 0 ? 0 : (stride - 1 - offset) / stride)
        let end = extent - 1 - offset < 0 ? 0 : min(count, (extent - 1 - offset) / stride + 1)
        return first..<max(first, end)
    }

    var units: Int { (shape.inputChannels + laneCount - 1) / laneCount }

    /// [R · S, channels of the units] of [R · S, C].
    func part(_ units: Range<Int>) -> WeightPart {
        let channels = channels(units)
        return WeightPart(
            first: channels.lowerBound, length: channels.count,
            runs: shape.kernelHeight * shape.kernelWidth, stride: shape.inputChannels)
    }

    private func channels(_ units: Range<Int>) -> Range<Int> {
        let all = shape.inputChannels
        return min(all, units.lowerBound * laneCount)..<min(all, units.upperBound * laneCount)
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
        let channels = channels(units)
        part(units).forEachRun {
            (weightGradient + $0.lowerBound).update(repeating: 0, count: $0.count)
        }
        // Some rows at a time, which stay in the cache for all elements of the kernel.
        let lines = max(1, Self.cachedValues / (shape.outputWidth &* shape.inputChannels))
        for n in 0..<images {
            let x = input + n &* shape.inputCount
            let dy = outputGradient + n &* shape.outputCount
            for first in stride(from: 0, to: shape.outputHeight, by: lines) {
                add(
                    x, dy, lines: first..<min(first &+ lines, shape.outputHeight), channels,
                    to: weightGradient)
            }
        }
    }

    /// Output gradients that stay in the second-level cache with as many inputs.
    private static var cachedValues: Int { 1 << 15 }

    /// Adds some rows of outputs of an image: of many channels several vectors at a time, whose sums do
    /// not wait for each other.
    private func add(
        _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, lines: Range<Int>,
        _ channels: Range<Int>, to weightGradient: UnsafeMutablePointer<Float>
    ) {
        var c = channels.lowerBound
        while c < channels.upperBound {
            let left = channels.upperBound &- c
            let (x, dy, sums) = (x + c, dy + c, weightGradient + c)
            if registersAreWide, left >= 4 &* laneCount {
                addRows(Vectors4.self, x, dy, lines, to: sums, lanes: laneCount)
                c &+= 4 &* laneCount
            } else if left >= laneCount {
                addRows(Vectors1.self, x, dy, lines, to: sums, lanes: laneCount)
                c &+= laneCount
            } else {
                addRows(Vectors1.self, x, dy, lines, to: sums, lanes: left)
                c &+= laneCount
            }
        }
    }

    /// Every row of the kernel, up to five elements at a time.
    @inline(__always)
    private func addRows<V: ChannelVectors>(
        _: V.Type, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ lines: Range<Int>,
        to sums: UnsafeMutablePointer<Float>, lanes: Int
    ) {
        for r in 0..<shape.kernelHeight {
            let offset = r &* shape.dilationHeight &- shape.paddingHeight
            let rows = Self.outputs(
                shape.outputHeight, of: shape.inputHeight, shape.strideHeight, offset: offset
            ).clamped(to: lines)
            var s = 0
            while s < shape.kernelWidth {
                switch shape.kernelWidth &- s {
                // Five sums of four vectors, their gradients and an input fill AVX-512's registers.
                case 5...:
                    addColumns(KernelSums5<V>.self, r, s, rows, x, dy, to: sums, lanes)
                    s &+= 5
                case 3...4:
                    addColumns(KernelSums3<V>.self, r, s, rows, x, dy, to: sums, lanes)
                    s &+= 3
                default:
                    addColumns(KernelSums1<V>.self, r, s, rows, x, dy, to: sums, lanes)
                    s &+= 1
                }
            }
        }
    }

    /// Some neighbouring elements of a row of the kernel.
    @inline(__always)
    private func addColumns<Sums: KernelSums>(
        _: Sums.Type, _ r: Int, _ s: Int, _ rows: Range<Int>, _ x: UnsafePointer<Float>,
        _ dy: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, _ lanes: Int
    ) {
        let channels = shape.inputChannels
        let place = target + (r &* shape.kernelWidth &+ s) &* channels
        var sums = Sums(from: place, stride: channels, lanes)
        let step = shape.dilationWidth &* channels
        let elements = columns[s..<s &+ Sums.count]
        var (first, end, start, last) = (0, shape.outputWidth, shape.outputWidth, 0)
        for element in elements {
            first = max(first, element.lowerBound)
            end = min(end, element.upperBound)
            start = min(start, element.lowerBound)
            last = max(last, element.upperBound)
        }
        end = max(first, end)
        for row in rows {
            let line = row &* shape.strideHeight &+ r &* shape.dilationHeight &- shape.paddingHeight
            let column = s &* shape.dilationWidth &- shape.paddingWidth
            let image = x + (line &* shape.inputWidth &+ column) &* channels
            let gradients = dy + row &* shape.outputWidth &* channels
            addBorder(&sums, start..<min(first, last), elements, image, gradients, lanes)
            var input = image + first &* shape.strideWidth &* channels
            var gradient = gradients + first &* channels
            for _ in first..<end {
                sums.add(input, stride: step, times: gradient, lanes)
                input += shape.strideWidth &* channels
                gradient += channels
            }
            addBorder(
                &sums, max(end, start)..<max(last, end, start), elements, image, gradients, lanes)
        }
        sums.store(to: place, stride: channels, lanes)
    }

    /// Outputs that do not meet the image in every element.
    @inline(__always)
    private func addBorder<Sums: KernelSums>(
        _ sums: inout Sums, _ outputs: Range<Int>, _ elements: ArraySlice<Range<Int>>,
        _ image: UnsafePointer<Float>, _ gradients: UnsafePointer<Float>, _ lanes: Int
    ) {
        let channels = shape.inputChannels
        for output in outputs {
            let input = image + output &* shape.strideWidth &* channels
            for element in 0..<Sums.count
            where elements[elements.startIndex &+ element].contains(output) {
                sums.add(
                    element, input + element &* shape.dilationWidth &* channels,
                    times: gradients + output &* channels, lanes)
            }
        }
    }
}

/// Neighbouring channels of a pixel.
private protocol ChannelVectors {
    /// - Parameter lanes: 1…16, of a single vector.
    init(from pointer: UnsafePointer<Float>, _ lanes: Int)
    func store(to pointer: UnsafeMutablePointer<Float>, _ lanes: Int)
    /// self += left · right, fused.
    mutating func addProduct(_ left: Self, _ right: Self)
}

private struct Vectors1: ChannelVectors {
    private var a: SIMD16<Float>

    @inline(__always)
    init(from pointer: UnsafePointer<Float>, _ lanes: Int) { a = loadLanes(pointer, lanes) }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, _ lanes: Int) {
        storeLanes(a, pointer, lanes)
    }

    @inline(__always)
    mutating func addProduct(_ left: Self, _ right: Self) { a.addProduct(left.a, right.a) }
}

/// Four vectors: 64 channels.
private struct Vectors4: ChannelVectors {
    private var a: SIMD16<Float>
    private var b: SIMD16<Float>
    private var c: SIMD16<Float>
    private var d: SIMD16<Float>

    @inline(__always)
    init(from pointer: UnsafePointer<Float>, _ lanes: Int) {
        a = loadLanes(pointer, laneCount)
        b = loadLanes(pointer + laneCount, laneCount)
        c = loadLanes(pointer + 2 &* laneCount, laneCount)
        d = loadLanes(pointer + 3 &* laneCount, laneCount)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, _ lanes: Int) {
        storeLanes(a, pointer, laneCount)
        storeLanes(b, pointer + laneCount, laneCount)
        storeLanes(c, pointer + 2 &* laneCount, laneCount)
        storeLanes(d, pointer + 3 &* laneCount, laneCount)
    }

    @inline(__always)
    mutating func addProduct(_ left: Self, _ right: Self) {
        a.addProduct(left.a, right.a)
        b.addProduct(left.b, right.b)
        c.addProduct(left.c, right.c)
        d.addProduct(left.d, right.d)
    }
}

/// The sums of neighbouring elements of a kernel's row.
private protocol KernelSums {
    /// Elements.
    static var count: Int { get }
    /// From memory, `stride` Floats from one element to the next.
    init(from pointer: UnsafePointer<Float>, stride: Int, _ lanes: Int)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int, _ lanes: Int)
    /// Each += its input, `stride` Floats from one to the next, times the gradient.
    mutating func add(
        _ x: UnsafePointer<Float>, stride: Int, times gradient: UnsafePointer<Float>, _ lanes: Int)
    /// One of them += its input, times the gradient.
    mutating func add(
        _ element: Int, _ x: UnsafePointer<Float>, times gradient: UnsafePointer<Float>,
        _ lanes: Int)
}

private struct KernelSums1<V: ChannelVectors>: KernelSums {
    private var a: V

    static var count: Int { 1 }

    @inline(__always)
    init(from pointer: UnsafePointer<Float>, stride: Int, _ lanes: Int) {
        a = V(from: pointer, lanes)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int, _ lanes: Int) {
        a.store(to: pointer, lanes)
    }

    @inline(__always)
    mutating func add(
        _ x: UnsafePointer<Float>, stride: Int, times gradient: UnsafePointer<Float>, _ lanes: Int
    ) {
        a.addProduct(V(from: x, lanes), V(from: gradient, lanes))
    }

    @inline(__always)
    mutating func add(
        _ element: Int, _ x: UnsafePointer<Float>, times gradient: UnsafePointer<Float>,
        _ lanes: Int
    ) {
        a.addProduct(V(from: x, lanes), V(from: gradient, lanes))
    }
}

private struct KernelSums3<V: ChannelVectors>: KernelSums {
    private var a: V
    private var b: V
    private var c: V

    static var count: Int { 3 }

    @inline(__always)
    init(from pointer: UnsafePointer<Float>, stride: Int, _ lanes: Int) {
        a = V(from: pointer, lanes)
        b = V(from: pointer + stride, lanes)
        c = V(from: pointer + 2 &* stride, lanes)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int, _ lanes: Int) {
        a.store(to: pointer, lanes)
        b.store(to: pointer + stride, lanes)
        c.store(to: pointer + 2 &* stride, lanes)
    }

    @inline(__always)
    mutating func add(
        _ x: UnsafePointer<Float>, stride: Int, times gradient: UnsafePointer<Float>, _ lanes: Int
    ) {
        let factor = V(from: gradient, lanes)
        a.addProduct(V(from: x, lanes), factor)
        b.addProduct(V(from: x + stride, lanes), factor)
        c.addProduct(V(from: x + 2 &* stride, lanes), factor)
    }

    @inline(__always)
    mutating func add(
        _ element: Int, _ x: UnsafePointer<Float>, times gradient: UnsafePointer<Float>,
        _ lanes: Int
    ) {
        let (value, factor) = (V(from: x, lanes), V(from: gradient, lanes))
        switch element {
        case 0: a.addProduct(value, factor)
        case 1: b.addProduct(value, factor)
        default: c.addProduct(value, factor)
        }
    }
}

private struct KernelSums5<V: ChannelVectors>: KernelSums {
    private var left: KernelSums3<V>
    private var d: V
    private var e: V

    static var count: Int { 5 }

    @inline(__always)
    init(from pointer: UnsafePointer<Float>, stride: Int, _ lanes: Int) {
        left = KernelSums3(from: pointer, stride: stride, lanes)
        d = V(from: pointer + 3 &* stride, lanes)
        e = V(from: pointer + 4 &* stride, lanes)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int, _ lanes: Int) {
        left.store(to: pointer, stride: stride, lanes)
        d.store(to: pointer + 3 &* stride, lanes)
        e.store(to: pointer + 4 &* stride, lanes)
    }

    @inline(__always)
    mutating func add(
        _ x: UnsafePointer<Float>, stride: Int, times gradient: UnsafePointer<Float>, _ lanes: Int
    ) {
        left.add(x, stride: stride, times: gradient, lanes)
        let factor = V(from: gradient, lanes)
        d.addProduct(V(from: x + 3 &* stride, lanes), factor)
        e.addProduct(V(from: x + 4 &* stride, lanes), factor)
    }

    @inline(__always)
    mutating func add(
        _ element: Int, _ x: UnsafePointer<Float>, times gradient: UnsafePointer<Float>,
        _ lanes: Int
    ) {
        switch element {
        case 3: d.addProduct(V(from: x, lanes), V(from: gradient, lanes))
        case 4: e.addProduct(V(from: x, lanes), V(from: gradient, lanes))
        default: left.add(element, x, times: gradient, lanes)
        }
    }
}
