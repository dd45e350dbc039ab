import Collectives
import Kernels
import Layers
import Models
import Normalization
import TensorCore
import TestSupport

/// A few steps of SGD on random samples through a whole network, in any world: the training loop
/// without data sets, optimizers and files.
struct TrainingCase: Sendable {
    var samples: Int
    var shards: Int
    var scope = StatisticsScope.global
    var placement = MLP.Placement.before
    var activation = ActivationKind.sigmoid
    var hidden = [17, 9]
    var steps = 20
    var learningRate: Float = 0.5

    static let inputs = 21
    static let classes = 5

    var specification: NetworkSpecification {
        MLP(
            inputs: Self.inputs, hidden: hidden, classes: Self.classes, activation: activation,
            placement: placement, normalization: BatchNormSettings(scope: scope)
        ).specification
    }

    /// What one worker saw, or holds in the end.
    struct Part: Sendable {
        /// Its samples of the global batch, and their logits in the first step, [samples, classes].
        var samples: Range<Int>
        var logits: [Float] = []
        /// The mean loss of every step.
        var losses: [Double] = []
        /// The first step's gradients and the last's parameters, in the layout of files.
        var gradients: [[Float]] = []
        var parameters: [[Float]] = []
        /// Running statistics after the first and the last step.
        var firstStatistics: [Float] = []
        var statistics: [Float] = []
    }

    /// The parts of all workers of `world.rank`, in order.
    func run(in world: World, transport: (any RankTransport)? = nil) throws -> [Part] {
        let replica = Replica(specification.layout(shards: shards))
        replica.initialize(.xavier(gain: 1), seed: 5)
        let parts = Collected<(worker: Int, part: Part)>()
        try Team.run(world, transport: transport, timeout: 60, spinning: false) {
            parts.append(($0.worker, try runWorker($0, replica)))
        }
        return parts.values.sorted { $0.worker < $1.worker }.map(\.part)
    }

    /// The parts of all workers of a world in this process, in order.
    func run(ranks: Int, threads: Int) throws -> [Part] {
        let network = InMemoryNetwork(ranks: ranks)
        return try runRanks(ranks) { rank in
            try run(
                in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                transport: ranks > 1 ? network.transport(rank: rank) : nil)
        }.flatMap { $0 }
    }

    /// All of it, by one worker.
    func runAlone() throws -> Part { try run(ranks: 1, threads: 1)[0] }

    /// The samples of step `step`: [samples, inputs] and [samples].
    private func batch(_ step: Int) -> (inputs: [Float], labels: [UInt8]) {
        let random = CounterRandom(seed: 8, purpose: .benchmark, index: UInt64(step))
        return (
            normals(samples * Self.inputs, mean: 0.5, index: UInt64(100 + step)),
            (0..<samples).map { UInt8(random.integer(below: Self.classes, at: $0)) }
        )
    }

    private func runWorker(_ communicator: Communicator, _ replica: Replica) throws -> Part {
        let network = try Network(
            specification, replica: replica, communicator: communicator, shards: shards,
            batches: [(samples, true)])
        let metrics = StatisticsReduction(
            communicator, shards: shards, group: shards,
            length: 1 + network.sharedStatisticsLength, moments: false, kind: .metrics, layer: -1)
        let sharded = ShardedBatch(samples: samples, shards: shards)
        let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
        let range = sharded.samples(ofShards: mine)
        let pass = Pass(.training, network.shapes[0])
        let input = Tensor(rows: range.count, columns: Self.inputs)
        var part = Part(samples: range)
        for step in 0..<steps {
            communicator.step = step
            let (inputs, labels) = batch(step)
            input.elements = Array(
                inputs[range.lowerBound * Self.inputs..<range.upperBound * Self.inputs])
            let logits = try network.layers.forward(input, pass)
            metrics.begin(sharded)
            for position in mine.indices.map({ $0 - mine.lowerBound }) {
                metrics.leaf[0] =
                    network.loss.forward(
                        logits, labels: Array(labels[range]) + [0], shard: position, pass
                    ).loss
                var offset = 1
                for layer in network.normalizations where layer.sharedStatisticsLength > 0 {
                    layer.shareStatistics(shard: position, into: metrics.leaf + offset)
                    offset += layer.sharedStatisticsLength
                }
                metrics.push()
            }
            try metrics.finish()
            part.losses.append(metrics.result(ofGroup: 0)[0] / Double(samples))
            if step == 0 { part.logits = logits.elements }
            try network.backward(pass)
            try network.sumGradients { _ in }
            // Everybody reads the gradients before anybody updates, and the other way round.
            try communicator.teamBarrier()
            if step == 0 {
                part.gradients = replica.layout.parameters.map { replica.gradient(of: $0) }
            }
            try communicator.teamBarrier()
            if communicator.thread == 0 {
                for i in 0..<replica.layout.length {
                    replica.parameters[i] -= learningRate * replica.gradient[i]
                }
                commit(network, metrics)
            }
            try communicator.teamBarrier()
            if step == 0 { part.firstStatistics = Self.statistics(replica) }
        }
        part.parameters = replica.layout.parameters.map { replica.values(of: $0) }
        part.statistics = Self.statistics(replica)
        return part
    }

    private func commit(_ network: Network, _ metrics: StatisticsReduction) {
        var offset = 1
        for layer in network.normalizations {
            let length = layer.sharedStatisticsLength
            layer.commit(
                shared: length > 0 ? metrics.result(ofGroup: 0) + offset : nil, samples: samples)
            offset += length
        }
    }

    private static func statistics(_ replica: Replica) -> [Float] {
        replica.layout.statistics.flatMap { entry in
            (Array(entry.mean) + Array(entry.variance)).map { replica.statistics[$0] }
        }
    }
}

extension TrainingCase.Part {
    /// Whether this worker saw exactly its part of `whole`, and ended with the same model.
    func hasBits(of whole: TrainingCase.Part) -> Bool {
        let values =
            samples.lowerBound * TrainingCase.classes..<samples.upperBound
            * TrainingCase.classes
        return bits(logits) == bits(Array(whole.logits[values]))
            && bits(losses) == bits(whole.losses)
            && gradients.map { bits($0) } == whole.gradients.map { bits($0) }
            && parameters.map { bits($0) } == whole.parameters.map { bits($0) }
            && bits(firstStatistics) == bits(whole.firstStatistics)
            && bits(statistics) == bits(whole.statistics)
    }
}
