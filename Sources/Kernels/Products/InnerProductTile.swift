import CPlatform

/// One row of a register tile: `vectors` times 16 neighbouring columns.
protocol TileRow: BitwiseCopyable {
    static var vectors: Int { get }
    static var zero: Self { get }
    init(from pointer: UnsafePointer<Float>)
    func store(to pointer: UnsafeMutablePointer<Float>)
    /// self + factor · row, fused.
    mutating func add(_ factor: Float, times row: Self)
    /// left + self, for `left` the earlier node of the tree.
    mutating func add(left: Self)
}

/// 16 columns.
struct TileRow1: TileRow {
    var a: SIMD16<Float>

    static var vectors: Int { 1 }
    static var zero: Self { Self(a: .zero) }

    @inline(__always)
    init(a: SIMD16<Float>) { self.a = a }

    @inline(__always)
    init(from pointer: UnsafePointer<Float>) {
        // Row starts have only Float's alignment.
        a = UnsafeRawPointer(pointer).loadUnaligned(as: SIMD16<Float>.self)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(pointer).storeBytes(of: a, as: SIMD16<Float>.self)
    }

    @inline(__always)
    mutating func add(_ factor: Float, times row: Self) {
        a = a.addingProduct(row.a, SIMD16(repeating: factor))
    }

    @inline(__always)
    mutating func add(left: Self) { a = left.a + a }
}

/// Two rows side by side.
struct TileRowPair<Half: TileRow>: TileRow {
    var left: Half
    var right: Half

    static var vectors: Int { 2 * Half.vectors }
    static var zero: Self { Self(left: .zero, right: .zero) }

    @inline(__always)
    init(left: Half, right: Half) {
        self.left = left
        self.right = right
    }

    @inline(__always)
    init(from pointer: UnsafePointer<Float>) {
        left = Half(from: pointer)
        right = Half(from: pointer + 16 * Half.vectors)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>) {
        left.store(to: pointer)
        right.store(to: pointer + 16 * Half.vectors)
    }

    @inline(__always)
    mutating func add(_ factor: Float, times row: Self) {
        left.add(factor, times: row.left)
        right.add(factor, times: row.right)
    }

    @inline(__always)
    mutating func add(left other: Self) {
        left.add(left: other.left)
        right.add(left: other.right)
    }
}

/// 32 columns.
typealias TileRow2 = TileRowPair<TileRow1>

/// 64 columns: with six rows, 24 of AVX-512's 32 registers.
typealias TileRow4 = TileRowPair<TileRow2>

/// Some rows of accumulators, held in registers.
protocol RegisterTile: BitwiseCopyable {
    associatedtype Row: TileRow
    static var rows: Int { get }
    /// Zeros.
    init()
    /// Row i from `pointer` + offsets[i].
    init(from pointer: UnsafePointer<Float>, at offsets: TileOffsets)
    /// self[i] += factors[offsets[i]] · row.
    mutating func add(_ factors: UnsafePointer<Float>, at offsets: TileOffsets, times row: Row)
    /// self[i] + row, for each row.
    mutating func add(right row: Row)
    /// Brings into the second-level cache what `store` will write, rows as it has them.
    static func fetch(_ pointer: UnsafePointer<Float>, at offsets: TileOffsets)
    /// Row i to `pointer` + offsets[i] · stride.
    func store(to pointer: UnsafeMutablePointer<Float>, at offsets: TileOffsets, stride: Int)
}

extension RegisterTile {
    static var columns: Int { 16 * Row.vectors }

    @inline(__always)
    static func fetchRow(_ pointer: UnsafePointer<Float>) {
        for vector in 0..<Row.vectors { bn_prefetch_line_nearby(pointer + 16 &* vector) }
    }
}

/// Six rows; six named ones, because the compiler keeps those in registers, and an array only perhaps.
struct Tile<Row: TileRow>: RegisterTile {
    var row0 = Row.zero
    var row1 = Row.zero
    var row2 = Row.zero
    var row3 = Row.zero
    var row4 = Row.zero
    var row5 = Row.zero

    static var rows: Int { 6 }

    @inline(__always)
    init() {}

    @inline(__always)
    init(from pointer: UnsafePointer<Float>, at offsets: TileOffsets) {
        row0 = Row(from: pointer)
        row1 = Row(from: pointer + offsets.row1)
        row2 = Row(from: pointer + offsets.row2)
        row3 = Row(from: pointer + offsets.row3)
        row4 = Row(from: pointer + offsets.row4)
        row5 = Row(from: pointer + offsets.row5)
    }

    @inline(__always)
    static func fetch(_ pointer: UnsafePointer<Float>, at offsets: TileOffsets) {
        fetchRow(pointer)
        fetchRow(pointer + offsets.row1)
        fetchRow(pointer + offsets.row2)
        fetchRow(pointer + offsets.row3)
        fetchRow(pointer + offsets.row4)
        fetchRow(pointer + offsets.row5)
    }

    @inline(__always)
    mutating func add(right row: Row) {
        row0.add(left: row)
        row1.add(left: row)
        row2.add(left: row)
        row3.add(left: row)
        row4.add(left: row)
        row5.add(left: row)
    }

    @inline(__always)
    mutating func add(_ factors: UnsafePointer<Float>, at offsets: TileOffsets, times row: Row) {
        row0.add(factors[0], times: row)
        row1.add(factors[offsets.row1], times: row)
        row2.add(factors[offsets.row2], times: row)
        row3.add(factors[offsets.row3], times: row)
        row4.add(factors[offsets.row4], times: row)
        row5.add(factors[offsets.row5], times: row)
    }

    /// `left` + self, for a tile stored at `left` with its rows one after another.
    @inline(__always)
    mutating func add(left pointer: UnsafePointer<Float>) {
        row0.add(left: Row(from: pointer))
        row1.add(left: Row(from: pointer + Self.columns))
        row2.add(left: Row(from: pointer + 2 * Self.columns))
        row3.add(left: Row(from: pointer + 3 * Self.columns))
        row4.add(left: Row(from: pointer + 4 * Self.columns))
        row5.add(left: Row(from: pointer + 5 * Self.columns))
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, at offsets: TileOffsets, stride: Int) {
        row0.store(to: pointer)
        row1.store(to: pointer + offsets.row1 * stride)
        row2.store(to: pointer + offsets.row2 * stride)
        row3.store(to: pointer + offsets.row3 * stride)
        row4.store(to: pointer + offsets.row4 * stride)
        row5.store(to: pointer + offsets.row5 * stride)
    }
}

/// Two rows, for what six leave over.
struct TilePair<Row: TileRow>: RegisterTile {
    var row0 = Row.zero
    var row1 = Row.zero

    static var rows: Int { 2 }

    @inline(__always)
    init() {}

    @inline(__always)
    init(from pointer: UnsafePointer<Float>, at offsets: TileOffsets) {
        row0 = Row(from: pointer)
        row1 = Row(from: pointer + offsets.row1)
    }

    @inline(__always)
    static func fetch(_ pointer: UnsafePointer<Float>, at offsets: TileOffsets) {
        fetchRow(pointer)
        fetchRow(pointer + offsets.row1)
    }

    @inline(__always)
    mutating func add(_ factors: UnsafePointer<Float>, at offsets: TileOffsets, times row: Row) {
        row0.add(factors[0], times: row)
        row1.add(factors[offsets.row1], times: row)
    }

    @inline(__always)
    mutating func add(right row: Row) {
        row0.add(left: row)
        row1.add(left: row)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, at offsets: TileOffsets, stride: Int) {
        row0.store(to: pointer)
        row1.store(to: pointer + offsets.row1 * stride)
    }
}

/// Which matrix row each row of a tile is, counted from the tile's first. Where a matrix has fewer
/// than six, the last one is worked out several times, to the same bits.
struct TileOffsets {
    let row1: Int
    let row2: Int
    let row3: Int
    let row4: Int
    let row5: Int

    static var consecutive: Self { Self(last: 5) }

    @inline(__always)
    init(row1: Int, row2: Int, row3: Int, row4: Int, row5: Int) {
        self.row1 = row1
        self.row2 = row2
        self.row3 = row3
        self.row4 = row4
        self.row5 = row5
    }

    @inline(__always)
    init(last: Int, stride: Int = 1) {
        row1 = min(1, last) &* stride
        row2 = min(2, last) &* stride
        row3 = min(3, last) &* stride
        row4 = min(4, last) &* stride
        row5 = min(5, last) &* stride
    }
}
