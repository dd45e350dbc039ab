public import Kernels
public import TensorCore

/// An element-wise activation: sigmoid, tanh or ReLU.
///
/// - input, output [rows, C]
/// - backward: dx = dy·f′, from the output: y(1 − y), 1 − y², or y > 0.
public final class Activation: Layer {
    /// The name in messages: `layers.1`.
    public let name: String

    /// Values in a row of the output, C.
    public let outputs: Int
    private let kind: ActivationKind
    private let output: Tensor

    /// - Parameter rows: the most rows of a pass.
    public init(name: String, _ kind: ActivationKind, columns: Int, rows: Int) {
        self.name = name
        self.kind = kind
        outputs = columns
        output = Tensor(rows: rows, columns: columns)
    }

    /// y, [rows, C].
    public func forward(_ input: Tensor, _ pass: Pass) -> Tensor {
        activate(
            input: input.pointer, count: pass.rows * outputs, activation: kind,
            output: output.pointer)
        return output
    }

    /// dx, [rows, C], over `outputGradient`.
    public func backward(
        _ outputGradient: Tensor, _ pass: Pass, needsInputGradient: Bool
    ) -> Tensor? {
        guard needsInputGradient else { return nil }
        activateBackward(
            output: output.pointer, outputGradient: outputGradient.pointer,
            count: pass.rows * outputs, activation: kind, inputGradient: outputGradient.pointer)
        return outputGradient
    }
}
