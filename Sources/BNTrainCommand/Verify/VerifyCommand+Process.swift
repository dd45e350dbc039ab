import Foundation
import Training

/// A program that this one starts and waits for. It stays in this process group, so that Ctrl-C
/// ends both; Foundation's `Process` gives it one of its own.
struct ChildProcess {
    /// Its number.
    let pid: pid_t

    /// Starts `words[0]` with this process's environment and `variables`, its output in files.
    ///
    /// - Throws: `FileError.io` where it cannot be started.
    init(
        _ words: [String], adding variables: [String: String], output: String, errors: String
    ) throws(FileError) {
        let environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        var assignments: [UnsafeMutablePointer<CChar>?] = environment.map {
            strdup("\($0.key)=\($0.value)")
        }
        defer { for text in arguments + assignments { free(text) } }
        arguments.append(nil)
        assignments.append(nil)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let flags = O_WRONLY | O_CREAT | O_TRUNC
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, flags, 0o600)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, flags, 0o600)
        // Threads of queues block all signals, and a child would inherit that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var blocked = sigset_t()
        sigemptyset(&blocked)
        posix_spawnattr_setsigmask(&attributes, &blocked)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var pid: pid_t = 0
        let code = posix_spawn(&pid, words[0], &actions, &attributes, arguments, assignments)
        guard code == 0 else { throw .io(path: words[0], operation: "start", code: code) }
        self.pid = pid
    }

    /// Waits for its end: the exit code, or 128 + the signal that ended it.
    func wait() throws(FileError) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            guard errno == EINTR else {
                throw .io(path: "process \(pid)", operation: "wait for", code: errno)
            }
        }
        let signal = status & 0x7F
        return signal == 0 ? status >> 8 & 0xFF : 128 + signal
    }

    /// What Open MPI 4 and 5 need to start ranks as root, and where `yielding` to share cores.
    static func environmentOfRanks(yielding: Bool) -> [String: String] {
        var variables = yielding ? ["OMPI_MCA_mpi_yield_when_idle": "1"] : [:]
        if geteuid() == 0 {
            for prefix in ["OMPI", "PRTE"] {
                variables["\(prefix)_ALLOW_RUN_AS_ROOT"] = "1"
                variables["\(prefix)_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
            }
        }
        return variables
    }

    /// The lines of a file that a child wrote.
    static func lines(_ path: String) -> [String] {
        let contents = FileManager.default.contents(atPath: path) ?? Data()
        return String(decoding: contents, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// The first program of this name on PATH.
    static func pathOfProgram(_ name: String) -> String? {
        let folders = ProcessInfo.processInfo.environment["PATH"] ?? ""
        return folders.split(separator: ":").map { "\($0)/\(name)" }
            .first { access($0, X_OK) == 0 }
    }
}

/// Does something in a folder of its own, which is removed in the end.
func withTemporaryFolder<Result>(
    _ purpose: String, _ body: (String) throws -> Result
) throws -> Result {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("bn-train-\(purpose)-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder.path)
}
