/// What the program is asked to do.
enum Command: Hashable, Sendable {
    case train, eval, predict, recalibrate, average, verify, bench, inspect, report, sweep, replay,
        bisect, doctor, getData
    /// About the program, a command or a topic; nil for the program.
    case help(topic: String?)
    case version

    /// The commands that do something, in the order of `--help`.
    static let all: [Command] = [
        .train, .eval, .predict, .recalibrate, .average, .verify, .bench, .inspect, .report, .sweep,
        .replay, .bisect, .doctor, .getData,
    ]

    /// The word on the command line.
    var name: String {
        switch self {
        case .train: "train"
        case .eval: "eval"
        case .predict: "predict"
        case .recalibrate: "recalibrate"
        case .average: "average"
        case .verify: "verify"
        case .bench: "bench"
        case .inspect: "inspect"
        case .report: "report"
        case .sweep: "sweep"
        case .replay: "replay"
        case .bisect: "bisect"
        case .doctor: "doctor"
        case .getData: "get-data"
        case .help: "help"
        case .version: "version"
        }
    }

    /// What it does, in one line of `--help`.
    var summary: String {
        switch self {
        case .train: "trains a network; what bn-train does without a command"
        case .eval: "loss and accuracy of a saved model on its data set"
        case .predict: "class probabilities of a saved model for single samples"
        case .recalibrate: "a saved model with BN's statistics of its training samples"
        case .average: "the mean of several saved models of one network"
        case .verify: "trains a few steps here and as one Float64 worker, and compares"
        case .bench: "speed on random data in memory, and where the time goes"
        case .inspect: "header and tensors of a model file, or how two files differ"
        case .report: "a page on one run or several: curves, mistakes, filters, time"
        case .sweep: "runs of a grid of settings, side by side; one table and one page"
        case .replay: "computes a step of a run again, bit for bit, and looks inside"
        case .bisect: "the first step and tensor where two runs part"
        case .doctor: "versions, cores, the same bits in several worlds; what is slow or wrong"
        case .getData: "downloads a well-known data set"
        case .help: "about a command, config or exit-codes"
        case .version: "the program's version"
        }
    }

    /// The files that it takes.
    var operands: Operands {
        switch self {
        case .average: Operands("FILE…", 1...Int.max, "model files or checkpoints")
        case .eval, .recalibrate:
            Operands("FILE", 1...1, "a model file such as runs/NAME-1/final.safetensors")
        case .predict:
            Operands("FILE INPUT…", 2...Int.max, "a model file and indices of test samples")
        case .inspect: Operands("FILE [FILE]", 1...2, "one or two model files")
        case .report: Operands("RUN…", 1...Int.max, "folders of runs, such as runs/NAME-1")
        case .replay: Operands("RUN", 1...1, "the folder of a run, such as runs/NAME-1")
        case .bisect: Operands("RUN RUN", 2...2, "the folders of two runs")
        case .sweep: Operands("FILE", 1...1, "a sweep file")
        case .getData:
            Operands(
                "NAME [DIR]", 1...2,
                "a data set (\(KnownDataset.all.map(\.name).joined(separator: ", "))) and a folder")
        case .help: Operands("[TOPIC]", 0...1, "one topic")
        default: Operands("", 0...0, "no file")
        }
    }

    struct Operands {
        let usage: String
        let count: ClosedRange<Int>
        let meaning: String

        init(_ usage: String, _ count: ClosedRange<Int>, _ meaning: String) {
            self.usage = usage
            self.count = count
            self.meaning = meaning
        }
    }
}

/// One option: how it is written, who takes it, what it means, and where its value goes.
struct Option: Sendable {
    /// With its dashes.
    let name: String

    /// What stands for the value in `--help`; nil for a flag.
    let valueName: String?

    /// The commands that take it.
    let commands: [Command]

    /// What it does; wrapped in `--help`.
    let doc: String

    /// A configuration key for the commands that do not take the option.
    let key: String?

    /// Stores the value; false if it is not what `expected` says.
    let apply: @Sendable (String, inout Arguments) -> Bool

    /// What a value must be, for messages: "a whole number from 1".
    let expected: String
}

/// All options. Parsing and `--help` are made from it.
enum OptionTable {
    private static let configured: [Command] = [
        .train, .eval, .predict, .recalibrate, .average, .verify, .bench, .doctor,
    ]
    private static let launched: [Command] = [
        .train, .eval, .recalibrate, .average, .verify, .bench, .replay, .bisect,
    ]

    static let options: [Option] = [
        text(
            "--config", "FILE", configured, \.config,
            "the configuration, JSON5; without it the embedded default (help config)"),
        Option(
            name: "--set", valueName: "KEY=VALUE",
            commands: configured + [.report, .sweep, .replay, .bisect],
            doc: "changes one key of the configuration; may be repeated, the later wins",
            key: nil,
            apply: { value, arguments in
                arguments.settings.append(value)
                return true
            }, expected: "key.path=value"),
        whole(
            "--threads", "N", configured + [.sweep, .replay, .bisect], \.threads,
            1...Arguments.mostThreads,
            "threads of each rank; without it as many as there are cores, at most one a shard, "
                + "and 1 under mpirun and for each run of a sweep; those beyond the shards share "
                + "the images of a shard with others",
            hint: " (for more workers use ranks: mpirun -n)"),
        Option(
            name: "--seed", valueName: "N", commands: [.train, .verify, .bench],
            doc: "seed of everything random; the same as --set seed=N", key: "seed",
            apply: { value, arguments in
                guard let seed = UInt64(value) else { return false }
                arguments.settings.append("seed=\(seed)")
                return true
            }, expected: "a whole number from 0 to 2^64 - 1"),
        text(
            "--out", "DIR", [.train, .sweep], \.out,
            "the folder for the run's files; without it the next free runs/NAME-N (sweep: runs/NAME)"
        ),
        text(
            "-o", "FILE", [.recalibrate, .average, .report], \.output,
            "the file to write; without it recalibrate puts the method before the ending of FILE's "
                + "name, average takes average.safetensors, and report report.html in the folder of the "
                + "first run"),
        Option(
            name: "--resume", valueName: "auto|FILE", commands: [.train],
            doc: "goes on from the newest whole checkpoint in --out, or from FILE, with its "
                + "configuration; the world may be another, the bits are the same", key: nil,
            apply: { value, arguments in
                arguments.resume = value
                return !value.isEmpty
            }, expected: "auto or a checkpoint's file"),
        flag(
            "--resume-anyway", [.train], \.resumeAnyway,
            "with --resume: even where --config or --set change what is computed"),
        text(
            "--init", "FILE", [.train], \.initial,
            "starts from the parameters of a saved model; where the classes are others, its last "
                + "layer starts anew"),
        Option(
            name: "--max-minutes", valueName: "N", commands: [.train],
            doc: "saves the run and stops after so many minutes, as SIGUSR1 does at any time",
            key: nil,
            apply: { value, arguments in
                guard let number = Double(value), number > 0, number <= 1e9 else { return false }
                arguments.maxMinutes = number
                return true
            }, expected: "a number of minutes above 0"),
        flag(
            "--overwrite", [.train, .recalibrate, .average], \.overwrite,
            "replaces a run that --out holds, or a file"),
        choice(
            "--method", "NAME", [.recalibrate, .average], \.method,
            "\"paper\" (one pass, batches averaged) or \"exact\" (layer by layer); paper"),
        flag(
            "--keep-statistics", [.average], \.keepsStatistics,
            "BN's statistics are the mean of the files', too, which needs no data"),
        choice(
            "--statistics", "NAME", [.eval], \.statistics,
            "BN's: \"moving\" (training's), \"batch\" (each test batch's), or the training set's, "
                + "\"paper\" or \"exact\"; without it the file's"),
        whole(
            "--batches", "N", [.recalibrate, .average, .eval], \.batches, 1...1_000_000_000,
            "only the first so many batches of the training samples"),
        flag(
            "--save-initial", [.train], \.saveInitial,
            "also saves the model before step 1, as initial.safetensors"),
        flag(
            "--print-config", [.train], \.printConfig,
            "prints the whole configuration as it would be used, and ends"),
        whole("--steps", "K", [.verify], \.steps, 1...1_000_000, "steps to compare", key: "steps"),
        whole(
            "--step", "S", [.replay], \.step, 1...1_000_000_000_000, "the step to compute again"),
        flag("--worlds", [.verify], \.worlds, "also runs the other worlds and compares digests"),
        text(
            "--model", "NAME", [.bench], \.model,
            "the network to measure; without it the configured one", key: "model.name"),
        whole(
            "--batch", "B", [.bench], \.batch, 1...1_048_576,
            "samples of a step, over all workers", key: "batch.size"),
        whole(
            "--shards", "S", [.bench], \.shards, 1...1_048_576, "its shards", key: "batch.shards"),
        positive("--seconds", "T", [.bench], \.seconds, "how long to measure, each time (10)"),
        Option(
            name: "--compare", valueName: "OPTIONS", commands: [.bench],
            doc: "measures this bench, and the same with these options on top, in turn; may be "
                + "repeated", key: nil,
            apply: { value, arguments in
                arguments.compared.append(value)
                return !value.isEmpty
            }, expected: "options of bench in quotes, such as '--threads 1'"),
        whole(
            "--rounds", "R", [.bench], \.rounds, 1...1000,
            "with --compare: how often each is measured (5)"),
        whole(
            "--ranks", "N", [.bench], \.ranks, 1...4096,
            "with --compare, also among its options: ranks to start through mpirun"),
        text("--kernel", "NAME", [.bench], \.kernel, "measures one kernel instead of steps"),
        text("--shape", "SHAPE", [.bench], \.shape, "the kernel's shape, such as 64x56x56x64"),
        text(
            "--claims", "FILE", [.report], \.claims,
            "instead of a page, a table of claims about BN and what the sweeps in DIR (runs) say of "
                + "each; -o puts it into a page between <!-- claims --> and <!-- end of claims -->"),
        text(
            "--svg", "DIR", [.report], \.svg, "also writes each chart as an SVG file, into DIR"),
        flag(
            "--quick", [.sweep], \.quick,
            "the short form that the file's quick section describes, in a folder of its own"),
        text(
            "--mirror", "URL", [.getData], \.mirror,
            "the folder to take the files from, instead of the usual places"),
        positive(
            "--timeout", "SECONDS", launched, \.timeout,
            "how long a rank waits for a silent one before the run ends (300)"),
        flag(
            "--quiet", launched + [.report, .sweep, .getData], \.quiet,
            "no header and no progress on stderr; errors remain"),
        flag("--json", Command.all, \.json, "the result as one JSON object, stdout's last line"),
    ]

    /// The option of this name.
    static func option(_ name: String) -> Option? { options.first { $0.name == name } }

    /// The options of a command, in the table's order.
    static func options(of command: Command) -> [Option] {
        options.filter { $0.commands.contains(command) }
    }

    // MARK: Kinds of options

    private static func flag(
        _ name: String, _ commands: [Command],
        _ path: any WritableKeyPath<Arguments, Bool> & Sendable, _ doc: String
    ) -> Option {
        Option(
            name: name, valueName: nil, commands: commands, doc: doc, key: nil,
            apply: { _, arguments in
                arguments[keyPath: path] = true
                return true
            }, expected: "no value")
    }

    private static func text(
        _ name: String, _ valueName: String, _ commands: [Command],
        _ path: any WritableKeyPath<Arguments, String?> & Sendable, _ doc: String,
        key: String? = nil
    ) -> Option {
        Option(
            name: name, valueName: valueName, commands: commands, doc: doc, key: key,
            apply: { value, arguments in
                arguments[keyPath: path] = value
                return !value.isEmpty
            }, expected: valueName == "DIR" ? "a folder" : "a \(valueName.lowercased())")
    }

    private static func whole(
        _ name: String, _ valueName: String, _ commands: [Command],
        _ path: any WritableKeyPath<Arguments, Int?> & Sendable, _ range: ClosedRange<Int>,
        _ doc: String, key: String? = nil, hint: String = ""
    ) -> Option {
        Option(
            name: name, valueName: valueName, commands: commands, doc: doc, key: key,
            apply: { value, arguments in
                guard let number = Int(value), range.contains(number) else { return false }
                arguments[keyPath: path] = number
                return true
            },
            expected: "a whole number from \(range.lowerBound) to \(range.upperBound)" + hint)
    }

    private static func choice<Value: CaseIterable & RawRepresentable<String> & Sendable>(
        _ name: String, _ valueName: String, _ commands: [Command],
        _ path: any WritableKeyPath<Arguments, Value?> & Sendable, _ doc: String
    ) -> Option {
        Option(
            name: name, valueName: valueName, commands: commands, doc: doc, key: nil,
            apply: { value, arguments in
                guard let chosen = Value(rawValue: value) else { return false }
                arguments[keyPath: path] = chosen
                return true
            }, expected: Value.allCases.map { "'\($0.rawValue)'" }.joined(separator: " or "))
    }

    private static func positive(
        _ name: String, _ valueName: String, _ commands: [Command],
        _ path: any WritableKeyPath<Arguments, Double> & Sendable, _ doc: String
    ) -> Option {
        Option(
            name: name, valueName: valueName, commands: commands, doc: doc, key: nil,
            apply: { value, arguments in
                guard let number = Double(value), number > 0, number <= 1e9 else { return false }
                arguments[keyPath: path] = number
                return true
            }, expected: "a number of seconds above 0")
    }
}
