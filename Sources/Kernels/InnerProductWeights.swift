import COneDNN
import TensorCore

/// Weight gradients of several shards, added along the tree while they are still in registers.
///
/// oneDNN would need a call a shard and the sums of their results: for four shards of 7 or 8 rows of
/// 784 → 128 on Zen 4, 4 × 17 µs and 26 µs of additions; this is 64 µs in all, and 56 µs for
/// one shard of 30 rows, like oneDNN's.
///
/// A tile of 6 inputs × 64 outputs stays in registers for all rows of a shard. Finished shards
/// wait on a stack, as in a binary counter, in the first-level cache.
final class WeightGradients {
    private let rowBoundaries: [Int]
    private let inputs: Int
    private let outputs: Int
    /// [levels of the tree][6 · 64]: finished left nodes of a tile.
    private let stack: UnsafeMutablePointer<Float>
    /// [rows, up to 64]: the last columns of outputGradient, filled up with zeros.
    private let edge: UnsafeMutablePointer<Float>
    /// A constant 1, the factor of a bias gradient.
    private let one: UnsafeMutablePointer<Float>

    init(rowBoundaries: [Int], inputs: Int, outputs: Int) {
        self.rowBoundaries = rowBoundaries
        self.inputs = inputs
        self.outputs = outputs
        // At least one level, which also serves a tile at the right edge.
        let levels = max(1, Int.bitWidth - rowBoundaries.count.leadingZeroBitCount)
        stack = alignedAllocation(
            of: Float.self, count: levels * Tile<TileRow4>.rows * Tile<TileRow4>.columns)
        let rows = rowBoundaries[rowBoundaries.count - 1]
        edge = alignedAllocation(of: Float.self, count: rows * Tile<TileRow4>.columns)
        one = alignedAllocation(of: Float.self, count: 1)
        one.initialize(to: 1)
    }

    deinit {
        stack.deallocate()
        edge.deallocate()
        one.deallocate()
    }

    func sum(
        _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>, shards: Range<Int>,
        weightGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>?
    ) {
        var column = 0
        while column < outputs {
            let left = outputs - column
            // Half the vectors, half the registers: 6 × 64 needs AVX-512's 32, 6 × 16 is what
            // suits AVX2 and NEON. The bits are the same.
            let wide = bn_compiled_for_512_bit_vectors() == 1
            let width = wide && left > 32 ? 64 : wide && left > 16 ? 32 : 16
            var panel = Panel(
                outputGradient: outputGradient + column, outputGradientStride: outputs,
                columns: min(width, left), width: width)
            if panel.columns < width { panel = copyToEdge(panel, shards: shards) }
            add(
                panel, input, stride: inputs, rows: inputs, shards: shards,
                into: weightGradient + column)
            if let biasGradient {
                // The weight gradient of an input that is always 1.
                add(panel, one, stride: 0, rows: 1, shards: shards, into: biasGradient + column)
            }
            column += width
        }
    }

    /// The right columns, filled up with zeros to whole vectors.
    private func copyToEdge(_ panel: Panel, shards: Range<Int>) -> Panel {
        for row in rowBoundaries[shards.lowerBound]..<rowBoundaries[shards.upperBound] {
            let source = panel.outputGradient + row * panel.outputGradientStride
            let target = edge + row * panel.width
            target.update(from: source, count: panel.columns)
            (target + panel.columns).update(repeating: 0, count: panel.width - panel.columns)
        }
        return Panel(
            outputGradient: UnsafePointer(edge), outputGradientStride: panel.width,
            columns: panel.columns, width: panel.width)
    }

    private func add(
        _ panel: Panel, _ factors: UnsafePointer<Float>, stride: Int, rows: Int,
        shards: Range<Int>, into gradient: UnsafeMutablePointer<Float>
    ) {
        var tree = TileTree(
            factors: factors, factorStride: stride, factorRows: rows, panel: panel, stack: stack,
            gradient: gradient, gradientStride: outputs)
        rowBoundaries.withUnsafeBufferPointer { boundaries in
            switch panel.width {
            case 64: tree.sum(TileRow4.self, boundaries: boundaries, shards: shards)
            case 32: tree.sum(TileRow2.self, boundaries: boundaries, shards: shards)
            default: tree.sum(TileRow1.self, boundaries: boundaries, shards: shards)
            }
        }
    }
}

/// Some columns of outputGradient, readable up to `width`.
private struct Panel {
    let outputGradient: UnsafePointer<Float>
    let outputGradientStride: Int
    /// Columns that exist.
    let columns: Int
    let width: Int
}

/// One panel of factorsᵀ · outputGradient, tile by tile.
private struct TileTree {
    /// [rows, factorRows], rows `factorStride` apart.
    let factors: UnsafePointer<Float>
    let factorStride: Int
    let factorRows: Int
    let panel: Panel
    let stack: UnsafeMutablePointer<Float>
    /// [factorRows, panel.columns], rows `gradientStride` apart.
    let gradient: UnsafeMutablePointer<Float>
    let gradientStride: Int

    @inline(__always)
    mutating func sum<Row: TileRow>(
        _: Row.Type, boundaries: UnsafeBufferPointer<Int>, shards: Range<Int>
    ) {
        let level = Tile<Row>.rows * Tile<Row>.columns
        for start in Swift.stride(from: 0, to: factorRows, by: Tile<Row>.rows) {
            // The last tile overlaps its neighbour rather than being a smaller one.
            let first = min(start, max(0, factorRows - Tile<Row>.rows))
            let offsets = TileOffsets(last: factorRows - 1 - first)
            var tile = Tile<Row>()
            var depth = 0
            for shard in shards {
                tile = shardSum(
                    first: first, offsets: offsets,
                    rows: boundaries[shard]..<boundaries[shard + 1])
                // As many nodes end with this shard as its number has trailing ones.
                var number = shard - shards.lowerBound
                while number & 1 == 1 {
                    depth -= 1
                    tile.add(left: stack + depth * level)
                    number >>= 1
                }
                if shard + 1 < shards.upperBound {
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
            store(tile, first: first, offsets: offsets)
        }
    }

    /// One shard's tile: its rows in order.
    @inline(__always)
    private func shardSum<Row: TileRow>(
        first: Int, offsets: TileOffsets, rows: Range<Int>
    ) -> Tile<Row> {
        var tile = Tile<Row>()
        var factor = factors + rows.lowerBound * factorStride + first
        var row = panel.outputGradient + rows.lowerBound * panel.outputGradientStride
        for _ in rows {
            tile.add(factor, at: offsets, times: Row(from: row))
            factor += factorStride
            row += panel.outputGradientStride
        }
        return tile
    }

    @inline(__always)
    private func store<Row: TileRow>(_ tile: Tile<Row>, first: Int, offsets: TileOffsets) {
        let target = gradient + first * gradientStride
        if panel.columns == Tile<Row>.columns {
            tile.store(to: target, at: offsets, stride: gradientStride)
        } else {
            tile.store(to: stack, at: .consecutive, stride: Tile<Row>.columns)
            for row in 0..<min(Tile<Row>.rows, factorRows - first) {
                (target + row * gradientStride).update(
                    from: stack + row * Tile<Row>.columns, count: panel.columns)
            }
        }
    }
}
