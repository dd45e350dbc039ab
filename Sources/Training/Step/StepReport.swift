/// What one optimizer step came to; over the whole global batch.
public struct StepReport: Sendable {
    /// The step, from 1.
    public let step: Int
    /// Its epoch, from 1.
    public let epoch: Int
    /// Loss and correct answers of the batch.
    public let sums: SampleSums
    /// The learning rate of this step.
    public let learningRate: Double
    /// Why the step was skipped; nil where it was done.
    public var skipped: NonFinite? = nil

    /// Samples of the batch.
    public var samples: Int { sums.samples }
    /// The mean loss of the batch.
    public var loss: Double { sums.loss }
    /// The share of its samples classified rightly, 0…1.
    public var accuracy: Double { sums.accuracy }
}

/// Sums over samples: what is known of several batches, of which some are shorter, is the quotient of
/// such sums and not a mean of the batches' means.
public struct SampleSums: Hashable, Sendable {
    /// How many.
    public var samples = 0
    /// Of their losses, in natural logarithms.
    public var totalLoss = 0.0
    /// How many are classified rightly.
    public var correct = 0.0

    /// The mean loss; NaN of no samples.
    public var loss: Double { totalLoss / Double(samples) }
    /// The share classified rightly, 0…1; NaN of no samples.
    public var accuracy: Double { correct / Double(samples) }

    static func += (sums: inout SampleSums, more: SampleSums) {
        sums.samples += more.samples
        sums.totalLoss += more.totalLoss
        sums.correct += more.correct
    }
}
