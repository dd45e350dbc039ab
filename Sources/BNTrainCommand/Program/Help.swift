import Configuration
import Training

/// The texts of `--help` and `help TOPIC`; at most 100 columns wide.
enum Help {
    /// What `help` knows: the commands and two topics.
    static let topics = Command.all.map(\.name) + ["config", "exit-codes"]

    /// The text on a topic, with its last newline; nil is the program.
    static func text(on topic: String?) -> String {
        switch topic {
        case nil: program
        case "config": configuration
        case "exit-codes": exitCodes
        case let topic?:
            Command.all.first { $0.name == topic }.map(text(on:)) ?? program
        }
    }

    /// `--version`.
    static let version = "bn-train \(programVersion)\n"

    // MARK: Topics

    private static var program: String {
        var lines = [
            "bn-train \(programVersion): trains networks with synchronised batch normalisation on "
                + "CPUs, by threads,",
            "MPI ranks or both. Any number of workers gives the same bits.",
            "",
            "usage: bn-train [COMMAND] [options]        without a command: train",
            "",
            "Commands:",
        ]
        lines += table(
            Command.all.map { command in
                (
                    [command.name, command.operands.usage].filter { !$0.isEmpty }
                        .joined(separator: " "), command.summary
                )
            })
        lines += ["", "Options of train:"]
        lines += optionLines(.train)
        lines += ["", "Examples:"]
        lines += exampleLines(examples(of: nil))
        lines += ["", "More:"]
        lines += table([
            ("bn-train COMMAND --help", "options and examples of a command"),
            ("bn-train help config", "the keys of the configuration, with defaults"),
            ("bn-train help exit-codes", "what the exit code says"),
        ])
        return joined(lines)
    }

    private static func text(on command: Command) -> String {
        let usage = ["bn-train", command.name, command.operands.usage, "[options]"]
            .filter { !$0.isEmpty }.joined(separator: " ")
        var lines = ["usage: \(usage)", ""]
        lines += wrapped(details(of: command), indent: 0)
        lines += ["", "Options:"]
        lines += optionLines(command)
        lines += ["", "Examples:"]
        lines += exampleLines(examples(of: command))
        return joined(lines)
    }

    private static var configuration: String {
        var lines = wrapped(
            "The configuration is JSON5: comments, unquoted keys, trailing commas. The embedded "
                + "default has every key; a file given with --config needs only those it changes; "
                + "--set KEY=VALUE changes one more, and null takes a key back to its default. A "
                + "data path in a file is relative to that file, one in --set to the working "
                + "directory.", indent: 0)
        lines += ["", "Keys and defaults:"]
        for entry in RunConfiguration.documentation {
            lines.append("  \(entry.key) = \(entry.default)")
            lines += wrapped(entry.doc, indent: 6)
        }
        lines += ["", "Examples:"]
        lines += exampleLines([
            ("bn-train --set batch.size=256 --set optimizer.learningRate=0.1", "two keys"),
            ("bn-train --set 'model.hidden=[512, 256]'", "a list, quoted for the shell"),
            ("bn-train --set model.normalization.scope=shard", "BN without synchronisation"),
            ("bn-train --config my.json5 --print-config", "what would be used; trains nothing"),
        ])
        return joined(lines)
    }

    private static var exitCodes: String {
        joined(
            ["Exit codes (all ranks leave with the same one):"]
                + table(ExitCode.allCases.map { ("\($0.rawValue)", $0.meaning) }))
    }

    // MARK: Commands

    private static func details(of command: Command) -> String {
        switch command {
        case .train:
            "Trains the configured network and saves it. The run's folder holds config.json, "
                + "metrics.jsonl and final.safetensors, which PyTorch reads as it is. Under "
                + "mpirun the ranks train one model together; --threads adds threads to each rank. "
                + "The parameters_digest is the same for every number of workers. SIGUSR1 to mpirun "
                + "or any rank, SIGTERM, SIGHUP (a terminal that closes) or SIGINT (Ctrl-C) to a rank "
                + "or a run without mpirun, end the run after the step under way: it is saved, all leave with exit code 75, and "
                + "--resume goes on. A second SIGINT ends it at once. mpirun itself answers SIGTERM "
                + "and SIGINT by killing its ranks: launch/train --ranks N, which turns them into "
                + "SIGUSR1, is safe to interrupt."
        case .eval:
            "Loss and accuracy of a saved model over the test samples of the data set it was "
                + "trained on, or of another one that --config or --set names."
        case .predict:
            "Class probabilities of a saved model. INPUT is the index of a test sample, from 0; "
                + "the data set is the one the model was trained on, or the one --set names."
        case .average:
            "The mean, value by value, of saved models of one network, such as the last checkpoints of "
                + "a run (stochastic weight averaging); what optimizers keep is left out. The mean of "
                + "BN's running statistics is not that of the averaged weights: they are taken anew "
                + "from the training samples, as recalibrate does, or --keep-statistics."
        case .recalibrate:
            "Replaces the running statistics of a saved model by those of its training samples, and "
                + "writes another file. They are read in the file's order, in the configured batches "
                + "and shards, without augmentation and dropout, by threads and ranks; the bits are "
                + "the same in any world. --method paper: one pass in which each layer normalises by "
                + "the batch; means and unbiased variances are averaged by the number of values. "
                + "--method exact: layer by layer, those before it normalising by what they have by "
                + "then; mean and variance of all values."
        case .verify:
            "Trains a few steps (20 without --steps) in the present world, and again as one readable "
                + "Float64 trainer that takes each batch as a whole; prints the largest differences "
                + "tensor by tensor. How far Float32 may be off is measured in the same run: 128 "
                + "times what it does to the Float64 trainer to round everything it keeps to "
                + "Float32, with ReLU also 4 times what it does to take the other side of the edge "
                + "wherever rounding may, and 1e-6 of the tensor's largest value. With --worlds it "
                + "also runs worlds of 1, 2, 3, 4, 7 and 8 threads, of 1 to 4 ranks, and of 2 ranks "
                + "with 2 and 3 threads, as far as the shards go, and compares digests. Exit code 1 "
                + "where something differs."
        case .bench:
            "Trains on random data in memory, after a warm-up, and gives the median of several "
                + "repetitions: images a second, and how the time of a step divides. With --kernel "
                + "one kernel alone, on one thread; batch_norm and batch_norm_relu are the layer, "
                + "forward and backward, synchronised over --threads, and layer_norm, instance_norm "
                + "and group_norm (8 groups) those that meet nobody. With --compare this bench "
                + "and the same with other options on top, round by round in turn: medians, their "
                + "ratio and, where the numbers of workers differ, the ratio of what their cores "
                + "do in multiply-adds alone."
        case .inspect:
            "One file: metadata, tensors with their smallest, largest and mean value, and whether "
                + "the stored digest is that of the values (exit code 65 if not). Two files: "
                + "whether all tensors have the same bits (exit code 0), or how far apart they are "
                + "(1): the largest |a - b|, and the same over the largest |b|."
        case .report:
            "One HTML file that needs no network: what was run and in which keys the runs differ, "
                + "curves with the values under the pointer, probes, the confusion matrix, the worst "
                + "mistakes and the first layer's weights, where the time goes, and the system. A run "
                + "that is still under way, or was ended, is shown as far as it came. The data are "
                + "looked for where the run had them; --set data.directory=… names another place."
        case .sweep:
            "Runs every cell of a sweep file with every seed, as many at a time as there are cores. "
                + "The file is JSON5: base (a configuration), grid (lists of values by key), cells (a "
                + "list of settings, each with every grid point), seeds, threshold, published, series "
                + "and figures for the page, quick; configs/experiments has many. The table goes to "
                + "stdout; runs/NAME holds it as table.md, table.csv and table.json, the page "
                + "report.html, charts as SVG files, and a folder for each run. The same command again "
                + "runs only what is not finished. A run that fails is a row of the table."
        case .replay:
            "Computes step S of a run again, from the nearest whole checkpoint before it or from the "
                + "beginning, bit for bit, whatever world the run had: loss, gradient norms and "
                + "activations of the step, and the digest after it, which is compared with "
                + "metrics.jsonl where that has one (exit code 1 if it is another). Nothing in the "
                + "run's folder changes. A run that started with --init needs --save-initial, or a "
                + "checkpoint. --set data.directory=… names another place for the data."
        case .bisect:
            "Finds where two runs of one network part. Digests in metrics.jsonl (those of "
                + "evaluations, and of every watch.digestSteps steps) say between which steps; both "
                + "runs are then computed again from their checkpoints. Where they part here, too, "
                + "the first step and tensor are named, with the settings that differ; where "
                + "they do not, the run that left the course, and the first of its checkpoints that "
                + "shows it. Exit code 1 where they part, 0 where no recorded digest differs."
        case .doctor:
            "Versions, instruction sets, cores and their binding, memory of the configured model, "
                + "and warnings with what to do about each. Run it the way you train, under mpirun "
                + "too. Without mpirun it also trains small networks and the configured one for "
                + "ten steps on random data, each with 1, 2, 3, 4, 7 and 8 threads as far as there "
                + "are shards and ten seconds last, and compares the bits: do this on each new kind "
                + "of machine, and `bn-train verify --worlds` for a configuration on its data."
        case .getData:
            "Downloads mnist, fashion (Fashion-MNIST), cifar10 or cifar100 into DIR, by default "
                + "data/mnist, data/fashion-mnist, data/cifar10 or data/cifar100, through the program "
                + "curl: proxies are taken from the environment (https_proxy), an interrupted "
                + "download goes on where it ended, several places are tried in turn, and a file "
                + "counts only with the SHA-256 of the published one. What is there already stays."
        case .help, .version: command.summary
        }
    }

    private static func examples(of command: Command?) -> [(String, String)] {
        switch command {
        case nil:
            [
                ("bn-train", "synthetic digits, an MLP, all cores"),
                ("bn-train --threads 2 --set epochs=3", "two threads, three epochs"),
                ("mpirun -n 4 bn-train --config mnist.json5", "four ranks, the same bits"),
                (
                    "bn-train inspect runs/synthetic-digits-1/final.safetensors",
                    "what a model file holds"
                ),
            ]
        case .train:
            [
                ("bn-train --threads 2", "two threads"),
                ("mpirun -n 2 bn-train --threads 2", "two ranks of two threads"),
                ("mpirun -n 4 --oversubscribe bn-train", "more ranks than cores"),
                ("bn-train --config mnist.json5 --set data.directory=data/mnist", "MNIST"),
                ("bn-train --set model.normalization.kind=none", "without BN"),
                ("bn-train --seed 7 --out runs/seven --json", "a script's call"),
            ]
        case .eval:
            [
                ("bn-train eval runs/synthetic-digits-1/final.safetensors", "on its own data set"),
                ("bn-train eval model.safetensors --set data.directory=data/mnist", "moved data"),
                ("bn-train eval model.safetensors --statistics batch", "each test batch's own"),
            ]
        case .average:
            [
                (
                    "bn-train average runs/a/checkpoints/step-*.safetensors -o mean.safetensors",
                    "those of a run"
                ),
                (
                    "bn-train average a.safetensors b.safetensors --method exact",
                    "layer by layer"
                ),
            ]
        case .recalibrate:
            [
                ("bn-train recalibrate runs/synthetic-digits-1/final.safetensors", "one pass"),
                (
                    "bn-train recalibrate model.safetensors -o exact.safetensors --method exact",
                    "layer by layer"
                ),
            ]
        case .predict:
            [
                (
                    "bn-train predict runs/synthetic-digits-1/final.safetensors 0 1 2",
                    "three samples"
                ),
                ("bn-train predict model.safetensors 17 --json", "for a script"),
            ]
        case .verify:
            [
                ("bn-train verify --threads 2", "two threads against Float64"),
                ("bn-train verify --worlds --steps 20", "all worlds"),
                ("mpirun -n 4 bn-train verify", "four ranks against Float64"),
            ]
        case .bench:
            [
                ("bn-train bench --threads 2 --shards 2", "the configured network"),
                ("bn-train bench --model resnet20 --batch 128 --threads 2", "a network"),
                (
                    "bn-train bench --compare '--set model.normalization.kind=none'",
                    "the price of BN"
                ),
                (
                    "bn-train bench --model lenet --threads 2 --compare '--threads 1'",
                    "what a second thread is worth"
                ),
                (
                    "bn-train bench --threads 2 --compare '--ranks 2 --threads 1'",
                    "threads against ranks"
                ),
                (
                    "bn-train bench --kernel batch_norm --threads 2",
                    "one layer"
                ),
                ("mpirun -n 2 bn-train bench --set collectives=mpi", "MPI_Allreduce"),
            ]
        case .inspect:
            [
                ("bn-train inspect runs/synthetic-digits-1/final.safetensors", "one file"),
                ("bn-train inspect a.safetensors b.safetensors", "do they differ?"),
            ]
        case .report:
            [
                ("bn-train report runs/synthetic-digits-1", "one run"),
                ("bn-train report runs/bn runs/no-bn -o both.html", "two side by side"),
                ("bn-train report runs/bn --svg charts", "its charts as files, too"),
                (
                    "bn-train report --claims configs/experiments/claims.json5",
                    "what textbooks say, measured"
                ),
            ]
        case .sweep:
            [
                ("bn-train sweep configs/experiments/bn-effect.json5 --quick", "a minute's form"),
                (
                    "bn-train sweep configs/experiments/depth.json5 --set data.directory=data/mnist",
                    "data elsewhere"
                ),
            ]
        case .replay:
            [
                ("bn-train replay runs/long --step 31000", "one step"),
                ("mpirun -n 2 bn-train replay runs/long --step 31000 --json", "for a script"),
            ]
        case .bisect:
            [("bn-train bisect runs/here runs/there", "two runs that should be one")]
        case .doctor:
            [
                ("bn-train doctor", "this machine"),
                ("mpirun -n 2 bn-train doctor --threads 4", "two ranks of four threads"),
            ]
        case .getData:
            [
                ("bn-train get-data mnist", "into data/mnist"),
                ("bn-train get-data cifar10 /data/cifar10", "into a folder of your own"),
                (
                    "bn-train get-data mnist --mirror https://mirror.example/mnist",
                    "from another place"
                ),
            ]
        case .help, .version: []
        }
    }

    // MARK: Layout

    private static let width = 100

    private static func optionLines(_ command: Command) -> [String] {
        table(
            OptionTable.options(of: command).map { option in
                (
                    [option.name, option.valueName].compactMap { $0 }.joined(separator: " "),
                    option.doc
                )
            } + [("--help", "this text")])
    }

    private static func exampleLines(_ examples: [(String, String)]) -> [String] {
        table(examples)
    }

    /// Two columns; the right one wrapped.
    private static func table(_ rows: [(String, String)]) -> [String] {
        let left = rows.map(\.0.count).max() ?? 0
        return rows.flatMap { name, doc in
            let lines = wrapped(doc, indent: left + 4)
            let padded = "  " + name + String(repeating: " ", count: left + 2 - name.count)
            return [padded + lines[0].dropFirst(left + 4)] + lines.dropFirst()
        }
    }

    /// `text` in lines of at most `width` columns, cut at spaces.
    static func wrapped(_ text: String, indent: Int) -> [String] {
        let margin = String(repeating: " ", count: indent)
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, indent + line.count + 1 + word.count > width {
                lines.append(margin + line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return lines + [margin + line]
    }

    private static func joined(_ lines: [String]) -> String {
        lines.joined(separator: "\n") + "\n"
    }
}
