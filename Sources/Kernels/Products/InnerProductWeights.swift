import TensorCore

/// Weight gradients of several shards, added along the tree while they are still in registers.
///
/// A product a shard, and the sums of their results, would take for four shards of 7 or 8 rows of
/// 784 → 128 on Zen 4 4 × 17 µs and 26 µs of additions; this is 64 µs in all, and 56 µs for one shard of
/// 30 rows.
///
/// A tile of 6 inputs × 64 outputs stays in registers for all rows of a shard. Finished shards
/// wait on a stack, as in a binary counter, in the first-level cache.
package final class WeightGradients {
    /// One shard's rows, wherever they lie.
    package struct Operands {
        /// [rows, inputs]
        package var input: UnsafePointer<Float>
        /// [rows, outputs], rows `WeightGradients.rowStride` apart.
        package var outputGradient: UnsafePointer<Float>
        /// The shard's samples; may be none.
        package var rows: Int

        package init(
            input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>, rows: Int
        ) {
            self.input = input
            self.outputGradient = outputGradient
            self.rows = rows
        }
    }

    /// Where one shard's own gradient is written, too, before it is added to others.
    package struct Capture {
        /// Its place among the shards of the call.
        package var shard: Int
        /// [inputs, outputs]
        package var weightGradient: UnsafeMutablePointer<Float>
        /// [outputs], or nil where it is not wanted.
        package var biasGradient: UnsafeMutablePointer<Float>?

        package init(
            shard: Int, weightGradient: UnsafeMutablePointer<Float>,
            biasGradient: UnsafeMutablePointer<Float>?
        ) {
            self.shard = shard
            self.weightGradient = weightGradient
            self.biasGradient = biasGradient
        }
    }

    private let inputs: Int
    private let outputs: Int
    /// Values between rows of an output gradient.
    private let rowStride: Int
    /// [levels of the tree][6 · 64]: finished left nodes of a tile.
    private let stack: UnsafeMutablePointer<Float>
    /// [6 · 64]: a captured tile at the right edge.
    private let capturedTile: UnsafeMutablePointer<Float>
    /// [rows, up to 64]: columns of outputGradient whose rows lie far apart, or the last ones, filled up
    /// with zeros.
    private let edge: UnsafeMutablePointer<Float>
    /// Inputs in blocks of 48, [blocks][rows, 48]: rows a kilobyte apart or more share few sets of a
    /// first-level cache, and each is on a page of its own.
    private let gathered: UnsafeMutablePointer<Float>
    private let gathersInputs: Bool
    /// Values from one row to the next from which on rows lie far apart.
    private static var farRow: Int { 256 }
    /// Inputs of a block; fewer are not worth a copy.
    private static var block: Int { 8 * Tile<TileRow4>.rows }
    /// A constant 1, the factor of a bias gradient.
    private let one: UnsafeMutablePointer<Float>
    /// [shards]: what the tiles of the present panel are made of.
    private let factors: UnsafeMutablePointer<ShardRows>

    /// - Parameters:
    ///   - shards: the most shards of a call.
    ///   - rows: the most rows of all shards of a call.
    ///   - rowStride: values between rows of an output gradient; nil for `outputs`.
    ///   - slice: the most inputs of a call; nil for all.
    package init(
        shards: Int, rows: Int, inputs: Int, outputs: Int, rowStride: Int? = nil,
        slice: Int? = nil
    ) {
        self.inputs = inputs
        self.outputs = outputs
        self.rowStride = rowStride ?? outputs
        let slice = slice ?? inputs
        // Brought together once, they are read once for each 64 outputs.
        gathersInputs =
            inputs >= Self.farRow && outputs >= Self.farRow && slice >= Self.block && rows >= 64
        gathered = alignedAllocation(
            of: Float.self,
            count: gathersInputs
                ? (slice + Self.block - 1) / Self.block * Self.block * rows : 0)
        // At least one level, which also serves a tile at the right edge.
        let levels = max(1, Int.bitWidth - (shards + 1).leadingZeroBitCount)
        stack = alignedAllocation(
            of: Float.self, count: levels * Tile<TileRow4>.rows * Tile<TileRow4>.columns)
        capturedTile = alignedAllocation(
            of: Float.self, count: Tile<TileRow4>.rows * Tile<TileRow4>.columns)
        edge = alignedAllocation(of: Float.self, count: rows * Tile<TileRow4>.columns)
        one = alignedAllocation(of: Float.self, count: 1)
        one.initialize(to: 1)
        factors = .allocate(capacity: max(shards, 1))
    }

    deinit {
        stack.deallocate()
        capturedTile.deallocate()
        edge.deallocate()
        gathered.deallocate()
        one.deallocate()
        factors.deallocate()
    }

    /// Adds up the gradients of `shards`, one node of the tree, for the weights of `slice`.
    ///
    /// - Parameters:
    ///   - shards: the node's shards, in order; not empty.
    ///   - slice: the inputs whose weights are wanted; all others stay as they are.
    ///   - weightGradient: [inputs, outputs]
    ///   - biasGradient: [outputs], or nil where it is not wanted.
    ///   - capture: one of the shards whose own gradient is wanted, too.
    ///   - fetching: what is fetched meanwhile.
    package func sum(
        _ shards: UnsafeBufferPointer<Operands>, slice: Range<Int>,
        weightGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>?,
        capture: Capture? = nil, fetching: PrefetchQueue? = nil
    ) {
        if gathersInputs { gather(shards, slice) }
        var column = 0
        while column < outputs {
            let left = outputs - column
            // Half the vectors, half the registers: 6 × 64 needs AVX-512's 32, 6 × 16 is what
            // suits AVX2 and NEON. The bits are the same.
            let width = !registersAreWide || left <= 16 ? 16 : left <= 32 ? 32 : 64
            let columns = min(width, left)
            let stride = setPanel(
                shards, column: column, columns: columns, width: width, uses: slice.count)
            let panel = Panel(
                shards: UnsafeBufferPointer(start: factors, count: shards.count), stride: stride,
                columns: columns, width: width, fetching: fetching)
            var start = slice.lowerBound
            while start < slice.upperBound {
                let count = gathersInputs ? min(Self.block, slice.upperBound - start) : slice.count
                setFactors(shards, from: start, of: slice)
                let first = start * outputs + column
                add(
                    panel, factorStride: gathersInputs ? Self.block : inputs, rows: count,
                    into: weightGradient + first,
                    capture: capture.map { ($0.shard, $0.weightGradient + first) })
                start += count
            }
            if let biasGradient {
                // The weight gradient of an input that is always 1.
                for shard in shards.indices { factors[shard].factor = UnsafePointer(one) }
                add(
                    panel, factorStride: 0, rows: 1, into: biasGradient + column,
                    capture: capture.flatMap { capture in
                        capture.biasGradient.map { (capture.shard, $0 + column) }
                    })
            }
            column += width
        }
    }

    /// Copies the inputs of `slice` into `gathered`.
    private func gather(_ shards: UnsafeBufferPointer<Operands>, _ slice: Range<Int>) {
        var target = gathered
        for start in stride(from: slice.lowerBound, to: slice.upperBound, by: Self.block) {
            let count = min(Self.block, slice.upperBound - start)
            for shard in shards {
                var source = shard.input + start
                for _ in 0..<shard.rows {
                    target.update(from: source, count: count)
                    source += inputs
                    target += Self.block
                }
            }
        }
    }

    /// Points every shard at its inputs from `start` on.
    private func setFactors(
        _ shards: UnsafeBufferPointer<Operands>, from start: Int, of slice: Range<Int>
    ) {
        guard gathersInputs else {
            for shard in shards.indices { factors[shard].factor = shards[shard].input + start }
            return
        }
        let rows = shards.reduce(0) { $0 + $1.rows }
        var first = gathered + (start - slice.lowerBound) * rows
        for shard in shards.indices {
            factors[shard].factor = UnsafePointer(first)
            first += shards[shard].rows * Self.block
        }
    }

    /// Points every shard's rows at the panel's columns; the right columns are copied and filled up
    /// with zeros to whole vectors, and rows that lie far apart are brought together. Returns the
    /// distance of rows.
    private func setPanel(
        _ shards: UnsafeBufferPointer<Operands>, column: Int, columns: Int, width: Int, uses: Int
    ) -> Int {
        var target = edge
        let copies = columns < width || rowStride >= Self.farRow && uses >= Self.block
        for (index, shard) in shards.enumerated() {
            let source = shard.outputGradient + column
            factors[index].rows = shard.rows
            factors[index].outputGradient = copies ? UnsafePointer(target) : source
            guard copies else { continue }
            for row in 0..<shard.rows {
                target.update(from: source + row * rowStride, count: columns)
                (target + columns).update(repeating: 0, count: width - columns)
                target += width
            }
        }
        return copies ? width : rowStride
    }

    private func add(
        _ panel: Panel, factorStride: Int, rows: Int, into gradient: UnsafeMutablePointer<Float>,
        capture: (shard: Int, gradient: UnsafeMutablePointer<Float>)?
    ) {
        var tree = TileTree(
            factorStride: factorStride, factorRows: rows, panel: panel, stack: stack,
            gradient: gradient, gradientStride: outputs, captured: capture?.shard ?? -1,
            capturedGradient: capture?.gradient ?? gradient, capturedTile: capturedTile)
        guard registersAreWide else { return tree.sum(TileRow1.self) }
        switch panel.width {
        case 64: tree.sum(TileRow4.self)
        case 32: tree.sum(TileRow2.self)
        default: tree.sum(TileRow1.self)
        }
    }
}

/// Lines of a `PrefetchQueue` that are asked for with every tile: as many as come in its time.
let linesPerTile = 16

/// One shard's part of a panel.
private struct ShardRows {
    /// [rows, factors]
    var factor: UnsafePointer<Float>
    /// [rows, columns], readable up to the panel's width.
    var outputGradient: UnsafePointer<Float>
    var rows: Int
}

/// Some columns of outputGradient, readable up to `width`.
private struct Panel {
    let shards: UnsafeBufferPointer<ShardRows>
    /// Values between rows of a shard's outputGradient.
    let stride: Int
    /// Columns that exist.
    let columns: Int
    let width: Int
    let fetching: PrefetchQueue?
}

/// One panel of factorsᵀ · outputGradient, tile by tile.
private struct TileTree {
    /// Values between rows of a shard's factors.
    let factorStride: Int
    let factorRows: Int
    let panel: Panel
    let stack: UnsafeMutablePointer<Float>
    /// [factorRows, panel.columns], rows `gradientStride` apart.
    let gradient: UnsafeMutablePointer<Float>
    let gradientStride: Int
    /// The shard whose own tile goes to `capturedGradient`, too; -1 for none.
    let captured: Int
    let capturedGradient: UnsafeMutablePointer<Float>
    let capturedTile: UnsafeMutablePointer<Float>

    @inline(__always)
    mutating func sum<Row: TileRow>(_: Row.Type) {
        let shards = panel.shards
        let level = Tile<Row>.rows * Tile<Row>.columns
        for start in Swift.stride(from: 0, to: factorRows, by: Tile<Row>.rows) {
            panel.fetching?.fetch(linesPerTile)
            // The last tile overlaps its neighbour rather than being a smaller one.
            let first = min(start, max(0, factorRows - Tile<Row>.rows))
            let offsets = TileOffsets(last: factorRows - 1 - first)
            var tile = Tile<Row>()
            var depth = 0
            for shard in shards.indices {
                tile = shardSum(shards[shard], first: first, offsets: offsets)
                if shard == captured {
                    store(
                        tile, first: first, offsets: offsets, into: capturedGradient,
                        edge: capturedTile)
                }
                // As many nodes end with this shard as its number has trailing ones.
                var number = shard
                while number & 1 == 1 {
                    depth -= 1
                    tile.add(left: stack + depth * level)
                    number >>= 1
                }
                if shard + 1 < shards.count {
                    tile.store(
                        to: stack + depth * level, at: .consecutive, stride: Tile<Row>.columns)
                    depth += 1
                }
            }
            // The right spine of a tree whose size is no power of two.
            while depth > 0 {
                depth -= 1
                tile.add(left: stack + depth * level)
            }
            store(tile, first: first, offsets: offsets, into: gradient, edge: stack)
        }
    }

    /// One shard's tile: its rows in order.
    @inline(__always)
    private func shardSum<Row: TileRow>(
        _ shard: ShardRows, first: Int, offsets: TileOffsets
    ) -> Tile<Row> {
        var tile = Tile<Row>()
        var factor = shard.factor + first
        var row = shard.outputGradient
        for _ in 0..<shard.rows {
            tile.add(factor, at: offsets, times: Row(from: row))
            factor += factorStride
            row += panel.stride
        }
        return tile
    }

    /// - Parameter edge: memory for a tile, of which only some columns are wanted.
    @inline(__always)
    private func store<Row: TileRow>(
        _ tile: Tile<Row>, first: Int, offsets: TileOffsets,
        into gradient: UnsafeMutablePointer<Float>, edge: UnsafeMutablePointer<Float>
    ) {
        let target = gradient + first * gradientStride
        if panel.columns == Tile<Row>.columns {
            tile.store(to: target, at: offsets, stride: gradientStride)
        } else {
            tile.store(to: edge, at: .consecutive, stride: Tile<Row>.columns)
            for row in 0..<min(Tile<Row>.rows, factorRows - first) {
                (target + row * gradientStride).update(
                    from: edge + row * Tile<Row>.columns, count: panel.columns)
            }
        }
    }
}
