import TensorCore

/// The output of a layer that is not kept: a window of memory that moves with the block.
final class PassingValue: RestoredInput {
    private let layer: any Layer
    /// What the layer takes.
    private let input: Tensor
    private let window: Tensor
    /// Rows of the window that are one sample.
    private let positions: Int

    /// Those that the memory has room for.
    let samples: Int

    init(_ layer: any Layer, input: Tensor, memory: Tensor) {
        samples = memory.rows
        layer.writeOutput(toWindowOf: memory)
        self.layer = layer
        self.input = input
        window = layer.output
        positions = layer.outputs / window.columns
    }

    /// Makes room for the block's samples.
    func show(_ block: Block) { window.show(from: block.rows.lowerBound * positions) }

    /// Computes some of the worker's shards of the last pass again.
    func restore(shards positions: Range<Int>, _ pass: Pass) throws {
        let rows = pass.shardRows
        let block = Block(
            rows: rows[positions.lowerBound].lowerBound..<rows[positions.upperBound - 1].upperBound,
            shards: positions)
        show(block)
        try layer.forward(input, block, pass)
    }
}

/// A graph's values that are not kept, by their nodes.
///
/// Those of one group have memory of their own, which those of other groups share: room for a block, and
/// for a shard, which is computed again as a whole.
struct PassingValues {
    private var values: [Int: PassingValue] = [:]

    /// None: every value is kept.
    init() {}

    init(_ plan: GraphPlan, _ nodes: [LayerGraph.Node], _ shapes: [BatchShape]) {
        let samples =
            shapes.flatMap { shape in
                let blocks = plan.forward.filter { !$0.passing.isEmpty }.compactMap(
                    \.samplesPerBlock)
                return blocks.flatMap { shape.blocks(of: $0).map(\.rows.count) }
                    + shape.shardRows.map(\.count)
            }.max() ?? 0
        /// By place in a group, the values of a sample.
        var sizes: [Int] = []
        for group in plan.forward {
            for (place, node) in group.passing.enumerated() {
                if place == sizes.count { sizes.append(0) }
                sizes[place] = max(sizes[place], nodes[node].layer.outputs)
            }
        }
        let memory = sizes.map { Tensor(rows: samples, columns: $0) }
        for group in plan.forward {
            for (place, node) in group.passing.enumerated() {
                let value = PassingValue(
                    nodes[node].layer, input: nodes[nodes[node].input - 1].layer.output,
                    memory: memory[place])
                values[node] = value
                for consumer in nodes where consumer.input == node + 1 {
                    consumer.layer.restoredInput = value
                }
            }
        }
    }

    /// That of node `index`; nil where it is kept.
    subscript(index: Int) -> PassingValue? { values[index] }
}
