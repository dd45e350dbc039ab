import Datasets
import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Interrupted and resumed")
    struct Resume {
        private let words =
            Workplace.short + ["--set", "optimizer.momentum=0.9", "--set", "model.dropout=0.2"]

        /// The lines of a run's metrics without what depends on the clock.
        private func metrics(_ place: Workplace, _ run: String) throws -> [String] {
            try place.text(of: "\(run)/metrics.jsonl").split(separator: "\n").map {
                String($0.replacing(try Regex("\"images_per_second\":[^,]*"), with: ""))
            }
        }

        @Test("a run killed by a fault goes on in other worlds, to the same result and metrics")
        func otherWorlds() throws {
            let place = try Workplace()
            let whole = try place.run(words + ["--out", "whole", "--json", "--quiet"])
            whole.expectSuccess()
            let expected = try whole.lastObject()
            // After an evaluation that the resumed run must not repeat.
            let killed = try place.run(
                words + ["--set", "checkpoint.everySteps=7", "--out", "run", "--threads", "2"],
                environment: ["BN_TRAIN_PLANT": "throw=1@34"])
            #expect(killed.status == 70)
            #expect(
                try place.names(in: "run/checkpoints") == [
                    "latest", "step-14.safetensors", "step-21.safetensors", "step-28.safetensors",
                ])
            #expect(try place.text(of: "run/checkpoints/latest") == "step-28.safetensors\n")
            for (ranks, threads, from) in [
                (1, 1, "auto"), (1, 3, "21"), (3, 1, "14"), (2, 2, "auto"),
            ] {
                let copy = "run-\(ranks)-\(threads)"
                try FileManager.default.copyItem(
                    atPath: place.file("run"), toPath: place.file(copy))
                let source =
                    from == "auto" ? from : "\(copy)/checkpoints/step-\(from).safetensors"
                let resume = [
                    "--resume", source, "--out", copy, "--threads", "\(threads)", "--json",
                ]
                let result =
                    ranks == 1 ? try place.run(resume) : try place.run(ranks: ranks, resume)
                result.expectSuccess()
                let object = try result.lastObject()
                for name in [
                    "parameters_digest", "train_loss", "test_loss", "test_accuracy", "steps",
                    "epochs",
                ] {
                    #expect(object[name] == expected[name], "\(name) in \(copy)")
                }
                #expect(try metrics(place, copy) == metrics(place, "whole"))
                #expect(try place.bytes(of: "\(copy)/final.safetensors").count > 0)
                #expect(
                    result.stderr.contains(
                        "resume   after step \(from == "auto" ? "28" : from) (epoch "))
            }
            // Later ones, of a course that is taken again, are not mistaken for the newest.
            #expect(
                try place.names(in: "run-3-1/checkpoints").filter { $0.hasSuffix(".set-aside") }
                    == ["step-21.set-aside", "step-28.set-aside"])
        }

        /// A run on files that was saved after step 7 of 12.
        private func saved(_ place: Workplace) throws -> [String] {
            try place.makeData(in: "data")
            let words = [
                "--set", "data.name=idx", "--set", "batch.size=8", "--set", "batch.shards=2",
                "--set", "model.hidden=[4]", "--set", "steps=12", "--quiet",
            ]
            try place.run(
                words + ["--set", "data.directory=data", "--out", "whole", "--json"]
            ).expectSuccess()
            let killed = try place.run(
                words + [
                    "--set", "data.directory=data", "--set", "checkpoint.everySteps=7", "--out",
                    "run",
                ], environment: ["BN_TRAIN_PLANT": "throw=0@9"])
            #expect(killed.status == 70)
            return ["--resume", "auto", "--out", "run", "--quiet", "--json"]
        }

        @Test("other data are refused, naming what differs, unless --resume-anyway")
        func otherData() throws {
            let place = try Workplace()
            let resume = try saved(place)
            let checkpoint = "run/checkpoints/step-7.safetensors"
            func refuses(_ parts: String) throws {
                try place.run(resume).expect(
                    64,
                    "'\(checkpoint)' was saved in a run on other data: \(parts) differ; give "
                        + "data.directory the data that it was trained on, or give --resume-anyway "
                        + "for a run that is neither the old nor the new one")
            }
            // Pixels inverted, then one label changed in place.
            let images = try place.bytes(of: "data/train-images-idx3-ubyte")
            try place.write(
                images[..<16] + images[16...].map { 255 - $0 }, to: "data/train-images-idx3-ubyte")
            try refuses("the training images")
            try place.write(images, to: "data/train-images-idx3-ubyte")
            var labels = try place.bytes(of: "data/t10k-labels-idx1-ubyte")
            labels[8] = 9
            try place.write(labels, to: "data/t10k-labels-idx1-ubyte")
            try refuses("the test labels")
            let anyway = try place.run(resume + ["--resume-anyway"])
            anyway.expectSuccess()
            #expect(
                anyway.stderr
                    == "bn-train: warning: the rest of the run is on other data: the test labels "
                    + "differ\n")
        }

        @Test("the same data elsewhere, and packed, are the same data")
        func dataElsewhere() throws {
            let place = try Workplace()
            let resume = try saved(place)
            for name in try place.names(in: "data") {
                try place.write(
                    gzipStored(place.bytes(of: "data/\(name)")), to: "elsewhere/\(name).gz")
            }
            try FileManager.default.removeItem(atPath: place.file("data"))
            let result = try place.run(resume + ["--set", "data.directory=elsewhere"])
            result.expectSuccess()
            let whole = try SafetensorsFile(contentsOf: place.file("whole/final.safetensors"))
            #expect(
                try result.lastObject()["parameters_digest"]?.string == whole.parametersDigest)
            #expect(whole.metadata["data_sha256"]?.contains("training labels") == true)
        }

        @Test("config.json says what the data hold, and another run of it is held to that")
        func recordedData() throws {
            let place = try Workplace()
            _ = try saved(place)
            let again = ["--config", "whole/config.json", "--out", "again", "--quiet"]
            try place.run(again).expectSuccess()
            let written = try JSONValue(parsing: place.bytes(of: "whole/config.json"))
            let digest = try #require(written["data"]?["sha256"]?.string)
            var labels = try place.bytes(of: "data/train-labels-idx1-ubyte")
            labels[8] = 9
            try place.write(labels, to: "data/train-labels-idx1-ubyte")
            let other = try DataContent(DatasetPair.idx(directory: place.file("data"))).digest
            try place.run(again + ["--overwrite"]).expect(
                65,
                "the data are not those that data.sha256 names (\(digest.prefix(12))…), but others "
                    + "(\(other.prefix(12))…): give data.directory the ones that it was written for, "
                    + "or set data.sha256 to null")
            try place.run(again + ["--overwrite", "--set", "data.sha256=null"]).expectSuccess()
            // What was trained may be examined on other data.
            try place.run(["eval", "whole/final.safetensors", "--quiet"]).expectSuccess()
        }

        @Test("what a run cannot go on from is one line")
        func refusals() throws {
            let place = try Workplace()
            try place.run(
                words + ["--set", "checkpoint.everySteps=7", "--out", "run", "--quiet"]
            ).expectSuccess()
            let resume = ["--resume", "auto", "--out", "run"]
            let changed =
                "the configuration differs from the checkpoint's: batch.size was 24 and is 12; take "
                + "the changes back, or give --resume-anyway for a run that is neither the old nor "
                + "the new one"
            try place.run(resume + ["--set", "batch.size=12"]).expect(64, changed)
            try place.run(ranks: 2, resume + ["--set", "batch.size=12"]).expect(64, changed)
            try place.run(["--resume", "run/none.safetensors"]).expect(
                66,
                "no file 'run/none.safetensors': give the path of a model, such as "
                    + "runs/NAME-1/final.safetensors")
            try place.run(["--resume", "run/final.safetensors"]).expect(
                65,
                "'run/final.safetensors' is no checkpoint of a run: its header says nothing of a "
                    + "step; give a file such as runs/NAME-1/checkpoints/step-1000.safetensors")
            try FileManager.default.removeItem(atPath: place.file("run/checkpoints"))
            try place.run(resume).expect(
                64,
                "'run' holds a finished run without checkpoints, and what its optimizer kept is "
                    + "gone: start from its model with --init run/final.safetensors and another "
                    + "--out, or train again with --overwrite; a run with checkpoint.everyEpochs can "
                    + "go on with more epochs")
        }

        @Test(
            "a run that takes another's place and dies at once is not finished, although a model is there"
        )
        func overwritten() throws {
            let place = try Workplace()
            let run = words + ["--out", "run", "--quiet", "--json"]
            try place.run(run).expectSuccess()
            let second = run + ["--overwrite", "--seed", "2"]
            #expect(
                try place.run(second, environment: ["BN_TRAIN_PLANT": "throw=0@5"]).status == 70)
            #expect(try place.bytes(of: "run/final.safetensors").count > 1000)
            let resumed = try place.run(["--resume", "auto", "--out", "run", "--quiet", "--json"])
            resumed.expectSuccess()
            #expect(
                resumed.stderr.contains("'run' holds no whole checkpoint: the run begins at step 1")
            )
            let whole = try place.run(
                words + ["--out", "whole", "--seed", "2", "--quiet", "--json"])
            #expect(
                try resumed.lastObject()["parameters_digest"]
                    == whole.lastObject()["parameters_digest"])
        }

        @Test("without a checkpoint the run begins anew; a damaged one is named and skipped")
        func damaged() throws {
            let place = try Workplace()
            let whole = try place.run(words + ["--out", "whole", "--json", "--quiet"])
            let expected = try whole.lastObject()["parameters_digest"]
            let early = try place.run(
                words + ["--set", "checkpoint.everySteps=7", "--out", "run"],
                environment: ["BN_TRAIN_PLANT": "throw=0@5"])
            #expect(early.status == 70)
            let resume = ["--resume", "auto", "--out", "run", "--json", "--quiet"]
            let anew = try place.run(resume, environment: ["BN_TRAIN_PLANT": "throw=0@16"])
            #expect(
                anew.stderr.contains(
                    "bn-train: warning: 'run' holds no whole checkpoint: the run begins at step 1\n"
                ))
            #expect(anew.status == 70)
            let file = "run/checkpoints/step-14.safetensors"
            try place.write(Array(try place.bytes(of: file).dropLast(1000)), to: file)
            let result = try place.run(ranks: 2, resume)
            result.expectSuccess()
            #expect(
                result.stderr.contains(
                    "bn-train: warning: skipped: '\(file)' is cut off: it should have at least "))
            #expect(result.stderr.contains("a checkpoint of a later step is now"))
            #expect(try result.lastObject()["parameters_digest"] == expected)
        }

        @Test("a folder in use is refused, naming the process")
        func inUse() throws {
            let place = try Workplace()
            let run = try RunningProcess(
                ["-C", place.path, Workplace.program] + Workplace.endless + ["--out", "run"])
            #expect(run.waitUntil(seconds: 30) { run.stderr.contains("step 20 ·") })
            let result = try place.run(words + ["--out", "run", "--overwrite"])
            kill(run.pid, SIGKILL)
            _ = run.wait(timeout: 10)
            #expect(result.status == 71)
            #expect(
                result.ourErrors.hasPrefix(
                    "bn-train: error: 'run' is still in use by process \(run.pid) on "))
            // The lock of a dead process is none.
            try place.run(words + ["--out", "run", "--overwrite", "--quiet"]).expectSuccess()
        }

        @Test("every world's threads agree on the command line, --resume included")
        func commandLines() throws {
            let place = try Workplace()
            let result = try place.run(contexts: [
                ["-n", "1", Workplace.program, "--resume", "auto", "--out", "a"],
                ["-n", "1", Workplace.program, "--resume", "b"],
            ])
            #expect(result.status == 64)
            #expect(result.ourErrors.contains("the command line differs: rank 0 has"))
        }
    }
}
