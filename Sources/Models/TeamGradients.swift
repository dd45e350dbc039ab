import Collectives
import Kernels
import Layers
import TensorCore

/// A worker's end of the team that sums up the gradients of products: see `GradientTeam`.
final class TeamGradients: GradientTeam {
    let nodes: [GradientAccumulator.Node]
    let rows: Int
    let shards: Int
    private let communicator: Communicator

    /// Where each shard of the rank lies, for each shape of batch: whose it is, and its rows there.
    private let places: [[(thread: Int, rows: Range<Int>)]]

    /// What this worker shows: the addresses of its input and its output gradient. Two in turn: a
    /// slow team-mate may still read one when the next is written.
    private let shown: [MessageBuffer<UInt>]
    private var parity = 0
    private let collected: UnsafeMutablePointer<WeightGradients.Operands>

    /// - Parameter batches: sizes of the global batches, by the index of their shapes.
    init(
        _ communicator: Communicator, reduction: GradientReduction, shards all: Int,
        batches: [Int]
    ) {
        self.communicator = communicator
        let world = communicator.world
        let mine = world.shards(ofRank: world.rank, of: all)
        let first = world.rank * world.threadsPerRank
        places = batches.map { samples in
            let batch = ShardedBatch(samples: samples, shards: all)
            return (0..<world.threadsPerRank).flatMap { thread in
                let shards = world.shards(ofWorker: first + thread, of: all)
                let start = batch.samples(ofShards: shards).lowerBound
                return shards.map { shard in
                    let samples = batch.samples(ofShard: shard)
                    return (thread, samples.lowerBound - start..<samples.upperBound - start)
                }
            }
        }
        shards = mine.count
        rows =
            batches.map { ShardedBatch(samples: $0, shards: all).samples(ofShards: mine).count }
            .max() ?? 0
        nodes = reduction.teamNodes.map {
            GradientAccumulator.Node(shards: $0.shards, values: $0.values)
        }
        shown = (0..<2).map { _ in communicator.buffer(of: UInt.self, count: 2) }
        collected = .allocate(capacity: mine.count)
    }

    deinit { collected.deallocate() }

    func slice(ofInputs inputs: Int) -> Range<Int> {
        let threads = communicator.world.threadsPerRank
        return communicator.thread * inputs / threads..<(communicator.thread + 1) * inputs / threads
    }

    var sumsBiases: Bool { communicator.thread == 0 }

    func operands(
        input: Tensor, outputGradient: Tensor, shape: Int
    ) throws -> UnsafeBufferPointer<WeightGradients.Operands> {
        parity ^= 1
        let mine = shown[parity].pointer
        mine[0] = UInt(bitPattern: input.pointer)
        mine[1] = UInt(bitPattern: outputGradient.pointer)
        communicator.collectiveTimer?.began(.barrier)
        try communicator.meetTeam(
            mine,
            Fingerprint(
                step: communicator.step, layer: -1, kind: .gradients, length: input.columns))
        communicator.collectiveTimer?.ended(.barrier)
        let single = communicator.world.threadsPerRank == 1
        for (shard, place) in places[shape].enumerated() {
            var (x, dy) = (
                UnsafePointer<Float>(input.pointer), UnsafePointer<Float>(outputGradient.pointer)
            )
            if !single, let theirs = communicator.address(ofThread: place.thread) {
                x = pointer(theirs, 0)
                dy = pointer(theirs, 1)
            }
            (collected + shard).initialize(
                to: WeightGradients.Operands(
                    input: x + place.rows.lowerBound * input.columns,
                    outputGradient: dy + place.rows.lowerBound * outputGradient.columns,
                    rows: place.rows.count))
        }
        return UnsafeBufferPointer(start: collected, count: shards)
    }

    private func pointer(_ shown: UnsafeRawPointer, _ index: Int) -> UnsafePointer<Float> {
        guard
            let pointer = UnsafePointer<Float>(
                bitPattern: shown.load(
                    fromByteOffset: index * MemoryLayout<UInt>.stride, as: UInt.self))
        else { preconditionFailure("a team-mate showed nothing") }
        return pointer
    }
}
