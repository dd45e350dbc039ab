import Configuration
import Foundation
import TestSupport
import Testing

@testable import Training

@Suite("Checkpoints")
struct CheckpointTests {
    private func withCheckpoints(
        _ more: [String], _ body: (_ folder: String, _ plan: RunPlan) throws -> Void
    ) throws {
        let plan = try SmallRun.plan(
            shards: 6, scope: "\"global\"", hidden: "[3]",
            more: ["data.scaling=standardize"] + more)
        try withTemporaryFolder { folder in
            _ = try InterruptedRun.save(plan, in: folder)
            try body(folder, plan)
        }
    }

    @Test("a file holds the model as final.safetensors does, then the optimizer's tensors")
    func tensors() throws {
        try withCheckpoints(["optimizer.name=adam", "checkpoint.everySteps=9"]) { folder, plan in
            let checkpoint = try Checkpoint(contentsOf: InterruptedRun.file(folder, 9))
            let model = [
                "layers.0.weight", "layers.1.weight", "layers.1.bias", "layers.1.running_mean",
                "layers.1.running_var", "layers.1.num_batches_tracked", "layers.3.weight",
                "layers.3.bias",
            ]
            let parameters = model.filter { !$0.contains("running") && !$0.contains("batches") }
            #expect(
                checkpoint.file.entries.map(\.name)
                    == model + ["input.mean", "input.deviation"]
                    + parameters.map { "optimizer.exp_avg." + $0 }
                    + parameters.map { "optimizer.exp_avg_sq." + $0 })
            #expect(checkpoint.file["optimizer.exp_avg.layers.0.weight"]?.shape == [3, 784])
            let state = checkpoint.state
            #expect((state.step, state.epoch, state.positionInEpoch) == (9, 2, 4))
            #expect((state.seed, state.shards, state.trainingSamples) == (1, 6, 103))
            #expect(state.configuration == plan.configuration.canonicalJSON)
            #expect(
                (state.program, state.arithmetic) == (
                    "bn-train \(programVersion)", arithmeticVersion
                ))
            #expect(
                checkpoint.file.metadata["parameters_digest"] == checkpoint.file.parametersDigest)
            // A model's loader takes it, too.
            let trainer = Trainer(plan)
            try trainer.replica.load(checkpoint.file)
            #expect(trainer.replica.digest == checkpoint.file.parametersDigest)
        }
    }

    @Test("momentum is saved as PyTorch would have it: v after one step is the gradient")
    func momentum() throws {
        let more = ["optimizer={momentum: 0.9, learningRate: 0.25}", "checkpoint.everySteps=1"]
        try withCheckpoints(more) { folder, plan in
            let first = try Checkpoint(contentsOf: InterruptedRun.file(folder, 9)).file
            let before = try Checkpoint(contentsOf: InterruptedRun.file(folder, 8)).file
            for name in ["layers.0.weight", "layers.3.bias"] {
                let velocity = try first.floats("optimizer.momentum_buffer." + name)
                let (old, new) = (try before.floats(name), try first.floats(name))
                for index in velocity.indices {
                    #expect(abs(old[index] - 0.25 * velocity[index] - new[index]) < 1e-6)
                }
            }
        }
    }

    @Test("the newest K and the best stay, and `latest` names the newest")
    func keeping() throws {
        try withCheckpoints(["checkpoint={everySteps: 1, keep: 2}"]) { folder, _ in
            let checkpoints = CheckpointFolder(of: try RunFolder(creating: folder, overwrite: true))
            #expect(try checkpoints.steps() == [8, 9])
            #expect(try contents(checkpoints.latest) == "step-9.safetensors\n")
            #expect(
                try names(in: checkpoints.path)
                    == ["latest", "step-8.safetensors", "step-9.safetensors"])
            // The best is at step 3, and the first checkpoint behind it at 4.
            for step in [2, 4, 6] {
                try writeAtomically(path: checkpoints.file(step: step), text: "")
            }
            try checkpoints.prune(keeping: 1, best: 3)
            #expect(try checkpoints.steps() == [4, 9])
            try checkpoints.prune(keeping: 1, best: nil)
            #expect(try checkpoints.steps() == [9])
        }
        try withCheckpoints(["checkpoint={everyEpochs: 1}"]) { folder, _ in
            let left = try names(in: folder + "/checkpoints")
            #expect(left == ["latest", "step-5.safetensors"])
        }
        // Every step is later than this after the one before.
        try withCheckpoints(["checkpoint={everyMinutes: 1e-9, keep: 100}"]) { folder, _ in
            let left = try names(in: folder + "/checkpoints")
            #expect(left.count == 10)
        }
        try withCheckpoints([]) { folder, _ in
            let left = try names(in: folder)
            #expect(left == [])
        }
    }

    @Test("a file cut off at any KiB, or with any of its bits turned, is refused and never crashes")
    func damage() throws {
        try withCheckpoints(["checkpoint.everySteps=9", "optimizer.momentum=0.9"]) { folder, _ in
            let whole = try SafetensorsFile(contentsOf: InterruptedRun.file(folder, 9))
            let bytes = whole.serialized
            _ = try Checkpoint(SafetensorsFile(bytes: bytes, path: "whole"))
            for length in stride(from: 0, to: bytes.count, by: 1024) {
                let refusal = message {
                    _ = try Checkpoint(
                        SafetensorsFile(bytes: Array(bytes[..<length]), path: "cut"))
                }
                #expect(refusal.hasPrefix("'cut' is"), "\(length): \(refusal)")
            }
            var generator = SeededGenerator(state: 5)
            for _ in 0..<400 {
                // Half of them in the header.
                let end = Bool.random(using: &generator) ? 4000 : bytes.count
                let place = Int.random(in: 0..<end, using: &generator)
                var turned = bytes
                turned[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                #expect(
                    message {
                        _ = try Checkpoint(SafetensorsFile(bytes: turned, path: "turned"))
                    } != "no error", "byte \(place)")
            }
        }
    }

    @Test("every field of the header, changed or left out, is refused with a message")
    func fields() throws {
        try withCheckpoints(["checkpoint.everySteps=9"]) { folder, _ in
            let whole = try SafetensorsFile(contentsOf: InterruptedRun.file(folder, 9))
            let data = Array(
                whole.serialized[
                    SafetensorsFile.head(
                        of: whole.entries, metadata: whole.metadata
                    ).count...])
            func refusal(_ metadata: [String: String]) -> String {
                message {
                    _ = try Checkpoint(
                        SafetensorsFile(
                            bytes: SafetensorsFile.head(of: whole.entries, metadata: metadata)
                                + data, path: "f"))
                }
            }
            #expect(refusal(whole.metadata) == "no error")
            let earlier = "; take an earlier checkpoint"
            let damaged =
                "'f' is damaged: its header is not the one that was written (SHA-256)" + earlier
            for field in whole.metadata.keys {
                var changed = whole.metadata
                let isNumber = Int(whole.metadata[field] ?? "") != nil
                changed[field] = isNumber ? "17" : (whole.metadata[field] ?? "") + " "
                let left = whole.metadata.filter { $0.key != field }
                switch field {
                case "checkpoint_format":
                    #expect(
                        refusal(changed)
                            == "'f' is a checkpoint of format 17, and this program knows 2: use "
                            + "the program that wrote it")
                    #expect(
                        refusal(left)
                            == "'f' is no checkpoint of a run: its header says nothing of a step; "
                            + "give a file such as runs/NAME-1/checkpoints/step-1000.safetensors")
                case "format", "parameters_digest", "best_metric", "best_step", "input",
                    "arithmetic":
                    #expect(refusal(changed) == damaged)
                    #expect(refusal(left) == damaged)
                default:
                    #expect(refusal(changed) == damaged, "\(field)")
                    #expect(refusal(left) == "'f' has no valid '\(field)' in its header" + earlier)
                }
            }
            for (field, value) in [
                ("step", "0"), ("step", "x"), ("epoch", "-1"), ("seed", "-1"), ("progress", "{"),
                ("progress", "{\"samples\":1}"), ("shards", "1e3"),
            ] {
                var changed = whole.metadata
                changed[field] = value
                #expect(refusal(changed) == "'f' has no valid '\(field)' in its header" + earlier)
            }
            // A header that agrees with itself, over other values.
            var other = data
            other[3] ^= 1
            #expect(
                message {
                    _ = try Checkpoint(
                        SafetensorsFile(
                            bytes: SafetensorsFile.head(
                                of: whole.entries, metadata: whole.metadata) + other, path: "f"))
                }
                    == "'f' is damaged: its tensors are not those that were written (SHA-256)"
                    + earlier)
        }
    }

    @Test("the newest whole one is found, damaged ones are named, and later ones set aside")
    func newestWhole() throws {
        try withCheckpoints(["checkpoint={everySteps: 3, keep: 9}"]) { folder, _ in
            let checkpoints = CheckpointFolder(of: try RunFolder(creating: folder, overwrite: true))
            func newest() throws -> (step: Int?, skipped: [String]) {
                var skipped: [String] = []
                let found = try checkpoints.newestWhole { skipped.append($0) }
                return (found?.state.step, skipped)
            }
            #expect(try newest().step == 9)
            let nine = checkpoints.file(step: 9)
            let bytes = try Data(contentsOf: URL(fileURLWithPath: nine))
            try bytes[..<2000].write(to: URL(fileURLWithPath: nine))
            // Whole, but under another's name.
            try bytes.write(to: URL(fileURLWithPath: checkpoints.file(step: 12)))
            try writeAtomically(path: checkpoints.path + "/step-007.safetensors", text: "")
            let (step, skipped) = try newest()
            #expect(step == 6)
            try #require(skipped.count == 2)
            #expect(
                skipped[0]
                    == "'\(oneLine(checkpoints.file(step: 12)))' has no valid 'step' in its header; take an "
                    + "earlier checkpoint")
            #expect(skipped[1].hasPrefix("'\(oneLine(nine))' is"))
            #expect(
                try checkpoints.setAside(after: 6)
                    == [9, 12].map { "\(checkpoints.path)/step-\($0).set-aside" })
            #expect(try checkpoints.steps() == [3, 6])
            try checkpoints.removeAll()
            #expect(try newest().step == nil)
            try writeAtomically(path: checkpoints.path + "/.bn-train.7.0.tmp", text: "half")
            try checkpoints.removeLeftovers()
            let left = try names(in: checkpoints.path)
            #expect(!left.contains { $0.hasSuffix(".tmp") })
        }
    }

    @Test("metrics are cut to the checkpoint's step, with a line that is not whole")
    func metrics() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/metrics.jsonl"
            let lines = [2, 4, 6].map { "{\"step\":\($0)}\n" }
            for (step, kept) in [(0, 0), (3, 1), (4, 2), (5, 2), (6, 3), (9, 3)] {
                try writeAtomically(path: path, text: lines.joined() + "{\"step\":8,\"ep")
                let log = try MetricsLog(path: path, resumingAfterStep: step)
                #expect(try contents(path) == lines[..<kept].joined())
                try log.append(["step": 10])
                #expect(try contents(path) == lines[..<kept].joined() + "{\"step\":10}\n")
            }
            let other = folder + "/other.jsonl"
            _ = try MetricsLog(path: other, resumingAfterStep: 5)
            #expect(try contents(other) == "")
        }
    }

    @Test("a folder is one program's at a time; who comes later waits, then names the holder")
    func lock() throws {
        try withTemporaryFolder { folder in
            let run = try RunFolder(creating: folder)
            nonisolated(unsafe) let first = try RunLock(of: run)
            let refusal = message { _ = try RunLock(of: run) }
            #expect(refusal.hasPrefix("'\(folder)' is still in use by process \(getpid()) on "))
            #expect(refusal.hasSuffix(": end it, or give another folder with --out"))
            DispatchQueue.global().asyncAfter(deadline: .now() + 0.3) {
                first.release()
            }
            let second = try RunLock(of: run, waiting: 20)
            #expect(try names(in: folder) == [".lock"])
            second.release()
            #expect(try names(in: folder) == [])
            // The lock goes with its file, whatever name a dead program left behind.
            try writeAtomically(path: folder + "/.lock", text: "process 1 on mars\n")
            try RunLock(of: run).release()
        }
    }
}
