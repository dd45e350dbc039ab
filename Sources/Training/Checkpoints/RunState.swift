import Configuration
import Datasets
import Layers

/// What a run's future depends on beside its tensors, at the end of a step: the header of a
/// checkpoint, as strings.
public struct RunState: Equatable, Sendable {
    /// Steps done.
    public var step: Int
    /// The epoch of the last of them, from 1.
    public var epoch: Int
    /// Steps done of that epoch.
    public var positionInEpoch: Int
    /// Samples of an epoch.
    public var trainingSamples: Int
    /// What all samples are.
    public var content: DataContent
    /// The seed.
    public var seed: UInt64
    /// The resolved configuration as JSON.
    public var configuration: String
    /// Shards of a batch.
    public var shards: Int
    /// What learning rates are multiplied by: less than 1 after rollbacks.
    public var learningRateScale: Double
    /// Means, times and the best evaluation so far.
    var progress: Progress.Saved
    /// "bn-train 0.1.0".
    public var program: String
    /// The number of the arithmetic; see `arithmeticVersion`.
    public var arithmetic: Int

    /// The best evaluation of the run so far, by accuracy; nil before the first.
    public var best: BestEvaluation? { progress.best }

    init(
        _ plan: RunPlan, step: Int, progress: Progress.Saved, learningRateScale: Double = 1
    ) {
        self.learningRateScale = learningRateScale
        self.step = step
        (epoch, positionInEpoch) = plan.position(afterStep: step)
        trainingSamples = plan.split.training.count
        content = plan.content
        seed = plan.configuration.seed
        configuration = plan.configuration.canonicalJSON
        shards = plan.shards
        self.progress = progress
        program = "bn-train \(programVersion)"
        arithmetic = arithmeticVersion
    }
}

extension RunPlan {
    /// Where a run is after `step` steps: the epoch of the last one, and how many of it are done.
    func position(afterStep step: Int) -> (epoch: Int, position: Int) {
        ((step - 1) / stepsPerEpoch + 1, (step - 1) % stepsPerEpoch + 1)
    }
}

// MARK: - As strings

extension RunState {
    /// The format that this program writes and reads. 1 had means of batches' means.
    static let format = "2"

    /// The names in the header.
    enum Field {
        static let format = "checkpoint_format"
        static let step = "step"
        static let epoch = "epoch"
        static let position = "position_in_epoch"
        static let samples = "training_samples"
        static let seed = "seed"
        static let config = "config"
        static let shards = "shards"
        /// Missing where it is 1.
        static let scale = "learning_rate_scale"
        static let best = "best_metric"
        static let bestStep = "best_step"
        static let progress = "progress"
        static let program = "program"
        /// Missing where it is 1.
        static let arithmetic = "arithmetic"
        /// SHA-256 of the tensors' bytes.
        static let payload = "payload_sha256"
        /// SHA-256 of everything else in the header.
        static let header = "header_sha256"
    }

    var metadata: [String: String] {
        var metadata = [
            "format": "pt", Field.format: Self.format, Field.step: "\(step)",
            Field.epoch: "\(epoch)", Field.position: "\(positionInEpoch)",
            Field.samples: "\(trainingSamples)", DataContent.field: content.text,
            Field.seed: "\(seed)",
            Field.config: configuration, Field.shards: "\(shards)",
            Field.best: best.map { "\($0.accuracy)" } ?? "none",
            Field.bestStep: best.map { "\($0.step)" } ?? "none",
            Field.progress: progress.json.text, Field.program: program,
            Field.arithmetic: "\(arithmetic)",
        ]
        if learningRateScale != 1 { metadata[Field.scale] = "\(learningRateScale)" }
        return metadata
    }

    init(_ metadata: [String: String], path: String) throws(CheckpointError) {
        guard let format = metadata[Field.format] else { throw .notCheckpoint(path: path) }
        guard format == Self.format else {
            throw .unknownFormat(path: path, found: format, known: Self.format)
        }
        func text(_ field: String) throws(CheckpointError) -> String {
            guard let text = metadata[field] else {
                throw .malformedField(path: path, field: field)
            }
            return text
        }
        func whole<Number: FixedWidthInteger>(
            _ field: String, from least: Number
        ) throws(CheckpointError) -> Number {
            guard let number = Number(try text(field)), number >= least else {
                throw .malformedField(path: path, field: field)
            }
            return number
        }
        step = try whole(Field.step, from: 1)
        epoch = try whole(Field.epoch, from: 1)
        positionInEpoch = try whole(Field.position, from: 1)
        trainingSamples = try whole(Field.samples, from: 1)
        guard let content = DataContent(try text(DataContent.field)) else {
            throw .malformedField(path: path, field: DataContent.field)
        }
        self.content = content
        seed = try whole(Field.seed, from: 0)
        configuration = try text(Field.config)
        shards = try whole(Field.shards, from: 1)
        let scale = metadata[Field.scale] ?? "1"
        guard let learningRateScale = Double(scale), learningRateScale > 0, learningRateScale <= 1
        else { throw .malformedField(path: path, field: Field.scale) }
        self.learningRateScale = learningRateScale
        guard let json = try? JSONValue(parsing: try text(Field.progress)),
            let progress = Progress.Saved(json)
        else { throw .malformedField(path: path, field: Field.progress) }
        self.progress = progress
        program = try text(Field.program)
        arithmetic =
            metadata[Field.arithmetic] == nil ? 1 : try whole(Field.arithmetic, from: 1)
    }
}
