import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("What a run says and leaves behind")
    struct Output {
        @Test("names that are not UTF-8 are refused, and nothing is written elsewhere")
        func foreignNames() throws {
            let place = try Workplace()
            let refused =
                #"is not UTF-8: give the file or folder a name that is (`mv`, `convmv`), or name a "#
                + "link to it"
            try place.run(shell: #""$@" --out $'lat\xEFn/r'"#, Workplace.short).expect(
                64, #"word 16 of the command line, 'lat\xEFn/r', "# + refused)
            try place.run(shell: #""$@" $'\xC3\xA4\xFF.safetensors'"#, ["eval"]).expect(
                64, #"word 2 of the command line, '\xC3\xA4\xFF.safetensors', "# + refused)
            #expect(try place.names(in: ".") == [])
            try place.run(
                shell: #"mkdir $'w\xE9' && cd $'w\xE9' && "$@" --out run"#, Workplace.short
            ).expect(
                64,
                "the working directory, '\(place.path)/w\\xE9', has a name that is not UTF-8: start "
                    + "in another, or rename it (`mv`, `convmv`)")
            // What is UTF-8 is taken, and so is a link.
            try place.run(
                shell: #"ln -s $'w\xE9' link && "$@" --out ä/ü"#, Workplace.short + ["--quiet"]
            ).expectSuccess()
            #expect(try place.bytes(of: "ä/ü/final.safetensors").count > 1000)
            try place.run(Workplace.short + ["--quiet", "--out", "link/run"]).expectSuccess()
            let written = try place.run(shell: #": "$@"; ls $'w\xE9/run'"#, [])
            #expect(written.stdout.contains("final.safetensors"))
            guard mpirunIsInstalled else { return }
            let ranks = try place.run(
                shell: #"mpirun --oversubscribe --allow-run-as-root -n 2 "$@" --out $'lat\xEFn'"#,
                Workplace.short)
            #expect(ranks.status == 64)
            #expect(ranks.ourErrors.contains(#"'lat\xEFn', "# + refused), "\(ranks.stderr)")
        }

        @Test("the header names world, balance, scope, and which statistics inference uses")
        func header() throws {
            let place = try Workplace()
            let result = try place.run(Workplace.short + ["--threads", "3", "--out", "run"])
            result.expectSuccess()
            let lines = result.stderr.split(separator: "\n").map(String.init)
            try #require(lines.count == 12, "\(result.stderr)")
            #expect(lines[0] == "bn-train 0.1.0 · mlp 784-16-12-10, sigmoid, 12 922 parameters")
            // Worker w has shards ⌊8w/3⌋ to ⌊8(w + 1)/3⌋.
            #expect(
                lines[1].hasPrefix(
                    "world    1 rank × 3 threads = 3 workers; 8 shards on 3 workers: 2/3/3; "
                        + "the same bits with 1 to 8 workers"))
            #expect(
                lines[2...6] == [
                    "data     synthetic-digits: 203 training, 60 test; scaled to 0…1",
                    "batch    24 samples in 8 shards; 9 steps an epoch, 40 in all",
                    "BN       before the activation; scope global: statistics of all 24 samples "
                        + "of a batch; inference uses moving averages (weight 0.1 for the new "
                        + "value)",
                    "SGD      learning rate 0.5 throughout",
                    "output   run",
                ])
            #expect(lines[7].hasPrefix("step 20 · epoch 3 · train loss "))
            #expect(lines[8].hasPrefix("step 40 · epoch 5 · train loss "))
            #expect(lines[9].hasPrefix("test     accuracy "))
            #expect(lines[10].hasPrefix("done     40 steps in 0:0"))
            #expect(
                lines[11].hasPrefix("next     bn-train eval run/final.safetensors"))
            #expect(result.stdout == "")

            let scoped = try place.run(
                ranks: 2,
                Workplace.short + [
                    "--set", "model.normalization.scope={group:2}", "--set",
                    "model.normalization.momentum=\"cumulative\"", "--out", "other",
                ])
            scoped.expectSuccess()
            let text = scoped.ourErrors
            #expect(
                text.contains(
                    "\nworld    2 ranks × 1 thread = 2 workers (1 thread a rank; --threads N "
                        + "changes it); 8 shards on 2 workers: 4/4; the same bits with 1 to 8 "
                        + "workers\n"))
            #expect(
                text.contains(
                    "scope group: statistics of 2 shards, about 6 samples; inference uses plain "
                        + "averages over all batches\n"))
            for (normalization, line) in [
                (
                    "layer",
                    "LN       before the activation; every sample by itself: statistics of "
                        + "all of its values; inference as training"
                ),
                (
                    "{kind: 'group', groups: 4}",
                    "GN       before the activation; every sample by "
                        + "itself: statistics of each of 4 groups of its channels; inference as "
                        + "training"
                ),
            ] {
                let other = try place.run(
                    Workplace.short + [
                        "--set",
                        normalization.hasPrefix("{")
                            ? "model.normalization=\(normalization)"
                            : "model.normalization.kind=\(normalization)",
                        "--set", "steps=2",
                    ])
                other.expectSuccess()
                #expect(other.stderr.contains("\n\(line)\n"))
            }
            // Rank 0 alone speaks.
            #expect(text.components(separatedBy: "\nworld ").count == 2)
        }

        @Test("--json ends in one object of the contract's keys; eval gives the same numbers")
        func json() throws {
            let place = try Workplace()
            let result = try place.run(
                Workplace.short + ["--json", "--quiet", "--threads", "2", "--out", "run"])
            result.expectSuccess()
            #expect(result.stderr == "")
            #expect(result.stdout.split(separator: "\n").count == 1)
            let object = try result.lastObject()
            let keys = [
                "command", "model", "data", "world", "shards", "batch", "scope", "steps",
                "epochs", "images_per_second", "seconds", "train_loss", "test_loss",
                "test_accuracy", "parameters_digest", "checkpoint",
            ]
            #expect(object.members.map(\.name) == keys)
            #expect(object["world"] == ["ranks": 1, "threads": 2, "workers": 2])
            #expect(object["scope"] == "global" && object["shards"] == 8 && object["batch"] == 24)
            #expect(object["steps"] == 40)
            let epochs = try #require(object["epochs"]?.double)
            #expect(abs(epochs - (4 + 4.0 / 9)) < 1e-12)
            #expect(object["checkpoint"] == "run/final.safetensors")

            let words = ["eval", "run/final.safetensors", "--json", "--quiet"]
            for (ranks, threads) in [(1, 1), (1, 3), (2, 1)] {
                let again =
                    try ranks == 1
                    ? place.run(words + ["--threads", "\(threads)"])
                    : place.run(ranks: ranks, words)
                again.expectSuccess()
                let evaluated = try again.lastObject()
                #expect(evaluated.members.map(\.name) == keys)
                #expect(evaluated["command"] == "eval")
                for key in ["test_loss", "test_accuracy", "parameters_digest", "checkpoint"] {
                    #expect(evaluated[key] == object[key], "\(key)")
                }
                for key in ["steps", "epochs", "images_per_second", "train_loss"] {
                    #expect(evaluated[key] == .null, "\(key)")
                }
            }
            // Without BN there is no scope.
            let plain = try place.run(
                Workplace.short + ["--set", "model.normalization.kind=none", "--json"])
            #expect(try plain.lastObject()["scope"] == .null)
        }

        @Test("metrics.jsonl has a line at each evaluation, whose digest is the model's")
        func metrics() throws {
            let place = try Workplace()
            let result = try place.run(
                Workplace.short
                    + ["--set", "data.validation=50", "--json", "--save-initial", "--out", "run"])
            result.expectSuccess()
            let object = try result.lastObject()
            let lines = try place.text(of: "run/metrics.jsonl").split(separator: "\n").map {
                try JSONValue(parsing: Array($0.utf8))
            }
            #expect(lines.map { $0["step"] } == [20, 40])
            // 153 samples in batches of 24: 7 steps an epoch.
            #expect(lines.map { $0["epoch"] } == [3, 6])
            for line in lines {
                #expect(
                    line.object?.members.map(\.name) == [
                        "step", "epoch", "train_loss", "train_accuracy", "validation_loss",
                        "validation_accuracy", "test_loss", "test_accuracy", "learning_rate",
                        "images_per_second", "parameters_digest",
                    ])
                #expect(line["learning_rate"] == 0.5)
                #expect((line["images_per_second"]?.double ?? 0) > 0)
                #expect(line["validation_loss"] != .null)
            }
            // The test samples are for the end, where others are held out.
            #expect(lines[0]["test_loss"] == .null)
            #expect(lines[1]["test_loss"] == object["test_loss"])
            #expect(lines[1]["parameters_digest"] == object["parameters_digest"])
            #expect(lines[0]["parameters_digest"] != object["parameters_digest"])

            let names = try place.names(in: "run")
            #expect(
                names == [
                    "config.json", "final.safetensors", "initial.safetensors", "metrics.jsonl",
                    "summary.json",
                ])
            let final = try SafetensorsFile(contentsOf: place.file("run/final.safetensors"))
            let initial = try SafetensorsFile(contentsOf: place.file("run/initial.safetensors"))
            #expect(final.entries.map(\.name) == initial.entries.map(\.name))
            #expect(final.metadata["parameters_digest"] == object["parameters_digest"]?.string)
            #expect(initial.metadata["parameters_digest"] != final.metadata["parameters_digest"])
            #expect(final.metadata["program"] == "bn-train 0.1.0")
            #expect(
                final.metadata["config"].map { $0 + "\n" }
                    == (try place.text(of: "run/config.json")))
        }

        @Test("config.json and --print-config give the same run again")
        func sameRun() throws {
            let place = try Workplace()
            let words = Workplace.short + ["--seed", "7", "--set", "optimizer.momentum=0.9"]
            let first = try place.run(words + ["--json", "--out", "first"])
            first.expectSuccess()
            let printed = try place.run(words + ["--print-config"])
            printed.expectSuccess()
            #expect(printed.stdout == (try place.text(of: "first/config.json")))
            #expect(printed.stderr == "")
            try place.write(printed.stdout, to: "printed.json")
            let digest = try first.lastObject()["parameters_digest"]
            for config in ["first/config.json", "printed.json"] {
                let again = try place.run(["--config", config, "--json"])
                again.expectSuccess()
                #expect(try again.lastObject()["parameters_digest"] == digest)
                let reprinted = try place.run(["--config", config, "--print-config"])
                #expect(reprinted.stdout == printed.stdout)
            }
            let other = try place.run(["--config", "printed.json", "--seed", "8", "--json"])
            #expect(try other.lastObject()["parameters_digest"] != digest)
            // It asks for no data.
            let absent = try place.run(
                ["--set", "data.name=idx", "--set", "data.directory=nowhere", "--print-config"])
            absent.expectSuccess()
        }

        @Test("without --out, runs are numbered behind the largest number there is")
        func numbering() throws {
            let place = try Workplace()
            let words = Workplace.short + ["--quiet", "--json"]
            #expect(
                try place.run(words).lastObject()["checkpoint"]
                    == "runs/synthetic-digits-1/final.safetensors")
            try place.write("", to: "runs/synthetic-digits-9/note")
            let second = try place.run(ranks: 2, words)
            #expect(
                try second.lastObject()["checkpoint"]
                    == "runs/synthetic-digits-10/final.safetensors")
            #expect(
                try place.names(in: "runs") == [
                    "synthetic-digits-1", "synthetic-digits-10", "synthetic-digits-9",
                ])
        }
    }
}
