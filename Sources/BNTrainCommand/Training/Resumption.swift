import Configuration
import Glibc
import Kernels
import Training

/// Where a run goes on: what rank 0 found in its folder, on every rank.
struct Resumption {
    /// The checkpoint; nil where the run was interrupted before the first, and begins anew.
    let checkpoint: Checkpoint?

    /// The run's folder, and the right to it; on rank 0.
    let folder: RunFolder?
    let lock: RunLock?

    /// The configuration of a run without checkpoints: its file's name and text.
    private let begun: (name: String, text: String)?

    /// Seconds for which ranks of a killed job may still hold the folder.
    private static let patience = 30.0

    /// What rank 0 tells the others.
    private struct Finding {
        let folder: RunFolder
        let lock: RunLock
        /// Of the checkpoint, or else of config.json; empty where there is neither.
        var path = ""
        var bytes: [UInt8] = []
        var isCheckpoint = false
    }

    /// Finds the checkpoint on rank 0, which alone needs to see the folder.
    ///
    /// - Parameter source: `auto` or the path of a checkpoint.
    init(_ launch: Launch, from source: String) throws {
        let finding = try launch.onRankZero { try Self.find(launch, source) }
        folder = finding?.folder
        lock = finding?.lock
        let kind = finding.map { Array(($0.isCheckpoint ? "+" : "-").utf8) + Array($0.path.utf8) }
        let name = try launch.fromRankZero(kind)
        let bytes = try launch.fromRankZero(finding?.bytes)
        let path = String(decoding: name.dropFirst(), as: UTF8.self)
        if name.first == UInt8(ascii: "+") {
            checkpoint = try launch.agree {
                try Checkpoint(SafetensorsFile(bytes: bytes, path: path))
            }
            begun = nil
        } else {
            checkpoint = nil
            begun = path.isEmpty ? nil : (path, String(decoding: bytes, as: UTF8.self))
        }
    }

    private static func find(_ launch: Launch, _ source: String) throws -> Finding {
        let arguments = launch.arguments
        guard source == "auto" else {
            // First of all: a file that is none must not leave a folder behind.
            let checkpoint = try Checkpoint(contentsOf: source)
            let folder = try RunFolder(
                creating: arguments.out ?? runFolder(of: source), overwrite: true)
            let lock = try RunLock(of: folder, waiting: patience)
            return Finding(
                folder: folder, lock: lock, path: source, bytes: checkpoint.file.serialized,
                isCheckpoint: true)
        }
        let folder = try RunFolder(creating: arguments.out ?? ".", overwrite: true)
        let lock = try RunLock(of: folder, waiting: patience)
        do {
            return try find(launch, in: folder, lock)
        } catch {
            lock.release()
            throw error
        }
    }

    private static func find(
        _ launch: Launch, in folder: RunFolder, _ lock: RunLock
    ) throws -> Finding {
        let found = try CheckpointFolder(of: folder).newestWhole { problem in
            launch.warn("skipped: \(problem)")
        }
        if let found {
            return Finding(
                folder: folder, lock: lock, path: found.file.path, bytes: found.file.serialized,
                isCheckpoint: true)
        }
        // Who overwrites a run takes its summary away first, and writes one last.
        guard access(folder.finalModel, F_OK) != 0 || access(folder.summary, F_OK) != 0 else {
            throw ResumeError.finished(path: folder.path)
        }
        launch.warn("'\(folder.path)' holds no whole checkpoint: the run begins at step 1")
        guard launch.arguments.config == nil, access(folder.config, F_OK) == 0 else {
            return Finding(folder: folder, lock: lock)
        }
        return Finding(
            folder: folder, lock: lock, path: folder.config,
            bytes: Array(try folder.configText().utf8))
    }

    /// `runs/NAME-1` for `runs/NAME-1/checkpoints/step-1.safetensors`; else the file's own folder.
    private static func runFolder(of file: String) -> String {
        let parts = file.split(separator: "/", omittingEmptySubsequences: false)
        let kept = parts.dropLast(parts.dropLast().last == "checkpoints" ? 2 : 1)
        if kept.isEmpty { return "." }
        return kept == [""] ? "/" : kept.joined(separator: "/")
    }

    /// The configuration to go on with: that of the checkpoint, unless `--config` gives another,
    /// with `--set` on top; nil where there is none yet.
    func configuration(_ arguments: Arguments) throws -> RunConfiguration? {
        if let config = arguments.config {
            return try RunConfiguration.load(file: config, settings: arguments.settings)
        }
        if let checkpoint { return try checkpoint.configuration(settings: arguments.settings) }
        return try begun.map {
            try RunConfiguration.load(
                recorded: $0.text, name: $0.name, settings: arguments.settings)
        }
    }

    /// What the header says of it.
    var line: String? {
        guard let checkpoint else { return nil }
        let state = checkpoint.state
        return "resume   after step \(grouped(state.step)) (epoch \(grouped(state.epoch)), batch "
            + "\(grouped(state.positionInEpoch))), from \(visible(checkpoint.file.path))"
    }
}
