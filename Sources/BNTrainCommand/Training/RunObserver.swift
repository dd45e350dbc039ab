import Training

/// Watches a run on rank 0: the progress bar, the lines at evaluations, metrics.jsonl.
///
/// Called by one thread only, worker 0 of rank 0, which is the one that made it.
final class RunObserver: TrainingObserver, @unchecked Sendable {
    // `@unchecked Sendable`: made by, and only ever called on, the thread of worker 0.
    private let log: MetricsLog
    private let events: EventLog?
    private let bar: ProgressBar?

    init(log: MetricsLog, events: EventLog?, totalSteps: Int, showsProgress: Bool) {
        self.log = log
        self.events = events
        bar = showsProgress ? ProgressBar(totalSteps: totalSteps) : nil
    }

    /// What the checkpoints so far came to.
    private(set) var saves = Saves()

    /// Checkpoints of a run.
    struct Saves {
        var count = 0
        /// Seconds for which training stood still: in all, and at most.
        var pause = 0.0
        var longestPause = 0.0
        /// Seconds of a core that writing took beside training.
        var writing = 0.0
    }

    func saved(_ report: CheckpointReport) {
        for path in report.removed { warn(removedForRoom(path)) }
        if let failure = report.failure {
            warn(
                "saving after step \(report.step) failed, and training goes on: "
                    + Ending.text(of: failure))
            return
        }
        saves.count += 1
        saves.pause += report.pauseSeconds
        saves.longestPause = max(saves.longestPause, report.pauseSeconds)
        saves.writing += report.writerSeconds
    }

    func digested(step: Int, epoch: Int, digest: String) throws {
        try log.append([
            "event": "digest", "step": .int(step), "epoch": .int(epoch),
            "parameters_digest": .string(digest),
        ])
    }

    func skipped(_ report: StepReport, _ found: NonFinite) throws {
        try log.append(
            record(
                "skipped", found, step: report.step,
                [.init(name: "learning_rate", value: .double(report.learningRate))]))
        warn("step \(report.step) is skipped: \(found.place)")
    }

    /// The run has gone back to `step`, because a later step was not finite.
    func rolledBack(
        to step: Int, from later: Int, _ found: NonFinite, learningRateScale: Double
    ) throws {
        // A line of the first step that is done again: who resumes before it takes it back.
        try log.append(
            record(
                "rollback", found, step: step + 1,
                [
                    .init(name: "from_step", value: .int(later)),
                    .init(name: "learning_rate_scale", value: .double(learningRateScale)),
                ]))
        warn(
            "step \(later) is not finite (\(found.place)): the run goes on from step \(step) with "
                + "\(learningRateScale) of the learning rate")
    }

    private func record(
        _ event: String, _ found: NonFinite, step: Int, _ more: [JSONObject.Member]
    ) -> JSONObject {
        JSONObject(
            [
                .init(name: "event", value: .string(event)), .init(name: "step", value: .int(step)),
                .init(name: "not_finite", value: .string(found.value.rawValue)),
                .init(name: "layer", value: found.layer.map { .string($0) } ?? .null),
                .init(name: "shard", value: found.shard.map { .int($0) } ?? .null),
            ] + more)
    }

    private func warn(_ text: String) {
        let line = "bn-train: warning: " + text
        if let bar { bar.line(line) } else { Console.error(line + "\n") }
    }

    func stepped(_ report: StepReport) { bar?.update(report) }

    func evaluated(_ report: EvaluationReport) throws {
        func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
        try log.append([
            "step": .int(report.step), "epoch": .int(report.epoch),
            "train_loss": .double(report.trainingLoss),
            "train_accuracy": .double(report.trainingAccuracy),
            "validation_loss": number(report.validation?.loss),
            "validation_accuracy": number(report.validation?.accuracy),
            "test_loss": number(report.test?.loss),
            "test_accuracy": number(report.test?.accuracy),
            "learning_rate": .double(report.learningRate),
            "images_per_second": .double(report.imagesPerSecond),
            "parameters_digest": .string(report.digest),
        ])
        try events?.append(report)
        var parts = [
            "step \(report.step)", "epoch \(report.epoch)",
            "train loss \(fixed(report.trainingLoss, digits: 4))",
        ]
        for (name, evaluation) in [("validation", report.validation), ("test", report.test)] {
            guard let evaluation else { continue }
            parts.append(
                "\(name) loss \(fixed(evaluation.loss, digits: 4)) "
                    + "accuracy \(fixed(evaluation.accuracy, digits: 4))")
        }
        parts.append("\(count(report.imagesPerSecond)) images/s")
        bar?.line(parts.joined(separator: " · "))
    }

    func probed(_ report: ProbeReport) throws {
        for line in report.lines { try log.append(line) }
    }

    func finish() { bar?.finish() }
}
