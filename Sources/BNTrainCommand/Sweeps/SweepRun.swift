import Configuration
import Foundation
import Reports
import Training

/// One run of a sweep: its configuration and its folder.
struct SweepRun: Sendable {
    /// Where it stands in the sweep.
    let cell: Int
    let seed: UInt64

    /// "relu, 0.01, seed 2".
    let name: String
    let folder: String
    let configuration: RunConfiguration

    private func file(_ name: String) -> String { folder + "/" + name }

    /// What the run writes and this program reads.
    private static let files = [
        "summary.json", "failure.json", "final.safetensors", "metrics.jsonl",
    ]

    /// The text of config.json, as the run finds it.
    private var text: String { configuration.canonicalJSON + "\n" }

    // MARK: What is there

    /// The finished run in the folder: of this very configuration, ended well or diverged, which it
    /// would again. Nil where it must be run.
    ///
    /// - Parameter data: where given, a run on other data must be run, too.
    func finished(on data: SweepData? = nil) -> SweepRecord.Run? {
        guard let stored = storedConfiguration else { return nil }
        let isSame = { data?.isSame(configuration, digest: stored.data.contentDigest) ?? true }
        if let bytes = contents("failure.json"), let failure = try? JSONValue(parsing: bytes),
            let message = failure["message"]?.string, failure["code"]?.int == 73
        {
            guard isSame() else { return nil }
            return record(failure: message, summary: nil)
        }
        guard let bytes = contents("summary.json"), let summary = try? JSONValue(parsing: bytes)
        else { return nil }
        guard isSame() else { return nil }
        return record(failure: nil, summary: summary)
    }

    /// What config.json says, if it is this configuration; a run adds what its data hold.
    private var storedConfiguration: RunConfiguration? {
        guard let bytes = contents("config.json"),
            let stored = try? RunConfiguration.load(
                recorded: String(decoding: bytes, as: UTF8.self), name: "config.json", settings: [])
        else { return nil }
        var compared = stored
        if configuration.data.contentDigest == nil { compared.data.contentDigest = nil }
        return compared.canonicalJSON == configuration.canonicalJSON ? stored : nil
    }

    private func contents(_ name: String) -> [UInt8]? {
        FileManager.default.contents(atPath: file(name)).map { [UInt8]($0) }
    }

    private func record(failure: String?, summary: JSONValue?) -> SweepRecord.Run? {
        guard let stored = try? StoredRun(folder, name: name) else { return nil }
        let speed = summary?["images_per_second"]?.double
        return SweepRecord.Run(
            seed: seed, path: folder, evaluations: stored.record.evaluations,
            stepsPerSecond: speed.map { $0 / Double(configuration.batch.size) },
            failure: failure, probes: stored.record.probes, descent: stored.record.path)
    }

    // MARK: Running

    /// Clears the folder of what an ended run left, and starts the run in it.
    ///
    /// - Throws: `FileError` where the folder cannot be written to.
    func start(program: String, threads: Int) throws -> ChildProcess {
        try makeFolder(folder)
        for name in Self.files { try? FileManager.default.removeItem(atPath: file(name)) }
        try writeAtomically(path: file("config.json"), text: text)
        return try ChildProcess(
            [
                program, "train", "--config", file("config.json"), "--out", folder, "--overwrite",
                "--threads", "\(threads)", "--quiet",
            ], adding: [:], output: "/dev/null", errors: file("errors.txt"))
    }

    /// What the run came to that ended with this code.
    func ended(with code: Int32) -> SweepRecord.Run {
        if code == 0, let run = finished() {
            // Nothing was said, or nothing but a warning.
            if contents("errors.txt")?.isEmpty != false {
                try? FileManager.default.removeItem(atPath: file("errors.txt"))
            }
            return run
        }
        let message =
            ChildProcess.lines(file("errors.txt")).last { $0.contains("error: ") }
            .map { $0.replacing("bn-train: error: ", with: "", maxReplacements: 1) }
            ?? (code > 128 ? "ended by signal \(code - 128)" : "ended with exit code \(code)")
        let failure: JSONValue = ["code": .int(Int(code)), "message": .string(message)]
        _ = try? writeAtomically(path: file("failure.json"), text: failure.text + "\n")
        return record(failure: message, summary: nil)
            ?? SweepRecord.Run(
                seed: seed, path: folder, evaluations: [], stepsPerSecond: nil, failure: message)
    }
}

extension SweepRun {
    /// All runs of a sweep, seed by seed: what is known early is known of every cell.
    static func all(of sweep: SweepConfiguration, in folder: String) -> [SweepRun] {
        var names: Set<String> = []
        var runs: [SweepRun] = []
        for (position, seed) in sweep.seeds.enumerated() {
            for (index, cell) in sweep.cells.enumerated() {
                let name = cell.name.isEmpty ? "seed \(seed)" : "\(cell.name), seed \(seed)"
                // Values become a folder's name as far as they can.
                var short = String(
                    name.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == ".") ? $0 : "-" })
                while short.contains("--") { short = short.replacing("--", with: "-") }
                if short.count > 120 || short.hasPrefix(".") || !names.insert(short).inserted {
                    short = "cell-\(index + 1)-seed-\(seed)"
                    names.insert(short)
                }
                runs.append(
                    SweepRun(
                        cell: index, seed: seed, name: name, folder: "\(folder)/\(short)",
                        configuration: cell.configurations[position]))
            }
        }
        return runs
    }
}
