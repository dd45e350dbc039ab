import Configuration
import Datasets
import Kernels
import Layers
import Models
import Normalization
import Optimization
import Testing

@testable import Training

@Suite("A run's plan and progress")
struct RunPlanTests {
    /// A plan over `samples` synthetic digits with 40 test samples.
    private func plan(samples: Int, _ settings: [String]) throws -> RunPlan {
        let configuration = try RunConfiguration.load(
            file: nil,
            settings: ["data.samples=\(samples)", "data.testSamples=40", "model.hidden=[8]"]
                + settings)
        let pair = SyntheticDigits.pair(seed: 1, trainingCount: samples, testCount: 40)
        return try RunPlan(configuration, data: pair)
    }

    @Test("batches are planned for every size that will come, and no other")
    func batches() throws {
        func sizes(_ samples: Int, _ settings: [String]) throws -> [String] {
            try plan(samples: samples, ["batch.shards=2"] + settings).batches.map {
                "\($0.samples)\($0.trains ? " trains" : "")"
            }
        }
        // 100 = 4·24 + 4; tests: 40 = 24 + 16.
        #expect(
            try sizes(100, ["batch.size=24", "data.validation=0"])
                == ["24 trains", "16", "4 trains"])
        // 70 train, 30 are held out: 70 = 2·24 + 22, 30 = 24 + 6.
        #expect(
            try sizes(100, ["batch.size=24", "data.validation=30"])
                == ["24 trains", "22 trains", "16", "6"])
        // Without the last batch 22 only comes when the training samples are evaluated.
        #expect(
            try sizes(100, ["batch.size=24", "data.validation=30", "data.dropLast=true"])
                == ["24 trains", "22", "16", "6"])
        // Sets smaller than a batch; nothing held out; a size that divides everything.
        #expect(
            try sizes(9, ["batch.size=24", "data.validation=2"]) == ["24", "16", "7 trains", "2"])
        #expect(try sizes(80, ["batch.size=40", "data.validation=0"]) == ["40 trains"])
    }

    @Test("a batch that leaves one value per channel in a statistics group is refused")
    func singleValues() throws {
        // 49 = 2·24 + 1.
        #expect(
            message { _ = try plan(samples: 49, ["batch.size=24", "batch.shards=4"]) }.contains(
                "data.dropLast"))
        // 53 = 2·24 + 5, over five shards: one each.
        let shard = ["batch.size=24", "batch.shards=5", "model.normalization.scope=shard"]
        #expect(message { _ = try plan(samples: 53, shard) }.contains("data.dropLast"))
        for fine in [
            ["data.dropLast=true"], ["model.normalization.kind=none"],
            ["model.normalization.scope=global"], ["model.hidden=[]"],
        ] {
            #expect(throws: Never.self) { try plan(samples: 53, shard + fine) }
        }
    }

    @Test("the plan is the configuration's")
    func resolves() throws {
        let plan = try plan(
            samples: 100,
            [
                "batch.size=24", "batch.shards=6", "data.limit=90", "data.validation=10",
                "epochs=3", "model.activation=relu", "model.placement=after",
                "model.normalization={scope: {group: 3}, momentum: 0.2, epsilon: 0.01, "
                    + "runningVariance: \"biased\", affine: false}",
                "optimizer={learningRate: 0.3, momentum: 0.9, nesterov: true, weightDecay: 0.01}",
                "schedule={kind: \"step\", milestones: [4], factor: 0.5, warmupSteps: 2}",
            ])
        #expect(plan.split.training.count == 80)
        #expect(plan.split.validation.count == 10)
        #expect((plan.stepsPerEpoch, plan.totalSteps, plan.shards) == (4, 12, 6))
        #expect(
            plan.network
                == MLP(
                    inputs: 784, hidden: [8], classes: 10, activation: .relu, placement: .after,
                    normalization: BatchNormSettings(
                        scope: .group(3), average: .momentum(0.2), epsilon: 0.01,
                        unbiasedRunningVariance: false, affine: false)
                ).specification)
        #expect(
            plan.optimizer
                == Optimizer(
                    .sgd(SGD(momentum: 0.9, nesterov: true, weightDecay: 0.01)),
                    schedule: Schedule(
                        base: 0.3, course: .step(milestones: [4], factor: 0.5), warmupSteps: 2)))
    }

    @Test("every optimizer and schedule of a configuration becomes what it says")
    func optimizers() throws {
        func optimizer(_ more: [String]) throws -> Optimizer {
            try SmallRun.plan(shards: 4, scope: "\"global\"", more: more).optimizer
        }
        let rate = "optimizer.learningRate=null"
        #expect(
            try optimizer([rate, "optimizer.name=adam", "optimizer.weightDecay=0.1"])
                == Optimizer(.adam(Adam(weightDecay: 0.1)), schedule: Schedule(base: 0.001)))
        #expect(
            try optimizer([
                "optimizer={name: 'adamw', learningRate: 0.2, betas: [0.8, 0.9], epsilon: 1e-6}"
            ])
                == Optimizer(
                    .adam(Adam(beta1: 0.8, beta2: 0.9, epsilon: 1e-6, decoupled: true)),
                    schedule: Schedule(base: 0.2)))
        #expect(
            try optimizer([
                "optimizer={name: 'lars', momentum: 0.9, trustCoefficient: 0.02, clipNorm: 3}",
                "schedule={scaleWithBatch: 8, warmupSteps: 5}",
            ])
                == Optimizer(
                    .lars(LARS(momentum: 0.9, trustCoefficient: 0.02)),
                    schedule: Schedule(base: 1.5, warmupSteps: 5, warmupStart: 0.5),
                    clipNorm: 3))
        // A smaller batch than the reference: no lower rate to rise from.
        #expect(
            try optimizer(["schedule={scaleWithBatch: 96, warmupSteps: 5}"]).schedule
                == Schedule(base: 0.125, warmupSteps: 5, warmupStart: 0.125))
        #expect(
            try optimizer([
                "optimizer.momentum=0.9",
                "schedule={kind: 'one-cycle', pctStart: 0.2, divFactor: 5, minimumMomentum: 0.8}",
            ]).schedule
                == Schedule(
                    base: 0.5,
                    course: .oneCycle(
                        OneCycle(pctStart: 0.2, divFactor: 5, minimumMomentum: 0.8))))
    }

    // MARK: progress

    private func report(_ step: Int, samples: Int = 2) -> StepReport {
        let sums = SampleSums(
            samples: samples, totalLoss: Double(step * step * samples),
            correct: Double(step * samples) / 1e4)
        return StepReport(step: step, epoch: 1, sums: sums, learningRate: 0.1)
    }

    /// The outcome of a run with losses 1, 4, 9, …
    private func outcome(_ plan: RunPlan) -> TrainingOutcome {
        var progress = Progress(plan)
        for step in 1...plan.totalSteps { progress.add(report(step)) }
        progress.pause()
        _ = progress.evaluated(
            after: report(plan.totalSteps), validation: nil, test: nil, digest: "")
        return progress.outcome()
    }

    private func meanSquare(_ steps: ClosedRange<Int>) -> Double {
        steps.reduce(0) { $0 + Double($1 * $1) } / Double(steps.count)
    }

    @Test("train_loss is the mean over the last epoch or 1 000 steps, the shorter")
    func trainingLoss() throws {
        // Five steps an epoch: the last of them may be of two epochs.
        let short = ["batch.size=24", "batch.shards=2", "data.validation=0"]
        let epochs = try outcome(plan(samples: 103, short + ["steps=13"]))
        #expect(epochs.trainingLoss == meanSquare(9...13))
        #expect(epochs.epochs == 13.0 / 5)
        #expect(epochs.steps == 13)
        // Fewer steps than an epoch.
        let few = try outcome(plan(samples: 103, short + ["steps=3"]))
        #expect(few.trainingLoss == meanSquare(1...3))
        // 1 050 steps an epoch.
        let long = ["batch.size=2", "batch.shards=1", "data.validation=0"]
        let thousand = try outcome(plan(samples: 2_100, long + ["steps=1234"]))
        #expect(abs(thousand.trainingLoss / meanSquare(235...1234) - 1) < 1e-12)
    }

    @Test("an evaluation reports the means since the one before, and training time alone")
    func windows() throws {
        let plan = try plan(
            samples: 103, ["batch.size=24", "batch.shards=2", "data.validation=0", "steps=9"])
        var progress = Progress(plan)
        func evaluate(after step: Int) -> EvaluationReport {
            progress.pause()
            defer { progress.resume() }
            return progress.evaluated(
                after: report(step), validation: nil, test: nil, digest: "d")
        }
        for step in 1...4 { progress.add(report(step, samples: 24)) }
        let first = evaluate(after: 4)
        #expect(first.trainingLoss == meanSquare(1...4))
        #expect(abs(first.trainingAccuracy - 2.5e-4) < 1e-12)
        #expect((first.step, first.digest) == (4, "d"))
        // The last batch is shorter: its samples count as much as others', not the batch.
        for step in 5...8 { progress.add(report(step, samples: 24)) }
        progress.add(report(9, samples: 7))
        let second = evaluate(after: 9)
        let squares = 24 * (25 + 36 + 49 + 64) + 7 * 81
        #expect(second.trainingLoss == Double(squares) / Double(4 * 24 + 7))
        #expect(
            abs(second.trainingAccuracy - Double(24 * 26 + 7 * 9) / 1e4 / Double(4 * 24 + 7))
                < 1e-12)
        let outcome = progress.outcome()
        #expect(outcome.trainingLoss == second.trainingLoss)
        #expect(
            abs(outcome.imagesPerSecond * outcome.seconds - Double(8 * 24 + 7)) < 1e-6)
    }

    @Test("a step that was skipped counts for nothing in any mean")
    func skipped() throws {
        let plan = try plan(
            samples: 103, ["batch.size=24", "batch.shards=2", "data.validation=0", "steps=3"])
        var progress = Progress(plan)
        progress.add(report(1, samples: 24))
        progress.skip(report(2, samples: 24))
        progress.add(report(3, samples: 7))
        progress.pause()
        let last = progress.evaluated(
            after: report(3), validation: nil, test: nil, digest: "")
        #expect(last.trainingLoss == Double(24 * 1 + 7 * 9) / 31)
        #expect(progress.outcome().trainingLoss == last.trainingLoss)
    }
}
