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
        let run = try launch.resolve(loadConfiguration)
        var trainer = Trainer(run.plan)
        trainer.plantedFault = PlantedFaults.present.fault
        let files = try launch.onRankZero { try openFolder(trainer) }
        if let files {
            for line in RunHeader(run, machine: launch.machine, folder: files.folder.path).lines {
                launch.say(line)
            }
        }
        let observer = files.map {
            RunObserver(
                log: $0.log, totalSteps: run.plan.totalSteps, showsProgress: !arguments.quiet)
        }
        let outcome = try trainer.run(
            in: run.world, transport: launch.session.transport, timeout: arguments.timeout,
            spinning: run.spinning, observer: observer)
        observer?.finish()
        try launch.onRankZero {
            guard let files else { return }
            try trainer.replica.file(configuration: run.plan.configuration)
                .write(to: files.folder.finalModel)
            try writeAtomically(
                path: files.folder.summary,
                text: summary(outcome, run, files.folder).recorded(on: launch.machine).text + "\n")
        }
        if let files { report(outcome, run, files.folder) }
        return 0
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

    private func openFolder(_ trainer: Trainer) throws -> (folder: RunFolder, log: MetricsLog) {
        let arguments = launch.arguments
        let configuration = trainer.plan.configuration
        let folder =
            if let out = arguments.out {
                try RunFolder(creating: out, overwrite: arguments.overwrite)
            } else {
                try RunFolder(creatingNextNamed: configuration.data.source.name)
            }
        try writeAtomically(path: folder.config, text: configuration.canonicalJSON + "\n")
        if arguments.saveInitial {
            try trainer.replica.file(configuration: configuration).write(to: folder.initialModel)
        }
        return (folder, try MetricsLog(path: folder.metrics))
    }

    private func report(_ outcome: TrainingOutcome, _ run: Launch.Run, _ folder: RunFolder) {
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
        launch.say(
            "next     bn-train eval \(folder.finalModel)   (or: inspect, predict FILE 0 1 2; "
                + "`bn-train verify` proves the arithmetic)")
        guard launch.arguments.json else { return }
        Console.output(summary(outcome, run, folder).json.text + "\n")
    }

    private func summary(
        _ outcome: TrainingOutcome, _ run: Launch.Run, _ folder: RunFolder
    ) -> RunSummary {
        RunSummary(
            command: "train", run: run, steps: outcome.steps, epochs: outcome.epochs,
            imagesPerSecond: outcome.imagesPerSecond, seconds: outcome.seconds,
            trainLoss: outcome.trainingLoss, test: outcome.last.test, digest: outcome.last.digest,
            checkpoint: folder.finalModel)
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
        "ranks": .int(world.ranks), "threads": .int(world.threadsPerRank),
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
