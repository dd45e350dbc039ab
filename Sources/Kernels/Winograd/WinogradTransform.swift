import TensorCore

// Winograd's convolutions F(m×m, 3×3): a tile of m×m outputs is made from a patch of (m+2)×(m+2)
// inputs with (m+2)² products in place of 9·m² (Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2015):
//
//     Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A
//
// The gradient of g is the transposed: Gᵀ[Σ (A dY Aᵀ) ⊙ (Bᵀ d B)]G, summed over tiles before it is
// transformed back.

typealias Lanes = SIMD16<Float>

/// The transforms of one size of tiles, each of 16 channels.
protocol WinogradTransform {
    /// Outputs along a tile's edge, m.
    static var outputs: Int { get }

    /// Bᵀ d B of a patch.
    ///
    /// - Parameter frequencies: `frequencyCount` vectors, `stride` Floats from one to the next,
    ///   overwritten
    static func transformInput(
        _ patch: some InputPatch, into frequencies: UnsafeMutablePointer<Float>, stride: Int)

    /// Aᵀ m A of a tile, plus `bias`, to as much of the tile as lies in the image.
    static func transformOutput(
        _ frequencies: UnsafePointer<Float>, stride: Int, bias: UnsafePointer<Float>?,
        into tile: some OutputTile<UnsafeMutablePointer<Float>>)

    /// A dY Aᵀ of a tile, with zeros behind the image's edge.
    static func transformOutputGradient(
        _ tile: some OutputTile<UnsafePointer<Float>>,
        into frequencies: UnsafeMutablePointer<Float>, stride: Int)

    /// G g Gᵀ of 16 kernels.
    ///
    /// - Parameters:
    ///   - kernel: 3×3 vectors, `stride` Floats from one to the next
    ///   - frequencies: overwritten
    static func transformKernel(
        _ kernel: UnsafePointer<Float>, stride: Int,
        into frequencies: UnsafeMutablePointer<Float>, frequencyStride: Int)

    /// Gᵀ u G of 16 kernels: the gradient of the 3×3 weights from that of their frequencies.
    static func transformKernelGradient(
        _ frequencies: UnsafePointer<Float>, frequencyStride: Int,
        into kernel: UnsafeMutablePointer<Float>, stride: Int)
}

extension WinogradTransform {
    /// Inputs along a patch's edge.
    @inline(__always)
    static var inputs: Int { outputs &+ 2 }
    /// Products of a tile, of one input and one output channel.
    @inline(__always)
    static var frequencyCount: Int { inputs &* inputs }
}

/// 16 channels of a patch of pixels.
protocol InputPatch {
    /// Whether column j lies in the image.
    func hasColumn(_ j: Int) -> Bool
    /// The pixel of row i in column j, which lies in the image; zero where the row does not.
    func pixel(_ i: Int, _ j: Int) -> Lanes
}

/// A patch inside its image.
struct Patch: InputPatch {
    private let pointer: UnsafePointer<Float>
    private let (rowStride, columnStride): (Int, Int)

    /// From the patch's first pixel; `row` and `column` Floats from one to the next.
    @inline(__always)
    init(_ pointer: UnsafePointer<Float>, row: Int, column: Int) {
        (self.pointer, rowStride, columnStride) = (pointer, row, column)
    }

    @inline(__always)
    func hasColumn(_ j: Int) -> Bool { true }

    @inline(__always)
    func pixel(_ i: Int, _ j: Int) -> Lanes {
        loadLanes(pointer + (i &* rowStride &+ j &* columnStride), laneCount)
    }
}

/// Which rows of a patch lie in its image.
protocol PatchRows {
    /// Whether row i, of the patch's `count`, does.
    func contains(_ i: Int, of count: Int) -> Bool
}

/// All rows.
struct AllRows: PatchRows {
    @inline(__always)
    func contains(_ i: Int, of count: Int) -> Bool { true }
}

/// All but the first: the upper edge, with padding 1.
struct AllRowsButFirst: PatchRows {
    @inline(__always)
    func contains(_ i: Int, of count: Int) -> Bool { i > 0 }
}

/// All but the last: the lower edge, with padding 1.
struct AllRowsButLast: PatchRows {
    @inline(__always)
    func contains(_ i: Int, of count: Int) -> Bool { i < count &- 1 }
}

/// Any.
extension Range<Int>: PatchRows {
    @inline(__always)
    func contains(_ i: Int, of count: Int) -> Bool { contains(i) }
}

/// A patch that reaches over its image's edge, with zeros there.
struct BorderPatch<Rows: PatchRows>: InputPatch {
    private let pointer: UnsafePointer<Float>
    private let (rowStride, columnStride): (Int, Int)
    private let rowCount: Int
    /// What of the patch lies in the image.
    private let rows: Rows
    private let columns: Range<Int>

    /// As a patch inside, of `rowCount` rows; `rows` and `columns` are those in the image.
    @inline(__always)
    init(
        _ pointer: UnsafePointer<Float>, row: Int, column: Int, rowCount: Int, rows: Rows,
        columns: Range<Int>
    ) {
        (self.pointer, rowStride, columnStride) = (pointer, row, column)
        (self.rowCount, self.rows, self.columns) = (rowCount, rows, columns)
    }

    @inline(__always)
    func hasColumn(_ j: Int) -> Bool { columns.contains(j) }

    @inline(__always)
    func pixel(_ i: Int, _ j: Int) -> Lanes {
        rows.contains(i, of: rowCount)
            ? loadLanes(pointer + (i &* rowStride &+ j &* columnStride), laneCount) : .zero
    }
}

/// 16 channels of a tile's outputs.
protocol OutputTile<Pointer> {
    associatedtype Pointer
    /// The tile's first pixel.
    var pointer: Pointer { get }
    /// Floats from a pixel to the one below, and to the one beside it.
    var row: Int { get }
    var column: Int { get }
    /// Whether the pixel of row i and column j lies in the image.
    func contains(_ i: Int, _ j: Int) -> Bool
}

/// A tile inside its image.
struct WholeTile<Pointer>: OutputTile {
    let pointer: Pointer
    let (row, column): (Int, Int)

    @inline(__always)
    init(_ pointer: Pointer, row: Int, column: Int) {
        (self.pointer, self.row, self.column) = (pointer, row, column)
    }

    @inline(__always)
    func contains(_ i: Int, _ j: Int) -> Bool { true }
}

/// A tile that reaches over its image's edge.
struct BorderTile<Pointer>: OutputTile {
    let pointer: Pointer
    let (row, column): (Int, Int)
    /// Rows and columns in the image.
    private let (rows, columns): (Int, Int)

    @inline(__always)
    init(_ pointer: Pointer, row: Int, column: Int, rows: Int, columns: Int) {
        (self.pointer, self.row, self.column) = (pointer, row, column)
        (self.rows, self.columns) = (rows, columns)
    }

    @inline(__always)
    func contains(_ i: Int, _ j: Int) -> Bool { i < rows && j < columns }
}

extension OutputTile<UnsafePointer<Float>> {
    /// The pixel of row i and column j, zero behind the edge.
    @inline(__always)
    subscript(_ i: Int, _ j: Int) -> Lanes {
        contains(i, j) ? loadLanes(pointer + (i &* row &+ j &* column), laneCount) : .zero
    }
}

extension OutputTile<UnsafeMutablePointer<Float>> {
    /// Stores the pixel of row i and column j, if it lies in the image.
    @inline(__always)
    func store(_ value: Lanes, _ i: Int, _ j: Int) {
        if contains(i, j) {
            storeLanes(value, pointer + (i &* row &+ j &* column), laneCount)
        }
    }
}
