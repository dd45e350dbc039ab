// Pooling over NHWC images: channels along the lanes, windows in row-major order.
//
// Images often have fewer channels than a vector has lanes. A pixel's vector then reaches into the
// pixels right of it, whose results are written later, over the surplus: whole vectors wherever
// the row has room for one. Results never depend on it.

/// output = the largest value of every window, channel by channel.
///
/// Edge cases: padding is never the largest; a window with NaN gives NaN.
///
/// - Parameters:
///   - input: [images, H, W, C]
///   - output: [images, H′, W′, C]
public func maxPool(
    _ shape: PoolingShape, images: Int, input: UnsafePointer<Float>,
    output: UnsafeMutablePointer<Float>
) {
    for image in 0..<images {
        poolForward(
            Maximum.self, shape, input + image * shape.inputCount,
            output + image * shape.outputCount)
    }
}

/// Each window's gradient goes to its largest value, the first in row-major order, as PyTorch's
/// does; to the first NaN where there is one.
///
/// The place of the maximum is found again from input and output, which the layers before and
/// after keep anyway: indices from forward would be a third thing to keep.
///
/// - Parameters:
///   - input: [images, H, W, C]
///   - output: what `maxPool` wrote, [images, H′, W′, C]
///   - outputGradient: [images, H′, W′, C]
///   - inputGradient: [images, H, W, C], overwritten
public func maxPoolBackward(
    _ shape: PoolingShape, images: Int, input: UnsafePointer<Float>,
    output: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
    inputGradient: UnsafeMutablePointer<Float>
) {
    for image in 0..<images {
        let (before, after) = (image * shape.inputCount, image * shape.outputCount)
        poolBackward(
            Maximum.self, shape, input + before, output + after, outputGradient + after,
            inputGradient + before)
    }
}

/// output = the sum of every window over R·S, channel by channel; padding counts as zeros
/// (PyTorch's `count_include_pad`).
///
/// - Parameters:
///   - input: [images, H, W, C]
///   - output: [images, H′, W′, C]
public func averagePool(
    _ shape: PoolingShape, images: Int, input: UnsafePointer<Float>,
    output: UnsafeMutablePointer<Float>
) {
    for image in 0..<images {
        poolForward(
            Average.self, shape, input + image * shape.inputCount,
            output + image * shape.outputCount)
    }
}

/// Each window's gradient over R·S, to all of its pixels.
///
/// - Parameters:
///   - outputGradient: [images, H′, W′, C]
///   - inputGradient: [images, H, W, C], overwritten
public func averagePoolBackward(
    _ shape: PoolingShape, images: Int, outputGradient: UnsafePointer<Float>,
    inputGradient: UnsafeMutablePointer<Float>
) {
    for image in 0..<images {
        // An average's gradient depends on no value: its operands are there for the maximum.
        let gradient = outputGradient + image * shape.outputCount
        poolBackward(
            Average.self, shape, gradient, gradient, gradient,
            inputGradient + image * shape.inputCount)
    }
}

/// What a window makes of its values, and of its gradient.
protocol Pooling {
    /// Whether `share` looks at values, or only at the gradient.
    static var readsValues: Bool { get }

    /// The window's value so far, and one more.
    static func combine(_ sum: SIMD16<Float>, _ x: SIMD16<Float>) -> SIMD16<Float>

    /// The output, from all of the window's values.
    static func finish(_ sum: SIMD16<Float>, scale: Float) -> SIMD16<Float>

    /// What value `x` of the window gets of the gradient; `open` holds the lanes that have not
    /// found their maximum yet.
    static func share(
        _ gradient: SIMD16<Float>, x: SIMD16<Float>, y: SIMD16<Float>, scale: Float,
        open: inout SIMDMask<SIMD16<Int32>>
    ) -> SIMD16<Float>
}

enum Maximum: Pooling {
    static var readsValues: Bool { true }

    @inline(__always)
    static func combine(_ sum: SIMD16<Float>, _ x: SIMD16<Float>) -> SIMD16<Float> {
        sum.replacing(with: x, where: (x .> sum) .| (x .!= x))
    }

    @inline(__always)
    static func finish(_ sum: SIMD16<Float>, scale: Float) -> SIMD16<Float> { sum }

    @inline(__always)
    static func share(
        _ gradient: SIMD16<Float>, x: SIMD16<Float>, y: SIMD16<Float>, scale: Float,
        open: inout SIMDMask<SIMD16<Int32>>
    ) -> SIMD16<Float> {
        let hit = open .& ((x .== y) .| (x .!= x))
        open = open .& .!hit
        return SIMD16<Float>().replacing(with: gradient, where: hit)
    }
}

enum Average: Pooling {
    static var readsValues: Bool { false }

    @inline(__always)
    static func combine(_ sum: SIMD16<Float>, _ x: SIMD16<Float>) -> SIMD16<Float> { sum + x }

    @inline(__always)
    static func finish(_ sum: SIMD16<Float>, scale: Float) -> SIMD16<Float> { sum * scale }

    @inline(__always)
    static func share(
        _ gradient: SIMD16<Float>, x: SIMD16<Float>, y: SIMD16<Float>, scale: Float,
        open: inout SIMDMask<SIMD16<Int32>>
    ) -> SIMD16<Float> { gradient * scale }
}

/// One image.
private func poolForward<Kind: Pooling>(
    _: Kind.Type, _ shape: PoolingShape, _ input: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>
) {
    if shape.isSquares { return Squares<Kind>(shape).forward(input, output) }
    let (width, outputWidth, channels) = (shape.inputWidth, shape.outputWidth, shape.channels)
    let scale = 1 / Float(shape.kernelHeight * shape.kernelWidth)
    for y in 0..<shape.outputHeight {
        let rows = shape.rows(y)
        for x in 0..<outputWidth {
            let columns = shape.columns(x)

            @inline(__always)
            func block(_ c: Int, _ lanes: Int) {
                let first =
                    input + ((rows.lowerBound &* width &+ columns.lowerBound) &* channels &+ c)
                var sum = loadLanes(first, lanes)
                var row = first
                var skip = 1
                for _ in 0..<rows.count {
                    for column in skip..<columns.count {
                        sum = Kind.combine(sum, loadLanes(row + (column &* channels), lanes))
                    }
                    skip = 0
                    row += width &* channels
                }
                storeLanes(
                    Kind.finish(sum, scale: scale),
                    output + ((y &* outputWidth &+ x) &* channels &+ c), lanes)
            }
            let room =
                min(width &- columns.upperBound &+ 1, outputWidth &- x) &* channels
            var c = 0
            while c < channels {
                if c &+ laneCount <= room {
                    block(c, laneCount)
                } else {
                    block(c, min(laneCount, channels &- c))
                }
                c &+= laneCount
            }
        }
    }
}

/// One image.
private func poolBackward<Kind: Pooling>(
    _: Kind.Type, _ shape: PoolingShape, _ input: UnsafePointer<Float>,
    _ output: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
    _ inputGradient: UnsafeMutablePointer<Float>
) {
    if shape.isSquares {
        return Squares<Kind>(shape).backward(input, output, outputGradient, inputGradient)
    }
    let (width, outputWidth, channels) = (shape.inputWidth, shape.outputWidth, shape.channels)
    let scale = 1 / Float(shape.kernelHeight * shape.kernelWidth)
    // Where windows do not meet, every pixel is written once, and memory is not read.
    let overwrites = shape.tilesImage
    if !overwrites { inputGradient.update(repeating: 0, count: shape.inputCount) }
    let lane = SIMD16<Int32>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    for y in 0..<shape.outputHeight {
        let rows = shape.rows(y)
        for x in 0..<outputWidth {
            let columns = shape.columns(x)

            @inline(__always)
            func block(_ c: Int, _ lanes: Int) {
                let place = (y &* outputWidth &+ x) &* channels &+ c
                let gradient = loadLanes(outputGradient + place, lanes)
                let largest = Kind.readsValues ? loadLanes(output + place, lanes) : gradient
                // Surplus lanes get nothing where they would add to other pixels.
                var open = lane .< Int32(truncatingIfNeeded: channels &- c)
                let inside = open

                @inline(__always)
                func give(_ pixel: Int) {
                    let value = Kind.readsValues ? loadLanes(input + pixel, lanes) : gradient
                    var share = Kind.share(
                        gradient, x: value, y: largest, scale: scale, open: &open)
                    if !overwrites {
                        share =
                            loadLanes(inputGradient + pixel, lanes)
                            + SIMD16<Float>().replacing(with: share, where: inside)
                    }
                    storeLanes(share, inputGradient + pixel, lanes)
                }
                var row = (rows.lowerBound &* width &+ columns.lowerBound) &* channels &+ c
                for _ in 0..<rows.count {
                    for column in 0..<columns.count { give(row &+ column &* channels) }
                    row &+= width &* channels
                }
            }
            let room =
                min(width &- columns.upperBound &+ 1, outputWidth &- x) &* channels
            var c = 0
            while c < channels {
                // Where pixels are overwritten, a later block's surplus would fall on an
                // earlier block of the window's next column.
                if c &+ laneCount <= (overwrites && c > 0 ? min(room, channels) : room) {
                    block(c, laneCount)
                } else {
                    block(c, min(laneCount, channels &- c))
                }
                c &+= laneCount
            }
        }
        if overwrites { shape.clearRight(of: rows, inputGradient) }
    }
    if overwrites { shape.clearBelow(inputGradient) }
}

extension PoolingShape {
    /// Zeros to some rows of an image, right of the last window of a pooling that tiles it.
    @inline(__always)
    func clearRight(of rows: Range<Int>, _ inputGradient: UnsafeMutablePointer<Float>) {
        let covered = outputWidth &* strideWidth
        for row in rows {
            (inputGradient + (row &* inputWidth &+ covered) &* channels).update(
                repeating: 0, count: (inputWidth &- covered) &* channels)
        }
    }

    /// Zeros to the rows below the last window.
    @inline(__always)
    func clearBelow(_ inputGradient: UnsafeMutablePointer<Float>) {
        let covered = outputHeight &* strideHeight
        (inputGradient + covered &* inputWidth &* channels).update(
            repeating: 0, count: (inputHeight &- covered) &* inputWidth &* channels)
    }
}
