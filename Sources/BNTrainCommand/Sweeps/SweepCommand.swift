import Configuration
import Foundation
import MPICollectives
import Reports
import Training

/// `bn-train sweep FILE`: runs that belong together, side by side on this machine's cores.
struct SweepCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let arguments = launch.arguments
        let sweep = try launch.agree {
            guard launch.session.ranks == 1 else { throw SweepError.underMPI }
            return try SweepConfiguration.load(
                file: arguments.files[0], settings: arguments.settings, isQuick: arguments.quick)
        }
        let folder = arguments.out ?? Self.folder(arguments)
        let lock = try SweepLock(folder)
        defer { lock.release() }
        let threads = arguments.threads ?? 1
        for run in SweepRun.all(of: sweep, in: folder).prefix(sweep.cells.count) {
            try run.configuration.validate(ranks: 1)
        }
        let runner = SweepRunner(
            runs: SweepRun.all(of: sweep, in: folder), threads: threads,
            jobs: max(1, launch.machine.cores / threads), isQuiet: arguments.quiet)
        launch.say(
            "sweep    \(sweep.title): \(counted(sweep.cells.count, "cell")) × "
                + "\(counted(sweep.seeds.count, "seed")) = \(counted(sweep.runCount, "run")), "
                + "\(runner.jobs) at a time; \(runner.doneBefore) done before"
                + (runner.onOtherData > 0
                    ? "; \(runner.onOtherData) on other data, which train again" : ""))
        let results = try runner.run()
        let record = SweepRecord(
            sweep,
            runs: sweep.cells.indices.map { cell in
                results.filter { $0.cell == cell }.map(\.run)
            })
        try write(record, to: folder, seconds: runner.seconds)
        return 0
    }

    /// `runs/NAME`, or `runs/NAME-quick`: the same command comes back to the same folder.
    private static func folder(_ arguments: Arguments) -> String {
        let name = URL(fileURLWithPath: arguments.files[0]).deletingPathExtension()
            .lastPathComponent
        return "runs/\(name)" + (arguments.quick ? "-quick" : "")
    }

    // MARK: Results

    private func write(_ sweep: SweepRecord, to folder: String, seconds: Double) throws {
        let table = SweepTable(sweep)
        let count = sweep.runs.joined().count
        let failed = sweep.runs.joined().count { $0.failure != nil }
        let report = Report(
            sweep: sweep, system: ReportCommand.system(launch.machine),
            notes: launch.arguments.quick
                ? ["This is the quick form of the sweep: fewer steps, seeds or samples."] : [],
            origin: "Made by bn-train \(programVersion) from \(folder).")
        try writeAtomically(path: "\(folder)/table.md", text: table.markdown)
        try writeAtomically(path: "\(folder)/table.csv", text: table.csv)
        let json = SweepSummary(sweep, table: table, folder: folder, seconds: seconds).json
        try writeAtomically(path: "\(folder)/table.json", text: json.text + "\n")
        try writeAtomically(path: "\(folder)/report.html", text: report.html)
        try ReportCommand.write(report.drawings, to: "\(folder)/charts")
        Console.output(table.markdown)
        launch.say(
            "done     \(counted(count, "run")) in \(duration(seconds))"
                + (failed > 0 ? ", \(failed) of them failed" : "")
                + "; \(folder)/report.html, table.md, table.csv, table.json, charts/")
        if launch.arguments.json { Console.output(json.text + "\n") }
    }
}

/// The table of a sweep for programs.
private struct SweepSummary {
    let json: JSONValue

    init(_ sweep: SweepRecord, table: SweepTable, folder: String, seconds: Double) {
        func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
        func spread(_ spread: Reports.Spread?) -> JSONValue {
            guard let spread else { return .null }
            return [
                "median": .double(spread.median), "min": .double(spread.range.lowerBound),
                "max": .double(spread.range.upperBound),
            ]
        }
        let columns = sweep.configuration.columns
        let rows = zip(table.rows, sweep.runs).map { row, runs -> JSONValue in
            .object([
                "values": .object(
                    JSONObject(
                        zip(columns, row.values).map {
                            JSONObject.Member(name: $0, value: .string($1))
                        })),
                "validation_accuracy": spread(row.validation), "test_accuracy": spread(row.test),
                "steps_to_threshold": spread(row.steps), "reached_threshold": .int(row.reached),
                "steps_per_second": spread(row.speed), "failure": .string(row.failure),
                "measures": .object(
                    JSONObject(
                        SweepConfiguration.Measure.allCases.compactMap { measure in
                            Reports.Spread(runs.compactMap { $0.measure(measure) }).map {
                                .init(name: measure.rawValue, value: spread($0))
                            }
                        })),
                "published_validation": number(row.published?.validation),
                "published_test": number(row.published?.test),
                "runs": .array(
                    runs.map { run in
                        .object([
                            "seed": .string("\(run.seed)"), "path": .string(run.path),
                            "validation_accuracy": number(run.last("validation_accuracy")),
                            "test_accuracy": number(run.last("test_accuracy")),
                            "steps_per_second": number(run.stepsPerSecond),
                            "failure": run.failure.map { .string($0) } ?? .null,
                        ])
                    }),
            ])
        }
        let failed = sweep.runs.joined().count { $0.failure != nil }
        json = .object([
            "command": "sweep", "title": .string(sweep.configuration.title),
            "folder": .string(folder), "seconds": .double(seconds),
            "runs": .int(sweep.runs.joined().count), "failed": .int(failed),
            "threshold": number(sweep.configuration.threshold), "rows": .array(rows),
        ])
    }
}

/// Why a sweep cannot be run.
enum SweepError: Error, Equatable {
    /// It was started by mpirun.
    case underMPI
    /// Another one works in the folder.
    case folderInUse(String)
    /// A signal ended it.
    case stopped(done: Int, runs: Int)

    var code: ExitCode {
        switch self {
        case .underMPI, .folderInUse: .usage
        case .stopped: .stopped
        }
    }
}

extension SweepError: CustomStringConvertible {
    /// What, where, what to do; one line.
    var description: String {
        switch self {
        case .underMPI:
            "sweep starts its runs itself, one a core: start it without mpirun"
        case .folderInUse(let path):
            "another sweep, or a run of one that was ended, works in '\(visible(path))': wait for "
                + "it, or give another folder with --out"
        case .stopped(let done, let runs):
            "stopped by a signal after \(done) of \(runs) runs; the same command goes on there"
        }
    }
}
