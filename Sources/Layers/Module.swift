public import Collectives
public import Kernels
public import TensorCore

/// What a layer is, as a value: its options, what it makes of a sample's extent, its tensors under
/// PyTorch's names, the layer that a worker runs, and its formula in Float64.
///
/// Sizes of inputs are no part of it: they come with its place in a network. A new kind of layer is one
/// such type, in a file of its own.
public protocol Module: Hashable, Sendable {
    /// The extent of a sample's output, where that of its input is `input`; 1×1×C without positions.
    ///
    /// - Throws: `ModuleError` where it cannot take such an input.
    func output(of input: ImageShape) throws(ModuleError) -> ImageShape

    /// Its tensors in the order of files, named without the module: "weight".
    func tensors(at place: ModulePlace) -> [ModelLayout.Declaration]

    /// The layer that a worker runs, on whose thread it is made.
    func layer(at place: ModulePlace, _ worker: WorkerContext) throws -> any Layer

    /// Multiply-adds of one sample's forward pass; backward there are as many for the weights, and for
    /// the input.
    func multiplyAdds(of input: ImageShape) -> Int

    /// Whether a normalisation: an activation right behind it, and what that one adds, become part of
    /// its layer.
    var fusesActivation: Bool { get }

    /// Whether its slope jumps where its input is 0, so that rounding can take the other side.
    var hasEdge: Bool { get }

    /// The output by its formula: of all samples of a batch, without shards, workers or kernels.
    func reference(_ input: ReferenceMatrix, _ context: ReferenceContext) -> ReferenceMatrix

    /// The gradients by its formula.
    ///
    /// - Parameter output: what `reference` gave.
    func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients
}

extension Module {
    /// The input's extent.
    public func output(of input: ImageShape) throws(ModuleError) -> ImageShape { input }
    /// None.
    public func tensors(at place: ModulePlace) -> [ModelLayout.Declaration] { [] }
    /// None.
    public func multiplyAdds(of input: ImageShape) -> Int { 0 }
    /// Nothing is fused.
    public var fusesActivation: Bool { false }
    /// Its slope is continuous.
    public var hasEdge: Bool { false }
}

/// Why a module cannot take an input.
public enum ModuleError: Error, Hashable, Sendable {
    /// An image of this extent is smaller than its window.
    case windowIsLarger(than: ImageShape)
    /// Channels do not divide by a convolution's groups.
    case channelsDoNotDivide(input: Int, output: Int, groups: Int)
    /// Channels do not divide by a normalisation's groups.
    case groupsDoNotDivide(channels: Int, groups: Int)
    /// A normalisation of each sample by itself would have one value to take statistics of.
    case singleValueGroup(groups: Int)
}

/// Where a module stands in a network: all that its tensors and its layer depend on but the worker.
public struct ModulePlace: Hashable, Sendable {
    /// The module's name in files and messages: `layer1.0.conv1`.
    public let name: String
    /// Its number among the network's modules, and among those of its type: what keeps their random
    /// numbers apart.
    public let index: Int, ordinal: Int
    /// The extent of a sample's input and output.
    public let input: ImageShape, output: ImageShape
    /// Whether its input is the network's, whose gradient nobody needs; and whether it alone takes it.
    public let readsNetworkInput: Bool, isOnlyReader: Bool
    /// Whether its parameters stay as they are.
    public let isFrozen: Bool
    /// Shards of every batch.
    public let shards: Int
    /// What has become part of its layer.
    public var fusion = Fusion()

    /// What of the modules behind it a layer does, too.
    public struct Fusion: Hashable, Sendable {
        /// The activation right behind it.
        public var activation = ActivationKind.identity
        /// Whether a second value is added before the activation.
        public var adds = false
        /// The max pooling right behind it.
        public var pooling: PoolingShape?

        /// Nothing.
        public init() {}
    }

    /// A place in a network.
    public init(
        name: String, index: Int = 0, ordinal: Int = 0, input: ImageShape, output: ImageShape,
        readsNetworkInput: Bool = false, isOnlyReader: Bool = false, isFrozen: Bool = false,
        shards: Int = 1
    ) {
        self.name = name
        self.index = index
        self.ordinal = ordinal
        self.input = input
        self.output = output
        self.readsNetworkInput = readsNetworkInput
        self.isOnlyReader = isOnlyReader
        self.isFrozen = isFrozen
        self.shards = shards
    }
}

/// What the layers of one worker have in common.
public struct WorkerContext {
    /// The rank's parameters.
    public let replica: Replica
    /// The worker's sums of weights' gradients.
    public let gradients: GradientAccumulator
    /// The worker's end of the world.
    public let communicator: Communicator
    /// The batches that will come, by index.
    public let shapes: [BatchShape]
    /// Of what is random in a pass.
    public let seed: UInt64
    /// Whether training passes may take the inputs of the whole rank.
    let sharesInputs: Bool
    /// Memory that convolutions share, by member of the worker's crew.
    let scratches: [ConvolutionScratch]

    /// A worker's.
    package init(
        replica: Replica, gradients: GradientAccumulator, communicator: Communicator,
        shapes: [BatchShape], seed: UInt64 = 0, sharesInputs: Bool = false
    ) {
        self.replica = replica
        self.gradients = gradients
        self.communicator = communicator
        self.shapes = shapes
        self.seed = seed
        self.sharesInputs = sharesInputs
        scratches = (0..<communicator.crew.members).map { _ in ConvolutionScratch() }
    }

    /// The most samples of a pass on this worker.
    public var rows: Int { shapes.map(\.rows).max() ?? 0 }

    /// Parameter `name` of the module at `place`.
    public func parameter(_ name: String, of place: ModulePlace) -> Parameter {
        guard let parameter = replica.layout.parameter("\(place.name).\(name)") else {
            preconditionFailure("the layout has no \(place.name).\(name)")
        }
        return parameter
    }

    /// Where the running statistics of the module at `place` lie.
    public func runningStatistics(of place: ModulePlace) -> RunningStatistics {
        guard let found = replica.layout.statistics.first(where: { $0.name == place.name }) else {
            preconditionFailure("the layout has no statistics of \(place.name)")
        }
        return found
    }

    /// The same, where the module has it.
    public func parameter(_ name: String, of place: ModulePlace, if has: Bool) -> Parameter? {
        has ? parameter(name, of: place) : nil
    }
}
