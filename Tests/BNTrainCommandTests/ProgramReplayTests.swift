import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Steps computed again")
    struct Replays {
        private let words =
            Workplace.short + [
                "--set", "optimizer.momentum=0.9", "--set", "model.dropout=0.2", "--quiet",
            ]

        @Test(
            "a step of ranks is computed again in threads, from the nearest checkpoint, to the bit")
        func replay() throws {
            let place = try Workplace()
            try place.run(
                ranks: 3,
                words + [
                    "--out", "run", "--set", "checkpoint.everySteps=7", "--set",
                    "watch.digestSteps=1", "--set", "watch.auditShards=5",
                ]
            ).expectSuccess()
            // The newest three stay: after 21, 28 and 35.
            for (step, from, threads) in [(40, 35, 1), (36, 35, 2), (35, 28, 3), (9, 0, 1)] {
                let result = try place.run([
                    "replay", "run", "--step", "\(step)", "--threads", "\(threads)", "--json",
                ])
                result.expectSuccess()
                let object = try result.lastObject()
                #expect(object["from_step"]?.int == from)
                #expect(object["parameters_digest"] == object["recorded_digest"])
                #expect(object["parameters_digest"]?.string?.count == 64)
                let kinds = object["probes"]?.array?.map { $0["probe"]?.string }
                #expect(kinds?.contains("gradient norms") == true)
                #expect(kinds?.contains("activations") == true)
            }
            let text = try place.run(ranks: 2, ["replay", "run", "--step", "30", "--quiet"])
            text.expectSuccess()
            let lines = text.stdout.split(separator: "\n")
            #expect(lines[0].hasPrefix("step 30 (epoch 4): loss "))
            #expect(lines[1].hasSuffix(" (as recorded)"))
            #expect(lines.contains("gradient norms"))
            // What was recorded is another: the records were changed.
            let metrics = try place.text(of: "run/metrics.jsonl")
            let line = try #require(
                metrics.split(separator: "\n").first { $0.contains(#""step":30,"#) })
            let digest = line.suffix(66).prefix(64)
            try place.write(
                metrics.replacing(digest, with: String(repeating: "0", count: 64)),
                to: "run/metrics.jsonl")
            let other = try place.run(["replay", "run", "--step", "30", "--quiet"])
            #expect(other.status == 1)
            #expect(
                other.stdout.contains(
                    "digest after it: \(digest) (the run recorded "
                        + String(repeating: "0", count: 64) + ")"))
        }

        @Test("a step that was not finite names its layer and shard again")
        func replayDiverged() throws {
            let place = try Workplace()
            let diverging = try place.run(
                words + [
                    "--out", "run", "--set", "optimizer.learningRate=1e30", "--set",
                    "model.activation=relu", "--set", "model.normalization.kind=none",
                ])
            #expect(diverging.status == 73)
            try place.run(["replay", "run", "--step", "2", "--quiet"]).expect(
                73,
                "training diverged at step 2 (epoch 1): layer layers.3 was the first to give NaN or "
                    + "Inf, in shard 0; lower optimizer.learningRate (now 1e+30), add "
                    + "schedule.warmupSteps, or check the data's scaling")
        }

        @Test("what cannot be computed again is one line")
        func refusals() throws {
            let place = try Workplace()
            try place.run(words + ["--out", "run"]).expectSuccess()
            try place.run(["replay", "run"]).expect(
                64, "replay computes one step again: give --step S")
            try place.run(["replay", "run", "--step", "41"]).expect(
                64,
                "there is no step 41 in 'run': the run has 40; give a step from 1 to 40")
            try place.run(ranks: 2, ["replay", "none", "--step", "1"]).expect(
                66, "no folder 'none': give the folder of a run, such as runs/NAME-1")
            try place.run(["bisect", "run", "none"]).expect(
                66, "no folder 'none': give the folder of a run, such as runs/NAME-1")
            try place.run(words + ["--out", "other", "--set", "evaluate.everySteps=1000"])
                .expectSuccess()
            try place.write("", to: "other/metrics.jsonl")
            try place.run(["bisect", "run", "other"]).expect(
                64,
                "'run' and 'other' have no step in common of which both metrics.jsonl have the "
                    + "digest: train with the same watch.digestSteps or evaluate.everySteps")
            try place.run(
                words + ["--out", "wide", "--set", "model.hidden=[16,12,3]"]
            ).expectSuccess()
            try place.run(["bisect", "run", "wide", "--quiet"]).expect(
                64,
                "'run' and 'wide' are runs of other networks or optimizers, whose tensors have "
                    + "other names: give two runs of one")
        }

        @Test("bisect names the step and tensor where two runs part, and the settings that differ")
        func bisect() throws {
            let place = try Workplace()
            let saving = words + ["--set", "checkpoint.everySteps=10"]
            try place.run(saving + ["--out", "a"]).expectSuccess()
            try place.run(ranks: 2, saving + ["--out", "b"]).expectSuccess()
            let same = try place.run(["bisect", "a", "b", "--quiet"])
            #expect(same.status == 0)
            #expect(
                same.stdout
                    == "no recorded digest differs: 2 steps in common, the last is 40\n")
            // Another schedule from step 33 on.
            try place.run(
                saving + [
                    "--out", "c", "--set",
                    "schedule={kind: \"step\", milestones: [33], factor: 0.5}",
                ]
            ).expectSuccess()
            for (ranks, threads) in [(0, 2), (2, 1)] {
                let more = ["bisect", "a", "c", "--quiet", "--threads", "\(threads)"]
                let found =
                    try ranks == 0 ? place.run(more) : place.run(ranks: ranks, more)
                #expect(found.status == 1)
                #expect(
                    found.stdout.hasPrefix("the runs part in step 34, first in layers.0.weight\n")
                        || found.stdout.hasPrefix(
                            "the runs part in step 33, first in layers.0.weight\n"),
                    "\(found.stdout)")
                #expect(
                    found.stdout.contains("  schedule.kind is \"constant\" and \"step\"\n"))
            }
        }

        @Test("bisect names the run that left the course, where only one computes what it recorded")
        func deviant() throws {
            let place = try Workplace()
            let saving = words + ["--set", "checkpoint.everySteps=5"]
            try place.run(saving + ["--out", "a"]).expectSuccess()
            // Alone no rank is compared with others: the bit flips unseen.
            try place.run(
                saving + ["--out", "b", "--threads", "1"],
                environment: ["BN_TRAIN_PLANT": "flip=0@28@layers.4.weight"]
            ).expectSuccess()
            let found = try place.run(["bisect", "a", "b", "--quiet"])
            #expect(found.status == 1)
            #expect(
                found.stdout.hasSuffix(
                    "b left the course in steps 26 to 30, first seen in layers.0.weight of its "
                        + "checkpoint after step 30: a host computed wrongly, or another program, "
                        + "library or CPU did\n"),
                "\(found.stdout)")
            let object = try place.run(["bisect", "a", "b", "--quiet", "--json"]).lastObject()
            #expect(object["left_the_course"]?.string == "b")
            #expect(object["first_step"]?.int == 26 && object["last_step"]?.int == 30)
        }
    }
}
