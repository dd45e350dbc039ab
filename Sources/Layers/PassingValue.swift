import TensorCore

/// The output of a layer that is not kept: a window of memory that moves with the block.
final class PassingValue {
    private let layer: any RecomputedLayer
    /// What the layer takes.
    private let input: Tensor
    private let window: Tensor
    /// Rows of the window that are one sample.
    private let positions: Int

    init(_ layer: any RecomputedLayer, input: Tensor, memory: Tensor) {
        layer.writeOutput(toWindowOf: memory)
        self.layer = layer
        self.input = input
        window = layer.output
        positions = layer.outputs / window.columns
    }

    /// Makes room for the block's samples.
    func show(_ block: Block) { window.show(from: block.rows.lowerBound * positions) }

    /// Computes the worker's shard `position` of the last pass again.
    func restore(shard position: Int, _ pass: Pass) throws {
        let block = Block(rows: pass.shardRows[position], shards: position..<position + 1)
        show(block)
        try layer.forward(input, block, pass)
    }
}

/// A graph's values that are not kept, by their nodes.
///
/// Those of one group have memory of their own, which those of other groups share: room for a block, or
/// for a shard, which is computed again as a whole.
struct PassingValues {
    private var values: [Int: PassingValue] = [:]

    init(_ plan: GraphPlan, _ nodes: [LayerGraph.Node], _ shapes: [BatchShape]) {
        let shard = shapes.flatMap(\.shardRows).map(\.count).max() ?? 0
        /// By place in a group, the values of a sample.
        var sizes: [Int] = []
        for group in plan.forward {
            for (place, node) in group.passing.enumerated() {
                if place == sizes.count { sizes.append(0) }
                sizes[place] = max(sizes[place], nodes[node].layer.outputs)
            }
        }
        let memory = sizes.map { Tensor(rows: shard, columns: $0) }
        for group in plan.forward {
            for (place, node) in group.passing.enumerated() {
                guard let layer = nodes[node].layer as? any RecomputedLayer else { continue }
                let value = PassingValue(
                    layer, input: nodes[nodes[node].input - 1].layer.output,
                    memory: memory[place])
                values[node] = value
                for consumer in nodes where consumer.input == node + 1 {
                    (consumer.layer as? any ShardwiseLayer)?.restoreInput = value.restore
                }
            }
        }
    }

    /// That of node `index`; nil where it is kept.
    subscript(index: Int) -> PassingValue? { values[index] }
}
