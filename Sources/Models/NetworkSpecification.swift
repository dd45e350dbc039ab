public import Kernels
public import Layers
public import Normalization
import TensorCore

/// A network as a value: what the layers are, before any memory is laid out for them.
///
/// Names count modules as `nn.Sequential(Linear, BatchNorm1d, Sigmoid, …)` would, so that a state
/// dict is read by PyTorch as it is, whatever is fused here.
public struct NetworkSpecification: Hashable, Sendable {
    /// One module.
    public enum Module: Hashable, Sendable {
        /// A fully connected layer.
        case linear(inputs: Int, outputs: Int, bias: Bool)
        /// Batch normalisation of this many channels.
        case batchNorm(channels: Int)
        /// An activation of this many columns.
        case activation(ActivationKind, columns: Int)
    }

    /// The name in headers: "mlp".
    public let name: String

    /// Values of one input sample.
    public let inputs: Int

    /// Classes that the last module tells apart.
    public let classes: Int

    /// The modules, first to last; module N is named `layers.N`.
    public let modules: [Module]

    /// How the batch-normalisation modules work.
    public let normalization: BatchNormSettings

    /// A network of these modules.
    public init(
        name: String, inputs: Int, classes: Int, modules: [Module],
        normalization: BatchNormSettings
    ) {
        self.name = name
        self.inputs = inputs
        self.classes = classes
        self.modules = modules
        self.normalization = normalization
    }

    /// The name of module `index`.
    public static func moduleName(_ index: Int) -> String { "layers.\(index)" }

    /// Whether the network has batch normalisation.
    public var isNormalized: Bool {
        modules.contains { if case .batchNorm = $0 { true } else { false } }
    }

    /// Where everything lies, in file order.
    ///
    /// - Parameter shards: the number of shards; normalised over all of them, γ and β are known to
    ///   every worker without a further reduction.
    public func layout(shards: Int) -> ModelLayout {
        var declarations: [ModelLayout.Declaration] = []
        var ordinal = 0
        let isGlobal = normalization.scope.groupSize(shards: shards) == shards
        for (index, module) in modules.enumerated() {
            let name = Self.moduleName(index)
            switch module {
            case .linear(let inputs, let outputs, let bias):
                declarations.append(
                    .parameter(
                        name: "\(name).weight", shape: [outputs, inputs],
                        role: .weight(ordinal: ordinal), isReduced: true))
                if bias {
                    declarations.append(
                        .parameter(
                            name: "\(name).bias", shape: [outputs], role: .bias, isReduced: true))
                }
                ordinal += 1
            case .batchNorm(let channels):
                if normalization.affine {
                    for (suffix, role) in [("weight", Parameter.Role.scale), ("bias", .shift)] {
                        declarations.append(
                            .parameter(
                                name: "\(name).\(suffix)", shape: [channels], role: role,
                                isReduced: !isGlobal))
                    }
                }
                declarations.append(.statistics(name: name, channels: channels))
            case .activation: break
            }
        }
        return ModelLayout(declarations)
    }
}
