import Collectives
import Kernels
import Layers
import TensorCore
import TestSupport

@testable import Normalization

/// One pass of a global batch through one BN layer, forward and backward, in any world.
struct LayerCase: Sendable {
    var samples: Int
    /// H·W: values a channel of one sample.
    var positions = 1
    var channels: Int
    var shards: Int
    var settings = BatchNormSettings()
    var isFrozen = false
    var activation = ActivationKind.identity
    var mode = Mode.training
    var needsInputGradient = true
    /// x, [samples·positions, channels]
    var input: [Float]
    /// dy, as `input`.
    var outputGradient: [Float]
    /// γ, β, [channels]; not used without affine.
    var scale: [Float]
    var shift: [Float]
    /// [channels]
    var runningMean: [Float]
    var runningVariance: [Float]
    var batchesTracked = 0

    /// Values of nearly the normal distribution, a pure function of the shape.
    init(
        samples: Int, positions: Int = 1, channels: Int, shards: Int, mean: Double = 2,
        deviation: Double = 1
    ) {
        self.samples = samples
        self.positions = positions
        self.channels = channels
        self.shards = shards
        let count = samples * positions * channels
        input = normals(count, mean: mean, deviation: deviation, index: 1)
        outputGradient = normals(count, index: 2)
        scale = normals(channels, mean: 1, deviation: 0.3, index: 3)
        shift = normals(channels, index: 4)
        runningMean = normals(channels, mean: mean, index: 5)
        runningVariance = normals(channels, index: 6).map { 0.1 + $0 * $0 }
    }

    /// What one worker saw. A worker alone saw everything.
    struct Part: Sendable {
        /// The worker's rows of the global batch.
        var rows: Range<Int>
        /// [rows, channels] each; no input gradient in inference.
        var output: [Float] = []
        var inputGradient: [Float] = []
        /// By statistics group: count, means, variances, in Float64.
        var moments: [Int: [Double]] = [:]
        /// [channels] each, as the rank's replica holds them in the end.
        var scaleGradient: [Float] = []
        var shiftGradient: [Float] = []
        var runningMean: [Float] = []
        var runningVariance: [Float] = []
    }

    /// The parts of all workers of `world.rank`, in order.
    func run(in world: World, transport: (any RankTransport)? = nil) throws -> [Part] {
        let replica = makeReplica()
        let parts = Collected<(worker: Int, part: Part)>()
        try Team.run(world, transport: transport, timeout: 60, spinning: false) {
            parts.append(($0.worker, try runWorker($0, replica)))
        }
        return parts.values.sorted { $0.worker < $1.worker }.map(\.part)
    }

    /// The parts of all workers of a world in this process, in order.
    func run(
        ranks: Int, threads: Int, arithmetic: World.Arithmetic = .tree
    ) throws -> [Part] {
        let network = InMemoryNetwork(ranks: ranks)
        return try runRanks(ranks) { rank in
            try run(
                in: World(
                    ranks: ranks, threadsPerRank: threads, rank: rank, arithmetic: arithmetic),
                transport: ranks > 1 ? network.transport(rank: rank) : nil)
        }.flatMap { $0 }
    }

    /// All of it, by one worker.
    func runAlone(arithmetic: World.Arithmetic = .tree) throws -> Part {
        try run(ranks: 1, threads: 1, arithmetic: arithmetic)[0]
    }

    private var isReduced: Bool {
        isFrozen || settings.scope.groupSize(shards: shards) < shards
    }

    private func makeReplica() -> Replica {
        var declarations: [ModelLayout.Declaration] = []
        if settings.affine {
            for (name, role) in [("bn.weight", Parameter.Role.scale), ("bn.bias", .shift)] {
                declarations.append(
                    .parameter(name: name, shape: [channels], role: role, isReduced: isReduced))
            }
        }
        declarations.append(.statistics(name: "bn", channels: channels))
        let replica = Replica(ModelLayout(declarations))
        for parameter in replica.layout.parameters {
            replica.setValues(parameter.role == .scale ? scale : shift, of: parameter)
        }
        let running = replica.layout.statistics[0]
        for c in 0..<channels {
            replica.statistics[running.mean.lowerBound + c] = runningMean[c]
            replica.statistics[running.variance.lowerBound + c] = runningVariance[c]
        }
        replica.batchesTracked[0] = batchesTracked
        return replica
    }

    private func runWorker(_ communicator: Communicator, _ replica: Replica) throws -> Part {
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
        let pass = Pass(mode, shape)
        let reduction = GradientReduction(
            communicator, shards: shards, length: layout.reduced, result: replica.gradient)
        let extent = ImageShape(height: 1, width: positions, channels: channels)
        var place = ModulePlace(
            name: "bn", input: extent, output: extent, isFrozen: isFrozen, shards: shards)
        place.fusion.activation = activation
        let gradients = GradientAccumulator(
            nodes: reduction.nodeShards.indices.map {
                .init(shards: reduction.nodeShards[$0], values: reduction.node($0))
            }, merges: reduction.merges, depth: reduction.depth, largest: channels,
            known: communicator.thread == 0 ? replica.gradient : nil)
        let layer = BatchNorm(settings).layer(
            at: place,
            WorkerContext(
                replica: replica, gradients: gradients, communicator: communicator,
                shapes: [shape]))
        let batchNorm = layer as? BatchNormLayer
        let rows = range.lowerBound * positions..<range.upperBound * positions
        let values = rows.lowerBound * channels..<rows.upperBound * channels
        func tensor(_ all: [Float]) -> Tensor {
            let tensor = Tensor(rows: rows.count, columns: channels)
            tensor.elements = Array(all[values])
            return tensor
        }

        var part = Part(rows: rows)
        let graph = try LayerGraph(
            chain: [layer], shapes: [shape], inputSize: channels * positions,
            needsInputGradient: needsInputGradient)
        part.output = try graph.forward(tensor(input), pass).elements
        if mode == .training {
            part.moments = Dictionary(
                uniqueKeysWithValues: (batchNorm?.groups ?? []).map { group in
                    let values = [group.mean, group.variance].flatMap { pointer in
                        (0..<channels).map { pointer[$0] }
                    }
                    return (group.number, [Double(group.count)] + values)
                })
            let shared = try batchNorm.flatMap { try shareStatistics($0, communicator, pass) }
            let gradient = try graph.backward(tensor(outputGradient), pass)
            part.inputGradient = gradient?.elements ?? []
            if layout.reduced > 0 { try reduction.sum { _ in } }
            if communicator.thread == 0 {
                batchNorm?.commit(shared: shared?.result(ofGroup: 0), samples: samples)
            }
        }
        // Nobody reads the replica before all have written it.
        try communicator.teamBarrier()
        func gradient(_ name: String) -> [Float] {
            layout.parameter(name).map { replica.gradient(of: $0) } ?? []
        }
        part.scaleGradient = gradient("bn.weight")
        part.shiftGradient = gradient("bn.bias")
        let running = layout.statistics[0]
        part.runningMean = running.mean.map { replica.statistics[$0] }
        part.runningVariance = running.variance.map { replica.statistics[$0] }
        return part
    }

    /// What the training loop does with the metrics: sums over groups for running statistics.
    private func shareStatistics(
        _ layer: BatchNormLayer, _ communicator: Communicator, _ pass: Pass
    ) throws -> StatisticsReduction? {
        let length = layer.sharedStatisticsLength
        guard length > 0 else { return nil }
        let metrics = StatisticsReduction(
            communicator, shards: shards, group: shards, length: length, moments: false,
            kind: .metrics, layer: -1)
        metrics.begin(ShardedBatch(samples: samples, shards: shards))
        for position in pass.shardRows.indices {
            layer.shareStatistics(shard: position, into: metrics.leaf)
            metrics.push()
        }
        try metrics.finish()
        return metrics
    }
}
