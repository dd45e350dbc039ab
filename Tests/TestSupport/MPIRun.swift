import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// How a process ended, and what it wrote.
package struct ProcessResult: Sendable {
    /// The exit code; 128 + the signal's number where a signal ended it, as shells have it.
    package var status: Int32
    package var stdout: String
    package var stderr: String

    /// True where the process outlived its timeout and was killed.
    package var timedOut: Bool
}

/// A program under way, started without a shell. Output goes to files, not pipes, so that neither
/// a full pipe nor a grandchild that holds one can hang a test.
package final class RunningProcess {
    private let process = Process()
    private let folder: URL

    /// Starts `arguments[0]` (found on PATH) with this process's environment, minus the variables of
    /// launchers, plus `environment`.
    package init(_ arguments: [String], environment: [String: String] = [:]) throws {
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("bn-train-run-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let foreign = ["OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_", "PALS_", "ORTE_"]
        var variables = ProcessInfo.processInfo.environment.filter { variable in
            !foreign.contains { variable.key.hasPrefix($0) }
        }
        variables.merge(environment) { $1 }
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.environment = variables
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try file("stdout")
        process.standardError = try file("stderr")
        try process.run()
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// The process id.
    package var pid: Int32 { process.processIdentifier }

    /// What it has written to its standard output so far.
    package var stdout: String { read("stdout") }

    /// What it has written to its standard error so far.
    package var stderr: String { read("stderr") }

    /// The result, after at most `timeout` seconds; then SIGTERM (on which mpirun ends its ranks)
    /// and, 5 s later, SIGKILL to the process and its children, which would outlive mpirun.
    package func wait(timeout: Double) -> ProcessResult {
        let inTime = waitForExit(seconds: timeout)
        if !inTime {
            kill(pid, SIGTERM)
            if !waitForExit(seconds: 5) {
                for process in children() + [pid] { kill(process, SIGKILL) }
            }
        }
        process.waitUntilExit()
        let signalled = process.terminationReason == .uncaughtSignal
        return ProcessResult(
            status: process.terminationStatus + (signalled ? 128 : 0), stdout: stdout,
            stderr: stderr, timedOut: !inTime)
    }

    /// True once `condition` holds, looked at every 10 ms; false after `seconds`.
    package func waitUntil(seconds: Double, _ condition: () -> Bool) -> Bool {
        let end = Date().addingTimeInterval(seconds)
        while !condition() {
            if Date() >= end { return false }
            usleep(10_000)
        }
        return true
    }

    /// The process id of a rank, where this process is an Open MPI mpirun on this host: for tests
    /// that stop or kill one.
    package func pid(ofRank rank: Int) -> Int32? {
        let wanted = "OMPI_COMM_WORLD_RANK=\(rank)"
        return children().first { child in
            let variables = FileManager.default.contents(atPath: "/proc/\(child)/environ") ?? Data()
            return variables.split(separator: 0).contains { $0.elementsEqual(wanted.utf8) }
        }
    }

    /// The processes that this one has started itself.
    private func children() -> [Int32] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { Int32($0) }.filter { parent(of: $0) == pid }
    }

    private func parent(of pid: Int32) -> Int32? {
        guard let status = FileManager.default.contents(atPath: "/proc/\(pid)/status") else {
            return nil
        }
        let lines = String(decoding: status, as: UTF8.self).split(separator: "\n")
        let line = lines.first { $0.hasPrefix("PPid:") }
        return line.flatMap { Int32($0.dropFirst(5).trimmingCharacters(in: .whitespaces)) }
    }

    private func waitForExit(seconds: Double) -> Bool {
        waitUntil(seconds: seconds) { !process.isRunning }
    }

    private func file(_ name: String) throws -> FileHandle {
        let url = folder.appendingPathComponent(name)
        try Data().write(to: url)
        return try FileHandle(forWritingTo: url)
    }

    private func read(_ name: String) -> String {
        let contents = FileManager.default.contents(
            atPath: folder.appendingPathComponent(name).path)
        return String(decoding: contents ?? Data(), as: UTF8.self)
    }
}

/// Runs a program to its end.
package func runProcess(
    _ arguments: [String], environment: [String: String] = [:], timeout: Double = 60
) throws -> ProcessResult {
    try RunningProcess(arguments, environment: environment).wait(timeout: timeout)
}

/// True where Open MPI's mpirun is installed, and of use: not without the MPI trait.
package let mpirunIsInstalled: Bool = {
    #if MPI
        let result = try? runProcess(["mpirun", "--version"], timeout: 20)
        return result?.stdout.contains("Open MPI") == true
            || result?.stdout.contains("Open RTE") == true
    #else
        return false
    #endif
}()

/// This program: under `swift test`, the bundle that holds all tests.
package let thisProgram: String =
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
    ?? CommandLine.arguments[0]

/// A program of this package, built beside the tests.
package func builtProgram(_ name: String) -> String {
    URL(fileURLWithPath: thisProgram).deletingLastPathComponent().appendingPathComponent(name).path
}

/// Starts a program in ranks, on machines of any size and as any user.
package func startMPIRun(
    ranks: Int, program: String, arguments: [String] = [], environment: [String: String] = [:]
) throws -> RunningProcess {
    // Open MPI 4 reads the OMPI_ names and 5, whose launcher is PRRTE, the PRTE_ ones.
    var variables = [
        "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_ALLOW_RUN_AS_ROOT": "1", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    ]
    variables.merge(environment) { $1 }
    return try RunningProcess(
        ["mpirun", "--oversubscribe", "-n", "\(ranks)", program] + arguments,
        environment: variables)
}

/// Runs a program in ranks to its end. mpirun mixes the ranks' output.
package func mpirun(
    ranks: Int, program: String, arguments: [String] = [], environment: [String: String] = [:],
    timeout: Double = 60
) throws -> ProcessResult {
    try startMPIRun(
        ranks: ranks, program: program, arguments: arguments, environment: environment
    ).wait(timeout: timeout)
}

/// Set, to the number of ranks, in the ranks that `runRankTests` starts.
package let rankTestsVariable = "BN_TRAIN_TEST_RANKS"

/// The number of ranks that `runRankTests` started this process among; nil in an ordinary test run.
package let rankTestRanks: Int? = ProcessInfo.processInfo.environment[rankTestsVariable]
    .flatMap { Int($0) }

/// Starts those tests of this bundle whose names match `filter` in ranks. They are enabled only
/// where `rankTestRanks` is set, so that no rank starts ranks of its own.
package func startRankTests(
    ranks: Int, filter: String, environment: [String: String] = [:]
) throws -> RunningProcess {
    var variables = environment
    variables[rankTestsVariable] = "\(ranks)"
    return try startMPIRun(
        ranks: ranks, program: thisProgram,
        arguments: ["--testing-library", "swift-testing", "--filter", filter],
        environment: variables)
}

/// Runs them to their end, one such run at a time: suites run side by side, and the ranks of two
/// on one machine's cores keep each other waiting for time slices.
package func runRankTests(
    ranks: Int, filter: String, environment: [String: String] = [:], timeout: Double = 120
) throws -> ProcessResult {
    try rankRuns.withLock {
        try startRankTests(ranks: ranks, filter: filter, environment: environment)
            .wait(timeout: timeout)
    }
}

private let rankRuns = NSLock()

/// The numbers of tests that the ranks of `runRankTests` report as passed, one for each rank that
/// reports success ("Test run with 7 tests in 1 suite passed after …").
package func passedTests(_ result: ProcessResult) -> [Int] {
    let words = (result.stdout + result.stderr).components(separatedBy: "Test run with ")
        .dropFirst()
    return words.compactMap { rest in
        let line = rest.prefix { $0 != "\n" }
        guard line.contains(" passed after ") else { return nil }
        return Int(line.prefix { $0.isNumber })
    }
}
