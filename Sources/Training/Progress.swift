/// The best evaluation of a run, by its accuracy: on held-out samples, or else on test samples.
public struct BestEvaluation: Equatable, Sendable {
    /// The accuracy, 0…1.
    public let accuracy: Double
    /// Steps done.
    public let step: Int
}

/// Means, rates and times of a run, as one worker keeps them. Allocates only when it is made.
struct Progress {
    private let plan: RunPlan
    private let clock = ContinuousClock()
    private var runningSince: ContinuousClock.Instant
    private var seconds = 0.0
    private var isRunning = true
    /// Seconds before the checkpoint that the run goes on from.
    private var secondsBefore = 0.0
    private var samples = 0
    private var lastStep = 0

    /// Since the last evaluation.
    private var window = (steps: 0, loss: 0.0, accuracy: 0.0)

    /// The losses of the last epoch or 1 000 steps, the shorter, round and round.
    private var losses: [Double]
    private var last: EvaluationReport?
    private(set) var best: BestEvaluation?

    /// - Parameters:
    ///   - step: steps done before.
    ///   - saved: what was known after them.
    init(_ plan: RunPlan, afterStep step: Int = 0, saved: Saved? = nil) {
        self.plan = plan
        runningSince = clock.now
        losses = Array(
            repeating: 0, count: max(1, min(1000, plan.stepsPerEpoch, plan.totalSteps)))
        guard let saved else { return }
        lastStep = step
        samples = saved.samples
        seconds = saved.seconds
        secondsBefore = saved.seconds
        window = (saved.windowSteps, saved.windowLoss, saved.windowAccuracy)
        best = saved.best
        for (index, loss) in saved.losses.suffix(min(losses.count, step)).reversed().enumerated() {
            losses[(step - 1 - index) % losses.count] = loss
        }
    }

    mutating func add(_ report: StepReport) {
        samples += report.samples
        lastStep = report.step
        losses[(report.step - 1) % losses.count] = report.loss
        window.steps += 1
        window.loss += report.loss
        window.accuracy += report.accuracy
    }

    /// A step that was not done: its loss counts for nothing.
    mutating func skip(_ report: StepReport) {
        samples += report.samples
        lastStep = report.step
        let place = (report.step - 1) % losses.count
        losses[place] = losses[(place + losses.count - 1) % losses.count]
    }

    /// Stops the clock: what follows is no training.
    mutating func pause() {
        seconds = secondsSoFar
        isRunning = false
    }

    mutating func resume() {
        runningSince = clock.now
        isRunning = true
    }

    private var secondsSoFar: Double {
        isRunning ? seconds + (clock.now - runningSince) / .seconds(1) : seconds
    }

    mutating func evaluated(
        after report: StepReport, validation: Evaluation?, test: Evaluation?, digest: String
    ) -> EvaluationReport {
        let result = evaluation(
            after: report, validation: validation, test: test, digest: digest)
        window = (0, 0, 0)
        last = result
        if let accuracy = (validation ?? test)?.accuracy, accuracy > best?.accuracy ?? -1 {
            best = BestEvaluation(accuracy: accuracy, step: report.step)
        }
        return result
    }

    private func evaluation(
        after report: StepReport, validation: Evaluation?, test: Evaluation?, digest: String
    ) -> EvaluationReport {
        let steps = Double(max(window.steps, 1))
        return EvaluationReport(
            step: report.step, epoch: report.epoch, trainingLoss: window.loss / steps,
            trainingAccuracy: window.accuracy / steps, learningRate: report.learningRate,
            imagesPerSecond: Double(samples) / seconds, validation: validation, test: test,
            digest: digest)
    }

    /// - Parameter dataSeconds: how long worker 0 waited for data, if batches are filled ahead.
    func outcome(dataSeconds: Double? = nil) -> TrainingOutcome {
        guard let last else { preconditionFailure("a run ends with an evaluation") }
        return outcome(last, dataSeconds: dataSeconds, stop: nil)
    }

    /// The outcome of a run that was stopped after a step, and paused.
    func outcome(
        stoppedAfter report: StepReport, digest: String, checkpoint: String?
    ) -> TrainingOutcome {
        outcome(
            evaluation(after: report, validation: nil, test: nil, digest: digest),
            dataSeconds: nil, stop: TrainingOutcome.Stop(checkpoint: checkpoint))
    }

    private func outcome(
        _ last: EvaluationReport, dataSeconds: Double?, stop: TrainingOutcome.Stop?
    ) -> TrainingOutcome {
        let known = min(losses.count, lastStep)
        return TrainingOutcome(
            steps: lastStep, epochs: Double(lastStep) / Double(plan.stepsPerEpoch),
            seconds: seconds, imagesPerSecond: Double(samples) / seconds,
            trainingLoss: losses[..<known].reduce(0, +) / Double(known), last: last,
            stop: stop, dataShare: dataSeconds.map { $0 / (seconds - secondsBefore) })
    }
}

// MARK: - In checkpoints

extension Progress {
    /// What a resumed run must know to report what an uninterrupted one would.
    struct Saved: Equatable, Sendable {
        var samples: Int
        var seconds: Double
        var windowSteps: Int
        var windowLoss: Double
        var windowAccuracy: Double
        /// The latest losses, the oldest first.
        var losses: [Double]
        var best: BestEvaluation?
    }

    /// What is known after `step`, the last one.
    func saved(afterStep step: Int) -> Saved {
        let known = min(losses.count, step)
        return Saved(
            samples: samples, seconds: secondsSoFar,
            windowSteps: window.steps, windowLoss: window.loss, windowAccuracy: window.accuracy,
            losses: (step - known..<step).map { losses[$0 % losses.count] }, best: best)
    }
}

extension Progress.Saved {
    var json: JSONValue {
        [
            "samples": .int(samples), "seconds": .double(seconds),
            "window": [
                "steps": .int(windowSteps), "loss": .double(windowLoss),
                "accuracy": .double(windowAccuracy),
            ],
            "losses": .array(losses.map { .double($0) }),
            "best": best.map { ["accuracy": .double($0.accuracy), "step": .int($0.step)] } ?? nil,
        ]
    }

    /// Nil for what `json` does not write.
    init?(_ json: JSONValue) {
        guard let samples = json["samples"]?.int, let seconds = json["seconds"]?.double,
            let window = json["window"], let windowSteps = window["steps"]?.int,
            let windowLoss = window["loss"]?.double,
            let windowAccuracy = window["accuracy"]?.double,
            let losses = json["losses"]?.array?.map(\.double), !losses.contains(nil),
            let best = json["best"]
        else { return nil }
        self.init(
            samples: samples, seconds: seconds, windowSteps: windowSteps, windowLoss: windowLoss,
            windowAccuracy: windowAccuracy, losses: losses.compactMap { $0 }, best: nil)
        if best == nil { return }
        guard let accuracy = best["accuracy"]?.double, let step = best["step"]?.int else {
            return nil
        }
        self.best = BestEvaluation(accuracy: accuracy, step: step)
    }
}
