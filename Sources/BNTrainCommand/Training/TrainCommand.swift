import CPlatform
import Collectives
import Configuration
import Foundation
import Layers
import MPICollectives
import Models
import Normalization
import Training

/// `bn-train train`: trains, and leaves a run folder behind.
struct TrainCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let arguments = launch.arguments
        if arguments.printConfig { return try printConfiguration() }
        bn_catch_stop_signals()
        let deadline = arguments.maxMinutes.map { ContinuousClock.now + .seconds(60 * $0) }
        let resumption = try arguments.resume.map { try Resumption(launch, from: $0) }
        defer { resumption?.lock?.release() }
        let initial = try arguments.initial.map(readInitial)
        let run = try launch.resolve(scaledAsIn: resumption?.checkpoint?.file ?? initial) {
            try resumption?.configuration(arguments) ?? loadConfiguration()
        }
        var trainer = try launch.agree {
            if run.plan.evaluationStatistics == .batch,
                let samples = run.plan.testBatchWithSingleValue
            {
                throw StatisticsError.singleValue(samples: samples, run.plan)
            }
            return try makeTrainer(run, resumption)
        }
        if let initial { try start(trainer, from: initial) }
        trainer.furtherInstruments = launch.furtherInstruments
        trainer.host = launch.session.hostName
        let files = try launch.onRankZero { try openFolder(trainer, resumption) }
        defer { files?.lock.release() }
        if let files {
            for line in RunHeader(
                run, machine: launch.machine, folder: files.folder.path,
                statistics: run.plan.evaluationStatistics
            ).lines {
                launch.say(line)
            }
            if let line = resumption?.line { launch.say(line) }
            for warning in run.plan.classWarnings { launch.warn(warning) }
        }
        func makeObserver(_ log: MetricsLog?) -> RunObserver? {
            files.map {
                RunObserver(
                    log: log ?? $0.log, events: $0.events, totalSteps: run.plan.totalSteps,
                    showsProgress: !arguments.quiet)
            }
        }
        var observer = makeObserver(nil)
        var rollbacks = Rollbacks(launch, run, folder: files?.folder)
        var result = train(trainer, run, files?.folder, observer, deadline)
        while case .failure(let failure) = result,
            let back = try rollbacks.next(after: failure, of: trainer)
        {
            trainer = back.trainer
            observer?.finish()
            observer = makeObserver(back.log)
            try files?.events?.restart(afterStep: back.step)
            try observer?.rolledBack(
                to: back.step, from: back.later, back.found,
                learningRateScale: trainer.learningRateScale)
            result = train(trainer, run, files?.folder, observer, deadline)
        }
        let outcome = try result.get()
        observer?.finish()
        if outcome.stop != nil {
            if let files { reportStop(outcome, run, files.folder) }
            return ExitCode.stopped.rawValue
        }
        try launch.onRankZero {
            guard let files else { return }
            let room = launch.room(in: files.folder)
            try room.making { try trainer.file().write(to: files.folder.finalModel) }
            let text = summary(outcome, run, file: files.folder.finalModel)
                .recorded(on: launch.machine).text
            try room.making { try writeAtomically(path: files.folder.summary, text: text + "\n") }
        }
        if let files { report(outcome, run, files.folder, observer?.saves) }
        return 0
    }

    private func train(
        _ trainer: Trainer, _ run: Launch.Run, _ folder: RunFolder?, _ observer: RunObserver?,
        _ deadline: ContinuousClock.Instant?
    ) -> Result<TrainingOutcome, WorkerFailure> {
        do throws(WorkerFailure) {
            return .success(
                try trainer.run(
                    in: run.world, transport: launch.session.transport,
                    timeout: launch.arguments.timeout, spinning: run.spinning, observer: observer,
                    checkpoints: folder.map { Checkpointing($0) },
                    wantsToStop: { [speaks = launch.speaks] in
                        // One clock decides for all.
                        bn_stop_signal() != 0
                            || speaks && deadline.map { ContinuousClock.now >= $0 } == true
                    }))
        } catch {
            return .failure(error)
        }
    }

    private func makeTrainer(_ run: Launch.Run, _ resumption: Resumption?) throws -> Trainer {
        guard let checkpoint = resumption?.checkpoint else { return Trainer(run.plan) }
        let notes = try checkpoint.check(
            run.plan, anyway: launch.arguments.resumeAnyway)
        let trainer = try Trainer(run.plan, resuming: checkpoint)
        for note in notes { launch.warn(note) }
        return trainer
    }

    /// Fine-tuning: rank 0 alone needs to see the file.
    private func readInitial(_ path: String) throws -> SafetensorsFile {
        let file = try launch.onRankZero { try SafetensorsFile(contentsOf: path) }
        let bytes = try launch.fromRankZero(file?.serialized)
        return try launch.agree { try SafetensorsFile(bytes: bytes, path: path) }
    }

    private func start(_ trainer: Trainer, from file: SafetensorsFile) throws {
        let (fresh, notes) = try launch.agree { try trainer.initialize(from: file) }
        let path = file.path
        if !fresh.isEmpty {
            launch.say(
                "start    from \(visible(path)), but for other classes: "
                    + "\(fresh.joined(separator: " and ")) start anew")
        } else {
            launch.say("start    from \(visible(path))")
        }
        launch.tell(notes)
    }

    private func loadConfiguration() throws(ConfigurationError) -> RunConfiguration {
        try RunConfiguration.load(
            file: launch.arguments.config, settings: launch.arguments.settings)
    }

    /// The configuration as a run would use it; needs no data.
    private func printConfiguration() throws -> Int32 {
        let configuration = try launch.agree(loadConfiguration)
        if launch.speaks { Console.output(configuration.canonicalJSON + "\n") }
        return 0
    }

    private func openFolder(
        _ trainer: Trainer, _ resumption: Resumption?
    ) throws -> (folder: RunFolder, log: MetricsLog, events: EventLog?, lock: RunLock) {
        let arguments = launch.arguments
        let configuration = trainer.plan.configuration
        let folder: RunFolder
        let lock: RunLock
        if let resumption, let itsFolder = resumption.folder, let itsLock = resumption.lock {
            (folder, lock) = (itsFolder, itsLock)
        } else {
            folder =
                if let out = arguments.out {
                    try RunFolder(creating: out, overwrite: arguments.overwrite)
                } else {
                    try RunFolder(creatingNextNamed: configuration.data.source.name)
                }
            lock = try RunLock(of: folder)
        }
        let checkpoints = CheckpointFolder(of: folder)
        try checkpoints.removeLeftovers()
        let step = resumption?.checkpoint?.state.step ?? 0
        if resumption == nil {
            // From here on the folder's model is of an older run; see `Resumption`.
            try folder.removeSummary()
            try checkpoints.removeAll()
        } else {
            for path in try checkpoints.setAside(after: step) {
                launch.warn("a checkpoint of a later step is now '\(path)'")
            }
        }
        var recorded = configuration
        recorded.data.contentDigest = trainer.plan.content.digest
        // The run's first file: checkpoints will lie on the same file system.
        if try !writeAtomically(path: folder.config, text: recorded.canonicalJSON + "\n") {
            launch.warn(
                "the file system of '\(visible(folder.path))' cannot confirm that a new name is on "
                    + "disk (fsync of a folder): after a power failure the newest checkpoint may be "
                    + "missing")
        }
        if arguments.saveInitial {
            try trainer.file().write(to: folder.initialModel)
        }
        let log = try MetricsLog(
            path: folder.metrics, resumingAfterStep: step, room: launch.room(in: folder))
        guard configuration.tensorboard else { return (folder, log, nil, lock) }
        let events = try EventLog(
            folder: folder.path, host: launch.machine.host, replica: trainer.replica,
            resumingAfterStep: resumption == nil ? nil : step, room: launch.room(in: folder))
        return (folder, log, events, lock)
    }

    private func report(
        _ outcome: TrainingOutcome, _ run: Launch.Run, _ folder: RunFolder,
        _ saves: RunObserver.Saves?
    ) {
        let last = outcome.last
        if let test = last.test {
            launch.say(
                "test     accuracy \(fixed(test.accuracy, digits: 4)), "
                    + "loss \(fixed(test.loss, digits: 4))")
        }
        let waited =
            outcome.dataShare.map { "waited \(fixed(100 * $0, digits: 1)) % for data; " } ?? ""
        launch.say(
            "done     \(count(Double(outcome.steps))) steps in \(duration(outcome.seconds)), "
                + "\(count(outcome.imagesPerSecond)) images/s; \(waited)"
                + "digest \(last.digest.prefix(16))…")
        if let saves, saves.count > 0 {
            launch.say(
                "saved    \(counted(saves.count, "checkpoint")); training paused "
                    + "\(fixed(1000 * saves.pause / Double(saves.count), digits: 2)) ms for each "
                    + "(at most \(fixed(1000 * saves.longestPause, digits: 2))), writing took "
                    + "\(fixed(saves.writing, digits: 2)) s of a core")
        }
        launch.say(
            "next     bn-train eval \(folder.finalModel)   (or: inspect, predict FILE 0 1 2; "
                + "`bn-train verify` proves the arithmetic)")
        printSummary(outcome, run, file: folder.finalModel)
    }

    /// Whoever stopped the run, and whatever is quiet: how it goes on.
    private func reportStop(_ outcome: TrainingOutcome, _ run: Launch.Run, _ folder: RunFolder) {
        let file = outcome.stop?.checkpoint
        Console.error(
            "bn-train: stopped after step \(outcome.steps) of \(run.plan.totalSteps), saved as "
                + "\(visible(file ?? "nothing")); go on with: bn-train --resume auto --out "
                + "\(folder.path)\n")
        printSummary(outcome, run, file: file)
    }

    private func printSummary(_ outcome: TrainingOutcome, _ run: Launch.Run, file: String?) {
        guard launch.arguments.json else { return }
        Console.output(summary(outcome, run, file: file).json.text + "\n")
    }

    private func summary(
        _ outcome: TrainingOutcome, _ run: Launch.Run, file: String?
    ) -> RunSummary {
        RunSummary(
            command: "train", run: run, steps: outcome.steps, epochs: outcome.epochs,
            imagesPerSecond: outcome.imagesPerSecond, seconds: outcome.seconds,
            trainLoss: outcome.trainingLoss, test: outcome.last.test, digest: outcome.last.digest,
            checkpoint: file)
    }
}

/// The object that `--json` prints; what does not apply is null.
struct RunSummary {
    var command: String
    var run: Launch.Run
    var steps: Int?
    var epochs: Double?
    var imagesPerSecond: Double?
    var seconds: Double
    var trainLoss: Double?
    var test: Evaluation?
    var digest: String?
    var checkpoint: String?

    var json: JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
        let configuration = run.plan.configuration
        return .object([
            "command": .string(command), "model": .string(run.plan.network.name),
            "data": .string(configuration.data.source.name),
            "world": worldJSON(run.world), "shards": .int(run.plan.shards),
            "batch": .int(configuration.batch.size), "scope": scopeJSON(run.plan),
            "steps": steps.map { .int($0) } ?? .null, "epochs": number(epochs),
            "images_per_second": number(imagesPerSecond), "seconds": .double(seconds),
            "train_loss": number(trainLoss), "test_loss": number(test?.loss),
            "test_accuracy": number(test?.accuracy),
            "parameters_digest": digest.map { .string($0) } ?? .null,
            "checkpoint": checkpoint.map { .string($0) } ?? .null,
        ])
    }
}

extension RunSummary {
    /// The object with the machine of rank 0 and the program: what a run folder keeps.
    func recorded(on machine: Machine) -> JSONValue {
        guard case .object(var object) = json else { return json }
        object["program"] = .string("bn-train \(programVersion)")
        object["host"] = .string(machine.host)
        object["cpu"] = .string(machine.cpu)
        object["cores"] = .int(machine.cores)
        object["instruction_set"] = .string(machine.compiledInstructionSet)
        object["memory_bytes"] = .int(machine.memory)
        return .object(object)
    }
}

/// `world {ranks, threads, workers}`.
func worldJSON(_ world: World) -> JSONValue {
    .object([
        "ranks": .int(world.ranks), "threads": .int(world.computingThreadsPerRank),
        "workers": .int(world.workers),
    ])
}

/// The statistics scope as the configuration writes it; null without BN.
func scopeJSON(_ plan: RunPlan) -> JSONValue {
    guard plan.network.isNormalized else { return .null }
    switch plan.network.normalization.scope {
    case .global: return .string("global")
    case .shard: return .string("shard")
    case .group(let size): return .object(["group": .int(size)])
    }
}
