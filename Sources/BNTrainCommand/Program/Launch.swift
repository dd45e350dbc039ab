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

    /// Instruments of the workers that train, beside the trainer's own.
    var furtherInstruments: @Sendable (TrainingWorker) -> [any Instrument] = { _ in [] }

    private init(_ arguments: Arguments, session: MPISession, environment: [String: String]) {
        self.arguments = arguments
        self.session = session
        machine = Machine.present(environment: environment)
    }

    /// Reads the command line, which all ranks must understand, and alike: a rank that does
    /// something else would leave the others waiting.
    static func agreed(
        on words: [String], session: MPISession, environment: [String: String]
    ) throws -> Launch {
        let arguments = try agree(session, seconds: Arguments().timeout) {
            try PathEncodingError.check()
            return try Arguments.parse(words)
        }
        let launch = Launch(arguments, session: session, environment: environment)
        try launch.sayWhereMessagesAreCopiedTwice()
        let tasks = try session.gather(
            record: Array(arguments.task.utf8), seconds: arguments.timeout
        ).map { String(decoding: $0, as: UTF8.self) }
        if let rank = tasks.firstIndex(where: { $0 != tasks[0] }) {
            throw StartRecord.Difference(
                what: "the command line", rank: rank, first: tasks[0], other: tasks[rank],
                remedy: "give all ranks the same")
        }
        return launch
    }

    /// Rank 0, which speaks for all.
    var speaks: Bool { session.rank == 0 }

    /// Prints a line for people, on rank 0, unless `--quiet`.
    func say(_ line: String) {
        if speaks && !arguments.quiet { Console.error(line + "\n") }
    }

    /// Prints how a model's file was read.
    func tell(_ notes: [String]) {
        for note in notes { say("file     \(note)") }
    }

    /// Prints a warning for people, on rank 0.
    func warn(_ line: String) {
        if speaks { Console.error("bn-train: warning: \(line)\n") }
    }

    /// What the run in `folder` gives up where its disk is full, and says so.
    func room(in folder: RunFolder) -> DiskRoom {
        let speaks = speaks
        return DiskRoom(folder) { path in
            if speaks { Console.error("bn-train: warning: \(removedForRoom(path))\n") }
        }
    }

    private func sayWhereMessagesAreCopiedTwice() throws {
        let hosts = try session.gather(
            record: session.copiesTwice ? Array(session.hostName.utf8) : [],
            seconds: arguments.timeout
        ).filter { !$0.isEmpty }.map { String(decoding: $0, as: UTF8.self) }
        guard let host = hosts.first else { return }
        let others = Set(hosts).count - 1
        say(
            "ranks    \(visible(host))\(others > 0 ? " and \(counted(others, "other host"))" : "") "
                + "\(others > 0 ? "refuse" : "refuses") process_vm_readv, as containers do: messages "
                + "between its ranks are copied twice (docker's --cap-add SYS_PTRACE allows it)")
    }

    // MARK: agreement

    /// Does something that may fail on some ranks only, and then fails on all of them alike.
    ///
    /// - Throws: `AgreedFailure` with what rank 0 is to print, on every rank.
    func agree<Result>(_ work: () throws -> Result) throws -> Result {
        try Self.agree(session, seconds: arguments.timeout, work)
    }

    /// Does on rank 0 alone what may fail there, and then fails on all ranks alike.
    ///
    /// - Returns: the result on rank 0, nil on the others.
    @discardableResult
    func onRankZero<Result>(_ work: () throws -> Result) throws -> Result? {
        try Self.agree(session, seconds: arguments.timeout, isRankZeros: true) {
            try speaks ? work() : nil
        }
    }

    /// Rank 0's bytes, on every rank.
    func fromRankZero(_ bytes: [UInt8]?) throws -> [UInt8] {
        try session.gather(
            record: speaks ? bytes ?? [] : [], seconds: arguments.timeout)[0]
    }

    private static func agree<Result>(
        _ session: MPISession, seconds: Double, isRankZeros: Bool = false,
        _ work: () throws -> Result
    ) throws -> Result {
        let result = Swift.Result(catching: work)
        var failure: AgreedFailure.Record?
        if case .failure(let error) = result {
            let ending = Ending(error)
            failure = AgreedFailure.Record(
                host: session.hostName, code: ending.code, message: ending.message)
        }
        let bytes = try failure.map { Array(try JSONEncoder().encode($0)) } ?? []
        let records = try session.gather(record: bytes, seconds: seconds)
            .map {
                try $0.isEmpty
                    ? nil : JSONDecoder().decode(AgreedFailure.Record.self, from: Data($0))
            }
        guard let failure = AgreedFailure(records, isRankZeros: isRankZeros) else {
            return try result.get()
        }
        throw failure
    }

    // MARK: the run's frame

    /// A run that all ranks have resolved alike.
    struct Run {
        let plan: RunPlan
        /// The data files that were read.
        let files: [DatasetPair.File]
        let world: World
        let spinning: Bool
        /// Why a rank has so many threads, where that was not given.
        let threadsReason: String?
    }

    /// Loads the configuration and the data, chooses the world, and compares all ranks.
    ///
    /// - Parameters:
    ///   - file: a model whose inputs are scaled as they were.
    ///   - configure: the configuration of this command.
    func resolve(
        scaledAsIn file: SafetensorsFile? = nil, _ configure: () throws -> RunConfiguration
    ) throws -> Run {
        let run = try agree {
            let configuration = try configure()
            let data = try DatasetPair.load(configuration, threads: machine.cores)
            return try place(RunPlan(configuration, data: data, scaledAsIn: file), data: data)
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
        let isUnderMPI = session.launcher.kind != .none
        let threads =
            arguments.threads
            ?? Machine.defaultThreads(
                cores: machine.cores, shards: plan.shards, underMPI: isUnderMPI)
        try configuration.validate(ranks: session.ranks)
        let world = World(
            ranks: session.ranks, threads: threads, sharing: plan.shards, rank: session.rank,
            arithmetic: configuration.collectives == .mpi ? .mpi : .tree)
        session.share(coresWith: threads, atMost: machine.quota ?? .max)
        let shared = session.localCores ?? machine.cores
        return Run(
            plan: plan, files: data?.files ?? [], world: world,
            spinning: threads <= machine.cores && session.localRanks * threads <= shared,
            threadsReason: arguments.threads != nil
                ? nil : isUnderMPI ? "1 thread a rank" : "a thread a core, at most one a shard")
    }

    /// Compares what must be equal on all ranks, or a different result would follow.
    private func compareRanks(_ run: Run) throws {
        guard session.ranks > 1 else { return }
        let mine = try StartRecord(run, machine: machine, host: session.hostName)
        let records = try session.gather(record: mine.encoded, seconds: arguments.timeout)
            .map(StartRecord.init(decoding:))
        if let difference = StartRecord.differences(records).first { throw difference }
    }
}

/// An error that all ranks know of; rank 0 prints it, and all leave with its code.
struct AgreedFailure: Error {
    /// What to print and how to leave.
    let ending: Ending

    /// What a rank tells the others of its failure.
    struct Record: Codable {
        let host: String
        let code: Int32
        let message: String
    }

    /// Nil where no rank failed.
    ///
    /// - Parameters:
    ///   - records: a rank's is nil where it succeeded.
    ///   - isRankZeros: only rank 0 had something to do.
    init?(_ records: [Record?], isRankZeros: Bool = false) {
        guard let rank = records.firstIndex(where: { $0 != nil }), let first = records[rank] else {
            return nil
        }
        // Found alike on all ranks it is one error; otherwise it says where.
        let isEverywhere = records.allSatisfy {
            $0?.code == first.code && $0?.message == first.message
        }
        let place = isEverywhere || isRankZeros ? "" : "rank \(rank) (\(first.host)): "
        ending = Ending(
            agreed: first.message.replacing(
                "error: ", with: "error: \(place)", maxReplacements: 1), code: first.code)
    }
}

extension Arguments {
    /// What the command line asks of every rank, as words: where it differs, ranks would wait for
    /// messages that never come. The rest concerns rank 0 alone, or is compared later.
    fileprivate var task: String {
        var words = [command.name] + files
        for (isSet, word) in [
            (printConfig, "--print-config"), (resumeAnyway, "--resume-anyway"),
            (worlds, "--worlds"),
        ] where isSet {
            words.append(word)
        }
        if let step { words += ["--step", "\(step)"] }
        if let steps { words += ["--steps", "\(steps)"] }
        for (name, value) in [
            ("--method", method?.rawValue), ("--statistics", statistics?.rawValue),
            ("--batches", batches.map { "\($0)" }), ("-o", output),
        ] {
            if let value { words += [name, value] }
        }
        if let initial { words += ["--init", initial] }
        if let resume { words += ["--resume", resume] }
        if let kernel { words += ["--kernel", kernel] }
        return words.joined(separator: " ")
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
        let pair = try loadUnchanged(configuration, threads: threads)
        guard let shift = configuration.data.testShift else { return pair }
        return pair.shiftingTest(brightness: shift.brightness, contrast: shift.contrast)
    }

    private static func loadUnchanged(
        _ configuration: RunConfiguration, threads: Int
    ) throws(DatasetError) -> DatasetPair {
        switch configuration.data.source {
        case .syntheticDigits(let samples, let testSamples):
            SyntheticDigits.pair(
                seed: configuration.seed, trainingCount: samples, testCount: testSamples,
                threads: threads)
        case .twoFeatures(let samples, let testSamples):
            TwoFeatures.pair(
                seed: configuration.seed, trainingCount: samples, testCount: testSamples)
        case .idx(let directory): try DatasetPair.idx(directory: directory)
        case .cifar10(let directory): try DatasetPair.cifar(.ten, directory: directory)
        case .cifar100(let directory): try DatasetPair.cifar(.hundred, directory: directory)
        }
    }
}

/// What is said of a checkpoint that was removed because the disk was full.
func removedForRoom(_ path: String) -> String {
    "the disk is full: '\(visible(path))' is removed to make room"
}
