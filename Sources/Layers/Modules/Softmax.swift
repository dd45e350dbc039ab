import Glibc
import Kernels
public import TensorCore

/// Probabilities of classes, for modules behind them: see ``SoftmaxLayer``.
public struct Softmax: Module {
    /// It has no options.
    public init() {}

    /// A `SoftmaxLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        SoftmaxLayer(name: place.name, classes: place.input.channels, rows: worker.rows)
    }

    /// y = e^x / Σe^x over each row.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        var output = input
        for i in 0..<input.rows {
            let row = (0..<input.columns).map { input[i, $0] }
            let largest = row.max() ?? 0
            let sum = row.reduce(0) { $0 + exp($1 - largest) }
            for j in 0..<input.columns { output[i, j] = exp(row[j] - largest) / sum }
        }
        return output
    }

    /// dx[j] = Σₖ dy[k]·p[k]·(δⱼₖ − p[j]), p = softmax.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        let p = reference(input, context)
        var result = p
        for i in 0..<p.rows {
            for j in 0..<p.columns {
                result[i, j] = (0..<p.columns).reduce(0) {
                    $0 + outputGradient[i, $1] * p[i, $1] * ((j == $1 ? 1 : 0) - p[i, j])
                }
            }
        }
        return ReferenceGradients(result)
    }
}

/// Softmax as a layer, for networks that go on behind it: y = e^x / Σe^x over the classes.
///
/// - input, output [N, classes]
/// - backward: dx = y·(dy − Σ dy·y)
///
/// Where the loss follows at once, ``CrossEntropy`` of logits is both in one, and exact where y is
/// near 0 or 1.
public final class SoftmaxLayer: Layer {
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
    public var traits: LayerTraits {
        var traits = LayerTraits()
        traits.worksInPlace = true
        return traits
    }

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
