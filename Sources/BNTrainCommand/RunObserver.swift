import Training

/// Watches a run on rank 0: the progress bar, the lines at evaluations, metrics.jsonl.
///
/// Called by one thread only, worker 0 of rank 0, which is the one that made it.
final class RunObserver: TrainingObserver, @unchecked Sendable {
    // `@unchecked Sendable`: made by, and only ever called on, the thread of worker 0.
    private let log: MetricsLog
    private let bar: ProgressBar?

    init(log: MetricsLog, totalSteps: Int, showsProgress: Bool) {
        self.log = log
        bar = showsProgress ? ProgressBar(totalSteps: totalSteps) : nil
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

    func finish() { bar?.finish() }
}
