import Kernels
public import TensorCore

/// What a network's last layer gives for each class, from which probabilities are made.
public enum OutputKind: Hashable, Sendable {
    /// p = e^x / Σe^x.
    case logits
    /// p = x / Σx, kept in 1e-7 … 1 − 1e-7: what Keras does with outputs that are not logits. They
    /// were probabilities once; something behind the softmax has changed them.
    case proportions
}

/// Cross-entropy of a network's outputs: the loss −Σ q·log p, averaged over the global batch, where
/// the target q is 1 at the label or, with label smoothing s over K classes, 1 − s + s/K there and
/// s/K elsewhere.
///
/// - outputs [rows, classes], labels [rows] in 0 ..< classes
/// - backward: of logits (p − q) / samples. This is the one place where a gradient is divided by
///   the global count; everything behind it sums.
public final class CrossEntropy {
    /// What a shard contributes to the metrics.
    public struct Sums: Hashable, Sendable {
        /// The sum of its samples' losses, in natural logarithms.
        public var loss: Double
        /// Its samples whose largest output is at the label.
        public var correct: Int
    }

    /// s, the share of the target that all classes have alike, 0 ..< 1; in evaluations, too.
    public var labelSmoothing = 0.0

    private let kind: OutputKind
    private let classes: Int
    private let gradient: Tensor

    /// - Parameter rows: the most rows of a pass.
    public init(of kind: OutputKind = .logits, classes: Int, rows: Int) {
        self.kind = kind
        self.classes = classes
        gradient = Tensor(rows: rows, columns: classes)
    }

    /// The outputs' gradient, as the last `forward` of mode training left it.
    public var outputGradient: Tensor { gradient }

    /// Computes shard `position`'s loss and, in training, its part of the outputs' gradient.
    package func forward(
        _ outputs: Tensor, labels: UnsafePointer<UInt8>, shard position: Int, _ pass: Pass
    ) -> Sums {
        let shard = pass.shardRows[position]
        let values = UnsafePointer(outputs.row(shard.lowerBound))
        let labels = labels + shard.lowerBound
        let scale = 1 / Float(max(pass.samples, 1))
        let gradient = pass.mode == .training ? gradient.row(shard.lowerBound) : nil
        let result =
            switch kind {
            case .logits:
                softmaxCrossEntropy(
                    logits: values, rows: shard.count, classes: classes, labels: labels,
                    gradientScale: scale, labelSmoothing: labelSmoothing,
                    logitsGradient: gradient)
            case .proportions:
                proportionCrossEntropy(
                    outputs: values, rows: shard.count, classes: classes, labels: labels,
                    gradientScale: scale, labelSmoothing: labelSmoothing,
                    outputGradient: gradient)
            }
        return Sums(loss: result.lossSum, correct: result.correct)
    }

    /// What the loss takes the first `rows` outputs for; of proportions the row's sum may differ
    /// from 1, because each is kept in its bounds by itself.
    package func probabilities(of outputs: Tensor, rows: Int, into probabilities: Tensor) {
        switch kind {
        case .logits:
            softmax(
                logits: outputs.pointer, rows: rows, classes: classes,
                probabilities: probabilities.pointer)
        case .proportions:
            proportionProbabilities(
                outputs: outputs.pointer, rows: rows, classes: classes,
                probabilities: probabilities.pointer)
        }
    }
}
