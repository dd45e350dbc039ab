import TensorCore

/// C [rows, columns] = A [rows, inner] · B (+ bias), for B [inner, columns], or its transpose
/// [columns, inner].
///
/// Every value is one chain of fused multiply-adds along `inner`, from 0, and then the bias. So its
/// bits depend on one row of A and one column of B: not on how many rows there are, nor on the
/// width of the machine's vectors, nor on how the work is cut.
///
/// A panel of up to 64 columns is worked through in blocks of B's rows that a first-level cache holds.
/// The last panel overlaps its neighbour rather than being a narrower one. A block is copied where B
/// is transposed, where its rows lie far apart, and where a whole vector would read past its end.
final class MatrixProduct {
    private let inner: Int
    private let columns: Int
    private let isTransposed: Bool
    /// A block of B, [depth, width].
    private let block: UnsafeMutablePointer<Float>
    /// C of fewer columns than a vector has lanes, [rows, 16], and behind it their bias, [16].
    private let narrow: UnsafeMutablePointer<Float>
    private let mostRows: Int

    /// A product of up to `rows` rows.
    init(rows: Int, inner: Int, columns: Int, transposed: Bool) {
        self.inner = inner
        self.columns = columns
        isTransposed = transposed
        mostRows = rows
        // A transposed one may end with rows that nobody reads.
        let values = blockValues + laneCount * panelWidth
        block = alignedAllocation(of: Float.self, count: values)
        block.initialize(repeating: 0, count: values)
        let narrowValues = columns < laneCount ? (rows + 1) * laneCount : 0
        narrow = alignedAllocation(of: Float.self, count: narrowValues)
        narrow.initialize(repeating: 0, count: narrowValues)
    }

    deinit {
        block.deallocate()
        narrow.deallocate()
    }

    /// C = A · B + bias.
    ///
    /// - Parameters:
    ///   - a: [rows, inner]
    ///   - b: [inner, columns]; [columns, inner] where it is transposed
    ///   - bias: [columns], or nil
    ///   - c: [rows, columns], overwritten
    func multiply(
        _ a: UnsafePointer<Float>, rows: Int, _ b: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, into c: UnsafeMutablePointer<Float>
    ) {
        precondition(rows <= mostRows, "this product was made for fewer rows")
        guard rows > 0 else { return }
        guard columns >= laneCount else { return multiplyNarrow(a, rows: rows, b, bias, into: c) }
        var column = 0
        while column < columns {
            let left = columns - column
            let width =
                left > 48 && columns >= 64 ? 64 : left > laneCount && columns >= 32 ? 32 : laneCount
            let first = min(column, columns - width)
            let copies = isTransposed || columns >= farRow && rows > Tile<TileRow1>.rows
            for start in stride(from: 0, to: inner, by: blockValues / width) {
                let depth = start..<min(start + blockValues / width, inner)
                if copies { copy(b, depth, from: first, columns: width, width: width) }
                add(
                    a, rows: rows, depth,
                    copies ? UnsafePointer(block) : b + (start * columns + first),
                    stride: copies ? width : columns, bias.map { $0 + first },
                    into: c + first, columns: columns, width: width)
            }
            column = first + width
        }
    }

    /// The same for less than a vector's columns: what stands behind a row of B goes into lanes that
    /// nobody reads.
    private func multiplyNarrow(
        _ a: UnsafePointer<Float>, rows: Int, _ b: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, into c: UnsafeMutablePointer<Float>
    ) {
        let biasRow = narrow + mostRows * laneCount
        if let bias { biasRow.update(from: bias, count: columns) }
        for start in stride(from: 0, to: inner, by: blockValues / laneCount) {
            let depth = start..<min(start + blockValues / laneCount, inner)
            let isLast = depth.upperBound == inner
            let copies = isTransposed || isLast
            if copies { copy(b, depth, from: 0, columns: columns, width: laneCount) }
            add(
                a, rows: rows, depth, copies ? UnsafePointer(block) : b + start * columns,
                stride: copies ? laneCount : columns, bias == nil ? nil : UnsafePointer(biasRow),
                into: narrow, columns: laneCount, width: laneCount)
        }
        for row in 0..<rows {
            (c + row * columns).update(from: narrow + row * laneCount, count: columns)
        }
    }

    /// Adds rows `depth` of some columns of B: a later block takes up the sums of the one before.
    private func add(
        _ a: UnsafePointer<Float>, rows: Int, _ depth: Range<Int>, _ b: UnsafePointer<Float>,
        stride: Int, _ bias: UnsafePointer<Float>?, into c: UnsafeMutablePointer<Float>,
        columns: Int, width: Int
    ) {
        TileProduct(rows: rows, inner: inner, depth, stride: stride, columns: columns).run(
            a + depth.lowerBound, b, bias: depth.upperBound == inner ? bias : nil, into: c,
            width: width)
    }

    /// Rows `depth` of some columns of B to `block`.
    private func copy(
        _ b: UnsafePointer<Float>, _ depth: Range<Int>, from first: Int, columns count: Int,
        width: Int
    ) {
        if !isTransposed {
            var (source, target) = (b + (depth.lowerBound * columns + first), block)
            for _ in depth {
                target.update(from: source, count: count)
                source += columns
                target += width
            }
            return
        }
        for column in stride(from: 0, to: count, by: laneCount) {
            for row in stride(from: 0, to: depth.count, by: laneCount) {
                let start = (first &+ column) &* inner &+ depth.lowerBound &+ row
                let target = block + (row &* width &+ column)
                // 16 values of 16 rows, if B has as many from here on; what is too much stays unread.
                if column &+ laneCount <= count
                    && start &+ (laneCount &- 1) &* inner &+ laneCount <= inner &* columns
                {
                    transpose(b + start, sourceStride: inner, into: target, stride: width)
                    continue
                }
                for k in 0..<min(laneCount, depth.count &- row) {
                    for lane in 0..<min(laneCount, count &- column) {
                        target[k &* width &+ lane] = b[start &+ lane &* inner &+ k]
                    }
                }
            }
        }
    }
}

/// Outputs of one panel of a weight that lies in panels: four vectors, what a register tile takes.
package let panelWidth = 64

/// C [rows, 64] = A [rows, inner] · B (+ bias), for a panel B [inner, 64]; the bits of
/// `MatrixProduct`.
///
/// - Parameter fetching: what is fetched meanwhile.
package func panelProduct(
    _ a: UnsafePointer<Float>, rows: Int, inner: Int, panel b: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, into c: UnsafeMutablePointer<Float>,
    fetching: PrefetchQueue? = nil
) {
    guard rows > 0 else { return }
    for start in stride(from: 0, to: inner, by: blockValues / panelWidth) {
        let depth = start..<min(start + blockValues / panelWidth, inner)
        TileProduct(
            rows: rows, inner: inner, depth, stride: panelWidth, columns: panelWidth,
            fetching: fetching
        ).run(
            a + start, b + start * panelWidth, bias: depth.upperBound == inner ? bias : nil,
            into: c, width: panelWidth)
    }
}

/// Values of B at a time: 28 KB of it.
private let blockValues = 112 * panelWidth

/// Values from one row to the next from which on rows lie far apart: each on a page of its own, and
/// all on few lines of a first-level cache.
private let farRow = 256
