import Collectives
import Layers
import TensorCore

/// What shards contribute to the statistics of their groups, 2·C Float64 values each: parts come as blocks
/// are computed, in any order and at the same time; a shard's are brought together in theirs, and shards
/// over the tree.
final class ShardStatistics {
    private let reduction: StatisticsReduction
    private let communicator: Communicator
    private let shardCount: Int
    private let positions: Int
    private let length: Int
    /// [parts, length]
    private var parts: UnsafeMutablePointer<Double>?
    private var blocksOfShapes: [[Block]] = []

    /// - Parameters:
    ///   - group: shards of a statistics group.
    ///   - moments: whether a contribution is a mean and M2 rather than two sums.
    ///   - ordinal: counts the layers that communicate, for fingerprints.
    init(
        _ communicator: Communicator, shards: Int, group: Int, channels: Int, positions: Int,
        moments: Bool, ordinal: Int
    ) {
        self.communicator = communicator
        shardCount = shards
        self.positions = positions
        length = 2 * channels
        reduction = StatisticsReduction(
            communicator, shards: shards, group: group, length: 2 * channels, moments: moments,
            kind: moments ? .moments : .momentGradients, layer: ordinal)
    }

    deinit { parts?.deallocate() }

    /// Makes room for the parts of `blocks`, by the index of their shape.
    func plan(_ blocks: [[Block]]) {
        parts?.deallocate()
        let count = length * (blocks.map { $0.reduce(0) { $0 + $1.shards.count } }.max() ?? 0)
        let memory = alignedAllocation(of: Double.self, count: count)
        memory.initialize(repeating: 0, count: count)
        parts = memory
        blocksOfShapes = blocks
    }

    /// Where a part goes, [2·C].
    subscript(part: BlockPart) -> UnsafeMutablePointer<Double> {
        guard let parts else { preconditionFailure("statistics have planned their parts") }
        return parts + part.index * length
    }

    /// Brings the parts of each shard together, when all are there: the first is where it starts, each
    /// other one is merged into what came before.
    func bringTogether(_ pass: Pass) {
        // Alone, what it has is all there is, also where a shard of a larger batch is computed again.
        let samples = communicator.world.workers == 1 ? pass.rows : pass.samples
        reduction.begin(ShardedBatch(samples: samples, shards: shardCount), positions: positions)
        for block in blocksOfShapes[pass.shape.index] {
            for part in block.parts(pass) {
                if part.rowsBefore == 0 {
                    reduction.leaf.update(from: self[part], count: length)
                } else {
                    reduction.mergeIntoLeaf(
                        self[part],
                        counts: (part.rowsBefore * positions, part.rows.count * positions))
                }
                if part.isLast { reduction.push() }
            }
        }
    }

    /// Sends this worker's on their way and waits for nobody.
    func start() throws { try reduction.start() }

    /// Brings all workers' together.
    func finish() throws { try reduction.finish() }

    /// Values a channel of group `group`, and what its shards came to, [2·C].
    func result(ofGroup group: Int) -> (count: Int, values: UnsafePointer<Double>) {
        (reduction.count(of: reduction.shards(ofGroup: group)), reduction.result(ofGroup: group))
    }

    /// The groups that this worker has a shard of.
    var groups: ClosedRange<Int> {
        let mine = reduction.shards
        return group(ofBatchShard: mine.lowerBound)...group(ofBatchShard: mine.upperBound - 1)
    }

    /// The group of a shard of the batch, or of one of this worker's.
    func group(ofBatchShard shard: Int) -> Int { reduction.group(ofShard: shard) }
    func group(ofShard shard: Int) -> Int {
        group(ofBatchShard: reduction.shards.lowerBound + shard)
    }

    /// Whether this worker's shard `shard` is the first of its group, and speaks for it.
    func isFirst(_ shard: Int) -> Bool {
        reduction.shards(ofGroup: group(ofShard: shard)).lowerBound
            == reduction.shards.lowerBound + shard
    }

    /// Whether one group is the whole batch.
    var isWhole: Bool { reduction.shards(ofGroup: 0).count == shardCount }

    /// This worker's samples in group `group`.
    func rows(ofGroup group: Int, _ pass: Pass) -> Range<Int> {
        let first = reduction.shards.lowerBound
        let mine = reduction.shards.clamped(to: reduction.shards(ofGroup: group))
        return pass.shardRows[mine.lowerBound - first]
            .lowerBound..<pass.shardRows[mine.upperBound - 1 - first].upperBound
    }

    /// From here on keeps what this worker's shard `shard` contributes in `values`, [2·C]; nil: no
    /// longer.
    func capture(_ shard: Int?, into values: UnsafeMutablePointer<Double>) {
        reduction.captured = shard.map { ($0, values) }
    }
}
