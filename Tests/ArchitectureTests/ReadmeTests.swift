import Configuration
import Foundation
import TestSupport
import Testing

/// The README's commands are tried as far as their words: what it names must exist.
struct ReadmeTests {
    /// A command in the README.
    struct Line: CustomTestStringConvertible {
        let words: [String]
        var testDescription: String { words.joined(separator: " ") }
    }

    /// The commands in its sh and console blocks (there after "$ "), and those in backticks, without
    /// comments, variables before them, and what is piped.
    static let commands: [Line] = {
        let text = (try? Repository.text("README.md")) ?? ""
        var lines: [String] = []
        var block: Substring?
        for line in text.split(separator: "\n") {
            if line.hasPrefix("```") {
                block = block == nil ? line.dropFirst(3) : nil
            } else if block == "sh" {
                lines.append(String(line))
            } else if block == "console", line.hasPrefix("$ ") {
                lines.append(String(line.dropFirst(2)))
            } else if block == nil {
                lines += line.matches(of: /`([^`]+)`/).map { String($0.1) }
            }
        }
        return lines.compactMap { line in
            let command = line.prefix { $0 != "#" && $0 != "|" && $0 != ">" }
            let words = command.split(separator: " ").map(String.init)
            let start = words.firstIndex {
                $0 == "bn-train" || $0.hasPrefix("launch/") || $0 == ".ci/run"
            }
            guard let start, words[..<start].allSatisfy(isBeforeProgram) else { return nil }
            return Line(words: Array(words[start...]))
        }
    }()

    /// env, variables, and mpirun with its options.
    private static func isBeforeProgram(_ word: String) -> Bool {
        word == "mpirun" || word == "env" || word.contains("=") || word.hasPrefix("-")
            || Int(word) != nil || word == "none"
    }

    @Test("the README shows how to train, test and compare worlds")
    func essentials() {
        let shown = Set(Self.commands.map { $0.words.prefix(2).joined(separator: " ") })
        for command in [
            "launch/train", "launch/test", "launch/compare-worlds configs/default.json5",
            "bn-train doctor",
        ] {
            #expect(shown.contains(command))
        }
    }

    @Test("every script, subcommand, option and key of a command exists", arguments: commands)
    func exists(_ line: Line) throws {
        let program = line.words[0]
        if program != "bn-train" {
            let path = Repository.folder.appending(path: program).path
            #expect(FileManager.default.isExecutableFile(atPath: path))
        }
        guard program != ".ci/run" else { return }
        let help = try Self.help(for: line.words)
        for (word, next) in zip(line.words, line.words.dropFirst() + [""]) {
            if word.hasPrefix("--") {
                let option = String(word.prefix { $0 != "=" })
                #expect(help.contains(option), "\(option)")
            }
            if word == "--set", let key = next.split(separator: "=").first {
                let key = key.drop { "'\"".contains($0) }
                let known = RunConfiguration.documentation.map(\.key)
                #expect(known.contains(String(key)), "\(key)")
            }
            if word.hasPrefix("configs/") {
                let path = Repository.folder.appending(path: word).path
                #expect(FileManager.default.fileExists(atPath: path), "\(word)")
            }
        }
    }

    /// The texts in which a command's options must stand.
    private static func help(for words: [String]) throws -> String {
        switch words[0] {
        case "bn-train":
            let names = [
                "eval", "predict", "recalibrate", "average", "verify", "bench", "inspect", "report",
                "sweep", "replay", "bisect", "doctor", "get-data", "help",
            ]
            let word = words.count > 1 ? words[1] : ""
            if word.hasPrefix("-") || word.isEmpty || word == "train" { return try run(["train"]) }
            #expect(names.contains(word), "bn-train has no command \(word)")
            return try run([word])
        case "launch/train": return try scripts(["train", "setup"]) + run(["train"])
        case "launch/bench": return try scripts(["bench", "setup"]) + run(["bench"])
        case let script:
            return try scripts([String(script.dropFirst("launch/".count)), "setup"])
        }
    }

    private static func scripts(_ names: [String]) throws -> String {
        try names.map { try Repository.text("launch/\($0)") }.joined()
    }

    private static func run(_ command: [String]) throws -> String {
        let result = try runProcess([builtProgram("bn-train")] + command + ["--help"])
        #expect(result.status == 0, "\(result.stderr)")
        return result.stdout
    }
}
