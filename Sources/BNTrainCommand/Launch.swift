import Collectives
import Configuration
import Datasets
import Foundation
import Kernels
import MPICollectives
import Training

/// This process among the ranks of a run: who it is, and how the ranks agree.
final class Launch {
    /// The command line.
    let arguments: Arguments

    /// The ranks.
    let session: MPISession

    /// The machine under this rank.
    let machine: Machine

    init(_ arguments: Arguments, session: MPISession, environment: [String: String]) {
        self.arguments = arguments
        self.session = session
        machine = Machine.present(environment: environment)
    }

    /// Rank 0, which speaks for all.
    var speaks: Bool { session.rank == 0 }

    /// Prints a line for people, on rank 0, unless `--quiet`.
    func say(_ line: String) {
        if speaks && !arguments.quiet { Console.error(line + "\n") }
    }

    /// Prints a warning for people, on rank 0.
    func warn(_ line: String) {
        if speaks { Console.error("bn-train: warning: \(line)\n") }
    }

    // MARK: agreement

    /// Does something that may fail on some ranks only, and then fails on all of them alike.
    ///
    /// - Throws: `AgreedFailure` with what rank 0 is to print, on every rank.
    func agree<Result>(_ work: () throws -> Result) throws -> Result {
        let result = Swift.Result(catching: work)
        var ending: Ending?
        if case .failure(let error) = result { ending = Ending(error) }
        let record = ending.map { Array("\($0.code)\n\($0.message)".utf8) } ?? []
        let records = try session.gather(record: record, seconds: arguments.timeout)
        if records.allSatisfy(\.isEmpty) { return try result.get() }
        throw AgreedFailure(records: records)
    }

    // MARK: the run's frame

    /// A run that all ranks have resolved alike.
    struct Run {
        let plan: RunPlan
        /// The data files that were read.
        let files: [DatasetPair.File]
        let world: World
        let spinning: Bool
    }

    /// Loads the configuration and the data, chooses the world, and compares all ranks.
    ///
    /// - Parameter configure: the configuration of this command.
    func resolve(_ configure: () throws -> RunConfiguration) throws -> Run {
        let run = try agree {
            let configuration = try configure()
            let data = try DatasetPair.load(configuration, threads: machine.cores)
            return try place(RunPlan(configuration, data: data), data: data)
        }
        try compareRanks(run)
        return run
    }

    /// Chooses the world for a plan that needs no data, and compares all ranks.
    func frame(_ configuration: RunConfiguration, plan: RunPlan) throws -> Run {
        let run = try agree { try place(plan, data: nil) }
        try compareRanks(run)
        return run
    }

    private func place(_ plan: RunPlan, data: DatasetPair?) throws -> Run {
        let configuration = plan.configuration
        let threads =
            arguments.threads
            ?? Machine.defaultThreads(
                cores: machine.cores, shards: plan.shards,
                underMPI: session.launcher.kind != .none)
        try configuration.validate(workers: session.ranks * threads, explicit: true)
        let arithmetic: World.Arithmetic =
            PlantedFaults.present.misplacesTree
            ? .misplacedTree : configuration.collectives == .mpi ? .mpi : .tree
        let world = World(
            ranks: session.ranks, threadsPerRank: threads, rank: session.rank,
            arithmetic: arithmetic)
        session.share(coresWith: threads, atMost: machine.quota ?? .max)
        let shared = session.localCores ?? machine.cores
        return Run(
            plan: plan, files: data?.files ?? [], world: world,
            spinning: threads <= machine.cores && session.localRanks * threads <= shared)
    }

    /// Compares what must be equal on all ranks, or a different result would follow.
    private func compareRanks(_ run: Run) throws {
        guard session.ranks > 1 else { return }
        let mine = try StartRecord(run, machine: machine, host: session.hostName)
        let records = try session.gather(record: mine.encoded, seconds: arguments.timeout)
            .map(StartRecord.init(decoding:))
        let differences = StartRecord.differences(records)
        if let error = differences.first(where: { $0.isError || arguments.strict }) { throw error }
        for warning in differences { warn(warning.description) }
    }
}

/// An error that all ranks know of; rank 0 prints it, and all leave with its code.
struct AgreedFailure: Error {
    /// What to print and how to leave.
    let ending: Ending

    /// - Parameter records: a rank's is empty where it succeeded, else its code and message.
    init(records: [[UInt8]]) {
        let failed = records.indices.filter { !records[$0].isEmpty }
        let text = String(decoding: records[failed.first ?? 0], as: UTF8.self)
        let parts = text.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
        let code = Int32(parts.first ?? "") ?? ExitCode.internalError.rawValue
        let message = parts.count > 1 ? String(parts[1]) : text
        // Found alike on all ranks it is one error; otherwise it says where.
        let isEverywhere = records.allSatisfy { $0 == records[0] }
        ending = Ending(
            agreed: isEverywhere
                ? message : message.replacing("error: ", with: "error: rank \(failed[0]): "),
            code: code)
    }
}

extension Ending {
    /// An ending that all ranks have agreed on.
    init(agreed message: String, code: Int32) {
        self.message = message
        self.code = code
        isOneWorkers = false
    }
}

extension DatasetPair {
    /// The samples that a configuration names.
    static func load(
        _ configuration: RunConfiguration, threads: Int
    ) throws(DatasetError) -> DatasetPair {
        switch configuration.data.source {
        case .syntheticDigits(let samples, let testSamples):
            SyntheticDigits.pair(
                seed: configuration.seed, trainingCount: samples, testCount: testSamples,
                threads: threads)
        case .idx(let directory): try DatasetPair.idx(directory: directory)
        }
    }
}

/// Faults that tests plant through the environment: BN_TRAIN_PLANT is "throw=WORKER@STEP" or
/// "misplaced-tree". Tests must be able to see a worker fail, and the promise broken.
struct PlantedFaults {
    var misplacesTree = false
    var fault: Trainer.PlantedFault?

    static var present: PlantedFaults {
        var faults = PlantedFaults()
        guard let text = ProcessInfo.processInfo.environment["BN_TRAIN_PLANT"] else {
            return faults
        }
        faults.misplacesTree = text == "misplaced-tree"
        let numbers = text.dropFirst("throw=".count).split(separator: "@").compactMap { Int($0) }
        if text.hasPrefix("throw="), numbers.count == 2 {
            faults.fault = Trainer.PlantedFault(worker: numbers[0], step: numbers[1])
        }
        return faults
    }
}
