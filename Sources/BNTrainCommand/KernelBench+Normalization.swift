import Collectives
import Configuration
import Kernels
import Layers
import Normalization
import TensorCore

/// The layer of synchronised batch normalisation, as networks run it.
extension KernelBench {
    /// `batch_norm` and `batch_norm_relu`: forward and backward, with statistics over all shards, on
    /// the threads of `--threads` (1).
    func batchNormalization(_ extents: [Int]) throws -> Work {
        let threads = arguments.threads ?? 1
        let layer = NormalizationLayer(
            samples: extents[0], positions: extents.dropFirst().dropLast().reduce(1, *),
            channels: extents[extents.count - 1], shards: arguments.shards ?? min(8, extents[0]),
            activation: kernel == "batch_norm_relu" ? .relu : .identity)
        guard layer.shards <= layer.samples else {
            throw BenchError.tooManyShards(layer.shards, samples: layer.samples)
        }
        guard threads <= layer.shards else {
            throw BenchError.tooManyThreads(threads, shards: layer.shards)
        }
        // Forward reads x twice and writes y; backward reads x, dy, then x, dy again, and writes dx.
        return Work(
            name: kernel, shape: extents, operations: nil,
            bytes: Double(8 * 4 * extents.reduce(1, *)),
            seconds: {
                let first = try layer.medianSeconds(threads: threads, rounds: 3, calls: 1)
                let calls = max(1, Int(arguments.seconds / 20 / first))
                return try layer.medianSeconds(threads: threads, rounds: 15, calls: calls)
            })
    }
}

/// One layer of batch normalisation over a batch, [samples·positions, channels].
private struct NormalizationLayer: Sendable {
    let samples: Int
    let positions: Int
    let channels: Int
    let shards: Int
    let activation: ActivationKind

    /// Median seconds of forward and backward over `rounds` of `calls`, on a team.
    func medianSeconds(threads: Int, rounds: Int, calls: Int) throws -> Double {
        let replica = Replica(
            ModelLayout([
                .parameter(name: "bn.weight", shape: [channels], role: .scale, isReduced: false),
                .parameter(name: "bn.bias", shape: [channels], role: .shift, isReduced: false),
                .statistics(name: "bn", channels: channels),
            ]))
        if let scale = replica.layout.parameter("bn.weight") {
            // dx takes dy's place: with γ = 1 it could grow from call to call.
            replica.setValues([Float](repeating: 0.25, count: channels), of: scale)
        }
        let all = try Team.run(World(threadsPerRank: threads)) { communicator in
            try times(communicator, replica, rounds: rounds, calls: calls)
        }
        return all.sorted()[rounds / 2]
    }

    /// Seconds a call of each round, on one worker.
    private func times(
        _ communicator: Communicator, _ replica: Replica, rounds: Int, calls: Int
    ) throws -> [Double] {
        let layout = replica.layout
        let batch = ShardedBatch(samples: samples, shards: shards)
        let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
        let range = batch.samples(ofShards: mine)
        let shape = BatchShape(
            index: 0, samples: samples,
            shardRows: mine.map {
                let rows = batch.samples(ofShard: $0)
                return rows.lowerBound - range.lowerBound..<rows.upperBound - range.lowerBound
            }, trains: true)
        let reduction = GradientReduction(
            communicator, shards: shards, length: layout.reduced, result: replica.gradient)
        let layer = BatchNorm(
            name: "bn", channels: channels, settings: BatchNormSettings(), activation: activation,
            positions: positions, ordinal: 0, shards: shards, rows: range.count,
            placement: .init(
                scale: layout.parameter("bn.weight"), shift: layout.parameter("bn.bias"),
                running: layout.statistics[0]),
            communicator: communicator, replica: replica,
            gradients: GradientAccumulator(
                nodes: reduction.nodeShards.indices.map {
                    .init(shards: reduction.nodeShards[$0], values: reduction.node($0))
                }, merges: reduction.merges, depth: reduction.depth, largest: channels))
        let graph = try LayerGraph(
            chain: [layer], shapes: [shape], inputSize: channels * positions,
            needsInputGradient: true)
        let random = CounterRandom(
            seed: 1, purpose: .benchmark, index: UInt64(communicator.worker))
        func tensor() -> Tensor {
            let tensor = Tensor(rows: range.count * positions, columns: channels)
            for i in 0..<tensor.rows * channels {
                tensor.pointer[i] = Float(random.uniform(in: -1...1, at: i))
            }
            return tensor
        }
        let (input, outputGradient) = (tensor(), tensor())
        let pass = Pass(.training, shape)
        let clock = ContinuousClock()
        return try (-1..<rounds).map { _ in
            try communicator.barrier()
            let start = clock.now
            for _ in 0..<calls {
                _ = try graph.forward(input, pass)
                try graph.backward(outputGradient, pass)
            }
            return (clock.now - start) / .seconds(1) / Double(calls)
        }.dropFirst().map { $0 }
    }
}
