/// Means, rates and times of a run, as one worker keeps them. Allocates only when it is made.
struct Progress {
    private let plan: RunPlan
    private let clock = ContinuousClock()
    private var runningSince: ContinuousClock.Instant
    private var seconds = 0.0
    private var samples = 0
    private var lastStep = 0

    /// Since the last evaluation.
    private var window = (steps: 0, loss: 0.0, accuracy: 0.0)

    /// The losses of the last epoch or 1 000 steps, the shorter, round and round.
    private var losses: [Double]
    private var last: EvaluationReport?

    init(_ plan: RunPlan) {
        self.plan = plan
        runningSince = clock.now
        losses = Array(
            repeating: 0, count: max(1, min(1000, plan.stepsPerEpoch, plan.totalSteps)))
    }

    mutating func add(_ report: StepReport) {
        samples += report.samples
        lastStep = report.step
        losses[(report.step - 1) % losses.count] = report.loss
        window.steps += 1
        window.loss += report.loss
        window.accuracy += report.accuracy
    }

    /// Stops the clock: what follows is no training.
    mutating func pause() { seconds += (clock.now - runningSince) / .seconds(1) }

    mutating func resume() { runningSince = clock.now }

    mutating func evaluated(
        after report: StepReport, validation: Evaluation?, test: Evaluation?, digest: String
    ) -> EvaluationReport {
        let steps = Double(max(window.steps, 1))
        let result = EvaluationReport(
            step: report.step, epoch: report.epoch, trainingLoss: window.loss / steps,
            trainingAccuracy: window.accuracy / steps, learningRate: report.learningRate,
            imagesPerSecond: Double(samples) / seconds, validation: validation, test: test,
            digest: digest)
        window = (0, 0, 0)
        last = result
        return result
    }

    /// - Parameter dataSeconds: how long worker 0 waited for data, if batches are filled ahead.
    func outcome(dataSeconds: Double? = nil) -> TrainingOutcome {
        guard let last else { preconditionFailure("a run ends with an evaluation") }
        let known = min(losses.count, lastStep)
        return TrainingOutcome(
            steps: lastStep, epochs: Double(lastStep) / Double(plan.stepsPerEpoch),
            seconds: seconds, imagesPerSecond: Double(samples) / seconds,
            trainingLoss: losses[..<known].reduce(0, +) / Double(known), last: last,
            dataShare: dataSeconds.map { $0 / seconds })
    }
}
