import Configuration

/// A step whose loss or gradient is not finite, and where that began.
public struct NonFinite: Hashable, Sendable {
    /// What is not finite.
    public enum Value: String, Hashable, Sendable {
        /// The loss of the batch, or of an evaluation.
        case loss
        /// The gradient of some parameter, where the loss is finite.
        case gradient
    }

    /// What is not finite.
    public let value: Value
    /// The first layer, in the order of computation, with such an output or, for gradients, with
    /// such a gradient; nil where no layer has one.
    public let layer: String?
    /// The first shard that it has it in; nil where it is not one shard's own.
    public let shard: Int?

    /// What is not finite, and where it began.
    public init(value: Value, layer: String?, shard: Int?) {
        self.value = value
        self.layer = layer
        self.shard = shard
    }

    /// Where it began, in words.
    public var place: String {
        guard let layer else {
            return "the loss of finite logits, or of an evaluation, is not finite"
        }
        let what = value == .loss ? "layer \(layer)" : "the gradient of layer \(layer)"
        return "\(what) was the first \(value == .loss ? "to give" : "with") NaN or Inf"
            + (shard.map { ", in shard \($0)" } ?? "")
    }
}

extension NonFinite {
    /// What ends this course of a run, where there is no step that could be skipped.
    func ending(
        _ policy: RunConfiguration.Watch.NonFinite, step: Int, epoch: Int, learningRate: Double
    ) -> TrainingError {
        switch policy {
        case .stop, .skip:
            .diverged(step: step, epoch: epoch, found: self, learningRate: learningRate)
        case .rollback:
            .rollback(step: step, epoch: epoch, found: self, learningRate: learningRate)
        }
    }
}
