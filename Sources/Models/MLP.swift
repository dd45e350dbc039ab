public import Kernels
public import Normalization

/// A multi-layer perceptron: hidden layers of a product, a normalisation and an activation each,
/// and a last product that gives the logits.
public struct MLP: Hashable, Sendable {
    /// Where normalisation stands.
    public enum Placement: String, Hashable, Sendable, CaseIterable {
        /// Between product and activation, as in the BN paper; the product then has no bias.
        case before
        /// Behind the activation; the product keeps its bias.
        case after
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

    /// A perceptron of these widths.
    public init(
        inputs: Int, hidden: [Int], classes: Int, activation: ActivationKind = .sigmoid,
        placement: Placement = .before, normalization: BatchNormSettings? = BatchNormSettings()
    ) {
        self.inputs = inputs
        self.hidden = hidden
        self.classes = classes
        self.activation = activation
        self.placement = placement
        self.normalization = normalization
    }

    /// The network it describes.
    public var specification: NetworkSpecification {
        var modules: [NetworkSpecification.Module] = []
        var columns = inputs
        for width in hidden {
            let normalizesProduct = normalization != nil && placement == .before
            modules.append(.linear(inputs: columns, outputs: width, bias: !normalizesProduct))
            if normalizesProduct { modules.append(.batchNorm(channels: width)) }
            modules.append(.activation(activation, columns: width))
            if normalization != nil && placement == .after {
                modules.append(.batchNorm(channels: width))
            }
            columns = width
        }
        modules.append(.linear(inputs: columns, outputs: classes, bias: true))
        return NetworkSpecification(
            name: "mlp", inputs: inputs, classes: classes, modules: modules,
            normalization: normalization ?? BatchNormSettings())
    }
}
