import Collectives

extension TrainingWorker {
    /// One optimizer step, from the samples to the next parameters.
    ///
    /// - Throws: what ends the run, and in which step: see `TrainingStep.failure`.
    @discardableResult
    func take(_ step: TrainingStep) throws -> StepReport {
        communicator.step = step.number
        do {
            try around(.load, of: step) { load(step.batch) }
            let logits = try around(.forward, of: step) { try forward(step.pass) }
            try around(.loss, of: step) { try computeLoss(of: logits, step.pass) }
            try around(.backward, of: step) { try backward(step.pass) }
            try around(.update, of: step) { try sumAndUpdate(at: step.settings) }
            try around(.commit, of: step) { try commit(step.pass) }
        } catch let skip as SkippedStep {
            return step.report(sums, skipped: skip.found)
        } catch {
            throw step.failure(error)
        }
        return step.report(sums)
    }
}

extension TrainingStep {
    fileprivate func report(_ sums: SampleSums, skipped: NonFinite? = nil) -> StepReport {
        StepReport(
            step: number, epoch: epoch, sums: sums, learningRate: learningRate,
            skipped: skipped)
    }

    /// What an error says to those who watch: where it happened, unless it says so itself or is only
    /// the echo of a team-mate's.
    func failure(_ error: any Error) -> any Error {
        if let error = error as? CollectiveError, error == .peerFailed { return error }
        switch error as? TrainingError {
        case .diverged, .rollback, .shardDiffers: return error
        default: return TrainingError.failed(step: number, epoch: epoch, cause: error)
        }
    }
}
