import Foundation
import MPICollectives
import Training

/// `bn-train bench … --compare 'OPTIONS'`: this bench and the same with other options on top, in
/// turn, each in a process of its own.
///
/// Machines change from minute to minute, by other programs and by clock frequency: a ratio is taken
/// within each round, and its median over rounds is what counts.
struct BenchComparison {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    /// What is compared, and what it came to in each round.
    struct Side {
        /// What was given; empty for the bench itself.
        let options: String
        let arguments: Arguments
        var runs: [Run] = []
    }

    /// One measurement.
    struct Run {
        /// Images a second; for a kernel, calls a second.
        var rate: Double
        /// What the workers' cores do together, multiply-adds in GFLOP/s; nil for a kernel.
        var peak: Double?
        var workers: Int?
    }

    func run() throws -> Int32 {
        guard launch.session.launcher.kind == .none else { throw BenchError.comparedUnderLauncher }
        let arguments = launch.arguments
        let rounds = arguments.rounds ?? 5
        var sides = try ([""] + arguments.compared).map {
            Side(options: $0, arguments: try arguments.side($0))
        }
        // What is wrong with the last one should not come out after the others were measured.
        for side in sides where side.arguments.kernel == nil {
            _ = try BenchCommand.configuration(side.arguments)
        }
        let planned = duration(Double(rounds * sides.count) * arguments.seconds)
        launch.say(
            "bn-train \(programVersion) · compare \(counted(sides.count, "run")), "
                + "\(counted(rounds, "round")) in turn, about \(planned)")
        try withTemporaryFolder("bench") { folder in
            for round in 1...rounds {
                for index in sides.indices {
                    sides[index].runs.append(try measure(sides[index], folder: folder))
                }
                let rates = sides.map { count($0.runs[round - 1].rate) }.joined(separator: " · ")
                launch.say("round \(round)  \(rates)")
            }
        }
        let comparison = Comparison(sides: sides, isKernel: arguments.kernel != nil)
        for line in comparison.lines { launch.say(line) }
        if arguments.json { Console.output(comparison.json.text + "\n") }
        return 0
    }

    /// Runs one side once.
    private func measure(_ side: Side, folder: String) throws -> Run {
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        var words = [program] + side.arguments.benchWords + ["--json", "--quiet"]
        var variables: [String: String] = [:]
        if let ranks = side.arguments.ranks {
            guard let mpirun = ChildProcess.pathOfProgram("mpirun") else {
                throw BenchError.noMpirun
            }
            let workers = ranks * (side.arguments.threads ?? 1)
            words =
                [mpirun, "--oversubscribe", "--bind-to", "none", "-n", "\(ranks)"] + words
            variables = ChildProcess.environmentOfRanks(
                yielding: workers > launch.machine.cores)
        }
        let (output, errors) = ("\(folder)/stdout", "\(folder)/stderr")
        let status = try ChildProcess(words, adding: variables, output: output, errors: errors)
            .wait()
        let last = ChildProcess.lines(output).last ?? ""
        guard status == 0, let result = try? JSONValue(parsing: last), let run = Run(result) else {
            let said = ChildProcess.lines(errors)
            let message = said.first { $0.contains("bn-train: error: ") } ?? said.last
            throw BenchError.runFailed(
                options: side.arguments.benchWords.dropFirst().joined(separator: " "),
                message: message?.replacing("bn-train: error: ", with: "")
                    ?? "it returned \(status) and said nothing", code: status)
        }
        return run
    }
}

extension BenchComparison.Run {
    /// From the last line of `bench --json`.
    init?(_ json: JSONValue) {
        if let microseconds = json["microseconds"]?.double {
            self.init(rate: 1e6 / microseconds)
            return
        }
        guard let rate = json["images_per_second"]?.double,
            let peak = json["fma_gflops_all_threads"]?.double,
            let ranks = json["world"]?["ranks"]?.double,
            let workers = json["world"]?["workers"]?.double
        else { return nil }
        self.init(rate: rate, peak: peak * ranks, workers: Int(workers))
    }
}

/// What a comparison came to.
struct Comparison {
    let sides: [BenchComparison.Side]
    let isKernel: Bool

    /// Median, smallest and largest of a side's rates.
    private func rate(_ side: BenchComparison.Side) -> Spread {
        Spread(side.runs.map(\.rate))
    }

    /// The first side over another one, round by round.
    func ratio(to side: BenchComparison.Side) -> Spread {
        Spread(zip(sides[0].runs, side.runs).map { $0.rate / $1.rate })
    }

    /// How much faster than `side` the first one's cores are together; nil where they are as many.
    func scaling(to side: BenchComparison.Side) -> Double? {
        guard sides[0].runs.first?.workers != side.runs.first?.workers else { return nil }
        let ratios = zip(sides[0].runs, side.runs).compactMap { first, other in
            first.peak.flatMap { first in other.peak.map { first / $0 } }
        }
        return ratios.isEmpty ? nil : Spread(ratios).median
    }

    /// A line for each side.
    var lines: [String] {
        let unit = isKernel ? "calls/s" : "images/s"
        let names = sides.map { $0.options.isEmpty ? "as given" : visible($0.options) }
        let width = names.map(\.count).max() ?? 0
        return zip(names, sides).enumerated().map { index, entry in
            let (name, side) = entry
            let rate = rate(side)
            var line =
                name.padding(to: width + 2)
                + "\(count(rate.median)) \(unit) (\(count(rate.least)) … \(count(rate.most)))"
            guard index > 0 else { return line }
            let ratio = ratio(to: side)
            line +=
                "; as given it is \(fixed(ratio.median, digits: 3))× as fast "
                + "(\(fixed(ratio.least, digits: 3)) … \(fixed(ratio.most, digits: 3)))"
            if let scaling = scaling(to: side) {
                line +=
                    ", FMA scaling \(fixed(scaling, digits: 3)): "
                    + "\(fixed(ratio.median / scaling, digits: 3)) of it"
            }
            return line
        }
    }

    /// For `--json`.
    var json: JSONValue {
        .object([
            "command": "bench", "unit": .string(isKernel ? "calls/s" : "images/s"),
            "sides": .array(
                sides.enumerated().map { index, side in
                    let rate = rate(side)
                    let ratio = ratio(to: side)
                    return .object([
                        "options": .string(side.options),
                        "words": .string(side.arguments.benchWords.joined(separator: " ")),
                        "ranks": .int(side.arguments.ranks ?? 1),
                        "workers": side.runs.first?.workers.map { .int($0) } ?? .null,
                        "median": .double(rate.median),
                        "runs": .array(side.runs.map { .double($0.rate) }),
                        "ratio": index == 0 ? .null : .double(ratio.median),
                        "fma_scaling": scaling(to: side).map { .double($0) } ?? .null,
                    ])
                }),
        ])
    }
}

/// Median and range of some numbers.
struct Spread: Equatable {
    let least: Double
    let median: Double
    let most: Double

    /// Of at least one number; of an even count the mean of the middle two.
    init(_ values: [Double]) {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        least = sorted[0]
        most = sorted[sorted.count - 1]
        median =
            sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

extension Arguments {
    /// This bench with `options` on top: the later of an option given twice wins.
    func side(_ options: String) throws(UsageError) -> Arguments {
        let ranks = ranks.map { ["--ranks", "\($0)"] } ?? []
        return try Arguments.parse(side: benchWords + ranks + words(of: options))
    }

    /// The words of a single bench of these arguments, without `--ranks`.
    var benchWords: [String] {
        var words = ["bench"]
        func add(_ name: String, _ value: String?) {
            if let value { words += [name, value] }
        }
        add("--config", config)
        for setting in settings { add("--set", setting) }
        add("--threads", threads.map(String.init))
        add("--model", model)
        add("--batch", batch.map(String.init))
        add("--shards", shards.map(String.init))
        add("--kernel", kernel)
        add("--shape", shape)
        add("--seconds", "\(seconds)")
        add("--timeout", "\(timeout)")
        return words
    }
}

/// The words of a line, as a shell cuts it: at blanks outside quotes.
func words(of line: String) -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    for character in line {
        if let open = quote {
            if character == open { quote = nil } else { word?.append(character) }
        } else if character == "'" || character == "\"" {
            quote = character
            word = word ?? ""
        } else if character == " " {
            if let word { words.append(word) }
            word = nil
        } else {
            word = (word ?? "") + String(character)
        }
    }
    if let word { words.append(word) }
    return words
}
