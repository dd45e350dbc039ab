import CPlatform

/// Whether a register holds 16 Float32 (AVX-512), and there are 32 of them: kernels choose their tiles
/// by it.
var registersAreWide: Bool {
    @inline(__always) get { bn_compiled_for_512_bit_vectors() == 1 }
}

/// C (+)= A·B (+ bias) for some columns of C: what every product and convolution comes down to.
///
///     C[i, k] = Σ A[i, o, m, n]·B[o, m, n, k]
///
/// over three nested loops o, m, n, of which a convolution takes kernel rows, kernel columns and
/// channels, its gradient images, rows and pixels, and a matrix product the last one alone. Rows of A
/// and C are pixels, which may lie in lines of an image.
///
/// Every value is one chain of fused multiply-adds in the order of the loops. So its bits depend on
/// its row of A and its column of B alone: not on how many rows there are, on the tiles that suit the
/// CPU's registers, or on how the work is cut into calls.
struct TileProduct {
    /// A loop of the sum: how often, and by how many Floats A and B go on each time.
    struct Loop {
        var count: Int
        var a: Int
        var b: Int

        /// Once.
        static var once: Loop { Loop(count: 1, a: 0, b: 0) }
    }

    /// Where rows lie: `stride` Floats apart within a line, and lines `line` Floats apart.
    struct Rows {
        var stride: Int
        var line: Int
    }

    /// o, m and n.
    var outer = Loop.once
    var middle = Loop.once
    var inner: Loop

    var rows: Int
    /// Rows of a line.
    var perLine: Int
    var aRows: Rows
    var cRows: Rows

    /// Whether C's former values are added to.
    var adds = false
    var fetching: PrefetchQueue?

    /// The loops of a sum over `inner` and around it, for rows of A and C anywhere.
    init(
        outer: Loop = .once, middle: Loop = .once, inner: Loop, rows: Int = 0, perLine: Int = 1,
        aRows: Rows = Rows(stride: 0, line: 0), cRows: Rows = Rows(stride: 0, line: 0),
        adds: Bool = false, fetching: PrefetchQueue? = nil
    ) {
        (self.outer, self.middle, self.inner) = (outer, middle, inner)
        (self.rows, self.perLine) = (rows, perLine)
        (self.aRows, self.cRows) = (aRows, cRows)
        (self.adds, self.fetching) = (adds, fetching)
    }

    /// What columns `depth` of a matrix A [rows, inner] add to A·B.
    ///
    /// - Parameters:
    ///   - stride: Floats from a row of B to the next.
    ///   - columns: Floats from a row of C to the next.
    init(
        rows: Int, inner: Int, _ depth: Range<Int>, stride: Int, columns: Int,
        fetching: PrefetchQueue? = nil
    ) {
        self.init(
            inner: Loop(count: depth.count, a: 1, b: stride), rows: rows, perLine: rows,
            aRows: Rows(stride: inner, line: 0), cRows: Rows(stride: columns, line: 0),
            adds: depth.lowerBound > 0, fetching: fetching)
    }

    /// Computes `width` columns, a multiple of 16 of up to 64.
    ///
    /// - Parameters:
    ///   - bias: [width], added behind the sum.
    func run(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
        into c: UnsafeMutablePointer<Float>, width: Int
    ) {
        let pass = Pass(product: self, a: a, b: b, bias: bias, c: c)
        // Six rows of four vectors take 24 of AVX-512's 32 registers, six of 16 columns 12 of AVX2's 16.
        guard registersAreWide else {
            return pass.run(TileRow1.self, TileRow1.self, width)
        }
        switch width {
        case 64: pass.run(TileRow4.self, TileRow4.self, width)
        case 32: pass.run(TileRow2.self, TileRow2.self, width)
        default: pass.run(TileRow1.self, TileRow1.self, width)
        }
    }

    /// The columns of a C of `count` columns in parts of 64, 32 and 16; the last overlaps its
    /// neighbour rather than being a narrower one. Fewer than 16 columns are one part of 16.
    static func parts(of count: Int) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var column = 0
        while column < max(count, 1) {
            let left = count - column
            let width =
                left > 48 && count >= 64 ? 64 : left > laneCount && count >= 32 ? 32 : laneCount
            let first = max(0, min(column, count - width))
            parts.append(first..<first + width)
            column = first + width
        }
        return parts
    }
}

/// A product with its operands.
private struct Pass {
    let product: TileProduct
    let a: UnsafePointer<Float>
    let b: UnsafePointer<Float>
    let bias: UnsafePointer<Float>?
    let c: UnsafeMutablePointer<Float>

    /// In tiles of six rows; the last few in pairs, which may be wider, where these take less time.
    @inline(__always)
    func run<Tall: TileRow, Short: TileRow>(_: Tall.Type, _: Short.Type, _ width: Int) {
        let rest = product.rows % Tile<Tall>.rows
        let fits = width % TilePair<Short>.columns == 0
        let pairs = fits && rest <= (Short.vectors == 1 ? 2 : 4) ? rest : 0
        var column = 0
        while column < width {
            add(Tile<Tall>.self, rows: 0..<product.rows &- pairs, column)
            column &+= Tile<Tall>.columns
        }
        guard pairs > 0 else { return }
        column = 0
        while column < width {
            add(TilePair<Short>.self, rows: product.rows &- pairs..<product.rows, column)
            column &+= TilePair<Short>.columns
        }
    }

    @inline(__always)
    private func add<Block: RegisterTile>(_: Block.Type, rows: Range<Int>, _ column: Int) {
        let (outer, middle, inner) = (product.outer, product.middle, product.inner)
        var place = TilePlace(rows.lowerBound, product)
        var first = rows.lowerBound
        while first < rows.upperBound {
            product.fetching?.fetch(linesPerTile)
            let last = min(Block.rows, rows.upperBound &- first) &- 1
            let (inputs, outputs) = place.offsets(last: last, product)
            let target = c + (place.c &+ column)
            // While the sums run. Measured on Zen 4, 64 -> 256 channels at 56²: 1.3 times as fast.
            if !product.adds { Block.fetch(target, at: outputs) }
            var tile = product.adds ? Block(from: target, at: outputs) : Block()
            var (a0, b0) = (a + place.a, b + column)
            for _ in 0..<outer.count {
                var (a1, b1) = (a0, b0)
                for _ in 0..<middle.count {
                    var (factor, row) = (a1, b1)
                    for _ in 0..<inner.count {
                        tile.add(factor, at: inputs, times: Block.Row(from: row))
                        factor += inner.a
                        row += inner.b
                    }
                    a1 += middle.a
                    b1 += middle.b
                }
                a0 += outer.a
                b0 += outer.b
            }
            if let bias { tile.add(right: Block.Row(from: bias + column)) }
            tile.store(to: target, at: outputs, stride: 1)
            place.advance(by: Block.rows, product)
            first &+= Block.rows
        }
    }
}

/// A row of A and C: its place in its line, and where it lies.
private struct TilePlace {
    private var inLine: Int
    var a: Int
    var c: Int

    @inline(__always)
    init(_ row: Int, _ product: TileProduct) {
        let line = row == 0 ? 0 : row / product.perLine
        inLine = row &- line &* product.perLine
        a = line &* product.aRows.line &+ inLine &* product.aRows.stride
        c = line &* product.cRows.line &+ inLine &* product.cRows.stride
    }

    @inline(__always)
    mutating func advance(by rows: Int, _ product: TileProduct) {
        for _ in 0..<rows { advance(product) }
    }

    /// To the next row.
    @inline(__always)
    private mutating func advance(_ product: TileProduct) {
        inLine &+= 1
        a &+= product.aRows.stride
        c &+= product.cRows.stride
        guard inLine == product.perLine else { return }
        inLine = 0
        a &+= product.aRows.line &- product.perLine &* product.aRows.stride
        c &+= product.cRows.line &- product.perLine &* product.cRows.stride
    }

    /// Where this row and those behind it are, counted from this one; those behind `last` are the last
    /// again.
    @inline(__always)
    func offsets(last: Int, _ product: TileProduct) -> (a: TileOffsets, c: TileOffsets) {
        if inLine &+ last < product.perLine {
            return (
                TileOffsets(last: last, stride: product.aRows.stride),
                TileOffsets(last: last, stride: product.cRows.stride)
            )
        }
        var place = self
        @inline(__always)
        func next(_ row: Int) -> (a: Int, c: Int) {
            if row <= last { place.advance(product) }
            return (place.a &- a, place.c &- c)
        }
        let (row1, row2, row3, row4, row5) = (next(1), next(2), next(3), next(4), next(5))
        return (
            TileOffsets(row1: row1.a, row2: row2.a, row3: row3.a, row4: row4.a, row5: row5.a),
            TileOffsets(row1: row1.c, row2: row2.c, row3: row3.c, row4: row4.c, row5: row5.c)
        )
    }
}
