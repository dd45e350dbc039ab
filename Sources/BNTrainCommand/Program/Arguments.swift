import Collectives
import Configuration
import Training

/// The words of a command line, read: `bn-train [COMMAND] [options]`.
struct Arguments: Equatable, Sendable {
    /// What to do; `train` where no command is given.
    var command: Command = .train

    /// The file of `--config`.
    var config: String?

    /// The texts of `--set` and, as `seed=N`, of `--seed`, in order: the later wins.
    var settings: [String] = []

    /// Threads of each rank, where they are given.
    var threads: Int?

    /// The folder for the run's files.
    var out: String?

    /// `auto` or a checkpoint's file.
    var resume: String?
    var resumeAnyway = false
    /// A model to start from.
    var initial: String?
    var saveInitial = false
    var overwrite = false
    var quiet = false
    var json = false
    var printConfig = false

    /// Seconds after which a silent rank counts as lost.
    var timeout = 300.0

    /// Minutes after which the run saves itself and stops; nil: never.
    var maxMinutes: Double?

    /// What is neither an option nor the command: files, and `predict`'s inputs.
    var files: [String] = []

    // verify
    var worlds = false
    var steps: Int?

    // replay
    var step: Int?

    // bench
    var model: String?
    var batch: Int?
    var shards: Int?
    var seconds = 10.0
    var kernel: String?
    var shape: String?
    /// The options of each `--compare`, as they were given.
    var compared: [String] = []
    var rounds: Int?
    var ranks: Int?

    // recalibrate, average, report
    /// The file of `-o`.
    var output: String?

    // report
    /// The file of `--claims`.
    var claims: String?

    /// The folder of `--svg`.
    var svg: String?

    // average
    var keepsStatistics = false

    // recalibrate, average, eval
    var method: PopulationMethod?
    var batches: Int?
    var statistics: StatisticsChoice?

    // sweep
    var quick = false

    // get-data
    var mirror: String?

    /// The most threads of a rank; a rank of more would hang (see `Team.mostThreads`).
    static let mostThreads = Team.mostThreads

    /// Reads the words behind the program's name.
    ///
    /// Options are written `--name value` or `--name=value`, before or behind the command; `--`
    /// ends them. `--help` and `--version` win over everything else that is well-formed.
    static func parse(_ words: [String]) throws(UsageError) -> Arguments {
        var reader = ArgumentReader(words: words[...])
        let arguments = try reader.read()
        // What they ask for must be understood before anything is measured.
        for options in arguments.compared { _ = try arguments.side(options) }
        return arguments
    }

    /// One of the benches that `--compare` starts: as `parse`, but it may have `--ranks` alone.
    static func parse(side words: [String]) throws(UsageError) -> Arguments {
        var reader = ArgumentReader(words: words[...])
        reader.isSide = true
        return try reader.read()
    }
}

/// A command line that cannot be understood.
struct UsageError: Error, Equatable, CustomStringConvertible {
    /// What is wrong.
    enum Problem: Equatable {
        case unknownCommand(String, nearest: String?)
        case unknownTopic(String, nearest: String?)
        /// `key` is a configuration key of that name.
        case unknownOption(String, nearest: String?, key: String?)
        case missingValue(option: String, valueName: String)
        case wrongValue(option: String, expected: String, found: String)
        case flagWithValue(option: String, value: String)
        /// `key` is what the command has in the option's place.
        case optionOfOthers(option: String, commands: [String], key: String?)
        case unexpectedFile(String)
        case wrongFileCount(expected: String, found: Int)
        /// `option` only means something together with `other`.
        case needsOther(option: String, other: String)
        /// `option` and `other` contradict each other.
        case contradiction(option: String, other: String)
        /// `option` stands among those of `--compare`.
        case optionOfSide(String)
    }

    let problem: Problem

    /// The command in whose help the answer stands; nil for the program's.
    let command: Command?

    /// What, where, what to do; one line.
    var description: String {
        let help = ["bn-train", command?.name, "--help"].compactMap { $0 }.joined(separator: " ")
        return "\(text); see `\(help)`"
    }

    private var text: String {
        let name = command?.name ?? Command.train.name
        switch problem {
        case .unknownCommand(let word, let nearest):
            return "unknown command '\(visible(word))'" + meant(nearest)
        case .unknownTopic(let word, let nearest):
            return "there is no help on '\(visible(word))'" + meant(nearest)
        case .unknownOption(let word, let nearest, let key):
            return "unknown option '\(visible(word))'"
                + (key.map { ": it is set with --set \($0)=VALUE" } ?? meant(nearest))
        case .missingValue(let option, let valueName):
            return "\(option) lacks its value: give \(option) \(valueName)"
        case .wrongValue(let option, let expected, let found):
            return "\(option) takes \(expected), found '\(visible(found))'"
        case .flagWithValue(let option, let value):
            return "\(option) takes no value, found '\(visible(value))': give \(option) alone"
        case .optionOfOthers(let option, let commands, let key):
            let owners = commands.joined(separator: ", ")
            return "\(option) is an option of \(owners), not of \(name): "
                + (key.map { "give --set \($0)=VALUE" } ?? "leave it out")
        case .unexpectedFile(let word):
            return "\(name) takes no file, found '\(visible(word))': "
                + (word.hasSuffix(".json5") || word.hasSuffix(".json")
                    ? "give --config \(visible(word))" : "leave it out")
        case .wrongFileCount(let expected, let found):
            return "\(name) takes \(expected), found \(found == 0 ? "nothing" : "\(found)")"
        case .needsOther(let option, let other):
            return "\(option) means something only with \(other): give both or neither"
        case .contradiction(let option, let other):
            return "\(option) and \(other) contradict each other: give one of them"
        case .optionOfSide(let option):
            return "\(option) cannot stand in the options of --compare: give it outside"
        }
    }

    private func meant(_ nearest: String?) -> String {
        nearest.map { ": did you mean '\($0)'?" } ?? ""
    }
}

/// Reads words one after the other.
private struct ArgumentReader {
    var words: ArraySlice<String>
    private var arguments = Arguments()
    private var command: Command?
    private var used: [Option] = []
    private var operands: [String] = []
    var isSide = false
    private var wantsHelp = false
    private var wantsVersion = false

    private static let commands = Command.all + [.help(topic: nil), .version]

    init(words: ArraySlice<String>) { self.words = words }

    mutating func read() throws(UsageError) -> Arguments {
        // The command first: messages about options name it, wherever it stands.
        let unread = words
        try readWords(storing: false)
        command = operands.first.flatMap { word in Self.commands.first { $0.name == word } }
        words = unread
        try readWords(storing: true)
        if command != nil {
            operands.removeFirst()
        } else if let word = operands.first {
            throw unknownCommand(word)
        }
        switch command {
        case .help: return Arguments(command: .help(topic: try topic()))
        case .version: return Arguments(command: .version)
        case let command where wantsHelp: return Arguments(command: .help(topic: command?.name))
        case _ where wantsVersion: return Arguments(command: .version)
        case let command: arguments.command = command ?? .train
        }
        try check()
        arguments.files = operands
        return arguments
    }

    // MARK: Words

    /// One pass over all words: without `storing` only for what is neither option nor value.
    private mutating func readWords(storing: Bool) throws(UsageError) {
        var rest: [String] = []
        while let word = words.popFirst() {
            if word == "--" {
                rest += words
                words = []
            } else if word == "-h" || word == "--help" {
                wantsHelp = true
            } else if word == "--version" {
                wantsVersion = true
            } else if word.hasPrefix("-"), word != "-", Int(word) == nil {
                try readOption(word, storing: storing)
            } else {
                rest.append(word)
            }
        }
        if !storing { operands = rest }
    }

    private mutating func readOption(_ word: String, storing: Bool) throws(UsageError) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        var value = parts.count > 1 ? String(parts[1]) : nil
        guard let option = OptionTable.option(name) else {
            if storing { throw unknownOption(name) }
            return
        }
        let mayBeOptions = option.name == "--compare" && words.first?.contains(" ") == true
        if option.valueName != nil, value == nil,
            mayBeOptions || words.first?.hasPrefix("--") == false
        {
            value = words.removeFirst()
        }
        guard storing else { return }
        switch (option.valueName, value) {
        case (nil, let value?): throw error(.flagWithValue(option: name, value: value))
        case (let valueName?, nil):
            throw error(.missingValue(option: name, valueName: valueName))
        default: break
        }
        guard option.apply(value ?? "", &arguments) else {
            throw error(
                .wrongValue(option: name, expected: option.expected, found: value ?? ""))
        }
        used.append(option)
    }

    private func topic() throws(UsageError) -> String? {
        guard let word = operands.first, word != Command.help(topic: nil).name else { return nil }
        let known = Help.topics
        guard known.contains(word) else {
            throw error(.unknownTopic(word, nearest: nearest(to: word, among: known)))
        }
        return word
    }

    // MARK: Checks

    private func check() throws(UsageError) {
        let command = arguments.command
        for option in used where !option.commands.contains(command) {
            let takesSettings = OptionTable.option("--set")?.commands.contains(command) == true
            throw error(
                .optionOfOthers(
                    option: option.name, commands: option.commands.map(\.name),
                    key: takesSettings ? option.key : nil))
        }
        var expected = command.operands
        if arguments.claims != nil {
            expected = .init("[DIR]", 0...1, "one folder that holds sweeps' results, such as runs")
        }
        guard expected.count.contains(operands.count) else {
            if expected.count == 0...0 { throw error(.unexpectedFile(operands[0])) }
            throw error(.wrongFileCount(expected: expected.meaning, found: operands.count))
        }
        if arguments.shape != nil, arguments.kernel == nil {
            throw error(.needsOther(option: "--shape", other: "--kernel"))
        }
        if arguments.resume == "auto", arguments.out == nil {
            throw error(.needsOther(option: "--resume auto", other: "--out DIR"))
        }
        if arguments.resumeAnyway, arguments.resume == nil {
            throw error(.needsOther(option: "--resume-anyway", other: "--resume"))
        }
        for (isSet, other) in [
            (arguments.overwrite, "--overwrite"), (arguments.saveInitial, "--save-initial"),
            (arguments.initial != nil, "--init"),
        ] where isSet && arguments.resume != nil {
            throw error(.contradiction(option: "--resume", other: other))
        }
        if isSide, let option = used.first(where: { ["--compare", "--rounds"].contains($0.name) }) {
            throw error(.optionOfSide(option.name))
        }
        guard arguments.compared.isEmpty, !isSide else { return }
        for option in used where ["--rounds", "--ranks"].contains(option.name) {
            throw error(.needsOther(option: option.name, other: "--compare"))
        }
    }

    private func unknownCommand(_ word: String) -> UsageError {
        if word.hasSuffix(".json5") || word.hasSuffix(".json") {
            return error(.unexpectedFile(word))
        }
        let near = nearest(to: word, among: Self.commands.map(\.name))
        return error(.unknownCommand(word, nearest: near))
    }

    private func unknownOption(_ name: String) -> UsageError {
        let word = name.drop { $0 == "-" }.lowercased().filter { $0 != "-" }
        // A single letter is near to every other one.
        let names =
            OptionTable.options.map(\.name).filter { $0.count > 2 } + ["--help", "--version"]
        let close = nearest(to: name, among: names)
        // `--learning-rate` and `--epochs` are keys of the configuration.
        let key = RunConfiguration.documentation.map(\.key).first {
            $0.lowercased() == word || $0.lowercased().hasSuffix(".\(word)")
        }
        return error(.unknownOption(name, nearest: close, key: close == nil ? key : nil))
    }

    private func error(_ problem: UsageError.Problem) -> UsageError {
        let isAction = command.map { Command.all.contains($0) } ?? false
        return UsageError(problem: problem, command: isAction ? command : nil)
    }
}

// MARK: - Texts

/// `text` on one line without control characters, and not longer than a message can be.
func visible(_ text: String) -> String {
    let safe = text.unicodeScalars.map { scalar -> Character in
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) ? "?" : Character(scalar)
    }
    return safe.count > 200 ? String(safe.prefix(199)) + "…" : String(safe)
}

/// The candidate with the fewest insertions, deletions, replacements and swaps of neighbours from
/// `word`; nil if none is nearer than a third of its length (at least 2).
func nearest(to word: String, among candidates: [String]) -> String? {
    let word = Array(word.lowercased().prefix(64))
    func distance(_ other: [Character]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...other.count)
        for (i, a) in word.enumerated() {
            var row = [i + 1]
            for (j, b) in other.enumerated() {
                var best = min(row[j] + 1, last[j + 1] + 1, last[j] + (a == b ? 0 : 1))
                if i > 0, j > 0, a == other[j - 1], word[i - 1] == b {
                    best = min(best, beforeLast[j - 1] + 1)
                }
                row.append(best)
            }
            (beforeLast, last) = (last, row)
        }
        return last[other.count]
    }
    let best = candidates.map { (name: $0, distance: distance(Array($0.lowercased()))) }
        .min { $0.distance < $1.distance }
    guard let best, best.distance <= max(2, word.count / 3) else { return nil }
    return best.name
}
