import Datasets
package import Layers
import Optimization

/// One optimizer step: which samples, and what the optimizer makes of them.
package struct TrainingStep {
    /// Counts from 1.
    package let number: Int

    /// Its samples, in the order of the epoch.
    let batch: EpochSampler.Batch

    /// How they fall on the worker's shards.
    package let pass: Pass

    /// What schedules make of the learning rate and the momentum.
    let settings: StepSettings

    /// Its epoch, from 1.
    var epoch: Int { batch.epoch }

    /// Its learning rate.
    var learningRate: Double { settings.learningRate }
}

/// The phases of a step in their order, and behind them what instruments also stand around.
package enum StepPhase: String, Sendable {
    /// The samples become inputs and labels.
    case load
    /// From the inputs to the worker's logits.
    case forward
    /// The loss of the whole batch, and who wants to stop or save; alike on all workers.
    case loss
    /// Gradients of the worker's shards, into its nodes of the tree.
    case backward
    /// The gradients' sum, and the parameters that follow from it.
    case update
    /// The running statistics, and what the next forward pass reads.
    case commit

    /// A backward pass that is done again, in search of a value that is not finite.
    case repeatedBackward
    /// An evaluation after the step.
    case evaluation
    /// The end of a step behind which the run goes on, where it is saved if it is time.
    case saving
}
