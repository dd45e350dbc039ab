/// An owned, 64-byte aligned Float32 array `[rows, columns]`, in row-major order.
///
/// A tensor belongs to one worker's thread. Its rows are samples and, in convolutional layers,
/// positions (N·H·W); its columns are channels, so that all per-channel work runs along
/// contiguous memory. Capacity is planned once, before the first step: a batch shorter than
/// the longest one uses the first rows.
///
/// Memory starts as zeros. It is freed with the object.
public final class Tensor {
    /// Rows that fit.
    public let rows: Int

    /// Values in a row.
    public let columns: Int

    /// The first element, for kernels and C calls.
    ///
    /// Invariant: aligned to 64 bytes, `rows * columns` initialized elements, valid as long as
    /// this object is; of a window only the rows that it shows.
    public private(set) var pointer: UnsafeMutablePointer<Float>

    /// Whose memory this is, where it is not this object's own.
    private let owner: Tensor?

    /// A tensor of zeros.
    public init(rows: Int, columns: Int) {
        precondition(rows >= 0 && columns >= 0, "a tensor's extent is negative")
        self.rows = rows
        self.columns = columns
        pointer = alignedAllocation(of: Float.self, count: rows * columns)
        pointer.initialize(repeating: 0, count: rows * columns)
        owner = nil
    }

    /// The front of another tensor's memory in another shape.
    public init(sharing owner: Tensor, rows: Int, columns: Int) {
        precondition(rows * columns <= owner.rows * owner.columns, "a view is no larger")
        self.rows = rows
        self.columns = columns
        self.owner = owner
        pointer = owner.pointer
    }

    /// A tensor of which some rows have memory at a time: that of `owner`, from the row on that `show`
    /// says. Who computes block by block addresses it as any other.
    package init(window owner: Tensor, rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        self.owner = owner
        pointer = owner.pointer
    }

    /// Moves the memory of a window to the rows from `row` on; what they held is lost.
    package func show(from row: Int) {
        guard let owner else { preconditionFailure("only a window moves") }
        pointer = owner.pointer - row * columns
    }

    deinit { if owner == nil { pointer.deallocate() } }

    /// The element at `row`, `column`.
    public subscript(row: Int, column: Int) -> Float {
        get {
            precondition(row >= 0 && row < rows && column >= 0 && column < columns)
            return pointer[row * columns + column]
        }
        set {
            precondition(row >= 0 && row < rows && column >= 0 && column < columns)
            pointer[row * columns + column] = newValue
        }
    }

    /// The first element of row `row`, for kernels and C calls.
    @inlinable
    public func row(_ row: Int) -> UnsafeMutablePointer<Float> { pointer + row * columns }

    /// All elements, row by row; for tests and files, not for steps.
    public var elements: [Float] {
        get { Array(UnsafeBufferPointer(start: pointer, count: rows * columns)) }
        set {
            precondition(newValue.count == rows * columns, "a tensor keeps its element count")
            newValue.withUnsafeBufferPointer {
                if let base = $0.baseAddress { pointer.update(from: base, count: newValue.count) }
            }
        }
    }
}

/// Uninitialized memory for `count` elements, aligned to a cache line, which is also the width
/// of an AVX-512 register.
package func alignedAllocation<Element: BitwiseCopyable>(
    of type: Element.Type, count: Int
) -> UnsafeMutablePointer<Element> {
    UnsafeMutableRawPointer.allocate(
        byteCount: max(count, 1) * MemoryLayout<Element>.stride, alignment: 64
    ).bindMemory(to: Element.self, capacity: count)
}
