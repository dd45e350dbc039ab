public import Collectives
import Kernels
public import Layers
public import Normalization
package import TensorCore

/// One worker's network: layers over the rank's replica, planned for every batch that will come.
public final class Network {
    /// What it was built from.
    public let specification: NetworkSpecification

    /// The rank's parameters.
    public let replica: Replica

    /// The layers, fused where modules can be.
    public let layers: LayerGraph

    /// Its normalisation layers, first to last.
    public let normalizations: [BatchNorm]

    /// The loss behind the outputs.
    public let loss: CrossEntropy

    /// The sum of all workers' gradients.
    package let gradientReduction: GradientReduction

    private let buckets: GradientBuckets?

    /// The batches it is planned for, by index.
    public let shapes: [BatchShape]

    /// The shards whose samples a training pass takes as its input: this worker's, or the whole
    /// rank's where its workers divide the first product otherwise than by samples. An inference
    /// pass always takes this worker's.
    package let inputShards: Range<Int>

    private let copies: NetworkCopies
    private let communicator: Communicator
    private let gradients: GradientAccumulator
    private let shards: Int
    private let team: TeamGradients?

    /// Builds the layers and makes all plans, on the thread that will run them.
    ///
    /// - Parameters:
    ///   - communicator: the worker's end of the world.
    ///   - shards: the number of shards of every batch.
    ///   - batches: sizes of the global batches that will come, and whether they train.
    ///   - seed: of what is random in a pass: dropout, noise.
    ///   - sharesInputs: whether the caller can bring the inputs of the whole rank where the network
    ///     would be faster with them: see `inputShards`.
    public convenience init(
        _ specification: NetworkSpecification, replica: Replica, communicator: Communicator,
        shards: Int, batches: [(samples: Int, trains: Bool)], seed: UInt64 = 0,
        sharesInputs: Bool = false
    ) throws {
        let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
        let shapes = batches.enumerated().map { index, batch in
            let sharded = ShardedBatch(samples: batch.samples, shards: shards)
            let first = sharded.samples(ofShards: mine).lowerBound
            return BatchShape(
                index: index, samples: batch.samples,
                shardRows: mine.map {
                    let samples = sharded.samples(ofShard: $0)
                    return samples.lowerBound - first..<samples.upperBound - first
                }, trains: batch.trains, firstSample: first)
        }
        try self.init(
            specification, replica: replica, communicator: communicator, shards: shards,
            shapes: shapes, seed: seed, sharesInputs: sharesInputs, auditor: nil)
    }

    /// A network that computes single shards of a run again, in a world of its own: `shapes` are of
    /// one shard each, in batches of the run's sizes.
    ///
    /// - Parameters:
    ///   - replica: has the run's parameters, and a gradient of its own.
    ///   - thread: the worker's in the run, whose copies of weights it reads.
    package convenience init(
        auditing specification: NetworkSpecification, replica: Replica, shapes: [BatchShape],
        seed: UInt64, thread: Int
    ) throws {
        try self.init(
            specification, replica: replica, communicator: .alone(), shards: 1, shapes: shapes,
            seed: seed, sharesInputs: false, auditor: thread)
    }

    private init(
        _ specification: NetworkSpecification, replica: Replica, communicator: Communicator,
        shards: Int, shapes: [BatchShape], seed: UInt64, sharesInputs: Bool, auditor: Int?
    ) throws {
        let isAudit = auditor != nil
        self.specification = specification
        self.replica = replica
        let layout = replica.layout
        let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
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
                batches: shapes.map { isAudit ? $0.rows : $0.samples }) : nil
        let gradients = GradientAccumulator(
            nodes: reduction.nodeShards.indices.map {
                GradientAccumulator.Node(
                    shards: reduction.nodeShards[$0], values: reduction.node($0))
            }, merges: reduction.merges, depth: reduction.depth,
            largest: layout.parameters.map(\.range).filter {
                sharesProducts ? $0.lowerBound >= layout.products : true
            }.map(\.count).max() ?? 0, team: team, members: communicator.crew.members)
        self.gradients = gradients
        self.shards = shards
        self.team = team
        let builder = Builder(
            specification: specification, replica: replica, communicator: communicator,
            shards: shards, shapes: shapes, rows: rows, gradients: gradients, seed: seed,
            sharesInputs: sharesInputs, isAudit: isAudit,
            scratches: (0..<communicator.crew.members).map { _ in ConvolutionScratch() })
        layers = try LayerGraph(
            try builder.nodes(), shapes: shapes, inputSize: specification.inputs,
            crew: communicator.crew)
        if let team {
            team.finishJoining(replica)
            reduction.completeSlices = team.slices
            reduction.completeTogether = { [unowned layers] () throws(CollectiveError) in
                try team.sumAll()
                layers.finished?(.product)
            }
        }
        buckets = GradientBuckets(reduction, layout: layout, layers: layers)
        let world = communicator.world
        let takesRank = layers.layers.contains { ($0 as? InputLinear)?.computesPanels ?? false }
        inputShards = takesRank ? world.shards(ofRank: world.rank, of: shards) : mine
        normalizations = layers.layers.compactMap { $0 as? BatchNorm }
        loss = CrossEntropy(
            of: specification.outputKind, classes: specification.classes, rows: rows)
        self.communicator = communicator
        copies = try NetworkCopies(
            of: layers, replica: replica, communicator: communicator, auditor: auditor)
        try prepareWeights()
    }

    /// The last layer's output in a training pass, valid until the next pass.
    package func forward(_ input: Tensor, _ pass: Pass) throws -> Tensor {
        team?.fetchForward()
        return try layers.forward(input, pass)
    }

    /// Gradients of this worker's shards, from those of the outputs (without another, the loss's),
    /// into its nodes of the tree. Between ranks finished parts are summed meanwhile:
    /// `gradientReduction.sum` must follow.
    package func backward(_ pass: Pass, from outputGradient: Tensor? = nil) throws {
        team?.fetchBackward()
        try layers.backward(outputGradient ?? loss.outputGradient, pass, follower: buckets)
    }

    /// Makes the copies of the weights that passes read, after parameters have changed and the team
    /// has met; all workers of all ranks call it.
    package func prepareWeights() throws { try copies.make() }

    /// From here on keeps what `capture`'s shard of the batch contributes to summed gradients; nil: no
    /// longer. All workers of the rank that has it call it alike, as they sum up products together.
    package func capture(_ capture: ShardCapture?) {
        let world = communicator.world
        func counted(from mine: Range<Int>) -> ShardCapture? {
            guard let capture, mine.contains(capture.shard) else { return nil }
            var own = ShardCapture(
                shard: capture.shard - mine.lowerBound, values: capture.values)
            own.fault = capture.fault
            return own
        }
        gradients.captured = counted(
            from: world.shards(ofWorker: communicator.worker, of: shards))
        team?.captured = counted(from: world.shards(ofRank: world.rank, of: shards))
    }

    /// Values of the statistics that normalisation layers share through the step's metrics.
    public var sharedStatisticsLength: Int {
        normalizations.reduce(0) { $0 + $1.sharedStatisticsLength }
    }
}

extension Crew: LayerCrew {}

/// Builds a worker's layers from a specification.
private struct Builder {
    let specification: NetworkSpecification
    let replica: Replica
    let communicator: Communicator
    let shards: Int
    let shapes: [BatchShape]
    let rows: Int
    let gradients: GradientAccumulator
    let seed: UInt64
    let sharesInputs: Bool
    let isAudit: Bool
    /// By member of the crew.
    let scratches: [ConvolutionScratch]

    func nodes() throws -> [LayerGraph.Node] {
        var nodes: [LayerGraph.Node] = []
        /// By value of the specification, that of the graph; nil where it stays inside a layer.
        var values: [Int?] = [0]
        /// By activation, the normalisation that it is fused with; both become one layer in the
        /// activation's place, when what it adds is there.
        var fused: [Int: Int] = [:]
        /// By max pooling, the ReLU before it, which runs after it.
        var rectified: [Int: Int] = [:]
        /// Max poolings that the convolution before them does.
        var pooled: Set<Int> = []
        for (index, node) in specification.nodes.enumerated() {
            if fused[index] == nil, let pool = specification.poolBehindReLU(ofNode: index) {
                rectified[pool] = index
                values.append(nil)
                continue
            }
            if let activation = specification.fusedActivation(ofNode: index) {
                fused[activation] = index
                values.append(nil)
                continue
            }
            let normalization = fused[index].map { specification.nodes[$0] }
            let activation = rectified[index].map { specification.nodes[$0] }
            guard let input = values[(normalization ?? activation ?? node).input] else {
                preconditionFailure("\(node.name) takes what only an activation should")
            }
            var value = input
            if !pooled.contains(index) {
                let pooling = specification.poolBehindConvolution(ofNode: index)
                if let pooling { pooled.insert(pooling.node) }
                let layer = try layer(
                    normalization ?? node, index: index, behind: normalization == nil ? nil : node,
                    pooling: pooling?.shape)
                nodes.append(
                    LayerGraph.Node(
                        layer, input: input, addend: node.addend.flatMap { values[$0] }))
                value = nodes.count
            }
            if let activation, case .maxPool(let shape) = node.module {
                nodes.append(
                    LayerGraph.Node(
                        Activation(
                            name: activation.name, .relu, columns: shape.channels,
                            positions: shape.outputHeight * shape.outputWidth, rows: rows),
                        input: value))
                value = nodes.count
            }
            values.append(value)
        }
        return nodes
    }

    /// The layer of `node`, with the activation `behind` it, or a convolution's `pooling`.
    private func layer(
        _ node: NetworkSpecification.Node, index: Int,
        behind activation: NetworkSpecification.Node?, pooling: PoolingShape?
    ) throws -> any Layer {
        var fused = ActivationKind.identity
        if case .activation(let kind, _, _) = activation?.module { fused = kind }
        switch node.module {
        case .linear(_, _, let bias, _):
            let weight = parameter("\(node.name).weight")
            if case .panels = weight.storage {
                return try InputLinear(
                    name: node.name, weight: weight,
                    bias: bias ? parameter("\(node.name).bias") : nil, replica: replica,
                    gradients: gradients, shapes: shapes,
                    sharesInputs: sharesInputs
                        && specification.nodes.filter { $0.input == 0 }.count == 1)
            }
            return Linear(
                name: node.name, weight: weight,
                bias: bias ? parameter("\(node.name).bias") : nil,
                needsInputGradient: node.input > 0, replica: replica,
                gradients: gradients, shapes: shapes)
        case .batchNorm(let channels, let positions, _):
            return batchNorm(
                node.name, channels: channels, positions: positions, activation: fused,
                adds: (activation ?? node).addend != nil)
        case .groupNorm(let settings, let channels, let positions, _):
            return GroupNorm(
                name: node.name, channels: channels,
                groups: settings.grouping.count(ofChannels: channels), epsilon: settings.epsilon,
                activation: fused, positions: positions, rows: rows,
                scale: settings.affine ? parameter("\(node.name).weight") : nil,
                shift: settings.affine ? parameter("\(node.name).bias") : nil,
                replica: replica, gradients: gradients)
        case .activation(let kind, let channels, let positions):
            return Activation(
                name: node.name, kind, columns: channels, positions: positions, rows: rows)
        case .convolution(let shape, _, let bias):
            return try Convolution2D(
                name: node.name, shape, pooling: pooling, weight: parameter("\(node.name).weight"),
                bias: bias ? parameter("\(node.name).bias") : nil,
                needsInputGradient: node.input > 0, replica: replica, gradients: gradients,
                shapes: shapes, scratches: scratches)
        case .maxPool(let shape): return Pool2D(name: node.name, .maximum, shape, rows: rows)
        case .averagePool(let shape): return Pool2D(name: node.name, .average, shape, rows: rows)
        case .globalAveragePool(let image):
            return GlobalAveragePool(name: node.name, input: image, rows: rows)
        case .paddedShortcut(let image, let channels, let stride):
            return PaddedShortcut(
                name: node.name, input: image, channels: channels, stride: stride, rows: rows)
        case .softmax(let classes):
            return Softmax(name: node.name, classes: classes, rows: rows)
        case .dropout(let rate, let channels, let positions):
            return Dropout(
                name: node.name, rate: rate, seed: seed, ordinal: index, columns: channels,
                positions: positions, rows: rows)
        case .noise(let distribution, let ordinal, let channels, let positions):
            return Noise(
                name: node.name, distribution, seed: seed, ordinal: ordinal, columns: channels,
                positions: positions, rows: rows)
        }
    }

    private func batchNorm(
        _ name: String, channels: Int, positions: Int, activation: ActivationKind, adds: Bool
    ) -> BatchNorm {
        guard let ordinal = replica.layout.statistics.firstIndex(where: { $0.name == name }) else {
            preconditionFailure("the layout has no statistics of \(name)")
        }
        let running = replica.layout.statistics[ordinal]
        let affine = specification.normalization.affine
        return BatchNorm(
            name: name, channels: channels, settings: specification.normalization,
            statistics: specification.isFrozen(name) ? .frozen : .batch, activation: activation,
            adds: adds, positions: positions, ordinal: ordinal, shards: shards, rows: rows,
            placement: .init(
                scale: affine ? parameter("\(name).weight") : nil,
                shift: affine ? parameter("\(name).bias") : nil, running: running),
            communicator: communicator, replica: replica, gradients: gradients, isAudit: isAudit)
    }

    private func parameter(_ name: String) -> Parameter {
        guard let parameter = replica.layout.parameter(name) else {
            preconditionFailure("the layout has no \(name)")
        }
        return parameter
    }
}
