import TensorCore

/// A convolution's gradient with respect to its input as tile products; see TiledConvolution.swift.
///
/// With strides, input pixels whose places differ by a multiple of them meet the same elements of the
/// kernel: each such class is a convolution without strides.
struct TiledBackwardData: ImagePass {
    private let shape: ConvolutionShape
    private let scratch: ConvolutionScratch
    private let panels: WeightPanels
    /// The output's gradient with as much around it as the kernel reaches.
    private let gradient: PaddedImage
    /// Of a group's input channels.
    private let parts: [Range<Int>]
    private let rowClasses: [PixelClass]
    private let columnClasses: [PixelClass]

    /// Lines of input pixels whose gradients stay in the cache while all parts are computed.
    private let linesTogether: Int

    let name = "tiled"

    init(_ shape: ConvolutionShape, _ scratch: ConvolutionScratch) {
        self.shape = shape
        self.scratch = scratch
        panels = WeightPanels(shape)
        rowClasses = PixelClass.all(
            extent: shape.inputHeight, kernel: shape.kernelHeight, stride: shape.strideHeight,
            padding: shape.paddingHeight, dilation: shape.dilationHeight)
        columnClasses = PixelClass.all(
            extent: shape.inputWidth, kernel: shape.kernelWidth, stride: shape.strideWidth,
            padding: shape.paddingWidth, dilation: shape.dilationWidth)
        gradient = PaddedImage(
            height: shape.outputHeight, width: shape.outputWidth, channels: shape.outputChannels,
            top: PixelClass.before(rowClasses), left: PixelClass.before(columnClasses),
            bottom: PixelClass.behind(rowClasses, extent: shape.outputHeight),
            right: PixelClass.behind(columnClasses, extent: shape.outputWidth))
        parts = channelParts(shape.groupInputs)
        linesTogether = max(1, cachedFloats / gradient.rowCount)
        scratch.reserve(
            gradient.scratchCount
                + (shape.groupInputs < laneCount
                    ? shape.inputHeight * shape.inputWidth * laneCount : 0))
    }

    var packedCount: Int? {
        parts.reduce(0) { $0 + $1.count } * (shape.weightCount / shape.groupInputs)
    }

    private func forEachClass(_ body: (PixelClass, PixelClass) -> Void) {
        for rows in rowClasses { for columns in columnClasses { body(rows, columns) } }
    }

    /// [classes][groups][parts][taps turned around, a group's K, width]
    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {
        let plane = shape.groupInputs &* panels.width
        var target = packed
        forEachClass { rows, columns in
            for group in 0..<shape.groups {
                for part in parts {
                    for r in rows.taps.reversed() {
                        for s in columns.taps.reversed() {
                            let tap = weight + (r &* shape.kernelWidth &+ s) &* plane
                            packTap(tap, group &* shape.groupOutputs, part, into: target)
                            target += shape.groupOutputs &* part.count
                        }
                    }
                }
            }
        }
    }

    /// [C, K] of some input channels of a group, whose output channels begin with `first`, to
    /// [K, width].
    private func packTap(
        _ tap: UnsafePointer<Float>, _ first: Int, _ part: Range<Int>,
        into target: UnsafeMutablePointer<Float>
    ) {
        let (c, k, width) = (shape.groupInputs, shape.groupOutputs, part.count)
        let row = panels.width
        let source = tap + part.lowerBound &* row
        guard c >= laneCount else {
            target.update(repeating: 0, count: k &* width)
            for output in 0..<k {
                for input in 0..<c {
                    target[output &* width &+ input] =
                        source[input &* row &+ panels.place(first &+ output)]
                }
            }
            return
        }
        let whole = k / laneCount &* laneCount
        for input in stride(from: 0, to: width, by: laneCount) {
            for output in stride(from: 0, to: whole, by: laneCount) {
                transpose(
                    source + (input &* row &+ panels.place(first &+ output)),
                    sourceStride: row,
                    into: target + (output &* width &+ input), stride: width)
            }
            for output in whole..<k {
                for lane in 0..<laneCount {
                    target[output &* width &+ input &+ lane] =
                        source[(input &+ lane) &* row &+ panels.place(first &+ output)]
                }
            }
        }
    }

    func run(
        images: Int, _ dy: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ dx: UnsafeMutablePointer<Float>
    ) {
        for n in 0..<images {
            run(dy + n &* shape.outputCount, packed, dx + n &* shape.inputCount)
        }
    }

    private func run(
        _ dy: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>
    ) {
        let image = gradient.padded(dy, in: scratch.memory)
        let narrow = scratch.memory + gradient.scratchCount
        var b = packed
        forEachClass { rows, columns in
            if rows.count > 0, columns.count > 0, rows.taps.isEmpty || columns.taps.isEmpty {
                forEachPixel(rows, columns) { _, place in
                    (dx + place).update(repeating: 0, count: shape.inputChannels)
                }
            }
            let taps = rows.taps.count &* columns.taps.count
            for group in 0..<shape.groups {
                let isEmpty = taps == 0 || columns.count == 0
                let lines = isEmpty ? 0 : rows.count
                for first in stride(from: 0, to: lines, by: linesTogether) {
                    var place = b
                    for part in parts {
                        add(
                            rows, first..<min(first &+ linesTogether, lines), columns, group, part,
                            image, place, dx, narrow)
                        place += taps &* shape.groupOutputs &* part.count
                    }
                }
                b += taps &* shape.groupOutputs &* parts.reduce(0) { $0 &+ $1.count }
            }
        }
    }

    /// Calls `body` with the number of each input pixel of a class, and where it lies.
    @inline(__always)
    private func forEachPixel(
        _ rows: PixelClass, _ columns: PixelClass, _ body: (Int, Int) -> Void
    ) {
        let c = shape.inputChannels
        for row in 0..<rows.count {
            for column in 0..<columns.count {
                let h = rows.first &+ row &* shape.strideHeight
                let w = columns.first &+ column &* shape.strideWidth
                body(row &* columns.count &+ column, (h &* shape.inputWidth &+ w) &* c)
            }
        }
    }

    /// The pixels of some lines of a class, of some channels of a group.
    private func add(
        _ rows: PixelClass, _ lines: Range<Int>, _ columns: PixelClass, _ group: Int,
        _ part: Range<Int>,
        _ image: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
        _ dx: UnsafeMutablePointer<Float>, _ narrow: UnsafeMutablePointer<Float>
    ) {
        let (c, k, width) = (shape.inputChannels, shape.outputChannels, part.count)
        let outputs = shape.groupOutputs
        let isNarrow = shape.groupInputs < laneCount
        let channel = group &* shape.groupInputs &+ part.lowerBound
        let column = TileProduct.Loop(
            count: columns.taps.count, a: columns.step &* k, b: outputs &* width)
        let isWhole = columns.step == 1 && shape.groups == 1
        let product = TileProduct(
            outer: .init(
                count: rows.taps.count, a: rows.step &* gradient.rowCount,
                b: column.count &* column.b),
            middle: isWhole ? .once : column,
            inner: .init(count: isWhole ? column.count &* outputs : outputs, a: 1, b: width),
            rows: lines.count &* columns.count, perLine: columns.count,
            aRows: .init(stride: k, line: gradient.rowCount),
            cRows: isNarrow
                ? .init(stride: laneCount, line: columns.count &* laneCount)
                : .init(
                    stride: shape.strideWidth &* c,
                    line: shape.strideHeight &* shape.inputWidth &* c))
        let first = (rows.first &* shape.inputWidth &+ columns.first) &* c &+ channel
        let top = (gradient.top &+ rows.start &+ lines.lowerBound) &* gradient.rowCount
        let left = (gradient.left &+ columns.start) &* k
        let target = isNarrow ? narrow : dx + first
        product.run(
            image + (top &+ left &+ group &* outputs), b, bias: nil,
            into: target + lines.lowerBound &* product.cRows.line, width: width)
        guard isNarrow, lines.upperBound == rows.count else { return }
        forEachPixel(rows, columns) { pixel, place in
            (dx + (place &+ channel)).update(
                from: narrow + pixel &* laneCount, count: shape.groupInputs)
        }
    }
}

/// Input places along an axis, `first`, `first` + stride, …, all of which meet the same elements of the
/// kernel: those of place first + i·stride are at output gradients i + start + j·step for tap number j from
/// the end.
private struct PixelClass {
    let first: Int
    /// Places.
    let count: Int
    /// Elements of the kernel, ascending.
    let taps: [Int]
    let start: Int
    let step: Int

    static func all(
        extent: Int, kernel: Int, stride: Int, padding: Int, dilation: Int
    ) -> [PixelClass] {
        (0..<stride).map { first in
            let taps = (0..<kernel).filter { (first + padding - $0 * dilation) % stride == 0 }
            let last = taps.last ?? 0
            return PixelClass(
                first: first, count: first < extent ? (extent - first + stride - 1) / stride : 0,
                taps: taps, start: (first + padding - last * dilation) / stride,
                step: dilation / greatestCommonDivisor(stride, dilation))
        }
    }

    /// Zeros that the classes need before the gradients, and behind `extent` of them.
    static func before(_ classes: [PixelClass]) -> Int {
        classes.filter { !$0.taps.isEmpty && $0.count > 0 }.map { max(0, -$0.start) }.max() ?? 0
    }

    static func behind(_ classes: [PixelClass], extent: Int) -> Int {
        classes.filter { !$0.taps.isEmpty && $0.count > 0 }.map {
            max(0, $0.start + ($0.taps.count - 1) * $0.step + $0.count - extent)
        }.max() ?? 0
    }
}

private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
    b == 0 ? a : greatestCommonDivisor(b, a % b)
}
