import Collectives
import Configuration
import Kernels
import Layers
import Normalization
import TensorCore

/// The layers of normalisation, as networks run them.
extension KernelBench {
    /// Groups of `group_norm`: what `model.normalization.groups` is by default.
    static let groups = 8

    /// `batch_norm` and `batch_norm_relu`, with statistics over all shards, and `group_norm` (8
    /// groups), `layer_norm` and `instance_norm`: forward and backward, on the threads of `--threads`
    /// (1).
    func normalization(_ extents: [Int]) throws -> Work {
        let threads = arguments.threads ?? 1
        let (channels, positions) = (
            extents[extents.count - 1], extents.dropFirst().dropLast().reduce(1, *)
        )
        let groups: Int? =
            switch kernel {
            case "group_norm": Self.groups
            case "layer_norm": 1
            case "instance_norm": channels
            default: nil
            }
        if let groups {
            guard channels % groups == 0 else {
                throw BenchError.groupsDoNotDivide(channels: channels, groups: groups)
            }
            guard channels / groups * positions > 1 else {
                throw BenchError.singleValueGroup(kernel: kernel, found: extents)
            }
        }
        let layer = NormalizationLayer(
            samples: extents[0], positions: positions, channels: channels,
            shards: arguments.shards ?? min(8, extents[0]),
            activation: kernel == "batch_norm_relu" ? .relu : .identity, groups: groups)
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

/// One layer of normalisation over a batch, [samples·positions, channels].
private struct NormalizationLayer: Sendable {
    let samples: Int
    let positions: Int
    let channels: Int
    let shards: Int
    let activation: ActivationKind
    /// Of each sample's channels; nil for batch normalisation.
    let groups: Int?

    /// Median seconds of forward and backward over `rounds` of `calls`, on a team.
    func medianSeconds(threads: Int, rounds: Int, calls: Int) throws -> Double {
        let isReduced = groups != nil
        let replica = Replica(
            ModelLayout([
                .parameter(
                    name: "norm.weight", shape: [channels], role: .scale, isReduced: isReduced),
                .parameter(
                    name: "norm.bias", shape: [channels], role: .shift, isReduced: isReduced),
                .statistics(name: "norm", channels: channels),
            ]))
        if let scale = replica.layout.parameter("norm.weight") {
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
        let gradients = GradientAccumulator(
            nodes: reduction.nodeShards.indices.map {
                .init(shards: reduction.nodeShards[$0], values: reduction.node($0))
            }, merges: reduction.merges, depth: reduction.depth, largest: channels,
            known: communicator.thread == 0 ? replica.gradient : nil)
        let extent = ImageShape(height: 1, width: positions, channels: channels)
        var place = ModulePlace(name: "norm", input: extent, output: extent, shards: shards)
        place.fusion.activation = activation
        let module: any Module =
            groups.map { GroupNorm(GroupNormSettings(.groups($0))) } ?? BatchNorm()
        let layer = try module.layer(
            at: place,
            WorkerContext(
                replica: replica, gradients: gradients, communicator: communicator,
                shapes: [shape]))
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
