public import TensorCore

/// Layers one after the other.
public final class Sequential: Layer {
    /// The name in messages.
    public let name: String

    /// The layers, first to last.
    public let layers: [any Layer]

    /// Called after each layer's forward or backward, with its position; for profiles.
    package var layerFinished: ((_ index: Int) -> Void)?

    /// Layers of which each takes the output of the one before it; at least one.
    public init(name: String = "layers", _ layers: [any Layer]) {
        precondition(!layers.isEmpty, "a sequence has a layer")
        self.name = name
        self.layers = layers
    }

    /// Values in a row of the last layer's output.
    public var outputs: Int { layers[layers.count - 1].outputs }

    /// The last layer's output, each layer having taken the one's before it.
    public func forward(_ input: Tensor, _ pass: Pass) throws -> Tensor {
        var value = input
        for index in layers.indices {
            value = try layers[index].forward(value, pass)
            layerFinished?(index)
        }
        return value
    }

    /// The first layer's input gradient, the layers having run in reverse.
    public func backward(
        _ outputGradient: Tensor, _ pass: Pass, needsInputGradient: Bool
    ) throws -> Tensor? {
        var gradient = outputGradient
        for index in layers.indices.reversed() {
            let next = try layers[index].backward(
                gradient, pass, needsInputGradient: index > 0 || needsInputGradient)
            layerFinished?(index)
            guard let next else { return nil }
            gradient = next
        }
        return gradient
    }
}
