import Configuration
import Glibc
import Training

/// A run's folder, from which its steps are computed again: what rank 0 finds there, on every rank.
struct PastRun {
    /// The folder.
    let path: String
    /// The digests that its metrics have, by step.
    let digests: [Int: String]

    private let launch: Launch
    private let configuration: String

    /// Reads the folder at `path`.
    ///
    /// - Throws: what `ReportError` says of folders that hold no run.
    init(_ launch: Launch, _ path: String) throws {
        self.launch = launch
        self.path = path
        let stored = try launch.onRankZero { try StoredRun(path, name: path) }
        configuration = String(
            decoding: try launch.fromRankZero(stored.map { Array($0.configurationText.utf8) }),
            as: UTF8.self)
        // Who speaks alone decides by them, and says so.
        let lines = try launch.fromRankZero(
            stored.map {
                Array($0.digests.map { "\($0) \($1)" }.joined(separator: "\n").utf8)
            })
        var digests: [Int: String] = [:]
        for line in String(decoding: lines, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, let step = Int(words[0]) { digests[step] = String(words[1]) }
        }
        self.digests = digests
    }

    /// The run at its newest whole checkpoint after no more than `last` steps, or at its beginning: as
    /// it was configured, with `--set` of the command line on top, and with probes.
    ///
    /// - Throws: `ResumeError` where `--set` changes what is computed.
    func start(by last: Int) throws -> (run: Launch.Run, trainer: Trainer) {
        let found = try launch.onRankZero { () throws -> (kind: String, file: SafetensorsFile)? in
            let folder = try RunFolder(creating: path, overwrite: true)
            let checkpoint = try CheckpointFolder(of: folder).newestWhole(after: last) {
                launch.warn("skipped: \($0)")
            }
            if let checkpoint { return ("+", checkpoint.file) }
            guard access(folder.initialModel, F_OK) == 0 else { return nil }
            return ("-", try SafetensorsFile(contentsOf: folder.initialModel))
        }.flatMap { $0 }
        let name = try launch.fromRankZero(found.map { Array(($0.kind + $0.file.path).utf8) })
        let bytes = try launch.fromRankZero(found?.file.serialized)
        let file = try launch.agree {
            name.isEmpty
                ? nil
                : try SafetensorsFile(
                    bytes: bytes, path: String(decoding: name.dropFirst(), as: UTF8.self))
        }
        let run = try launch.resolve(scaledAsIn: file) {
            try RunConfiguration.load(
                recorded: configuration, name: path + "/config.json",
                settings: launch.arguments.settings + ["probes.everySteps=1"])
        }
        let (trainer, notes) = try launch.agree { () throws -> (Trainer, [String]) in
            guard let file else { return (Trainer(run.plan), []) }
            guard name.first == UInt8(ascii: "+") else {
                let trainer = Trainer(run.plan)
                _ = try trainer.initialize(from: file)
                return (trainer, [])
            }
            let checkpoint = try Checkpoint(file)
            let notes = try checkpoint.check(run.plan)
            return (try Trainer(run.plan, resuming: checkpoint), notes)
        }
        for note in notes { launch.warn(note) }
        return (run, trainer)
    }

    /// Checkpoints after `steps`, ascending; those that are damaged are named and left out. On rank 0.
    func checkpoints(in steps: ClosedRange<Int>) throws -> [Checkpoint] {
        let folder = CheckpointFolder(of: try RunFolder(creating: path, overwrite: true))
        return try folder.steps().filter { steps.contains($0) }.compactMap { step in
            do { return try Checkpoint(contentsOf: folder.file(step: step)) } catch {
                launch.warn("skipped: \(error)")
                return nil
            }
        }
    }
}
