import Collectives
import Configuration
import Datasets
import Foundation
import Kernels
import Layers
import MPICollectives
import Models
import Reports
import Training

/// `bn-train report RUN…`: one HTML page on one run, or on several side by side.
struct ReportCommand {
    let launch: Launch

    /// Models are asked, and steps timed, for so many runs; the others appear in tables and charts.
    private static let mostExamined = 6

    /// The largest step that is timed, in floating-point operations: a second or so on one core.
    private static let mostOperations = 6e10

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        // Reading and asking is one process's work; other ranks wait.
        try launch.onRankZero { try write() }
        return 0
    }

    private func write() throws {
        let arguments = launch.arguments
        var runs = try Self.stored(arguments.files)
        var notes: [String] = []
        examine(&runs)
        if runs.count > Self.mostExamined {
            notes.append(
                "Models, mistakes and time are shown for the first \(Self.mostExamined) of "
                    + "\(runs.count) runs.")
        }
        let report = Report(
            runs: runs.map(\.record), system: Self.system(launch.machine), notes: notes,
            origin:
                "Made by bn-train \(programVersion) from \(runs.map(\.path).joined(separator: ", "))."
        )
        let path = arguments.output ?? "\(runs[0].path)/report.html"
        let html = report.html
        try writeAtomically(path: path, text: html)
        if let folder = arguments.svg { try Self.write(report.drawings, to: folder) }
        launch.say(
            "report   \(path): \(counted(runs.count, "run")), \(counted(report.drawings.count, "chart")), "
                + byteCount(html.utf8.count))
        if arguments.json {
            Console.output(
                JSONValue.object([
                    "command": "report", "report": .string(path), "runs": .int(runs.count),
                    "bytes": .int(html.utf8.count),
                    "charts": .array(report.drawings.map { .string($0.id) }),
                    "notes": .array(
                        (notes + runs.flatMap(\.record.notes)).map { .string($0) }),
                ]).text + "\n")
        }
    }

    /// Reads the folders; each run is called by its folder's name, or by its path where two have
    /// the same.
    static func stored(_ paths: [String]) throws(ReportError) -> [StoredRun] {
        func short(_ path: String) -> String {
            path.split(separator: "/").last.map(String.init) ?? path
        }
        let names = paths.map(short)
        var runs: [StoredRun] = []
        for (path, name) in zip(paths, names) {
            let isAlone = names.count { $0 == name } == 1
            runs.append(try StoredRun(path, name: isAlone ? name : path))
        }
        return runs
    }

    /// Writes each chart as a file of its own, which is made if missing.
    static func write(_ drawings: [(id: String, svg: String)], to folder: String) throws {
        try makeFolder(folder)
        for drawing in drawings {
            try writeAtomically(path: "\(folder)/\(drawing.id).svg", text: drawing.svg)
        }
    }

    // MARK: What the model does

    /// Asks the models; what keeps one from answering becomes a note.
    private func examine(_ runs: inout [StoredRun]) {
        var sets: [RunConfiguration.Data.Source: DatasetPair] = [:]
        for index in runs.indices.prefix(Self.mostExamined) where runs[index].hasModel {
            let run = runs[index]
            do {
                let configuration = try run.configuration(launch.arguments.settings)
                let source = configuration.data.source
                // Shifted test samples are those of their run alone.
                let isShared = configuration.data.testShift == nil
                let data =
                    try (isShared ? sets[source] : nil)
                    ?? DatasetPair.load(configuration, threads: launch.machine.cores)
                // What is made depends on the seed.
                switch source {
                case .syntheticDigits, .twoFeatures: break
                case .idx, .cifar10, .cifar100: if isShared { sets[source] = data }
                }
                let file = try SafetensorsFile(contentsOf: run.file("final.safetensors"))
                if let digest = file.metadata["parameters_digest"], let last = run.lastDigest,
                    digest != last
                {
                    runs[index].record.notes.append(
                        "final.safetensors is not the model of the last line of metrics.jsonl: a "
                            + "run is under way in this folder, or was ended in it.")
                }
                runs[index].record.findings =
                    try ModelExamination(file, configuration, data: data).findings()
                runs[index].record.division = try Self.division(configuration)
            } catch {
                runs[index].record.notes.append(
                    "No confusion matrix and no images: \(Self.reason(error))")
            }
        }
    }

    /// The error's line, without a configuration's source line and caret.
    private static func reason(_ error: any Error) -> String {
        let text = Ending(error).message.replacing(
            "bn-train: error: ", with: "", maxReplacements: 1)
        return text.split(separator: "\n").first.map(String.init) ?? text
    }

    /// How the time of a step divides on one thread of this machine; empty for very large steps.
    private static func division(
        _ configuration: RunConfiguration
    ) throws -> [(name: String, seconds: Double)] {
        var configuration = configuration
        // Random data cannot be learnt: a small rate keeps the numbers in range.
        configuration.optimizer.learningRate = 0.001
        configuration.data.limit = nil
        configuration.data.validation = 0
        let benchmark = try Benchmark(configuration)
        guard benchmark.operationsPerStep <= mostOperations else { return [] }
        return try benchmark.run(in: World(), seconds: 0.3).division.parts
    }

    // MARK: The machine

    static func system(_ machine: Machine) -> [RunRecord.Setting] {
        [
            .init("program", "bn-train \(programVersion)"),
            .init("host", machine.host), .init("CPU", machine.cpu),
            .init(
                "instruction set",
                "compiled for \(machine.compiledInstructionSet), CPU has \(machine.cpuInstructionSet)"
            ),
            .init("cores", "\(machine.cores)"), .init("memory", byteCount(machine.memory)),
            .init("MPI", MPISession.libraryVersion ?? "built without MPI"),
        ]
    }
}
