import Kernels
import Layers
import TensorCore

/// The tree over shards 0 ..< count, written as its definition:
/// node(lo, hi) = node(lo, mid) ⊕ node(mid, hi), mid = lo + the largest power of two < hi − lo.
enum ShardFold {
    static func middle(_ node: Range<Int>) -> Int {
        var half = 1
        while half * 2 < node.count { half *= 2 }
        return node.lowerBound + half
    }

    /// The plain fold of one vector a shard.
    static func sum(_ leaves: [[Float]], _ node: Range<Int>? = nil) -> [Float] {
        let node = node ?? 0..<leaves.count
        if node.count == 1 { return leaves[node.lowerBound] }
        let cut = middle(node)
        let left = sum(leaves, node.lowerBound..<cut)
        let right = sum(leaves, cut..<node.upperBound)
        return zip(left, right).map(+)
    }

    /// The largest nodes of the tree over `count` shards that lie wholly in `range`.
    static func maximalNodes(in range: Range<Int>, of count: Int) -> [Range<Int>] {
        func visit(_ node: Range<Int>) -> [Range<Int>] {
            if node.clamped(to: range) == node { return [node] }
            if node.count == 1 { return [] }
            let cut = middle(node)
            return visit(node.lowerBound..<cut) + visit(cut..<node.upperBound)
        }
        return visit(0..<count)
    }

    /// How many nodes are complete once each shard of `node` is, and the most that wait.
    static func merges(of node: Range<Int>) -> (merges: [Int], depth: Int) {
        var merges: [Int] = []
        var (height, depth) = (0, 0)
        func visit(_ node: Range<Int>) {
            if node.count == 1 {
                merges.append(0)
                height += 1
                depth = max(depth, height)
                return
            }
            let cut = middle(node)
            visit(node.lowerBound..<cut)
            visit(cut..<node.upperBound)
            merges[merges.count - 1] += 1
            height -= 1
        }
        visit(node)
        return (merges, depth)
    }
}

/// The gradients of a worker with shards `range` of `count`, in memory of its own.
final class WorkerGradients {
    let nodes: [Range<Int>]
    let values: [Tensor]
    let accumulator: GradientAccumulator

    /// - Parameters:
    ///   - length: values of the flat gradient.
    ///   - memory: where the single node of a worker with all shards goes, instead of `values`.
    init(
        range: Range<Int>, of count: Int, length: Int,
        memory: UnsafeMutablePointer<Float>? = nil
    ) {
        let nodes = ShardFold.maximalNodes(in: range, of: count)
        let values = nodes.map { _ in Tensor(rows: 1, columns: length) }
        self.nodes = nodes
        self.values = values
        var merges: [Int] = []
        var depth = 0
        for (index, node) in nodes.enumerated() {
            let part = ShardFold.merges(of: node)
            merges += part.merges
            depth = max(depth, index + part.depth)
        }
        accumulator = GradientAccumulator(
            nodes: nodes.indices.map {
                GradientAccumulator.Node(
                    shards: nodes[$0].lowerBound - range.lowerBound..<nodes[$0].upperBound
                        - range.lowerBound, values: memory ?? values[$0].pointer)
            }, merges: merges, depth: depth, largest: length)
    }
}

/// A batch's shape on a worker that has all shards.
func wholeShape(samples: Int, shards: Int, index: Int = 0) -> BatchShape {
    BatchShape(
        index: index, samples: samples,
        shardRows: (0..<shards).map { $0 * samples / shards..<($0 + 1) * samples / shards },
        trains: true)
}

/// A tensor of these values.
func tensor(_ values: [Float], columns: Int) -> Tensor {
    let tensor = Tensor(rows: values.count / columns, columns: columns)
    tensor.elements = values
    return tensor
}
