import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Models from models")
    struct FineTuning {
        private let words = Workplace.short + ["--json", "--threads", "2"]

        @Test("--init starts from a file, on threads and ranks alike; freeze keeps what it names")
        func initial() throws {
            let place = try Workplace()
            try place.run(words + ["--out", "first", "--quiet"]).expectSuccess()
            let tune =
                words + [
                    "--init", "first/final.safetensors", "--set",
                    "freeze=[\"layers.0\",\"layers.1\"]",
                    "--seed", "2",
                ]
            let alone = try place.run(tune + ["--out", "tuned", "--save-initial"])
            alone.expectSuccess()
            #expect(alone.stderr.contains("start    from first/final.safetensors\n"))
            // The model before step 1 is the first one's last.
            let same = try place.run([
                "inspect", "first/final.safetensors", "tuned/initial.safetensors",
            ])
            #expect(same.status == 0, "\(same.stdout)")
            let ranks = try place.run(ranks: 2, tune + ["--out", "ranks", "--quiet"])
            ranks.expectSuccess()
            #expect(
                try ranks.lastObject()["parameters_digest"]
                    == alone.lastObject()["parameters_digest"])
            let files = try ["first", "tuned"].map {
                try SafetensorsFile(contentsOf: place.file("\($0)/final.safetensors"))
            }
            for name in ["layers.0.weight", "layers.1.bias", "layers.1.running_mean"] {
                #expect(try files[0].floats(name) == files[1].floats(name))
            }
            #expect(try files[0].floats("layers.3.weight") != files[1].floats("layers.3.weight"))
            try place.run(["verify", "--set", "freeze=[\"layers.0\"]"]).expect(
                64, "verify compares runs that train the whole network: leave out freeze")
        }

        @Test("average writes the mean of its files, once, and names what comes next")
        func average() throws {
            let place = try Workplace()
            try place.run(
                words + ["--out", "run", "--quiet", "--set", "checkpoint.everySteps=10"]
            ).expectSuccess()
            let files = [20, 30].map { "run/checkpoints/step-\($0).safetensors" }
            let result = try place.run(["average"] + files + ["-o", "mean.safetensors", "--json"])
            result.expectSuccess()
            let digest = try result.lastObject()["parameters_digest"]?.string
            let mean = try SafetensorsFile(contentsOf: place.file("mean.safetensors"))
            #expect(digest == mean.parametersDigest)
            try place.run(["inspect", "mean.safetensors"]).expectSuccess()
            try place.run(["eval", "mean.safetensors"]).expectSuccess()
            // The statistics are those that the training samples have with the mean weights.
            try place.run(
                ["average"] + files + ["-o", "kept.safetensors", "--keep-statistics"]
            ).expectSuccess()
            try place.run(["recalibrate", "kept.safetensors", "-o", "anew.safetensors"])
                .expectSuccess()
            #expect(try place.run(["inspect", "mean.safetensors", "anew.safetensors"]).status == 0)
            #expect(try place.run(["inspect", "mean.safetensors", "kept.safetensors"]).status == 1)
            let ranks = try place.run(
                ranks: 3, ["average"] + files + ["-o", "three.safetensors", "--json"])
            #expect(try ranks.lastObject()["parameters_digest"]?.string == digest)
            try place.run(["average"] + files + ["-o", "mean.safetensors"]).expect(
                64,
                "'mean.safetensors' exists already: give --overwrite to replace it or another file "
                    + "with -o")
        }

        @Test("launch/supervise restarts what crashed, and ends with what a restart cannot mend")
        func supervise() throws {
            let place = try Workplace()
            let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "launch/supervise").path
            let whole = try place.run(words + ["--out", "whole", "--quiet"])
            func supervised(_ more: [String], plant: String) throws -> ProcessResult {
                try runProcess(
                    [
                        "-C", place.path, script, "--limit", "2", "--pause", "1", "--",
                        Workplace.faultyProgram,
                    ]
                        + words + more, environment: ["BN_TRAIN_PLANT": plant])
            }
            // Step 15 comes once: the second start goes on behind it.
            let run = ["--out", "run", "--quiet", "--set", "checkpoint.everySteps=1"]
            let result = try supervised(run, plant: "throw=0@15")
            #expect(result.status == 70, "\(result.stderr)")
            #expect(result.stderr.contains("exit code 70 after 2 restarts: giving up"))
            let done = try place.run(["--resume", "auto", "--out", "run", "--json", "--quiet"])
            #expect(
                try done.lastObject()["parameters_digest"]
                    == whole.lastObject()["parameters_digest"])
            let usage = try supervised(["--out", "other", "--set", "batch.size=0"], plant: "")
            #expect(usage.status == 64)
            #expect(usage.stderr.contains("exit code 64: starting again would not help"))
        }
    }
}
