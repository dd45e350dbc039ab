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
    private var window = SampleSums()

    /// Of each step of the last epoch or 1 000 steps, the shorter, round and round.
    private var recent: [SampleSums]
    private var last: EvaluationReport?
    private(set) var best: BestEvaluation?

    /// - Parameters:
    ///   - step: steps done before.
    ///   - saved: what was known after them.
    init(_ plan: RunPlan, afterStep step: Int = 0, saved: Saved? = nil) {
        self.plan = plan
        runningSince = clock.now
        recent = Array(
            repeating: SampleSums(), count: max(1, min(1000, plan.stepsPerEpoch, plan.totalSteps)))
        guard let saved else { return }
        lastStep = step
        samples = saved.samples
        seconds = saved.seconds
        secondsBefore = saved.seconds
        window = saved.window
        best = saved.best
        for (index, sums) in saved.recent.suffix(min(recent.count, step)).reversed().enumerated() {
            recent[(step - 1 - index) % recent.count] = sums
        }
    }

    mutating func add(_ report: StepReport) {
        samples += report.samples
        lastStep = report.step
        recent[(report.step - 1) % recent.count] = report.sums
        window += report.sums
    }

    /// A step that was not done: its loss counts for nothing.
    mutating func skip(_ report: StepReport) {
        samples += report.samples
        lastStep = report.step
        recent[(report.step - 1) % recent.count] = SampleSums()
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
        window = SampleSums()
        last = result
        if let accuracy = (validation ?? test)?.accuracy, accuracy > best?.accuracy ?? -1 {
            best = BestEvaluation(accuracy: accuracy, step: report.step)
        }
        return result
    }

    private func evaluation(
        after report: StepReport, validation: Evaluation?, test: Evaluation?, digest: String
    ) -> EvaluationReport {
        EvaluationReport(
            step: report.step, epoch: report.epoch, trainingLoss: window.loss,
            trainingAccuracy: window.accuracy, learningRate: report.learningRate,
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
        var all = SampleSums()
        for sums in recent { all += sums }
        return TrainingOutcome(
            steps: lastStep, epochs: Double(lastStep) / Double(plan.stepsPerEpoch),
            seconds: seconds, imagesPerSecond: Double(samples) / seconds,
            trainingLoss: all.loss, last: last,
            stop: stop, dataShare: dataSeconds.map { $0 / (seconds - secondsBefore) })
    }
}

// MARK: - In checkpoints

extension Progress {
    /// What a resumed run must know to report what an uninterrupted one would.
    struct Saved: Equatable, Sendable {
        var samples: Int
        var seconds: Double
        /// Since the last evaluation.
        var window: SampleSums
        /// Of the latest steps, the oldest first.
        var recent: [SampleSums]
        var best: BestEvaluation?
    }

    /// What is known after `step`, the last one.
    func saved(afterStep step: Int) -> Saved {
        let known = min(recent.count, step)
        return Saved(
            samples: samples, seconds: secondsSoFar, window: window,
            recent: (step - known..<step).map { recent[$0 % recent.count] }, best: best)
    }
}

extension Progress.Saved {
    var json: JSONValue {
        [
            "samples": .int(samples), "seconds": .double(seconds),
            "window": window.json, "recent": .array(recent.map(\.json)),
            "best": best.map { ["accuracy": .double($0.accuracy), "step": .int($0.step)] } ?? nil,
        ]
    }

    /// Nil for what `json` does not write.
    init?(_ json: JSONValue) {
        guard let samples = json["samples"]?.int, let seconds = json["seconds"]?.double,
            let window = json["window"].flatMap(SampleSums.init),
            let recent = json["recent"]?.array?.map(SampleSums.init), !recent.contains(nil),
            let best = json["best"]
        else { return nil }
        self.init(
            samples: samples, seconds: seconds, window: window,
            recent: recent.compactMap { $0 }, best: nil)
        if best == nil { return }
        guard let accuracy = best["accuracy"]?.double, let step = best["step"]?.int else {
            return nil
        }
        self.best = BestEvaluation(accuracy: accuracy, step: step)
    }
}

extension SampleSums {
    /// [samples, sum of losses, correct].
    fileprivate var json: JSONValue {
        .array([.int(samples), .double(totalLoss), .double(correct)])
    }

    /// Nil for what `json` does not write.
    fileprivate init?(_ json: JSONValue) {
        guard let values = json.array, values.count == 3, let samples = values[0].int,
            let totalLoss = values[1].double, let correct = values[2].double
        else { return nil }
        self.init(samples: samples, totalLoss: totalLoss, correct: correct)
    }
}
