import Foundation
import Glibc
import MPICollectives
import Training

/// `bn-train get-data NAME [DIR]`: fetches a well-known data set.
struct GetDataCommand {
    let launch: Launch
    let environment: [String: String]

    func run() throws -> Int32 {
        let arguments = launch.arguments
        let dataset = try launch.agree { try KnownDataset.named(arguments.files[0]) }
        let directory = arguments.files.count > 1 ? arguments.files[1] : dataset.folder
        try launch.onRankZero {
            let fetched = try fetch(dataset, into: directory)
            launch.say(
                "next     bn-train --set data.name=\(dataset.configurationName) "
                    + "--set data.directory=\(directory)")
            if arguments.json { Console.output(json(dataset, directory, fetched).text + "\n") }
        }
        return 0
    }

    /// Fetches what is not there yet; the names of those files.
    private func fetch(_ dataset: KnownDataset, into directory: String) throws -> Set<String> {
        try makeFolder(directory)
        var fetched: Set<String> = []
        for file in dataset.files {
            let line = DownloadLine(file, isQuiet: launch.arguments.quiet)
            let download = Download(
                file: file, directory: directory,
                mirrors: launch.arguments.mirror.map { [$0] } ?? dataset.mirrors,
                environment: environment, progress: line.draw)
            if try download.isDone() {
                launch.say("have     \(download.target)")
                continue
            }
            defer { line.clear() }
            try download.run()
            line.clear()
            launch.say("got      \(download.target), \(byteCount(file.size)), SHA-256 as published")
            fetched.insert(file.name)
        }
        return fetched
    }

    private func json(
        _ dataset: KnownDataset, _ directory: String, _ fetched: Set<String>
    ) -> JSONValue {
        .object([
            "command": .string("get-data"), "data": .string(dataset.name),
            "directory": .string(directory),
            "files": .array(
                dataset.files.map {
                    .object([
                        "name": .string($0.name), "bytes": .int($0.size),
                        "sha256": .string($0.sha256), "fetched": .bool(fetched.contains($0.name)),
                    ])
                }),
        ])
    }
}

/// The line of a download on a terminal: "train-images-idx3-ubyte.gz  45%  4.5 MB of 9.9 MB".
final class DownloadLine {
    private let file: KnownDataset.File
    private let width: Int?
    private var isShown = false

    init(_ file: KnownDataset.File, isQuiet: Bool) {
        self.file = file
        width = isQuiet ? nil : Console.errorWidth
    }

    func draw(_ bytes: Int) {
        guard let width else { return }
        let share = min(100, 100 * bytes / max(file.size, 1))
        let text = "\(file.name)  \(share)%  \(byteCount(bytes)) of \(byteCount(file.size))"
        Console.error("\r" + text.prefix(width - 1) + "\u{1B}[K")
        isShown = true
    }

    func clear() {
        if isShown { Console.error("\r\u{1B}[K") }
        isShown = false
    }
}
