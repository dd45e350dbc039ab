import Kernels
public import TensorCore

/// Softmax and cross-entropy: the loss −Σ q·log p, averaged over the global batch, where the target
/// q is 1 at the label or, with label smoothing s over K classes, 1 − s + s/K there and s/K elsewhere.
///
/// - logits [rows, classes], labels [rows] in 0 ..< classes
/// - backward: (p − q) / samples. This is the one place where a gradient is divided by the
///   global count; everything behind it sums.
public final class SoftmaxCrossEntropy {
    /// What a shard contributes to the metrics.
    public struct Sums: Hashable, Sendable {
        /// The sum of its samples' losses, in natural logarithms.
        public var loss: Double
        /// Its samples whose largest logit is at the label.
        public var correct: Int
    }

    /// s, the share of the target that all classes have alike, 0 ..< 1; in evaluations, too.
    public var labelSmoothing = 0.0

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
            labelSmoothing: labelSmoothing,
            logitsGradient: pass.mode == .training ? gradient.row(shard.lowerBound) : nil)
        return Sums(loss: result.lossSum, correct: result.correct)
    }
}
