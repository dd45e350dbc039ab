import Collectives
import Configuration
import Datasets
import FaultInjection
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Training

/// Runs that leave checkpoints, and runs that go on from them.
enum InterruptedRun {
    /// A run that saves itself in `folder`, on two threads.
    static func save(
        _ plan: RunPlan, in folder: String, fault: PlantedFault? = nil
    ) throws -> (outcome: TrainingOutcome, digest: String) {
        var trainer = Trainer(plan)
        if let fault { trainer.furtherInstruments = fault.instruments }
        let outcome = try trainer.run(
            threads: 2, checkpoints: Checkpointing(RunFolder(creating: folder)))
        return (outcome, trainer.replica.digest)
    }

    /// What every rank of a world ends with that goes on from the checkpoint at `path`.
    static func resume(
        _ plan: RunPlan, from path: String, ranks: Int, threads: Int, fault: PlantedFault? = nil
    ) throws -> [(outcome: TrainingOutcome, digest: String)] {
        let network = InMemoryNetwork(ranks: ranks)
        let checkpoint = try Checkpoint(contentsOf: path)
        #expect(try checkpoint.check(plan) == [])
        return try runRanks(ranks) { rank in
            var trainer = try Trainer(plan, resuming: checkpoint)
            if let fault { trainer.furtherInstruments = fault.instruments }
            let world = World(ranks: ranks, threadsPerRank: threads, rank: rank)
            let outcome = try trainer.run(
                in: world, transport: ranks > 1 ? network.transport(rank: rank) : nil,
                timeout: 60, spinning: false)
            return (outcome, trainer.replica.digest)
        }
    }

    /// A file of the checkpoint after `step`.
    static func file(_ folder: String, _ step: Int) -> String {
        "\(folder)/checkpoints/step-\(step).safetensors"
    }
}

@Suite("A resumed run is the run")
struct ResumeTests {
    private func checkResumption(
        _ plan: RunPlan, steps: [Int], fault: PlantedFault? = nil
    ) throws {
        var alone = Trainer(plan)
        if let fault { alone.furtherInstruments = fault.instruments }
        let expected = try alone.run(threads: 1)
        try withTemporaryFolder { folder in
            let saved = try InterruptedRun.save(plan, in: folder, fault: fault)
            // Saving changes nothing.
            #expect(saved.digest == alone.replica.digest)
            var worlds = [(1, 1), (1, 3), (2, 1), (3, 1), (2, 2)][...]
            for step in steps {
                let (ranks, threads) = worlds.removeFirst()
                for result in try InterruptedRun.resume(
                    plan, from: InterruptedRun.file(folder, step), ranks: ranks, threads: threads,
                    fault: fault)
                {
                    #expect(
                        result.digest == alone.replica.digest, "from \(step), \(ranks)×\(threads)")
                    #expect(result.outcome.trainingLoss == expected.trainingLoss)
                    #expect(result.outcome.last.trainingLoss == expected.last.trainingLoss)
                    #expect(result.outcome.last.trainingAccuracy == expected.last.trainingAccuracy)
                    #expect(result.outcome.last.test == expected.last.test)
                    #expect(result.outcome.steps == expected.steps)
                    #expect(result.outcome.epochs == expected.epochs)
                }
            }
        }
    }

    @Test(
        "the same bits and means after a resumption in another world, for every optimizer",
        arguments: [
            "{name: 'sgd', momentum: 0.9}", "{name: 'sgd', momentum: 0.9, nesterov: true}",
            "{name: 'adam'}", "{name: 'adamw', weightDecay: 0.1, clipNorm: 0.3}",
            "{name: 'lars', momentum: 0.9, weightDecay: 0.01, trustCoefficient: 0.1}",
            "{name: 'sgd'}",
        ], ["\"global\"", "{group: 2}"])
    func optimizers(optimizer: String, scope: String) throws {
        // 5 steps an epoch: 3 and 8 are in the midst of one, 5 is its end.
        let plan = try SmallRun.plan(
            shards: 6, scope: scope, hidden: "[17, 9]",
            more: [
                "optimizer=\(optimizer)", "evaluate.everySteps=4", "checkpoint.everySteps=1",
                "checkpoint.keep=100",
            ])
        try checkResumption(plan, steps: [3, 4, 5, 8, 1])
    }

    @Test("the same bits of convolutions, dropout and augmentation, with every schedule")
    func convolutions() throws {
        for (model, schedule) in [
            ("lenet", "{kind: 'one-cycle', minimumMomentum: 0.8}"),
            ("resnet20", "{kind: 'cosine', warmupSteps: 2}"),
        ] {
            let plan = try ImageRun.plan(
                model, scope: "\"global\"",
                more: ["schedule=\(schedule)", "checkpoint.everySteps=1", "checkpoint.keep=9"])
            try checkResumption(plan, steps: [1, 2, 3, 4])
        }
    }

    @Test(
        "the same bits where a step was skipped, before the checkpoint or behind it",
        arguments: ["input", "loss"], ["{name: 'sgd', momentum: 0.9}", "{name: 'adam'}"])
    func skips(layer: String, optimizer: String) throws {
        let plan = try SmallRun.plan(
            shards: 6, scope: "\"global\"",
            more: [
                "optimizer=\(optimizer)", "watch.nonFinite=skip", "checkpoint.everySteps=1",
                "checkpoint.keep=100",
            ])
        try checkResumption(
            plan, steps: [5, 6, 3, 9], fault: .notANumber(shard: 2, step: 5, layer: layer))
    }

    @Test("more steps than the saved run had go on where the longer run would be")
    func longer() throws {
        let short = try SmallRun.plan(
            shards: 6, scope: "\"global\"", epochs: 1,
            more: ["optimizer.momentum=0.9", "checkpoint.everySteps=3"])
        let long = try SmallRun.plan(
            shards: 6, scope: "\"global\"", epochs: 3, more: ["optimizer.momentum=0.9"])
        let alone = Trainer(long)
        let expected = try alone.run(threads: 2)
        try withTemporaryFolder { folder in
            _ = try InterruptedRun.save(short, in: folder)
            let result = try InterruptedRun.resume(
                long, from: InterruptedRun.file(folder, 3), ranks: 1, threads: 3)[0]
            #expect(result.digest == alone.replica.digest)
            #expect(result.outcome.trainingLoss == expected.trainingLoss)
        }
    }

    @Test("keys that alter what is computed are refused by name, with both values")
    func changedKeys() throws {
        let more = ["optimizer.momentum=0.9", "checkpoint.everySteps=3"]
        let plan = try SmallRun.plan(shards: 6, scope: "\"global\"", more: more)
        try withTemporaryFolder { folder in
            _ = try InterruptedRun.save(plan, in: folder)
            let checkpoint = try Checkpoint(contentsOf: InterruptedRun.file(folder, 6))
            func refusal(
                _ settings: [String], anyway: Bool = false
            ) throws -> String {
                let changed = try SmallRun.plan(
                    shards: 6, scope: "\"global\"", more: more + settings)
                do {
                    return try checkpoint.check(changed, anyway: anyway)
                        .joined(separator: "\n")
                } catch { return "\(error)" }
            }
            let path = InterruptedRun.file(folder, 6)
            let remedy =
                "; take the changes back, or give --resume-anyway for a run that is neither the "
                + "old nor the new one"
            #expect(
                try refusal(["optimizer.momentum=0.8", "seed=2"])
                    == "the configuration differs from the checkpoint's: seed was 1 and is 2; "
                    + "optimizer.momentum was 0.9 and is 0.8" + remedy)
            #expect(
                try refusal(["optimizer={name: 'adam', momentum: null}"])
                    == "the configuration differs from the checkpoint's: optimizer.name was "
                    + "\"sgd\" and is \"adam\"; optimizer.betas was unset and is [0.9,0.999]; "
                    + "optimizer.epsilon was unset and is 1e-08; optimizer.momentum was 0.9 and is "
                    + "unset; optimizer.nesterov was false and is unset" + remedy)
            #expect(
                try refusal(["optimizer.momentum=0.8"], anyway: true)
                    == "the rest of the run is computed otherwise: optimizer.momentum was 0.9 and "
                    + "is 0.8")
            #expect(
                try refusal(["schedule.kind=cosine", "epochs=3"])
                    == "the configuration differs from the checkpoint's: schedule.kind was "
                    + "\"constant\" and is \"cosine\"; schedule.minimum was unset and is 0; "
                    + "epochs was 2 and is 3" + remedy)
            for harmless in [
                "epochs=9", "evaluate.everySteps=1", "checkpoint.keep=9",
                "schedule.warmupSteps=0",
            ] {
                #expect(try refusal([harmless]) == "")
            }
            #expect(
                try refusal(["epochs=null", "steps=6"])
                    == "'\(oneLine(path))' was saved after step 6 of a run of 6: nothing is left to train; "
                    + "set steps or epochs to more, or start a new run")
            var before = checkpoint
            before.state.arithmetic = 1
            #expect(
                try before.check(plan) == [
                    "the checkpoint was written by bn-train \(programVersion) with arithmetic 1, and "
                        + "this is bn-train \(programVersion) with arithmetic \(arithmeticVersion): the "
                        + "rest of the run has other bits than it would have had"
                ])
        }
    }

    @Test("another optimizer's checkpoint is refused by the first tensor that is missing")
    func otherOptimizer() throws {
        let plan = try SmallRun.plan(
            shards: 6, scope: "\"global\"",
            more: ["optimizer.momentum=0.9", "checkpoint.everySteps=3"])
        let adam = try SmallRun.plan(
            shards: 6, scope: "\"global\"", more: ["optimizer.name=adam"])
        try withTemporaryFolder { folder in
            _ = try InterruptedRun.save(plan, in: folder)
            let path = InterruptedRun.file(folder, 3)
            let checkpoint = try Checkpoint(contentsOf: path)
            #expect(
                message { _ = try Trainer(adam, resuming: checkpoint) }
                    .hasPrefix(
                        "'\(oneLine(path))' is of another network: it lacks "
                            + "'optimizer.exp_avg.layers.0.weight', "))
        }
    }
}
