import Kernels
import Layers
import TensorCore

/// The network that a `ReferenceTrainer` trains: modules that take each other's outputs. Value 0 is
/// the input, value n the output of node n − 1.
public struct ReferenceArchitecture: Equatable, Sendable {
    /// Where BatchNorm stands.
    public enum Placement: String, Sendable {
        /// Linear (without bias), BatchNorm, activation.
        case before
        /// Linear, activation, BatchNorm.
        case after
    }

    /// How BatchNorm normalizes.
    public struct Normalization: Equatable, Sendable {
        /// Where it stands.
        public var placement: Placement
        /// ε, added to the variance.
        public var epsilon: Double
        /// The weight of the new value in the running statistics; nil for their plain average.
        public var momentum: Double?
        /// Whether the running variance takes m/(m−1) times a group's variance.
        public var runningVarianceIsUnbiased: Bool
        /// Whether there are a scale and a shift to learn.
        public var isAffine: Bool

        /// BatchNorm with PyTorch's defaults.
        public init(
            placement: Placement = .before, epsilon: Double = 1e-5, momentum: Double? = 0.1,
            runningVarianceIsUnbiased: Bool = true, isAffine: Bool = true
        ) {
            self.placement = placement
            self.epsilon = epsilon
            self.momentum = momentum
            self.runningVarianceIsUnbiased = runningVarianceIsUnbiased
            self.isAffine = isAffine
        }
    }

    /// How BatchNorm normalizes; nil for not at all.
    public var normalization: Normalization?

    /// Values in a sample.
    let inputs: Int

    /// The modules, in order.
    let nodes: [Node]

    /// A module of the network and the values it takes.
    struct Node: Equatable {
        let name: String
        let module: Module
        let input: Int
        /// What an activation adds first.
        var addend: Int?
    }

    /// What a module does. Images are [H, W, C].
    enum Module: Equatable {
        /// Behind an image of `positions` the weight counts inputs in the order C, H, W.
        case linear(inputs: Int, outputs: Int, hasBias: Bool, positions: Int)
        case batchNorm(channels: Int)
        case groupNorm(channels: Int, groups: Int, epsilon: Double, isAffine: Bool)
        case activation(ReferenceActivation)
        case convolution(ConvolutionShape, hasBias: Bool)
        case maxPool(PoolingShape)
        case averagePool(PoolingShape)
        case globalAveragePool(channels: Int)
        case paddedShortcut(ImageShape, channels: Int, stride: Int)
        case dropout(rate: Double, seed: UInt64, ordinal: Int)
        case noise(Noise.Distribution, seed: UInt64, ordinal: Int, channels: Int)
        /// The loss then divides the network's outputs by their sum.
        case softmax
    }

    init(inputs: Int, nodes: [Node], normalization: Normalization?) {
        self.inputs = inputs
        self.nodes = nodes
        self.normalization = normalization
    }

    /// Fully connected layers: Linear, with BatchNorm and an activation after all but the last.
    ///
    /// - Parameter widths: values in a sample, units of each hidden layer, classes.
    public init(
        widths: [Int], activation: ReferenceActivation, normalization: Normalization?
    ) {
        precondition(widths.count >= 2, "a network has at least inputs and outputs")
        var modules: [Module] = []
        for (layer, (inputs, outputs)) in zip(widths, widths.dropFirst()).enumerated() {
            let isHidden = layer < widths.count - 2
            let placement = isHidden ? normalization?.placement : nil
            // BatchNorm subtracts the mean: a bias right before it would have no effect.
            modules.append(
                .linear(
                    inputs: inputs, outputs: outputs, hasBias: placement != .before, positions: 1))
            if placement == .before { modules.append(.batchNorm(channels: outputs)) }
            if isHidden { modules.append(.activation(activation)) }
            if placement == .after { modules.append(.batchNorm(channels: outputs)) }
        }
        self.init(
            inputs: widths[0],
            nodes: modules.enumerated().map {
                Node(name: "layers.\($0)", module: $1, input: $0)
            }, normalization: normalization)
    }

    /// The parameters' names, such as `layers.0.weight`, and value counts, in order.
    public var parameters: [(name: String, count: Int)] {
        nodes.flatMap { node -> [(name: String, count: Int)] in
            let weight = "\(node.name).weight"
            let bias = "\(node.name).bias"
            switch node.module {
            case .linear(let inputs, let outputs, let hasBias, _):
                return [(weight, inputs * outputs)] + (hasBias ? [(bias, outputs)] : [])
            case .convolution(let shape, let hasBias):
                return [(weight, shape.weightCount)]
                    + (hasBias ? [(bias, shape.outputChannels)] : [])
            case .batchNorm(let channels):
                return normalization?.isAffine == true
                    ? [(weight, channels), (bias, channels)] : []
            case .groupNorm(let channels, _, _, let isAffine):
                return isAffine ? [(weight, channels), (bias, channels)] : []
            default: return []
            }
        }
    }
}
