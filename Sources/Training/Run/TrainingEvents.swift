/// Loss and accuracy over a whole set of samples, with inference statistics.
public struct Evaluation: Hashable, Sendable {
    /// The mean loss, in natural logarithms.
    public let loss: Double
    /// The share classified rightly, 0…1.
    public let accuracy: Double
}

/// What is known at an evaluation.
public struct EvaluationReport: Sendable {
    /// Steps done.
    public let step: Int
    /// The epoch of the last step, from 1.
    public let epoch: Int
    /// The mean loss of the training samples since the last evaluation; NaN where all steps were skipped.
    public let trainingLoss: Double
    /// The share of the same samples classified rightly, 0…1.
    public let trainingAccuracy: Double
    /// The learning rate of the last step.
    public let learningRate: Double
    /// Training samples a second of training, evaluations not counted, since the start.
    public let imagesPerSecond: Double
    /// On the samples held out, if there are any.
    public let validation: Evaluation?
    /// On the test samples: at the end, and where nothing is held out.
    public let test: Evaluation?
    /// SHA-256 of parameters and running statistics.
    public let digest: String
}

/// What a run came to.
public struct TrainingOutcome: Sendable {
    /// Steps done.
    public let steps: Int
    /// Whole epochs and the part of the last one.
    public let epochs: Double
    /// Seconds of training, without evaluations.
    public let seconds: Double
    /// Training samples over those seconds.
    public let imagesPerSecond: Double
    /// The mean loss of the samples of the last epoch or 1 000 steps, the shorter.
    public let trainingLoss: Double
    /// The last evaluation; where the run was stopped, what is known without one.
    public let last: EvaluationReport
    /// Where the run was stopped before its end: what was saved.
    public let stop: Stop?
    /// The share of those seconds, 0…1, in which worker 0 had no batch and waited for it or filled
    /// it itself; nil where batches are not filled ahead.
    public let dataShare: Double?
}

extension TrainingOutcome {
    /// How a run ended before its end.
    public struct Stop: Hashable, Sendable {
        /// The checkpoint; nil on other ranks than 0, and where the run saves none.
        public let checkpoint: String?
    }
}

/// Who watches a run: called by the one worker that speaks, on its thread, between steps.
public protocol TrainingObserver: Sendable {
    /// A step was done.
    func stepped(_ report: StepReport)
    /// An evaluation was done. What it throws ends the run.
    func evaluated(_ report: EvaluationReport) throws
    /// A step was probed. What it throws ends the run.
    func probed(_ report: ProbeReport) throws
    /// A checkpoint was written, or could not be.
    func saved(_ report: CheckpointReport)
    /// A step was skipped. What it throws ends the run.
    func skipped(_ report: StepReport, _ found: NonFinite) throws
    /// The digest after a step that was not evaluated. What it throws ends the run.
    func digested(step: Int, epoch: Int, digest: String) throws
}

extension TrainingObserver {
    /// Does nothing.
    public func probed(_ report: ProbeReport) throws {}
    /// Does nothing.
    public func saved(_ report: CheckpointReport) {}
    /// Does nothing.
    public func digested(step: Int, epoch: Int, digest: String) throws {}
    /// Does nothing.
    public func skipped(_ report: StepReport, _ found: NonFinite) throws {}
}

/// What ends a training run from within.
public enum TrainingError: Error, Sendable {
    /// The loss is no longer finite.
    case diverged(step: Int, epoch: Int, found: NonFinite, learningRate: Double)

    /// Loss or gradient are no longer finite, and the run shall go back to its last checkpoint; an
    /// error where there is none.
    case rollback(step: Int, epoch: Int, found: NonFinite, learningRate: Double)

    /// After a step the ranks' replicas have not the same bits. `ranks` are those that are not like
    /// the majority of `others`; all of them where there is none, and `others` is 0. `tensor` is the
    /// first that differs.
    case replicasDiffer(
        step: Int, epoch: Int, tensor: String, ranks: [RankOnHost], others: Int)

    /// A shard has other bits when it is computed again. `what` is the first that differs of what
    /// leaves the shard, in the order of computation; `layer` is nil for the loss.
    case shardDiffers(
        step: Int, epoch: Int, shard: Int, layer: String?, what: String, by: WorkerOnHost,
        again: WorkerOnHost)

    /// Something failed inside a step.
    case failed(step: Int, epoch: Int, cause: any Error)
}

extension TrainingError: CustomStringConvertible {
    /// What, where, what to do; one line.
    public var description: String {
        switch self {
        case .rollback(let step, let epoch, let found, let rate):
            return
                "training diverged at step \(step) (epoch \(epoch)): \(found.place); there is no "
                + "whole checkpoint to go back to: set checkpoint.everySteps, or lower "
                + "optimizer.learningRate (now \(rate))"
        case .diverged(let step, let epoch, let found, let rate):
            return "training diverged at step \(step) (epoch \(epoch)): \(found.place); lower "
                + "optimizer.learningRate (now \(rate)), add schedule.warmupSteps, "
                + "or check the data's scaling"
        case .replicasDiffer(let step, let epoch, let tensor, let ranks, let others):
            let names = ranks.map(\.description)
            let several = ranks.count > 1
            let list =
                several
                ? "ranks " + names.dropLast().joined(separator: ", ") + " and "
                    + names[names.count - 1] : "rank \(names[0])"
            let finding =
                others > 0
                ? "\(several ? "differ" : "differs") from the \(others) others"
                : "differ, and no majority says who is right"
            return "the replicas are not equal after step \(step) (epoch \(epoch)): in \(tensor) "
                + "\(list) \(finding); the step is not saved: test memory and processor of "
                + "\(several ? "their hosts" : "its host"), or another MPI library, and go on from "
                + "the last checkpoint with --resume auto"
        case .shardDiffers(
            let step, let epoch, let shard, let layer, let what, let owner, let auditor):
            let thing = layer.map { "layer \($0)'s \(what)" } ?? "its \(what)"
            let isOne = owner == auditor
            return "shard \(shard) of step \(step) (epoch \(epoch)) has other bits when it is "
                + "computed again: \(thing) by \(owner) and by \(isOne ? "itself" : "\(auditor)"); "
                + "the step is not saved: test memory and processor of "
                + "\(owner.rank == auditor.rank ? "its host" : "both hosts"), and go on from the "
                + "last checkpoint with --resume auto"
        case .failed(let step, let epoch, let cause):
            return "epoch \(epoch), step \(step): \(cause)"
        }
    }
}
