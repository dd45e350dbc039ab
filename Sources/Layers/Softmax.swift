import Kernels
public import TensorCore

/// Softmax as a layer, for networks that go on behind it: y = e^x / Σe^x over the classes.
///
/// - input, output [N, classes]
/// - backward: dx = y·(dy − Σ dy·y)
///
/// Where the loss follows at once, ``CrossEntropy`` of logits is both in one, and exact where y is
/// near 0 or 1.
public final class Softmax: Layer {
    /// The name in messages: `softmax`.
    public let name: String

    /// Classes.
    public let outputs: Int

    /// y, [N, classes].
    public let output: Tensor

    /// - Parameter rows: the most samples of a pass.
    public init(name: String, classes: Int, rows: Int) {
        self.name = name
        outputs = classes
        output = Tensor(rows: rows, columns: classes)
    }

    /// dx may be written over dy.
    public var worksInPlace: Bool { true }

    /// y, of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        let first = block.rows.lowerBound * outputs
        softmax(
            logits: input.pointer + first, rows: block.rows.count, classes: outputs,
            probabilities: output.pointer + first)
    }

    /// dx, of the block's rows.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        guard let inputGradient else { return }
        let first = block.rows.lowerBound * outputs
        softmaxBackward(
            probabilities: output.pointer + first, outputGradient: outputGradient.pointer + first,
            rows: block.rows.count, classes: outputs, logitsGradient: inputGradient.pointer + first)
    }
}
