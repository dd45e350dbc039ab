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
    public let normalizations: [BatchNormLayer]

    /// The loss behind the outputs.
    public let loss: CrossEntropy

    /// The sum of all workers' gradients.
    private let gradientReduction: GradientReduction

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
        // The baseline adds up as they come; the tree lets a team share.
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
            }.map(\.count).max() ?? 0, team: team, members: communicator.crew.members,
            known: communicator.thread == 0 ? replica.gradient : nil)
        self.gradients = gradients
        self.shards = shards
        self.team = team
        let worker = WorkerContext(
            replica: replica, gradients: gradients, communicator: communicator, shapes: shapes,
            seed: seed, sharesInputs: sharesInputs)
        layers = try LayerGraph(
            try Lowering(specification, shards: shards).units.map { unit in
                LayerGraph.Node(
                    try unit.module.layer(at: unit.place, worker), input: unit.input,
                    addend: unit.addend)
            }, shapes: shapes, inputSize: specification.inputs, crew: communicator.crew)
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
        let takesRank = layers.layers.contains {
            ($0 as? InputLinearLayer)?.computesPanels ?? false
        }
        inputShards = takesRank ? world.shards(ofRank: world.rank, of: shards) : mine
        normalizations = layers.layers.compactMap { $0 as? BatchNormLayer }
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
    /// `sumGradients` must follow.
    package func backward(_ pass: Pass, from outputGradient: Tensor? = nil) throws {
        team?.fetchBackward()
        try layers.backward(outputGradient ?? loss.outputGradient, pass, follower: buckets)
    }

    /// Sums up the gradients of all workers.
    ///
    /// - Parameter update: gets the parts of the gradient that this worker is to update, as they are there:
    ///   its slices of the sum, and on one worker of the rank what needed none.
    package func sumGradients(update: (Range<Int>) -> Void) throws {
        try gradientReduction.sum(update: update)
        let layout = replica.layout
        if communicator.thread == 0 { update(layout.reduced..<layout.length) }
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
            return ShardCapture(
                shard: capture.shard - mine.lowerBound, values: capture.values)
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
