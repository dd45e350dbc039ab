public import Kernels
import Layers
public import Normalization
import TensorCore

/// A multi-layer perceptron: hidden layers of a product, a normalisation and an activation each,
/// and a last product that gives the logits.
public struct MLP: Hashable, Sendable {
    /// Where normalisation stands.
    public enum Placement: String, Hashable, Sendable, CaseIterable {
        /// Between product and activation, as in the BN paper; the product then has no bias.
        case before
        /// Behind the activation; the product keeps its bias.
        case after
        /// In front of every product, the first included; products keep their biases.
        case inputs
    }

    /// Values of one input sample.
    public var inputs: Int

    /// Widths of the hidden layers; none is a linear classifier.
    public var hidden: [Int]

    /// Classes.
    public var classes: Int

    /// The hidden layers' activation.
    public var activation: ActivationKind

    /// Where normalisation stands.
    public var placement: Placement

    /// Batch normalisation, or nil for none.
    public var normalization: BatchNormSettings?

    /// The share of values dropped behind each hidden layer.
    public var dropout: Double

    /// A perceptron of these widths.
    public init(
        inputs: Int, hidden: [Int], classes: Int, activation: ActivationKind = .sigmoid,
        placement: Placement = .before, normalization: BatchNormSettings? = BatchNormSettings(),
        dropout: Double = 0
    ) {
        self.dropout = dropout
        self.inputs = inputs
        self.hidden = hidden
        self.classes = classes
        self.activation = activation
        self.placement = placement
        self.normalization = normalization
    }

    /// The network it describes, its modules named `layers.0`, `layers.1`, … as
    /// `nn.Sequential(Linear, BatchNorm1d, Sigmoid, …)` would.
    public var specification: NetworkSpecification {
        var modules: [any Module] = []
        func normalize(if isWanted: Bool) {
            if isWanted, let normalization { modules.append(BatchNorm(normalization)) }
        }
        normalize(if: placement == .inputs)
        for width in hidden {
            let normalizesProduct = normalization != nil && placement == .before
            modules.append(Linear(width, bias: !normalizesProduct))
            normalize(if: placement == .before)
            modules.append(Activation(activation))
            normalize(if: placement != .before)
            if dropout > 0 { modules.append(Dropout(dropout)) }
        }
        modules.append(Linear(classes))
        return NetworkSpecification(
            name: "mlp", input: ImageShape(height: 1, width: 1, channels: inputs),
            classes: classes,
            nodes: modules.enumerated().map {
                .init(name: "layers.\($0)", module: $1, input: $0)
            })
    }
}
