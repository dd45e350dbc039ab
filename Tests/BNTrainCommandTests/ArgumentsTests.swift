import Testing

@testable import BNTrainCommand

/// The arguments of a line of words.
private func parse(_ line: String) throws -> Arguments {
    try Arguments.parse(line.split(separator: " ").map(String.init))
}

/// The message of a line that is refused.
private func message(_ words: [String]) -> String {
    do {
        return "accepted: \(try Arguments.parse(words))"
    } catch {
        return Ending(error).message
    }
}

private func message(_ line: String) -> String {
    message(line.split(separator: " ").map(String.init))
}

@Suite struct ArgumentsTests {
    @Test("no words mean train with the defaults")
    func defaults() throws {
        #expect(try parse("") == Arguments())
        #expect(try parse("").command == .train)
        #expect(try parse("").timeout == 300)
        #expect(try parse("train") == Arguments())
    }

    @Test("every option ends in its place, in both spellings")
    func everyOption() throws {
        let train = try parse(
            "train --config a.json5 --set batch.size=3 --threads 2 --seed 9 --set=seed=4 --out r "
                + "--overwrite --save-initial --print-config --timeout 2.5 --quiet --json "
                + "--max-minutes 0.5")
        var expected = Arguments()
        expected.config = "a.json5"
        expected.settings = ["batch.size=3", "seed=9", "seed=4"]
        expected.threads = 2
        expected.out = "r"
        expected.overwrite = true
        expected.saveInitial = true
        expected.printConfig = true
        expected.timeout = 2.5
        expected.maxMinutes = 0.5
        expected.quiet = true
        expected.json = true
        #expect(train == expected)
        #expect(
            try parse(
                "--config=a.json5 --set=batch.size=3 --threads=2 --seed=9 --set seed=4 --out=r "
                    + "--overwrite --save-initial --print-config --timeout=2.5 --quiet "
                    + "--json --max-minutes=0.5") == expected)

        let bench = try parse(
            "bench --model mlp --batch 60 --shards 2 --seconds 0.5 --kernel normalize --shape 60x8")
        #expect(bench.command == .bench)
        #expect(bench.model == "mlp")
        #expect(bench.batch == 60)
        #expect(bench.shards == 2)
        #expect(bench.seconds == 0.5)
        #expect(bench.kernel == "normalize")
        #expect(bench.shape == "60x8")

        let verify = try parse("verify --worlds --steps 3")
        #expect(verify.worlds)
        #expect(verify.steps == 3)
    }

    @Test("every option of the table is taken by each of its commands and refused by the others")
    func tableAgrees() throws {
        let values = [
            "--method": ["--method=paper"], "--statistics": ["--statistics=batch"],
            "--kernel": ["--kernel=x"], "--shape": ["--kernel=x", "--shape=x"],
            "--compare": ["--compare=--threads 1"],
            "--rounds": ["--compare=--threads 1", "--rounds=1"],
            "--ranks": ["--compare=--threads 1", "--ranks=1"],
            "--resume-anyway": ["--resume=f", "--resume-anyway"],
        ]
        for option in OptionTable.options {
            let plain = option.valueName == nil ? [option.name] : [option.name, "1"]
            for command in Command.all {
                let files = Array(repeating: "f", count: command.operands.count.lowerBound)
                let words = [command.name] + files + (values[option.name] ?? plain)
                let accepted = (try? Arguments.parse(words)) != nil
                #expect(accepted == option.commands.contains(command), "\(words)")
            }
        }
    }

    @Test("options of resuming that lack their other half, or contradict it, are refused")
    func resuming() throws {
        #expect(try parse("--resume auto --out r").resume == "auto")
        #expect(try parse("--resume c.safetensors --resume-anyway").resumeAnyway)
        #expect(
            message("--resume auto")
                == "bn-train: error: --resume auto means something only with --out DIR: give both "
                + "or neither; see `bn-train --help`")
        #expect(
            message("train --resume-anyway")
                == "bn-train: error: --resume-anyway means something only with --resume: give both "
                + "or neither; see `bn-train train --help`")
        #expect(
            message("train --resume f --overwrite")
                == "bn-train: error: --resume and --overwrite contradict each other: give one of "
                + "them; see `bn-train train --help`")
        #expect(
            message("train --resume f --save-initial")
                == "bn-train: error: --resume and --save-initial contradict each other: give one of "
                + "them; see `bn-train train --help`")
    }

    @Test("the command may stand behind options, and -- ends them")
    func order() throws {
        #expect(try parse("--json eval m.safetensors").command == .eval)
        #expect(try parse("--threads 2 predict m 4 5").files == ["m", "4", "5"])
        #expect(try parse("inspect -- --odd").files == ["--odd"])
        #expect(try parse("predict m -1").files == ["m", "-1"])
        #expect(try Arguments.parse(["--out", "a b"]).out == "a b")
        #expect(try Arguments.parse(["--set", "a=b=c"]).settings == ["a=b=c"])
        #expect(try Arguments.parse(["--set", "-x=1"]).settings == ["-x=1"])
    }

    @Test("the later of an option given twice wins")
    func later() throws {
        #expect(try parse("--threads 1 --threads 3").threads == 3)
    }

    @Test("help and version, in all their spellings")
    func help() throws {
        #expect(try parse("--help").command == .help(topic: nil))
        #expect(try parse("-h").command == .help(topic: nil))
        #expect(try parse("help").command == .help(topic: nil))
        #expect(try parse("help help").command == .help(topic: nil))
        #expect(try parse("train --help").command == .help(topic: "train"))
        #expect(try parse("eval -h").command == .help(topic: "eval"))
        #expect(try parse("help eval").command == .help(topic: "eval"))
        #expect(try parse("help --help").command == .help(topic: nil))
        #expect(try parse("help config").command == .help(topic: "config"))
        #expect(try parse("help exit-codes").command == .help(topic: "exit-codes"))
        #expect(try parse("--version").command == .version)
        #expect(try parse("version").command == .version)
    }

    @Test(
        "a refused line says what, where and what to do, in one line",
        arguments: [
            (
                "trian",
                "unknown command 'trian': did you mean 'train'?; see `bn-train --help`"
            ),
            ("frobnicate", "unknown command 'frobnicate'; see `bn-train --help`"),
            (
                "mnist.json5",
                "train takes no file, found 'mnist.json5': give --config mnist.json5; "
                    + "see `bn-train --help`"
            ),
            (
                "train extra",
                "train takes no file, found 'extra': leave it out; see `bn-train train --help`"
            ),
            (
                "--thread 2",
                "unknown option '--thread': did you mean '--threads'?; see `bn-train --help`"
            ),
            (
                "eval f --jsno",
                "unknown option '--jsno': did you mean '--json'?; see `bn-train eval --help`"
            ),
            (
                "--epochs 3",
                "unknown option '--epochs': it is set with --set epochs=VALUE; "
                    + "see `bn-train --help`"
            ),
            (
                "--learning-rate 0.1",
                "unknown option '--learning-rate': it is set with "
                    + "--set optimizer.learningRate=VALUE; see `bn-train --help`"
            ),
            ("--zzzzzzzzzz", "unknown option '--zzzzzzzzzz'; see `bn-train --help`"),
            ("-n 4", "unknown option '-n'; see `bn-train --help`"),
            ("--out", "--out lacks its value: give --out DIR; see `bn-train --help`"),
            (
                "--threads --json",
                "--threads lacks its value: give --threads N; see `bn-train --help`"
            ),
            (
                "--threads two",
                "--threads takes a whole number from 1 to 250 (for more workers use ranks: mpirun "
                    + "-n), found 'two'; see `bn-train --help`"
            ),
            (
                "--threads 0",
                "--threads takes a whole number from 1 to 250 (for more workers use ranks: mpirun "
                    + "-n), found '0'; see `bn-train --help`"
            ),
            (
                "--threads 300",
                "--threads takes a whole number from 1 to 250 (for more workers use ranks: mpirun "
                    + "-n), found '300'; see `bn-train --help`"
            ),
            (
                "--seed -1",
                "--seed takes a whole number from 0 to 2^64 - 1, found '-1'; "
                    + "see `bn-train --help`"
            ),
            (
                "--timeout inf",
                "--timeout takes a number of seconds above 0, found 'inf'; see `bn-train --help`"
            ),
            ("--out=", "--out takes a folder, found ''; see `bn-train --help`"),
            (
                "--json=yes",
                "--json takes no value, found 'yes': give --json alone; see `bn-train --help`"
            ),
            (
                "train --worlds",
                "--worlds is an option of verify, not of train: leave it out; "
                    + "see `bn-train train --help`"
            ),
            (
                "--steps 3",
                "--steps is an option of verify, not of train: give --set steps=VALUE; "
                    + "see `bn-train --help`"
            ),
            (
                "inspect f --set seed=1",
                "--set is an option of train, eval, predict, recalibrate, average, verify, bench, doctor, report, "
                    + "sweep, replay, bisect, not of inspect: leave it out; see `bn-train inspect --help`"
            ),
            (
                "eval",
                "eval takes a model file such as runs/NAME-1/final.safetensors, found nothing; "
                    + "see `bn-train eval --help`"
            ),
            (
                "inspect a b c",
                "inspect takes one or two model files, found 3; see `bn-train inspect --help`"
            ),
            (
                "predict m",
                "predict takes a model file and indices of test samples, found 1; "
                    + "see `bn-train predict --help`"
            ),
            (
                "bench --shape 3x3",
                "--shape means something only with --kernel: give both or neither; "
                    + "see `bn-train bench --help`"
            ),
            (
                "bench --rounds 2",
                "--rounds means something only with --compare: give both or neither; "
                    + "see `bn-train bench --help`"
            ),
            (
                "bench --ranks 2",
                "--ranks means something only with --compare: give both or neither; "
                    + "see `bn-train bench --help`"
            ),
            (
                "bench --compare --json",
                "--compare lacks its value: give --compare OPTIONS; see `bn-train bench --help`"
            ),
            (
                "bench --compare=--rounds=2",
                "--rounds cannot stand in the options of --compare: give it outside; "
                    + "see `bn-train bench --help`"
            ),
            (
                "bench --compare=--threds=1",
                "unknown option '--threds': did you mean '--threads'?; see `bn-train bench --help`"
            ),
            (
                "help confg",
                "there is no help on 'confg': did you mean 'config'?; see `bn-train --help`"
            ),
        ])
    func refused(line: String, expected: String) {
        #expect(message(line) == "bn-train: error: " + expected)
    }

    @Test("control characters of the command line do not reach the terminal")
    func controls() {
        #expect(
            message(["\u{1B}[31mred\nline"])
                == "bn-train: error: unknown command '?[31mred?line'; see `bn-train --help`")
        #expect(message([String(repeating: "x", count: 10_000)]).count < 300)
    }

    @Test("an error in the command line ends with 64")
    func code() {
        #expect(throws: UsageError.self) { try parse("--nope") }
        do { _ = try parse("--nope") } catch { #expect(Ending(error).code == 64) }
    }
}
