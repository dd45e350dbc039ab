import Configuration
import Dispatch
import Glibc
import Layers
import Synchronization

/// Where a run leaves its checkpoints.
public struct Checkpointing: Sendable {
    /// The run's folder.
    public var folder: RunFolder
    /// Checkpoints of the run in `folder`.
    public init(_ folder: RunFolder) {
        self.folder = folder
    }
}

/// One checkpoint: written, or not.
public struct CheckpointReport: Sendable {
    /// Steps done.
    public let step: Int
    /// The file.
    public let path: String
    /// Bytes of the file; 0 where it was not written.
    public let bytes: Int
    /// Seconds for which training stood still: taking the snapshot, after waiting for the writer
    /// where the one before was not done.
    public let pauseSeconds: Double
    /// Seconds of a core that conversion, hashes and writing took, beside training.
    public let writerSeconds: Double
    /// Older checkpoints that were removed because the disk was full.
    public let removed: [String]
    /// Why it was not written.
    public let failure: (any Error)?
}

/// Decides when a run is saved, takes the snapshot and has it written in the background.
///
/// On worker 0 of rank 0 alone: all replicas are equal, and nothing is asked of other workers, who
/// learn with the step's metrics when its clock says that it is time. They
/// only read parameters until this worker joins the next step's first collective. What the writing
/// thread shares with it is handed over through `reports` and the order of `queue`.
final class CheckpointKeeper {
    private let settings: RunConfiguration.Checkpoint
    private let checkpointing: Checkpointing
    private let plan: RunPlan
    private let replica: Replica
    private let optimizer: OptimizerState
    private let folder: CheckpointFolder
    private let learningRateScale: Double

    private var snapshot: CheckpointSnapshot?
    private let queue = DispatchQueue(label: "bn-train.checkpoints", qos: .utility)
    private let reports = Reports()
    private let clock = ContinuousClock()
    private var lastSave: ContinuousClock.Instant

    /// What the writer has done and the run has not heard of.
    private final class Reports: Sendable {
        let done = Mutex<[CheckpointReport]>([])
    }

    init(
        _ checkpointing: Checkpointing, _ plan: RunPlan, _ replica: Replica,
        _ optimizer: OptimizerState, learningRateScale: Double
    ) {
        self.learningRateScale = learningRateScale
        self.checkpointing = checkpointing
        self.plan = plan
        self.replica = replica
        self.optimizer = optimizer
        settings = plan.configuration.checkpoint
        folder = CheckpointFolder(of: checkpointing.folder)
        lastSave = clock.now
        if settings.isPeriodic {
            snapshot = CheckpointSnapshot(plan, replica.layout, optimizer)
        }
    }

    /// After every step but the last, whose model follows as the run's result. Saves the run where
    /// `step` is one to be saved by its number, or it was time in the step.
    func stepped(
        _ step: Int, _ progress: Progress, _ observer: (any TrainingObserver)?, isTime: Bool
    ) throws {
        try tell(observer)
        guard isTime || settings.isDue(step, stepsPerEpoch: plan.stepsPerEpoch) else { return }
        let pause = try takeSnapshot()
        let job = job(step, progress, pause: pause)
        let reports = reports
        queue.async {
            let report = job.run()
            reports.done.withLock { $0.append(report) }
        }
    }

    /// Saves the run at once, and returns when the checkpoint is whole.
    ///
    /// - Throws: why it could not be written.
    func saveNow(
        _ step: Int, _ progress: Progress, _ observer: (any TrainingObserver)?
    ) throws -> CheckpointReport {
        let pause = try takeSnapshot()
        let job = job(step, progress, pause: pause)
        let report = queue.sync { job.run() }
        try tell(observer)
        if let failure = report.failure { throw failure }
        observer?.saved(report)
        return report
    }

    /// Returns when what was begun is written, whatever comes of it: the run has failed.
    func abandon() { queue.sync {} }

    /// Returns when everything is written.
    func finish(_ observer: (any TrainingObserver)?) throws {
        queue.sync {}
        try tell(observer)
    }

    /// Whether the last checkpoint is as old as the configuration allows.
    var isTime: Bool {
        settings.everyMinutes.map { (clock.now - lastSave) / .seconds(60) >= $0 } ?? false
    }

    private func takeSnapshot() throws -> Double {
        let start = clock.now
        // The snapshot before must be written.
        queue.sync {}
        let snapshot = snapshot ?? CheckpointSnapshot(plan, replica.layout, optimizer)
        self.snapshot = snapshot
        snapshot.take(replica, optimizer)
        lastSave = clock.now
        return (lastSave - start) / .seconds(1)
    }

    private func job(_ step: Int, _ progress: Progress, pause: Double) -> CheckpointJob {
        guard let snapshot else { preconditionFailure("there is no snapshot to write") }
        return CheckpointJob(
            state: RunState(
                plan, step: step, progress: progress.saved(afterStep: step),
                learningRateScale: learningRateScale),
            snapshot: snapshot, optimizer: optimizer, folder: folder,
            metrics: checkpointing.folder.metrics, keep: settings.keep, pause: pause)
    }

    private func tell(_ observer: (any TrainingObserver)?) throws {
        let news = reports.done.withLock { done in
            // No allocation where there is nothing new.
            guard !done.isEmpty else { return [CheckpointReport]() }
            defer { done.removeAll() }
            return done
        }
        for report in news {
            if let failure = report.failure, settings.onError == .stop { throw failure }
            observer?.saved(report)
        }
    }
}

extension RunConfiguration.Checkpoint {
    /// Whether a run is saved after `step` by its number, which all ranks know.
    func isDue(_ step: Int, stepsPerEpoch: Int) -> Bool {
        if let everySteps, step % everySteps == 0 { return true }
        guard let everyEpochs else { return false }
        return step % stepsPerEpoch == 0 && step / stepsPerEpoch % everyEpochs == 0
    }

    fileprivate var isPeriodic: Bool {
        everySteps != nil || everyEpochs != nil || everyMinutes != nil
    }
}

/// One checkpoint to be written; runs on the writer's queue.
private struct CheckpointJob: Sendable {
    let state: RunState
    // The keeper changes it only while the queue has nothing to do.
    nonisolated(unsafe) let snapshot: CheckpointSnapshot
    let optimizer: OptimizerState
    let folder: CheckpointFolder
    let metrics: String
    let keep: Int
    let pause: Double

    func run() -> CheckpointReport {
        let start = threadSeconds()
        let path = folder.file(step: state.step)
        var bytes = 0
        var failure: (any Error)?
        let removed = Mutex<[String]>([])
        let room = DiskRoom(folder) { path in removed.withLock { $0.append(path) } }
        do {
            bytes = try room.making { try write(to: path) }
        } catch let error {
            failure = error
        }
        return CheckpointReport(
            step: state.step, path: path, bytes: bytes, pauseSeconds: pause,
            writerSeconds: threadSeconds() - start, removed: removed.withLock { $0 },
            failure: failure)
    }

    private func write(to path: String) throws -> Int {
        try makeFolder(folder.path)
        let (head, data) = snapshot.serialized(state, optimizer)
        // What the checkpoint's step has already said must not be lost behind it.
        try FileDescriptor(opening: metrics, flags: O_WRONLY | O_CREAT, operation: "open")
            .synchronize()
        try writeAtomically(path: path) { writer in
            try writer.write(head)
            try writer.write(data)
        }
        try writeAtomically(path: folder.latest, text: "step-\(state.step).safetensors\n")
        try folder.prune(keeping: keep, best: state.best?.step)
        return head.count + data.count
    }

    /// CPU time of the calling thread.
    private func threadSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
