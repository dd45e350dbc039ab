import Collectives
import Configuration
import Datasets
import Foundation
import Layers
import MPICollectives
import Models
import Normalization
import Training

/// `bn-train recalibrate FILE -o OUT`: a saved model with BN's statistics of its training samples.
struct RecalibrateCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let arguments = launch.arguments
        let path = arguments.files[0]
        let target = arguments.output ?? Self.defaultOutput(path, arguments.method ?? .paper)
        try launch.requireNew(target)
        let file = try launch.agree { try SafetensorsFile(contentsOf: path) }
        try recalibrate(file, path: path, into: target)
        return 0
    }

    /// Writes `file`, which messages call `path`, with other statistics to `target`.
    func recalibrate(_ file: SafetensorsFile, path: String, into target: String) throws {
        let arguments = launch.arguments
        let method = arguments.method ?? .paper
        let run = try launch.resolve(scaledAsIn: file) { try file.configuration(arguments) }
        let trainer = Trainer(run.plan)
        let notes = try launch.agree { () throws -> [String] in
            let notes = try trainer.replica.load(file)
            if run.plan.layout.statistics.isEmpty {
                throw StatisticsError.noBatchNormalization(path: path)
            }
            return notes
        }
        let header = RunHeader(
            run, machine: launch.machine, folder: nil,
            statistics: file.statistics(run.plan.configuration))
        for line in header.lines { launch.say(line) }
        launch.tell(notes)
        let (calibration, seconds) = try trainer.recalibrate(method, launch, run)
        try launch.onRankZero {
            try trainer.file(statistics: .population(method)).write(to: target)
        }
        let move = calibration.largestMove
        launch.say(
            "moved    means by at most \(fixed(move.deviations, digits: 4)) deviations"
                + (move.layer.isEmpty ? "" : " (\(move.layer))"))
        launch.say(
            "done     statistics \(InferenceStatistics.population(method)) of "
                + "\(grouped(calibration.samples)) samples in "
                + "\(counted(calibration.batches, "batch", "batches")) "
                + "in \(duration(seconds)); digest \(trainer.replica.digest.prefix(16))…")
        launch.say("next     bn-train eval \(target)")
        if launch.speaks && arguments.json {
            Console.output(
                JSONValue.object([
                    "command": .string(arguments.command.name), "method": .string(method.rawValue),
                    "model": .string(run.plan.network.name),
                    "data": .string(run.plan.configuration.data.source.name),
                    "world": worldJSON(run.world), "shards": .int(run.plan.shards),
                    "batch": .int(run.plan.configuration.batch.size),
                    "scope": scopeJSON(run.plan), "samples": .int(calibration.samples),
                    "batches": .int(calibration.batches), "seconds": .double(seconds),
                    "parameters_digest": .string(trainer.replica.digest),
                    "checkpoint": .string(target),
                ]).text + "\n")
        }
    }

    /// "run/final.safetensors" and exact become "run/final.exact.safetensors".
    private static func defaultOutput(_ path: String, _ method: PopulationMethod) -> String {
        let ending = ".safetensors"
        let stem = path.hasSuffix(ending) ? String(path.dropLast(ending.count)) : path
        return "\(stem).\(method.rawValue)\(ending)"
    }
}

extension Launch {
    /// Refuses a file that is there already, without --overwrite.
    func requireNew(_ path: String) throws {
        try onRankZero {
            if !arguments.overwrite && FileManager.default.fileExists(atPath: path) {
                throw FileError.fileExists(path: path)
            }
        }
    }
}

extension Trainer {
    /// Replaces the running statistics; with the seconds it took.
    func recalibrate(
        _ method: PopulationMethod, _ launch: Launch, _ run: Launch.Run
    ) throws -> (Calibration, seconds: Double) {
        let start = ContinuousClock.now
        let calibration = try recalibrate(
            method, batches: launch.arguments.batches, in: run.world,
            transport: launch.session.transport, timeout: launch.arguments.timeout,
            spinning: run.spinning)
        return (calibration, (ContinuousClock.now - start) / .seconds(1))
    }
}

/// Which statistics `eval --statistics` asks for.
enum StatisticsChoice: String, CaseIterable, Sendable {
    /// Those that training left in the file.
    case moving
    /// Each test batch's own.
    case batch
    /// The training samples', by the two methods of `recalibrate`.
    case paper, exact

    /// The statistics that are then in force.
    ///
    /// - Throws: `StatisticsError`, where the network or the file has none such.
    func statistics(
        _ run: Launch.Run, of file: SafetensorsFile
    ) throws(StatisticsError) -> InferenceStatistics? {
        guard run.plan.network.isNormalized else {
            throw .noBatchNormalization(path: file.path)
        }
        switch self {
        case .moving:
            let stored = file.statistics(run.plan.configuration)
            if case .population = stored {
                throw .notMoving(path: file.path, stored: stored?.description ?? "")
            }
            return stored
        case .batch:
            if let samples = run.plan.testBatchWithSingleValue {
                throw .singleValue(samples: samples, run.plan)
            }
            return .batch
        case .paper: return .population(.paper)
        case .exact: return .population(.exact)
        }
    }
}

extension RunPlan {
    /// The samples of a test batch in which a statistics group would have one value a channel; nil
    /// where there is none.
    var testBatchWithSingleValue: Int? {
        guard network.isNormalized, network.fewestNormalizedPositions == 1 else { return nil }
        let size = configuration.batch.size
        let group = network.normalization.scope.groupSize(shards: shards)
        let counts = [split.validation.count, split.test.count].flatMap {
            [min(size, $0), $0 % size]
        }
        return counts.first { samples in
            let batch = ShardedBatch(samples: samples, shards: shards)
            return stride(from: 0, to: shards, by: group).contains {
                batch.samples(ofShards: $0..<$0 + group).count == 1
            }
        }
    }
}

/// Statistics that cannot be had.
enum StatisticsError: Error, Equatable, CustomStringConvertible {
    case noBatchNormalization(path: String)
    case notMoving(path: String, stored: String)
    case singleValue(samples: Int, batch: Int, isGlobal: Bool)

    /// For a test batch of `samples`.
    static func singleValue(samples: Int, _ plan: RunPlan) -> StatisticsError {
        .singleValue(
            samples: samples, batch: plan.configuration.batch.size,
            isGlobal: plan.network.normalization.scope == .global)
    }

    /// What, where, what to do; one line.
    var description: String {
        switch self {
        case .noBatchNormalization(let path):
            "the network of '\(visible(path))' has no batch normalisation, and so no statistics: "
                + "evaluate it as it is"
        case .notMoving(let path, let stored):
            "'\(visible(path))' holds statistics \(stored), no moving averages: leave "
                + "--statistics out, or give the file that was recalibrated"
        case .singleValue(let samples, let batch, let isGlobal):
            "a test batch of \(counted(samples, "sample")) leaves one value a channel in a statistics "
                + "group: set batch.size to another value than \(batch)"
                + (isGlobal ? "" : ", or model.normalization.scope to \"global\"")
        }
    }
}
