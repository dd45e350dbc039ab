package import Collectives
import Configuration
import Datasets
public import Layers
import Models
import Optimization

/// Trains: config → data → steps → evaluations, in any world, to the same bits.
public struct Trainer: Sendable {
    /// The run.
    public let plan: RunPlan

    /// This rank's copy of the model, which training changes.
    public let replica: Replica

    let state: OptimizerState

    /// Memory for what one shard contributes to the gradient, for the step that is not finite.
    private let contribution: Contribution

    /// Where the run begins: after step 0, or a checkpoint's.
    private(set) var start: (step: Int, progress: Progress.Saved?) = (0, nil)

    /// What learning rates are multiplied by: less than 1 after rollbacks.
    public var learningRateScale = 1.0

    /// What this rank's host calls itself, for alarms that name a host.
    public var host = ""

    /// Further instruments of each worker, which stand inside the trainer's own.
    package var furtherInstruments: @Sendable (TrainingWorker) -> [any Instrument] = { _ in [] }

    /// A run from initial weights.
    public init(_ plan: RunPlan) {
        self.plan = plan
        replica = Replica(plan.layout)
        replica.initialize(plan.initialization, seed: plan.configuration.seed)
        contribution = Contribution(
            count: plan.configuration.watch.nonFinite == .stop ? 0 : plan.layout.reduced)
        state = OptimizerState(
            plan.optimizer, replica: replica,
            decayAll: plan.configuration.optimizer.decayAll,
            measuresGradient: plan.configuration.watch.nonFinite != .stop,
            isFrozen: { plan.network.isFrozen($0.name) })
    }

    /// A run that goes on from a checkpoint, in whatever world. It ends in the bits of one that was
    /// never interrupted.
    ///
    /// - Throws: `CheckpointError` where the checkpoint is of another model or optimizer. Whether
    ///   the configuration is the same is for `Checkpoint.check` to say.
    public init(_ plan: RunPlan, resuming checkpoint: Checkpoint) throws(CheckpointError) {
        self.init(plan)
        let file = checkpoint.file
        try file.match(replica.expectations + state.expectations(plan.layout))
        try replica.load(file)
        try state.load(file, plan.layout)
        start = (checkpoint.state.step, checkpoint.state.progress)
        learningRateScale = checkpoint.state.learningRateScale
    }

    /// A run that starts from the parameters and running statistics of a saved model.
    ///
    /// - Returns: the tensors that the model has in another shape, for other classes: those of the
    ///   last layer, which start as in a new run; and how the others were read.
    /// - Throws: `CheckpointError` where the file is of another network otherwise.
    public func initialize(
        from file: SafetensorsFile
    ) throws(CheckpointError) -> (fresh: [String], notes: [String]) {
        try replica.initialize(from: file)
    }

    /// Trains to the end, on this rank's workers.
    ///
    /// - Parameters:
    ///   - world: ranks, threads, this rank.
    ///   - transport: messages between ranks, where there are several.
    ///   - timeout: seconds after which a silent rank counts as lost.
    ///   - spinning: whether waiting threads may keep their cores busy.
    ///   - observer: watches, on rank 0.
    ///   - checkpoints: where rank 0 saves the run, as often as the configuration says.
    ///   - wantsToStop: asked once a step on every rank. Where one says yes, all ranks stop after
    ///     the same step, and rank 0 saves the run.
    /// - Throws: `WorkerFailure` with the first error, wrapped in `TrainingError.failed` where it
    ///   came out of a step.
    package func run(
        in world: World, transport: (any RankTransport)? = nil, timeout: Double = 300,
        spinning: Bool = true, observer: (any TrainingObserver)? = nil,
        checkpoints: Checkpointing? = nil, wantsToStop: (@Sendable () -> Bool)? = nil
    ) throws(WorkerFailure) -> TrainingOutcome {
        let hosts = HostNames(host, ranks: world.ranks)
        let check = ReplicaCheck(plan, replica, state, world: world, hosts: hosts)
        let audits = AuditTable(plan, world: world, hosts: hosts)
        let method =
            plan.network.isNormalized ? plan.configuration.evaluate.statistics.population : nil
        let population = method.map { Population(plan, $0) }
        return try Team.run(
            world, transport: transport, timeout: timeout, spinning: spinning
        ) { communicator in
            let speaks = communicator.isSpeaker
            let keeper =
                speaks
                ? checkpoints.map {
                    CheckpointKeeper(
                        $0, plan, replica, state, learningRateScale: learningRateScale)
                } : nil
            let worker = try makeWorker(communicator, probing: .configured, audits: audits)
            worker.wantsToStop = wantsToStop
            worker.wantsToSave = keeper.map { keeper in { keeper.isTime } }
            worker.evaluationStatistics = try population.map {
                try EvaluationStatistics(
                    plan, $0, replica: replica, communicator: communicator)
            }
            do {
                try hosts.exchange(communicator)
                return try train(
                    worker, observer: speaks ? observer : nil, keeper: keeper, check: check)
            } catch {
                // What was saved before the failure stays saved.
                keeper?.abandon()
                throw error
            }
        }
    }

    /// A worker of the run, with the instruments around its steps, from the outside in.
    ///
    /// That order is part of the run's, since some have collectives: what an audit keeps of a step
    /// it has let go before the search computes the step again, and compared before a probe measures.
    func makeWorker(
        _ communicator: Communicator, probing steps: ProbedSteps = .none,
        audits: AuditTable? = nil
    ) throws -> TrainingWorker {
        let worker = try TrainingWorker(
            plan, replica: replica, state: state, communicator: communicator)
        worker.instruments.append(NonFiniteSearch(worker, plan, contribution))
        if let probing = Probing(worker, plan, steps) { worker.instruments.append(probing) }
        if let audits { worker.instruments.append(try ShardAudit(worker, plan, audits)) }
        worker.instruments += furtherInstruments(worker)
        return worker
    }

    /// Step `number`, as the schedules have it.
    func step(_ number: Int, of worker: TrainingWorker) -> TrainingStep {
        let (batch, pass) = worker.batch(atStep: number)
        return TrainingStep(
            number: number, batch: batch, pass: pass,
            settings: plan.optimizer.settings(step: number, of: plan.totalSteps)
                .scaled(by: learningRateScale))
    }

    // MARK: the loop

    private func train(
        _ worker: TrainingWorker, observer: (any TrainingObserver)?, keeper: CheckpointKeeper?,
        check: ReplicaCheck?
    ) throws -> TrainingOutcome {
        let communicator = worker.communicator
        var progress = Progress(plan, afterStep: start.step, saved: start.progress)
        let probing = worker.instrument(Probing.self)
        try communicator.barrier()
        for number in start.step + 1...plan.totalSteps {
            let step = self.step(number, of: worker)
            let report = try worker.take(step)
            if let probes = probing?.report, probes.step == number { try observer?.probed(probes) }
            if let found = report.skipped {
                progress.skip(report)
                try observer?.skipped(report, found)
            } else {
                progress.add(report)
            }
            observer?.stepped(report)
            let isLast = number == plan.totalSteps
            let isSavedOrLast = isLast || worker.isStopping || worker.isSaving
            if let check, check.isDue(number, isSavedOrLast: isSavedOrLast) {
                // Before anything is reported or saved of the step.
                try check.compare(number, epoch: report.epoch, communicator)
            }
            if isLast || number % plan.configuration.evaluate.everySteps == 0 {
                progress.pause()
                let evaluation: EvaluationReport
                do {
                    evaluation = try worker.around(.evaluation, of: step) {
                        try evaluate(worker, after: report, isLast: isLast, progress: &progress)
                    }
                } catch {
                    throw step.failure(error)
                }
                try observer?.evaluated(evaluation)
                progress.resume()
            }
            if isLast {
                progress.pause()
                if let report = try probing?.finish(step: number, epoch: report.epoch) {
                    try observer?.probed(report)
                }
                progress.resume()
                break
            }
            if worker.isStopping {
                progress.pause()
                let saved = try keeper?.saveNow(number, progress, observer)
                return progress.outcome(
                    stoppedAfter: report, digest: communicator.isSpeaker ? replica.digest : "",
                    checkpoint: saved?.path)
            }
            if let every = plan.configuration.watch.digestSteps, number % every == 0,
                number % plan.configuration.evaluate.everySteps != 0, communicator.isSpeaker
            {
                // As for a checkpoint: team-mates only read until this worker goes on.
                try observer?.digested(step: number, epoch: report.epoch, digest: replica.digest)
            }
            try worker.around(.saving, of: step) {
                try keeper?.stepped(number, progress, observer, isTime: worker.isSaving)
            }
        }
        try keeper?.finish(observer)
        return progress.outcome(
            dataSeconds: worker.loader.runsAhead ? worker.loader.seconds : nil)
    }

    private func evaluate(
        _ worker: TrainingWorker, after report: StepReport, isLast: Bool, progress: inout Progress
    ) throws -> EvaluationReport {
        let (validation, test) = (plan.split.validation, plan.split.test)
        let byBatches = plan.evaluationStatistics == .batch
        func evaluations() throws -> (heldOut: Evaluation?, tested: Evaluation?) {
            let mode: Mode = byBatches ? .calibration : .inference
            let heldOut = validation.count > 0 ? try worker.evaluate(validation, mode: mode) : nil
            return (
                heldOut, isLast || heldOut == nil ? try worker.evaluate(test, mode: mode) : nil
            )
        }
        let (heldOut, tested) =
            try worker.evaluationStatistics?.during(evaluations) ?? evaluations()
        // The last update may be the one that diverged; all workers see the same numbers.
        for evaluation in [heldOut, tested].compactMap({ $0 }) where !evaluation.loss.isFinite {
            let found = NonFinite(value: .loss, layer: nil, shard: nil)
            throw found.ending(
                plan.configuration.watch.nonFinite, step: report.step, epoch: report.epoch,
                learningRate: report.learningRate)
        }
        return progress.evaluated(
            after: report, validation: heldOut, test: tested,
            digest: worker.communicator.isSpeaker ? replica.digest : "")
    }
}
