public import Kernels
public import Layers
public import Normalization
public import TensorCore

/// A network as a value: what the layers are and what they take, before any memory is laid out.
///
/// Names are those of files; PyTorch reads a state dict as it is, whatever is fused here.
public struct NetworkSpecification: Hashable, Sendable {
    /// One module.
    public enum Module: Hashable, Sendable {
        /// A fully connected layer; behind an image of `positions` > 1, `inputs` counts all values.
        case linear(inputs: Int, outputs: Int, bias: Bool, positions: Int = 1)
        /// Batch normalisation of this many channels; `startsAtZero` is its γ.
        case batchNorm(channels: Int, positions: Int = 1, startsAtZero: Bool = false)
        /// A normalisation of each sample by itself; `startsAtZero` is its γ.
        case groupNorm(
            GroupNormSettings, channels: Int, positions: Int = 1, startsAtZero: Bool = false)
        /// An activation of this many channels, of the sum where the node has an addend.
        case activation(ActivationKind, channels: Int, positions: Int = 1)
        /// A convolution, and how its passes want its weight to lie.
        case convolution(ConvolutionShape, WeightLayout, bias: Bool)
        /// The largest value of each window.
        case maxPool(PoolingShape)
        /// The mean of each window.
        case averagePool(PoolingShape)
        /// The mean of each channel.
        case globalAveragePool(ImageShape)
        /// Every `stride`-th row and column, and zeros for the channels above the input's.
        case paddedShortcut(ImageShape, channels: Int, stride: Int)
        /// Zeros for a share of all values.
        case dropout(rate: Double, channels: Int, positions: Int = 1)
        /// Noise; `ordinal` tells it from the network's others.
        case noise(Noise.Distribution, ordinal: Int, channels: Int, positions: Int = 1)
        /// Probabilities of classes, for modules behind them.
        case softmax(classes: Int)
    }

    /// A module and what it takes. Value 0 is the network's input, value n the output of node n − 1.
    public struct Node: Hashable, Sendable {
        /// The module's name in files and messages.
        public let name: String
        /// The module.
        public let module: Module
        /// The value it takes.
        public let input: Int
        /// The value that an activation adds first.
        public let addend: Int?

        /// A module of value `input`, and perhaps `addend`.
        public init(name: String, module: Module, input: Int, addend: Int? = nil) {
            self.name = name
            self.module = module
            self.input = input
            self.addend = addend
        }
    }

    /// The name in headers: "mlp".
    public let name: String

    /// One input sample.
    public let input: ImageShape

    /// Classes that the last module tells apart.
    public let classes: Int

    /// The modules, in order.
    public let nodes: [Node]

    /// How the batch-normalisation modules work.
    public let normalization: BatchNormSettings

    /// The beginnings of the names of what is not trained: modules, groups of them, or single
    /// parameters. A batch normalisation that is frozen uses its running statistics.
    public var frozen: [String] = []

    /// A network of these nodes.
    public init(
        name: String, input: ImageShape, classes: Int, nodes: [Node],
        normalization: BatchNormSettings
    ) {
        self.name = name
        self.input = input
        self.classes = classes
        self.nodes = nodes
        self.normalization = normalization
    }

    /// Whether a module or parameter is not trained: `layer1` freezes `layer1.0.conv1.weight`.
    public func isFrozen(_ name: String) -> Bool {
        frozen.contains { name == $0 || name.hasPrefix($0 + ".") }
    }

    /// Values of one input sample.
    public var inputs: Int { input.count }

    /// Whether the network has batch normalisation.
    public var isNormalized: Bool {
        nodes.contains { if case .batchNorm = $0.module { true } else { false } }
    }

    /// What the last module gives: proportions, where something follows a softmax.
    public var outputKind: OutputKind {
        nodes.contains { if case .softmax = $0.module { true } else { false } }
            ? .proportions : .logits
    }

    /// The node that alone takes what node `index` gives.
    private func onlyConsumer(ofNode index: Int) -> Int? {
        let consumers = nodes.indices.filter {
            nodes[$0].input == index + 1 || nodes[$0].addend == index + 1
        }
        return consumers.count == 1 ? consumers[0] : nil
    }

    /// The activation that is fused into node `index`, a normalisation, and where it stands: the
    /// only one that takes what the normalisation gives.
    func fusedActivation(ofNode index: Int) -> Int? {
        switch nodes[index].module {
        case .batchNorm, .groupNorm: break
        default: return nil
        }
        guard let consumer = onlyConsumer(ofNode: index),
            nodes[consumer].input == index + 1, case .activation = nodes[consumer].module
        else { return nil }
        return consumer
    }

    /// The max pooling that alone takes what node `index`, a plain ReLU, gives.
    ///
    /// The largest of rectified values is the rectified largest one, and its gradient goes to the
    /// same place: so the network pools first, and rectifies a quarter of the values.
    func poolBehindReLU(ofNode index: Int) -> Int? {
        guard case .activation(.relu, _, _) = nodes[index].module, nodes[index].addend == nil
        else { return nil }
        guard let consumer = onlyConsumer(ofNode: index),
            case .maxPool = nodes[consumer].module
        else { return nil }
        return consumer
    }

    /// The max pooling that alone takes what node `index`, a convolution, gives, with nothing but a
    /// ReLU between them, where the two work together.
    func poolBehindConvolution(ofNode index: Int) -> (node: Int, shape: PoolingShape)? {
        guard case .convolution(let convolution, _, _) = nodes[index].module,
            let consumer = onlyConsumer(ofNode: index)
        else { return nil }
        let pool = poolBehindReLU(ofNode: consumer) ?? consumer
        guard case .maxPool(let shape) = nodes[pool].module,
            PooledConvolution.suits(convolution, shape)
        else { return nil }
        return (pool, shape)
    }

    /// Positions of the smallest image that is normalised over a batch: a channel's values of one
    /// sample; nil without batch normalisation.
    public var fewestNormalizedPositions: Int? {
        nodes.compactMap {
            if case .batchNorm(_, let positions, _) = $0.module { positions } else { nil }
        }.min()
    }

    /// The normalisations whose γ starts at 0, by name.
    public var zeroScales: Set<String> {
        Set(
            nodes.compactMap {
                switch $0.module {
                case .batchNorm(_, _, true), .groupNorm(_, _, _, true): "\($0.name).weight"
                default: nil
                }
            })
    }

    /// Where everything lies, in file order.
    ///
    /// - Parameter shards: the number of shards; normalised over all of them, γ and β are known to
    ///   every worker without a further reduction.
    public func layout(shards: Int) -> ModelLayout {
        var declarations: [ModelLayout.Declaration] = []
        var ordinal = 0
        let isGlobal = normalization.scope.groupSize(shards: shards) == shards
        for node in nodes {
            let name = node.name
            switch node.module {
            case .linear(let inputs, let outputs, let bias, let positions):
                declarations.append(
                    .parameter(
                        name: "\(name).weight", shape: [outputs, inputs],
                        role: .weight(ordinal: ordinal), isReduced: true,
                        storage: node.input == 0 && InputLinear.suits(outputs: outputs)
                            ? .panels(positions: positions) : .transposed(positions: positions)))
                if bias {
                    declarations.append(
                        .parameter(
                            name: "\(name).bias", shape: [outputs], role: .bias, isReduced: true))
                }
                ordinal += 1
            case .batchNorm(let channels, _, _):
                if normalization.affine {
                    for (suffix, role) in [("weight", Parameter.Role.scale), ("bias", .shift)] {
                        declarations.append(
                            .parameter(
                                name: "\(name).\(suffix)", shape: [channels], role: role,
                                isReduced: !isGlobal || isFrozen(name)))
                    }
                }
                declarations.append(.statistics(name: name, channels: channels))
            case .groupNorm(let settings, let channels, _, _):
                guard settings.affine else { break }
                for (suffix, role) in [("weight", Parameter.Role.scale), ("bias", .shift)] {
                    declarations.append(
                        .parameter(
                            name: "\(name).\(suffix)", shape: [channels], role: role,
                            isReduced: true))
                }
            case .convolution(let shape, let layout, let bias):
                declarations.append(
                    .parameter(
                        name: "\(name).weight",
                        shape: [
                            shape.outputChannels, shape.inputChannels / shape.groups,
                            shape.kernelHeight, shape.kernelWidth,
                        ],
                        role: .weight(ordinal: ordinal), isReduced: true,
                        storage: .blocked(layout)))
                if bias {
                    declarations.append(
                        .parameter(
                            name: "\(name).bias", shape: [shape.outputChannels], role: .bias,
                            isReduced: true))
                }
                ordinal += 1
            case .activation, .maxPool, .averagePool, .globalAveragePool, .paddedShortcut,
                .dropout, .noise, .softmax:
                break
            }
        }
        return ModelLayout(declarations)
    }
}
