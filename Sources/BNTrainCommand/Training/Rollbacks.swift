import Collectives
import Configuration
import Training

/// Takes a run back to its last whole checkpoint, with a smaller learning rate, where a step was not
/// finite and the configuration wants that. All ranks come here alike.
struct Rollbacks {
    private let launch: Launch
    private let run: Launch.Run
    /// On rank 0.
    private let folder: RunFolder?
    private var count = 0

    /// A run that has gone back so often does not get better.
    private static let most = 20

    init(_ launch: Launch, _ run: Launch.Run, folder: RunFolder?) {
        self.launch = launch
        self.run = run
        self.folder = folder
    }

    /// Where a run goes on.
    struct Next {
        let trainer: Trainer
        /// Steps done there.
        let step: Int
        /// The step that was not finite.
        let later: Int
        let found: NonFinite
        /// metrics.jsonl, cut to `step`; on rank 0.
        let log: MetricsLog?
    }

    /// The run at its last checkpoint; nil where `failure` is none that a rollback mends, or there is
    /// no checkpoint, which `failure` then says.
    ///
    /// - Throws: what is wrong with files, alike on all ranks, and `TrainingError.diverged` after too
    ///   many rollbacks.
    mutating func next(after failure: WorkerFailure, of trainer: Trainer) throws -> Next? {
        guard
            case .rollback(let later, let epoch, let found, let rate)? =
                failure.error as? TrainingError
        else { return nil }
        count += 1
        guard count <= Self.most else {
            throw TrainingError.diverged(
                step: later, epoch: epoch, found: found, learningRate: rate)
        }
        let newest = try launch.onRankZero { () throws -> Checkpoint? in
            guard let folder else { return nil }
            return try CheckpointFolder(of: folder).newestWhole { launch.warn("skipped: \($0)") }
        }
        let path = try launch.fromRankZero(newest.flatMap { $0.map { Array($0.file.path.utf8) } })
        let bytes = try launch.fromRankZero(newest.flatMap { $0?.file.serialized })
        guard !bytes.isEmpty else { return nil }
        var next = try launch.agree {
            let file = try SafetensorsFile(
                bytes: bytes, path: String(decoding: path, as: UTF8.self))
            return try (
                checkpoint: Checkpoint(file), trainer: Trainer(run.plan, resuming: Checkpoint(file))
            )
        }
        next.trainer.host = trainer.host
        next.trainer.furtherInstruments = trainer.furtherInstruments
        next.trainer.learningRateScale =
            trainer.learningRateScale * run.plan.configuration.watch.rollbackFactor
        let step = next.checkpoint.state.step
        let log = try launch.onRankZero { () throws -> MetricsLog? in
            guard let folder else { return nil }
            for path in try CheckpointFolder(of: folder).setAside(after: step) {
                launch.warn("a checkpoint of a later step is now '\(path)'")
            }
            return try MetricsLog(
                path: folder.metrics, resumingAfterStep: step, room: launch.room(in: folder))
        }
        return Next(
            trainer: next.trainer, step: step, later: later, found: found,
            log: log.flatMap { $0 })
    }
}
