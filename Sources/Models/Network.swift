public import Collectives
import Kernels
public import Layers
public import Normalization
import TensorCore

/// One worker's network: layers over the rank's replica, planned for every batch that will come.
public final class Network {
    /// What it was built from.
    public let specification: NetworkSpecification

    /// The rank's parameters.
    public let replica: Replica

    /// The layers, fused where modules can be.
    public let layers: Sequential

    /// Its normalisation layers, first to last.
    public let normalizations: [BatchNorm]

    /// The loss behind the logits.
    public let loss: SoftmaxCrossEntropy

    /// The sum of all workers' gradients.
    package let gradientReduction: GradientReduction

    /// The batches it is planned for, by index.
    public let shapes: [BatchShape]

    /// Builds the layers and makes all plans, on the thread that will run them.
    ///
    /// - Parameters:
    ///   - communicator: the worker's end of the world.
    ///   - shards: the number of shards of every batch.
    ///   - batches: sizes of the global batches that will come, and whether they train.
    /// - Throws: `KernelError` where oneDNN cannot make a plan.
    public init(
        _ specification: NetworkSpecification, replica: Replica, communicator: Communicator,
        shards: Int, batches: [(samples: Int, trains: Bool)]
    ) throws {
        self.specification = specification
        self.replica = replica
        let layout = replica.layout
        let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
        let shapes = batches.enumerated().map { index, batch in
            let sharded = ShardedBatch(samples: batch.samples, shards: shards)
            let first = sharded.samples(ofShards: mine).lowerBound
            return BatchShape(
                index: index, samples: batch.samples,
                shardRows: mine.map {
                    let samples = sharded.samples(ofShard: $0)
                    return samples.lowerBound - first..<samples.upperBound - first
                }, trains: batch.trains)
        }
        self.shapes = shapes
        let rows = shapes.map(\.rows).max() ?? 0
        // The baseline and the planted fault add up as they come; the tree lets a team share.
        let sharesProducts = communicator.world.arithmetic == .tree
        let reduction = GradientReduction(
            communicator, shards: shards, length: layout.reduced,
            complete: sharesProducts ? layout.products : 0, result: replica.gradient)
        gradientReduction = reduction
        try reduction.joinTeam()
        let team =
            sharesProducts
            ? TeamGradients(
                communicator, reduction: reduction, shards: shards,
                batches: batches.map(\.samples)) : nil
        if let team {
            reduction.completeSlices = Self.slices(of: layout, team)
        }
        let gradients = GradientAccumulator(
            nodes: reduction.nodeShards.indices.map {
                GradientAccumulator.Node(
                    shards: reduction.nodeShards[$0], values: reduction.node($0))
            }, merges: reduction.merges, depth: reduction.depth,
            largest: layout.statistics.map(\.channels).max() ?? 0, team: team)
        let builder = Builder(
            specification: specification, replica: replica, communicator: communicator,
            shards: shards, shapes: shapes, rows: rows, gradients: gradients)
        layers = Sequential(try builder.layers())
        if let team {
            reduction.completeTogether = { [unowned layers] () throws(CollectiveError) in
                try team.sumAll()
                // Profiles count the first layer, a product.
                layers.layerFinished?(0)
            }
        }
        normalizations = layers.layers.compactMap { $0 as? BatchNorm }
        loss = SoftmaxCrossEntropy(classes: specification.classes, rows: rows)
    }

    /// The parts of the products' parameters that this worker sums up and updates.
    private static func slices(of layout: ModelLayout, _ team: TeamGradients) -> [Range<Int>] {
        layout.parameters.compactMap { parameter in
            switch parameter.role {
            case .weight:
                let (outputs, inputs) = (parameter.shape[0], parameter.shape[1])
                let slice = team.slice(ofInputs: inputs)
                return parameter.range.lowerBound + slice.lowerBound * outputs..<parameter.range
                    .lowerBound + slice.upperBound * outputs
            case .bias: return team.sumsBiases ? parameter.range : nil
            case .scale, .shift: return nil
            }
        }
    }

    /// Values of the statistics that normalisation layers share through the step's metrics.
    public var sharedStatisticsLength: Int {
        normalizations.reduce(0) { $0 + $1.sharedStatisticsLength }
    }
}

/// Builds a worker's layers from a specification.
private struct Builder {
    let specification: NetworkSpecification
    let replica: Replica
    let communicator: Communicator
    let shards: Int
    let shapes: [BatchShape]
    let rows: Int
    let gradients: GradientAccumulator

    func layers() throws -> [any Layer] {
        var layers: [any Layer] = []
        var ordinal = 0
        var index = 0
        let modules = specification.modules
        while index < modules.count {
            let name = NetworkSpecification.moduleName(index)
            switch modules[index] {
            case .linear(_, _, let bias):
                layers.append(
                    try Linear(
                        name: name, weight: parameter("\(name).weight"),
                        bias: bias ? parameter("\(name).bias") : nil,
                        needsInputGradient: !layers.isEmpty, replica: replica,
                        gradients: gradients, shapes: shapes))
            case .batchNorm(let channels):
                var activation = ActivationKind.identity
                if index + 1 < modules.count, case .activation(let next, _) = modules[index + 1] {
                    activation = next
                    index += 1
                }
                layers.append(
                    batchNorm(name, channels: channels, activation: activation, ordinal: ordinal))
                ordinal += 1
            case .activation(let kind, let columns):
                layers.append(Activation(name: name, kind, columns: columns, rows: rows))
            }
            index += 1
        }
        return layers
    }

    private func batchNorm(
        _ name: String, channels: Int, activation: ActivationKind, ordinal: Int
    ) -> BatchNorm {
        guard let running = replica.layout.statistics.first(where: { $0.name == name }) else {
            preconditionFailure("the layout has no statistics of \(name)")
        }
        let affine = specification.normalization.affine
        return BatchNorm(
            name: name, channels: channels, settings: specification.normalization,
            activation: activation, ordinal: ordinal, shards: shards, rows: rows,
            placement: .init(
                scale: affine ? parameter("\(name).weight") : nil,
                shift: affine ? parameter("\(name).bias") : nil, running: running),
            communicator: communicator, replica: replica, gradients: gradients)
    }

    private func parameter(_ name: String) -> Parameter {
        guard let parameter = replica.layout.parameter(name) else {
            preconditionFailure("the layout has no \(name)")
        }
        return parameter
    }
}
