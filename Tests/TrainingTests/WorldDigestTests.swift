import Collectives
import Configuration
import Datasets
import Layers
import Models
import Optimization
import TestSupport
import Testing

@testable import Training

/// Small runs on synthetic digits, over every world that fits.
enum SmallRun {
    /// Batches of 24 that end in a short one: of 7, fewer than 8 shards, or of 17 where every shard
    /// needs statistics of its own.
    static func plan(
        shards: Int, scope: String, hidden: String = "[12]", epochs: Int = 2,
        more: [String] = []
    ) throws -> RunPlan {
        let samples = scope == "\"global\"" ? 103 : 113
        let configuration = try RunConfiguration.load(
            file: nil,
            settings: [
                "data.samples=\(samples)", "data.testSamples=40", "data.validation=0",
                "batch.size=24", "batch.shards=\(shards)", "model.hidden=\(hidden)",
                "model.normalization.scope=\(scope)", "epochs=\(epochs)",
                "optimizer.learningRate=0.5",
            ] + more)
        let pair = SyntheticDigits.pair(
            seed: configuration.seed, trainingCount: samples, testCount: 40)
        return try RunPlan(configuration, data: pair)
    }

    /// The digest that every rank of a world ends with.
    static func digests(
        _ plan: RunPlan, ranks: Int, threads: Int, arithmetic: World.Arithmetic = .tree
    ) throws -> [String] {
        let network = InMemoryNetwork(ranks: ranks)
        return try runRanks(ranks) { rank in
            let trainer = Trainer(plan)
            let world = World(
                ranks: ranks, threads: threads, sharing: plan.shards, rank: rank,
                arithmetic: arithmetic)
            _ = try trainer.run(
                in: world, transport: ranks > 1 ? network.transport(rank: rank) : nil,
                timeout: 60, spinning: false)
            return trainer.replica.digest
        }
    }
}

@Suite("The same bits in any world")
struct WorldDigestTests {
    @Test(
        "one digest over threads, ranks and both, for every shard count, scope and depth",
        arguments: [
            (1, "\"global\""), (5, "\"global\""), (6, "\"global\""), (8, "\"global\""),
            (1, "\"shard\""), (5, "\"shard\""), (6, "\"shard\""), (8, "\"shard\""),
            (6, "{group: 2}"), (8, "{group: 2}"),
        ])
    func sameBits(shards: Int, scope: String) throws {
        for hidden in ["[12]", "[17, 9]"] {
            let plan = try SmallRun.plan(shards: shards, scope: scope, hidden: hidden)
            let alone = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
            for (ranks, threads) in testWorlds where ranks * threads <= shards {
                let digests = try SmallRun.digests(plan, ranks: ranks, threads: threads)
                #expect(digests.count == ranks)
                for digest in digests {
                    #expect(digest == alone, "\(ranks)×\(threads), hidden \(hidden)")
                }
            }
        }
    }

    @Test(
        "one digest over worlds where workers deal out the outputs of the first layer",
        arguments: ["[64]", "[128, 9]", "[192]", "[256]"], ["batch", "none"])
    func panels(hidden: String, normalization: String) throws {
        let plan = try SmallRun.plan(
            shards: 8, scope: "\"global\"", hidden: hidden, epochs: 1,
            more: ["model.normalization.kind=\(normalization)", "evaluate.everySteps=2"])
        let alone = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
        for (ranks, threads) in testWorlds {
            for digest in try SmallRun.digests(plan, ranks: ranks, threads: threads) {
                #expect(digest == alone, "\(ranks)×\(threads)")
            }
        }
        // Those worlds are among them where panels are dealt out, and not by samples.
        let panels = try Team.run(threads: 2) { communicator in
            try TrainingWorker(
                plan, replica: Replica(plan.layout),
                state: OptimizerState(
                    plan.optimizer, replica: Replica(plan.layout), decayAll: false),
                communicator: communicator
            ).network.inputShards.count
        }
        #expect(panels == (hidden == "[64]" || hidden == "[192]" ? 4 : 8))
    }

    @Test("one digest over worlds of which some bring far rows of wide layers together")
    func wideLayers() throws {
        // 97 rows of a rank or 48 or fewer, where 64 are needed; the last batch is of 6.
        let plan = try SmallRun.plan(
            shards: 6, scope: "\"global\"", hidden: "[300, 260]", epochs: 2,
            more: ["batch.size=97"])
        let alone = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
        for (ranks, threads) in testWorlds where ranks * threads <= 6 {
            for digest in try SmallRun.digests(plan, ranks: ranks, threads: threads) {
                #expect(digest == alone, "\(ranks)×\(threads)")
            }
        }
    }

    @Test(
        "one digest over worlds with clipping, LARS and Adam",
        arguments: [
            "{name: 'adam', clipNorm: 0.3}", "{name: 'adamw', weightDecay: 0.1}",
            "{name: 'lars', momentum: 0.9, weightDecay: 0.01, trustCoefficient: 0.1, clipNorm: 0.3}",
            "{name: 'sgd', momentum: 0.9, clipNorm: 0.3}",
        ], ["\"global\"", "\"shard\""])
    func norms(optimizer: String, scope: String) throws {
        // 784 × 17 weights: more than one chunk of a norm, and no whole number of them.
        let plan = try SmallRun.plan(
            shards: 6, scope: scope, hidden: "[17, 9]",
            more: ["optimizer=\(optimizer)", "loss.labelSmoothing=0.1"])
        let alone = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
        for (ranks, threads) in testWorlds where ranks * threads <= 6 {
            for digest in try SmallRun.digests(plan, ranks: ranks, threads: threads) {
                #expect(digest == alone, "\(ranks)×\(threads)")
            }
        }
        let other = try SmallRun.plan(
            shards: 6, scope: scope, hidden: "[17, 9]",
            more: ["optimizer=\(optimizer)", "loss.labelSmoothing=0.11"])
        #expect(try SmallRun.digests(other, ranks: 1, threads: 1)[0] != alone)
    }

    @Test(
        "one digest over worlds with noise behind BN, which is not nothing",
        arguments: ["before", "after", "inputs"], ["\"global\"", "\"shard\""])
    func noise(placement: String, scope: String) throws {
        func plan(_ more: [String]) throws -> RunPlan {
            try SmallRun.plan(
                shards: 6, scope: scope, hidden: "[17, 9]",
                more: ["model.placement=\(placement)", "evaluate.everySteps=3"] + more)
        }
        let noisy = try plan([TrainingTests.noise])
        let alone = try SmallRun.digests(noisy, ranks: 1, threads: 1)[0]
        for (ranks, threads) in testWorlds where ranks * threads <= 6 {
            for digest in try SmallRun.digests(noisy, ranks: ranks, threads: threads) {
                #expect(digest == alone, "\(ranks)×\(threads)")
            }
        }
        let without = try SmallRun.digests(plan([]), ranks: 1, threads: 1)[0]
        #expect(without != alone)
        // Noise of no width changes no bit: everything else stays where it was.
        let none = "model.normalization.noise={mean: 0, deviation: 1, spread: 0}"
        #expect(try SmallRun.digests(plan([none]), ranks: 1, threads: 1)[0] == without)
    }

    @Test("one digest with augmentation on, with evaluations and short batches between")
    func augmented() throws {
        let augment =
            "data.augment=[{kind: 'padCrop', padding: 3}, 'flip', {kind: 'cutout', size: 7}]"
        let more = ["evaluate.everySteps=3", "data.scaling=standardize"]
        let plan = try SmallRun.plan(shards: 6, scope: "\"global\"", more: more + [augment])
        let alone = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
        for (ranks, threads) in testWorlds where ranks * threads <= 6 {
            for digest in try SmallRun.digests(plan, ranks: ranks, threads: threads) {
                #expect(digest == alone, "\(ranks)×\(threads)")
            }
        }
        let plain = try SmallRun.plan(shards: 6, scope: "\"global\"", more: more)
        #expect(try SmallRun.digests(plain, ranks: 1, threads: 1)[0] != alone)
    }

    @Test("the test bites: the order of a team's or MPI_Allreduce's sums moves with the world")
    func bites() throws {
        let plan = try SmallRun.plan(shards: 8, scope: "\"global\"")
        let right = try SmallRun.digests(plan, ranks: 1, threads: 1)[0]
        func digest(_ ranks: Int, _ threads: Int) throws -> String {
            try SmallRun.digests(plan, ranks: ranks, threads: threads, arithmetic: .mpi)[0]
        }
        let alone = try digest(1, 1)
        let teams = [try digest(1, 3), try digest(1, 7)]
        let ranks = try digest(3, 1)
        #expect(teams.contains { $0 != alone } && ranks != alone)
        #expect((teams + [ranks]).contains { $0 != right })
    }
}
