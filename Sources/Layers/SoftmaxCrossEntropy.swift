import Kernels
public import TensorCore

/// Softmax and cross-entropy: the loss −log p(label), averaged over the global batch.
///
/// - logits [rows, classes], labels [rows] in 0 ..< classes
/// - backward: (p − one-hot) / samples. This is the one place where a gradient is divided by the
///   global count; everything behind it sums.
public final class SoftmaxCrossEntropy {
    /// What a shard contributes to the metrics.
    public struct Sums: Hashable, Sendable {
        /// The sum of its samples' losses, in natural logarithms.
        public var loss: Double
        /// Its samples whose largest logit is at the label.
        public var correct: Int
    }

    private let classes: Int
    private let gradient: Tensor

    /// - Parameter rows: the most rows of a pass.
    public init(classes: Int, rows: Int) {
        self.classes = classes
        gradient = Tensor(rows: rows, columns: classes)
    }

    /// The logits' gradient, as the last `forward` of mode training left it.
    public var logitsGradient: Tensor { gradient }

    /// Computes shard `position`'s loss and, in training, its part of the logits' gradient.
    package func forward(
        _ logits: Tensor, labels: UnsafePointer<UInt8>, shard position: Int, _ pass: Pass
    ) -> Sums {
        let shard = pass.shardRows[position]
        let result = softmaxCrossEntropy(
            logits: logits.row(shard.lowerBound), rows: shard.count, classes: classes,
            labels: labels + shard.lowerBound, gradientScale: 1 / Float(max(pass.samples, 1)),
            logitsGradient: pass.mode == .training ? gradient.row(shard.lowerBound) : nil)
        return Sums(loss: result.lossSum, correct: result.correct)
    }
}
