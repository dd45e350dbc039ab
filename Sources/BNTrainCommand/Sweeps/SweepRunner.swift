import CPlatform
import Foundation
import Reports
import Synchronization
import Training

/// Runs the runs of a sweep that are not finished, several at a time.
final class SweepRunner: Sendable {
    /// A finished run and where it belongs.
    struct Result: Sendable {
        let cell: Int
        let run: SweepRecord.Run
    }

    /// Runs at a time.
    let jobs: Int

    /// Runs that were finished when the sweep started.
    var doneBefore: Int { finished.count { $0 != nil } }

    /// Runs that were finished on other data than there are now, and are run again.
    let onOtherData: Int

    /// Seconds that the runs took.
    var seconds: Double { state.withLock { $0.seconds } }

    private let runs: [SweepRun]
    private let finished: [SweepRecord.Run?]
    private let threads: Int
    private let isQuiet: Bool
    private let state: Mutex<State>

    /// What the jobs share.
    private struct State {
        var results: [SweepRecord.Run?]
        var next = 0
        var done = 0
        var children: [Int: pid_t] = [:]
        var isStopped = false
        var failure: (any Error)?
        var seconds = 0.0
    }

    init(runs: [SweepRun], threads: Int, jobs: Int, isQuiet: Bool) {
        self.runs = runs
        self.threads = threads
        self.jobs = jobs
        self.isQuiet = isQuiet
        let data = SweepData(threads: jobs * threads)
        finished = runs.map { $0.finished(on: data) }
        onOtherData = data.others
        state = Mutex(State(results: finished))
    }

    /// Runs what is left.
    ///
    /// - Returns: all runs, in their order.
    /// - Throws: `SweepError.stopped` after a signal; `FileError` where a run cannot be started.
    func run() throws -> [Result] {
        let start = ContinuousClock.now
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        bn_catch_stop_signals()
        defer { bn_restore_stop_signals() }
        let group = DispatchGroup()
        for job in 0..<jobs {
            // A queue of its own, so that a thread is its own, too: it waits most of the time.
            DispatchQueue(label: "sweep job \(job)").async(group: group) { [self] in
                while let index = takeNext() { work(on: index, program: program, since: start) }
            }
        }
        // Signals are passed on to the runs, which would outlive this program.
        while group.wait(timeout: .now() + .milliseconds(20)) == .timedOut {
            if bn_stop_signal() != 0 { stop() }
        }
        return try state.withLock { state in
            state.seconds = (ContinuousClock.now - start) / .seconds(1)
            if let failure = state.failure { throw failure }
            let done = state.results.count { $0 != nil }
            if state.isStopped { throw SweepError.stopped(done: done, runs: runs.count) }
            return zip(runs, state.results).compactMap { run, result in
                result.map { Result(cell: run.cell, run: $0) }
            }
        }
    }

    private func takeNext() -> Int? {
        state.withLock { state in
            while state.next < runs.count, state.results[state.next] != nil { state.next += 1 }
            guard state.next < runs.count, !state.isStopped, state.failure == nil else {
                return nil
            }
            state.next += 1
            return state.next - 1
        }
    }

    private func work(on index: Int, program: String, since start: ContinuousClock.Instant) {
        let run = runs[index]
        do {
            let began = ContinuousClock.now
            // Started under the lock: a signal finds either no child or its number.
            let child = try state.withLock { state throws -> ChildProcess? in
                guard !state.isStopped else { return nil }
                let child = try run.start(program: program, threads: threads)
                state.children[index] = child.pid
                return child
            }
            guard let child else { return }
            let code = try child.wait()
            let isStopped = state.withLock { state in
                state.children[index] = nil
                return state.isStopped
            }
            // What a signal has ended is no result: the next sweep runs it anew.
            if isStopped, code != 0 { return }
            let result = run.ended(with: code)
            let seconds = (ContinuousClock.now - began) / .seconds(1)
            let (done, left) = state.withLock { state in
                state.results[index] = result
                state.done += 1
                let mean = (ContinuousClock.now - start) / .seconds(1) / Double(state.done)
                let missing = state.results.count { $0 == nil }
                return (state.results.count - missing, mean * Double(missing))
            }
            if !isQuiet {
                Console.error(line(run, result, done: done, seconds: seconds, left: left) + "\n")
            }
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
        }
    }

    /// "[ 3/80] relu, 0.01, seed 2 · validation 0.9712 · test 0.9700 · 0:12 · about 0:40 left".
    private func line(
        _ run: SweepRun, _ result: SweepRecord.Run, done: Int, seconds: Double, left: Double
    ) -> String {
        let width = "\(runs.count)".count
        var parts = ["[\("\(done)".leftPadding(to: width))/\(runs.count)] \(run.name)"]
        if let failure = result.failure {
            parts.append(
                failure.firstMatch(of: /diverged at step \d+/).map { String($0.0) } ?? failure)
        }
        for set in ["validation", "test"] {
            if let accuracy = result.last("\(set)_accuracy") {
                parts.append("\(set) \(fixed(accuracy, digits: 4))")
            }
        }
        parts.append(duration(seconds))
        if done < runs.count { parts.append("about \(duration(left)) left") }
        return parts.joined(separator: " · ")
    }

    // MARK: Signals

    /// Ends the runs; none is started any more.
    private func stop() {
        state.withLock { state in
            guard !state.isStopped else { return }
            state.isStopped = true
            for child in state.children.values { kill(child, SIGTERM) }
        }
    }
}

/// Keeps two sweeps out of one folder, and a sweep out of one where runs of a killed one still work:
/// they inherit the lock.
struct SweepLock {
    private let file: Int32

    /// Makes the folder if it is missing, and takes its lock.
    ///
    /// - Throws: `SweepError.folderInUse`, `FileError`.
    init(_ folder: String) throws {
        try makeFolder(folder)
        // Without O_CLOEXEC, so that runs hold it, too.
        let path = folder + "/.lock"
        file = open(path, O_RDWR | O_CREAT, 0o600)
        guard file >= 0 else { throw FileError.io(path: path, operation: "create", code: errno) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            close(file)
            throw SweepError.folderInUse(folder)
        }
    }

    func release() { close(file) }
}
