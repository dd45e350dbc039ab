import TensorCore

// Depthwise convolutions: every channel by itself, channels along the lanes.
//
// A value is one chain of fused multiply-adds over kernel rows and columns, for backward data over the
// kernel turned around, for backward weights over images, rows and columns of outputs. Elements that lie
// in the padding are left out of it.

extension ConvolutionShape {
    /// Whether every channel is a group of its own, with a stride or a dilation but not both.
    var isDepthwise: Bool {
        groups == inputChannels && groups == outputChannels && groups > 1
            && (strideHeight == 1 || dilationHeight == 1)
            && (strideWidth == 1 || dilationWidth == 1)
    }
}

/// The elements of a kernel, along one axis, that meet the image for an output, in the order of the sum.
private struct DepthwiseTaps: Equatable {
    /// The kernel's first element, and from one to the next.
    var kernel: Int
    let kernelStep: Int
    /// Where the first one meets the image, and from one to the next.
    var image: Int
    let imageStep: Int
    var count: Int

    /// For output `position` of an axis; `extent` is the image's.
    init(
        forward position: Int, extent: Int, kernel size: Int, stride: Int, padding: Int,
        dilation: Int
    ) {
        let start = position * stride - padding
        let inside = (0..<size).filter { (0..<extent).contains(start + $0 * dilation) }
        kernel = inside.first ?? 0
        (kernelStep, imageStep) = (1, dilation)
        image = inside.isEmpty ? 0 : start + kernel * dilation
        count = inside.count
    }

    /// For the gradient of input `position`; `extent` is the output's.
    init(
        backward position: Int, extent: Int, kernel size: Int, stride: Int, padding: Int,
        dilation: Int
    ) {
        // output · stride = position + padding − element · dilation
        let inside = (0..<size).reversed().filter {
            let place = position + padding - $0 * dilation
            return place >= 0 && place % stride == 0 && place / stride < extent
        }
        kernel = inside.first ?? 0
        (kernelStep, imageStep) = (-stride, dilation)
        image = inside.isEmpty ? 0 : (position + padding - kernel * dilation) / stride
        count = inside.count
    }
}

/// Neighbouring outputs of a row that meet the same elements of the kernel.
private struct DepthwiseStrip {
    /// The first one, and from one to the next.
    let first: Int
    let step: Int
    /// 8, 4 or 1.
    let count: Int
    let taps: DepthwiseTaps
    /// Pixels of the image from one output to the next.
    let imageStep: Int
}

/// Forward, or backward data, of a depthwise convolution.
struct DepthwisePass: ImagePass {
    let name = "depthwise"
    /// The parameter, [R, S, C], is read as it is.
    var packedCount: Int? { nil }
    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {}

    private let channels: Int
    private let kernelWidth: Int
    private let (imageCount, imageWidth): (Int, Int)
    private let (outputCount, outputWidth): (Int, Int)
    /// By output row.
    private let rows: [DepthwiseTaps]
    private let strips: [DepthwiseStrip]

    init(_ shape: ConvolutionShape, isBackward: Bool) {
        channels = shape.inputChannels
        kernelWidth = shape.kernelWidth
        func taps(_ position: Int, height: Bool) -> DepthwiseTaps {
            let (size, stride, padding, dilation) =
                height
                ? (
                    shape.kernelHeight, shape.strideHeight, shape.paddingHeight,
                    shape.dilationHeight
                )
                : (shape.kernelWidth, shape.strideWidth, shape.paddingWidth, shape.dilationWidth)
            return isBackward
                ? DepthwiseTaps(
                    backward: position, extent: height ? shape.outputHeight : shape.outputWidth,
                    kernel: size, stride: stride, padding: padding, dilation: dilation)
                : DepthwiseTaps(
                    forward: position, extent: height ? shape.inputHeight : shape.inputWidth,
                    kernel: size, stride: stride, padding: padding, dilation: dilation)
        }
        let height = isBackward ? shape.inputHeight : shape.outputHeight
        outputWidth = isBackward ? shape.inputWidth : shape.outputWidth
        imageWidth = isBackward ? shape.outputWidth : shape.inputWidth
        imageCount = isBackward ? shape.outputCount : shape.inputCount
        outputCount = isBackward ? shape.inputCount : shape.outputCount
        rows = (0..<height).map { taps($0, height: true) }
        // Of a strided convolution's inputs those as far apart as the stride meet the same elements.
        let step = isBackward ? shape.strideWidth : 1
        let imageStep = isBackward ? 1 : shape.strideWidth
        var strips: [DepthwiseStrip] = []
        for phase in 0..<step {
            var first = phase
            while first < outputWidth {
                let start = taps(first, height: false)
                var count = 1
                while first + count * step < outputWidth {
                    var next = taps(first + count * step, height: false)
                    guard next.count == start.count, next.kernel == start.kernel,
                        next.image == start.image + count * imageStep
                    else { break }
                    next.image = start.image
                    count += 1
                }
                for (wanted, part) in Self.parts(of: count) {
                    var own = start
                    own.image += wanted * imageStep
                    strips.append(
                        DepthwiseStrip(
                            first: first + wanted * step, step: step, count: part, taps: own,
                            imageStep: imageStep))
                }
                first += count * step
            }
        }
        // In the order of the row: what one strip reads the next one reads, too.
        self.strips = strips.sorted { $0.first < $1.first }
    }

    /// Strips of a run of outputs: eights where registers are wide, fours, and single ones.
    private static func parts(of count: Int) -> [(first: Int, count: Int)] {
        var parts: [(Int, Int)] = []
        var first = 0
        while first < count {
            let left = count - first
            let part = left >= 8 && registersAreWide ? 8 : left >= 4 ? 4 : 1
            parts.append((first, part))
            first += part
        }
        return parts
    }

    func run(
        images: Int, _ input: UnsafePointer<Float>, _ weight: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>
    ) {
        for n in 0..<images {
            let image = input + n &* imageCount
            var target = output + n &* outputCount
            for row in rows.indices {
                for strip in strips {
                    switch strip.count {
                    case 8:
                        run(DepthwiseSums8.self, strip, rows[row], image, weight, bias, target)
                    case 4:
                        run(DepthwiseSums4.self, strip, rows[row], image, weight, bias, target)
                    default:
                        run(DepthwiseSums1.self, strip, rows[row], image, weight, bias, target)
                    }
                }
                target += outputWidth &* channels
            }
        }
    }

    /// A strip of a row, all channels.
    @inline(__always)
    private func run<Sums: DepthwiseSums>(
        _: Sums.Type, _ strip: DepthwiseStrip, _ row: DepthwiseTaps, _ image: UnsafePointer<Float>,
        _ weight: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?,
        _ output: UnsafeMutablePointer<Float>
    ) {
        let columns = strip.taps
        let first = image + (row.image &* imageWidth &+ columns.image) &* channels
        let kernel = weight + (row.kernel &* kernelWidth &+ columns.kernel) &* channels
        let target = output + strip.first &* channels
        var c = 0
        while c < channels {
            let lanes = min(laneCount, channels &- c)
            let (x, w, bias, y) = (first + c, kernel + c, bias.map { $0 + c }, target + c)
            // A known count needs no branches.
            if lanes == laneCount {
                run(Sums.self, strip, row, x, w, bias, y, laneCount)
            } else {
                run(Sums.self, strip, row, x, w, bias, y, lanes)
            }
            c &+= laneCount
        }
    }

    /// A strip of a row, some channels.
    @inline(__always)
    private func run<Sums: DepthwiseSums>(
        _: Sums.Type, _ strip: DepthwiseStrip, _ row: DepthwiseTaps,
        _ image: UnsafePointer<Float>, _ weight: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>, _ lanes: Int
    ) {
        let columns = strip.taps
        let pixel = strip.imageStep &* channels
        var sums = Sums()
        var (line, kernelLine) = (image, weight)
        for _ in 0..<row.count {
            var (x, w) = (line, kernelLine)
            for _ in 0..<columns.count {
                sums.add(x, stride: pixel, times: loadLanes(w, lanes), lanes)
                x += columns.imageStep &* channels
                w += columns.kernelStep &* channels
            }
            line += row.imageStep &* imageWidth &* channels
            kernelLine += row.kernelStep &* kernelWidth &* channels
        }
        if let bias { sums.add(loadLanes(bias, lanes)) }
        sums.store(to: output, stride: strip.step &* channels, lanes)
    }
}

/// The sums of neighbouring outputs.
private protocol DepthwiseSums {
    init()
    /// Each += its value, `stride` Floats from one to the next, times the weight.
    mutating func add(
        _ x: UnsafePointer<Float>, stride: Int, times weight: SIMD16<Float>, _ lanes: Int)
    mutating func add(_ bias: SIMD16<Float>)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int, _ lanes: Int)
}

private struct DepthwiseSums1: DepthwiseSums {
    private var a = SIMD16<Float>()

    @inline(__always)
    mutating func add(
        _ x: UnsafePointer<Float>, stride: Int, times weight: SIMD16<Float>, _ lanes: Int
    ) {
        a.addProduct(loadLanes(x, lanes), weight)
    }

    @inline(__always)
    mutating func add(_ bias: SIMD16<Float>) { a += bias }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int, _ lanes: Int) {
        storeLanes(a, pointer, lanes)
    }
}

private struct DepthwiseSums4: DepthwiseSums {
    private var a = SIMD16<Float>()
    private var b = SIMD16<Float>()
    private var c = SIMD16<Float>()
    private var d = SIMD16<Float>()

    @inline(__always)
    mutating func add(
        _ x: UnsafePointer<Float>, stride: Int, times weight: SIMD16<Float>, _ lanes: Int
    ) {
        a.addProduct(loadLanes(x, lanes), weight)
        b.addProduct(loadLanes(x + stride, lanes), weight)
        c.addProduct(loadLanes(x + 2 &* stride, lanes), weight)
        d.addProduct(loadLanes(x + 3 &* stride, lanes), weight)
    }

    @inline(__always)
    mutating func add(_ bias: SIMD16<Float>) {
        a += bias
        b += bias
        c += bias
        d += bias
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int, _ lanes: Int) {
        storeLanes(a, pointer, lanes)
        storeLanes(b, pointer + stride, lanes)
        storeLanes(c, pointer + 2 &* stride, lanes)
        storeLanes(d, pointer + 3 &* stride, lanes)
    }
}

private struct DepthwiseSums8: DepthwiseSums {
    private var left = DepthwiseSums4()
    private var right = DepthwiseSums4()

    @inline(__always)
    mutating func add(
        _ x: UnsafePointer<Float>, stride: Int, times weight: SIMD16<Float>, _ lanes: Int
    ) {
        left.add(x, stride: stride, times: weight, lanes)
        right.add(x + 4 &* stride, stride: stride, times: weight, lanes)
    }

    @inline(__always)
    mutating func add(_ bias: SIMD16<Float>) {
        left.add(bias)
        right.add(bias)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int, _ lanes: Int) {
        left.store(to: pointer, stride: stride, lanes)
        right.store(to: pointer + 4 &* stride, stride: stride, lanes)
    }
}
