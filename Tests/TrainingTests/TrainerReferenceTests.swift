import Collectives
import Configuration
import Datasets
import Layers
import Models
import TestSupport
import Testing

@testable import Training

/// The noise of Santurkar et al.
let noise = "model.normalization.noise={mean: 0.5, deviation: 1.25, spread: 0.1}"

@Suite("The trainer against one large batch in Float64")
struct TrainerReferenceTests {
    /// The difference after a run of the trainer with `plan`, from `reference` after as many steps.
    private static func verification(
        _ plan: RunPlan, ranks: Int = 1, threads: Int = 1, against other: RunPlan? = nil
    ) throws -> Verification {
        let network = InMemoryNetwork(ranks: ranks)
        let runs = try runRanks(ranks) { rank in
            let trainer = Trainer(plan)
            let record = LossRecord()
            _ = try trainer.run(
                in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                transport: ranks > 1 ? network.transport(rank: rank) : nil, timeout: 60,
                spinning: false, observer: record)
            return (trainer, record)
        }
        let reference = try ReferenceRun(other ?? plan)
        for _ in 0..<plan.totalSteps { reference.step() }
        return Verification(
            of: runs[0].0.replica, losses: runs[0].1.losses, against: reference)
    }

    @Test(
        "two epochs come out, with uneven shards and a short last batch",
        arguments: [
            (5, "\"global\"", [String]()),
            (8, "\"global\"", ["model.activation=tanh", "optimizer.momentum=0.9"]),
            (8, "\"global\"", ["model.placement=after", "optimizer.weightDecay=0.01"]),
            (
                8, "\"global\"",
                [
                    "model.activation=relu", "optimizer.momentum=0.9", "optimizer.nesterov=true",
                    "optimizer.learningRate=0.1", "schedule={kind: \"step\", milestones: [3, 7]}",
                ]
            ),
            (5, "\"shard\"", ["model.normalization.momentum=cumulative"]),
            (6, "{group: 2}", ["model.normalization.runningVariance=biased"]),
            (
                6, "{group: 3}",
                [
                    "model.placement=after", "optimizer.weightDecay=0.01",
                    "optimizer.decayAll=true",
                ]
            ),
            (6, "\"shard\"", ["model.normalization.affine=false", "data.scaling=standardize"]),
            (5, "\"global\"", [noise]), (6, "{group: 2}", [noise, "model.placement=after"]),
            (6, "\"global\"", ["model.placement=inputs", "model.activation=relu"]),
            (6, "\"shard\"", ["model.placement=inputs", noise]),
            (7, "\"global\"", ["model.normalization.kind=none", "schedule.warmupSteps=4"]),
            (5, "\"global\"", ["model.normalization.kind=layer", "model.placement=after"]),
            (
                6, "\"global\"",
                [
                    "model.normalization={kind: 'group', groups: 1, affine: false, epsilon: 0.01}",
                    "model.activation=relu",
                ]
            ),
            (
                1, "\"global\"",
                ["schedule={kind: \"cosine\", minimum: 0.01}", "data.dropLast=true"]
            ),
            (
                6, "\"global\"",
                [
                    "optimizer={name: 'lars', momentum: 0.9, weightDecay: 0.01, "
                        + "trustCoefficient: 0.1, decayAll: true}", "loss.labelSmoothing=0.1",
                    "schedule={scaleWithBatch: 12, warmupSteps: 3}",
                ]
            ),
            (
                5, "\"global\"",
                [
                    "optimizer={name: 'lars', momentum: 0.9, clipNorm: 0.2}",
                    "optimizer.learningRate=5",
                    "schedule={kind: 'one-cycle', minimumMomentum: 0.5}",
                ]
            ),
            (
                6, "\"shard\"",
                [
                    "optimizer={name: 'adamw', learningRate: 0.01, weightDecay: 0.1, "
                        + "epsilon: 1e-3, clipNorm: 0.3}", "loss.labelSmoothing=0.1",
                ]
            ),
            (6, "\"global\"", ["optimizer={name: 'adam', learningRate: 0.01, epsilon: 1e-3}"]),
        ])
    func agrees(shards: Int, scope: String, more: [String]) throws {
        for hidden in ["[12]", "[17, 9]"] {
            let plan = try SmallRun.plan(shards: shards, scope: scope, hidden: hidden, more: more)
            for (ranks, threads) in [(1, 1), (2, 1), (1, 3)] where ranks * threads <= shards {
                let verification = try Self.verification(plan, ranks: ranks, threads: threads)
                let worst = verification.differences[0]
                #expect(verification.isAllowed, "\(worst)")
                #expect(
                    verification.tensors.count == plan.layout.parameters.count
                        + 2 * plan.layout.statistics.count)
            }
        }
    }

    @Test(
        "BN behind the softmax comes out, with the loss of proportions",
        arguments: ["\"global\"", "{group: 2}"], [0, 0.1])
    func behindSoftmax(scope: String, labelSmoothing: Double) throws {
        let plan = try ImageRun.plan(
            "mnist-cnn", scope: scope, shards: 4,
            more: [
                "model.placement=after", "optimizer.learningRate=1e-4", "model.dropout=0",
                "model.normalization.epsilon=0.01", "loss.labelSmoothing=\(labelSmoothing)",
            ])
        for threads in [1, 3] {
            let verification = try Self.verification(plan, threads: threads)
            #expect(verification.isAllowed, "\(verification.differences[0])")
        }
    }

    @Test(
        "small mistakes are found: a rate one part in a hundred off, a biased variance, one scope for another",
        arguments: [
            "optimizer.learningRate=0.505", "optimizer.momentum=0.01",
            "optimizer.weightDecay=0.001", "model.normalization.runningVariance=biased",
            "model.normalization.momentum=0.101", "model.normalization.momentum=cumulative",
            "model.normalization.epsilon=0.001", "model.normalization.scope=shard",
            "model.normalization.scope={group: 2}", "model.placement=after", "seed=2",
            "data.shuffle=false", "data.scaling=standardize", "model.activation=tanh",
            "schedule.warmupSteps=2", "model.normalization.kind=layer", "model.placement=inputs",
            "model.normalization.noise={mean: 0, deviation: 1, spread: 0.01}",
            "model.normalization.noise={mean: 0.01, deviation: 1, spread: 0}",
            "model.normalization.noise={mean: 0, deviation: 1.02, spread: 0}",
        ], ["sigmoid", "relu"])
    func bites(change: String, activation: String) throws {
        func plan(_ more: [String]) throws -> RunPlan {
            try SmallRun.plan(
                shards: 4, scope: "\"global\"",
                more: ["data.dropLast=true", "model.activation=\(activation)"] + more)
        }
        let right = try plan([])
        #expect(try Self.verification(right).isAllowed)
        let verification = try Self.verification(right, against: plan([change]))
        #expect(!verification.isAllowed)
        // The smallest are 250, of a weight decay of 0.001, and 460, of a momentum of 0.101.
        #expect(verification.differences[0].share > 50)
    }
}
