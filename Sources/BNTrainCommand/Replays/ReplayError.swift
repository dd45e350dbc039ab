import Training

/// Why a run cannot be computed again.
enum ReplayError: Error, Equatable {
    /// `--step` is missing.
    case noStep
    /// The run is shorter.
    case noSuchStep(path: String, step: Int, totalSteps: Int)
    /// The two runs' tensors have other names.
    case otherModels(first: String, second: String)
    /// Metrics of the two runs have no step in common.
    case nothingInCommon(first: String, second: String)

    var code: ExitCode { .usage }
}

extension ReplayError: CustomStringConvertible {
    /// What, where, what to do; one line.
    var description: String {
        switch self {
        case .noStep: "replay computes one step again: give --step S"
        case .noSuchStep(let path, let step, let totalSteps):
            "there is no step \(step) in '\(visible(path))': the run has \(totalSteps); give a step "
                + "from 1 to \(totalSteps)"
        case .otherModels(let first, let second):
            "'\(visible(first))' and '\(visible(second))' are runs of other networks or optimizers, "
                + "whose tensors have other names: give two runs of one"
        case .nothingInCommon(let first, let second):
            "'\(visible(first))' and '\(visible(second))' have no step in common of which both "
                + "metrics.jsonl have the digest: train with the same watch.digestSteps or "
                + "evaluate.everySteps"
        }
    }
}
