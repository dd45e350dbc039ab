import Configuration
import Testing

@testable import BNTrainCommand

@Suite struct HelpTests {
    private static let texts = [Help.text(on: nil)] + Help.topics.map { Help.text(on: $0) }

    @Test("no line is wider than 100 columns or ends in blanks", arguments: texts)
    func width(text: String) {
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            #expect(line.count <= 100, "\(line)")
            #expect(line.last != " ", "\(line)")
        }
        #expect(text.hasSuffix("\n") && !text.hasSuffix("\n\n"))
    }

    @Test("every command's help names all its options and gives examples that parse")
    func commands() throws {
        for command in Command.all {
            let text = Help.text(on: command.name)
            for option in OptionTable.options(of: command) {
                #expect(text.contains("  \(option.name)"), "\(command.name) \(option.name)")
            }
        }
        for text in Self.texts {
            let lines = text.split(separator: "\n")
            guard let start = lines.firstIndex(of: "Examples:") else { continue }
            for line in lines[(start + 1)...].prefix(while: { $0.hasPrefix("  ") }) {
                try parseExample(String(line))
            }
        }
    }

    /// An example's command stands before a gap of two blanks.
    private func parseExample(_ line: String) throws {
        let command = line.drop { $0 == " " }.split(separator: "  ", maxSplits: 1)[0]
        var words = shellWords(String(command))
        if words[0] == "mpirun" { words.removeFirst(words.firstIndex(of: "bn-train") ?? 0) }
        #expect(words.removeFirst() == "bn-train")
        let arguments = try Arguments.parse(words)
        _ = try RunConfiguration.load(
            file: nil, settings: arguments.settings.filter { !$0.hasPrefix("data.directory") })
    }

    private func shellWords(_ line: String) -> [String] {
        var words = [""]
        var isQuoted = false
        for character in line {
            switch character {
            case "'": isQuoted.toggle()
            case " " where !isQuoted: words.append("")
            default: words[words.count - 1].append(character)
            }
        }
        return words
    }

    @Test("help config has every key with its default and meaning")
    func configuration() {
        let text = Help.text(on: "config")
        let flat = text.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        for entry in RunConfiguration.documentation {
            #expect(text.contains("\n  \(entry.key) = \(entry.default)\n"))
            #expect(flat.contains(entry.doc), "\(entry.key)")
        }
    }

    @Test("help exit-codes has every code of the contract")
    func exitCodes() {
        let text = Help.text(on: "exit-codes")
        for code in [0, 1, 64, 65, 66, 70, 71, 72, 73, 74, 75] {
            #expect(text.contains("\n  \(code) "), "\(code)")
        }
    }

    @Test("the program's help names every command and topic")
    func program() {
        let text = Help.text(on: nil)
        for command in Command.all { #expect(text.contains("\n  \(command.name) ")) }
        for word in ["help config", "help exit-codes", "mpirun -n 4", "--set"] {
            #expect(text.contains(word), "\(word)")
        }
        #expect(Help.version.hasPrefix("bn-train 0."))
    }
}
