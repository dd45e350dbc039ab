import Collectives
import Configuration
import FaultInjection
import Foundation
import Layers
import TestSupport
import Testing

@testable import Training

/// One bit of what an audited shard contributes to the gradient of a parameter, as its worker has it.
private struct GradientFlip: Sendable {
    let owner: Int
    let step: Int
    /// In the flat gradient: of a parameter that is summed up shard by shard.
    let index: Int
    let bit: Int
}

/// Flips it when the backward pass has written it.
private final class FlippedGradient: Instrument {
    private let flip: GradientFlip
    private unowned let worker: TrainingWorker

    init(_ flip: GradientFlip, in worker: TrainingWorker) {
        self.flip = flip
        self.worker = worker
    }

    func after(_ phase: StepPhase, of step: TrainingStep) throws {
        guard phase == .backward, step.number == flip.step,
            worker.communicator.worker == flip.owner
        else { return }
        let audit = try #require(worker.instrument(ShardAudit.self))
        let value = audit.table.gradients + flip.index
        value.pointee = Float(bitPattern: value.pointee.bitPattern ^ 1 << UInt32(flip.bit))
    }
}

@Suite("Shards are audited", .serialized)
struct ShardAuditTests {
    /// What every rank of a world ends with: the digest, or the error's text.
    private func ends(
        _ plan: RunPlan, ranks: Int, threads: Int, fault: PlantedFault? = nil,
        flip: GradientFlip? = nil
    ) throws -> [String] {
        let network = InMemoryNetwork(ranks: ranks)
        return try runRanks(ranks) { rank in
            var trainer = Trainer(plan)
            if let fault { trainer.furtherInstruments = fault.instruments }
            if let flip { trainer.furtherInstruments = { [FlippedGradient(flip, in: $0)] } }
            trainer.host = "node\(rank)"
            do throws(WorkerFailure) {
                _ = try trainer.run(
                    in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                    transport: ranks > 1 ? network.transport(rank: rank) : nil, timeout: 60,
                    spinning: false)
                return trainer.replica.digest
            } catch {
                return "\(error.error)"
            }
        }
    }

    /// What is audited in `step` by a world, and the end of the message that names it.
    private func audited(
        _ plan: RunPlan, step: Int, ranks: Int, threads: Int
    ) throws -> (choice: ShardAudit.Choice, places: String) {
        let choice = try #require(
            ShardAudit.choice(
                plan, step: step, world: World(ranks: ranks, threadsPerRank: threads)))
        func place(_ worker: Int) -> String {
            "worker \(worker) (rank \(worker / threads), node\(worker / threads))"
        }
        let isOne = choice.owner == choice.auditor
        let hosts =
            choice.owner / threads == choice.auditor / threads ? "its host" : "both hosts"
        return (
            choice,
            " by \(place(choice.owner)) and by \(isOne ? "itself" : place(choice.auditor)); the "
                + "step is not saved: test memory and processor of \(hosts), and go on from the "
                + "last checkpoint with --resume auto"
        )
    }

    // MARK: nothing wrong

    @Test(
        "a fully connected run passes and keeps its digest, in every world and scope",
        arguments: ["\"global\"", "\"shard\"", "{group: 2}"])
    func passes(scope: String) throws {
        // 64 outputs lie in panels; batches of 24 end in one of 7 or 17 on 8 shards.
        for more in [
            ["model.hidden=[64, 17]", "model.dropout=0.2"], ["model.hidden=[17]", noise],
            [
                "model.hidden=[17]", "model.placement=after", "optimizer.name=adam",
                "optimizer.clipNorm=1", "loss.labelSmoothing=0.1",
            ],
        ] {
            let plain = try SmallRun.plan(shards: 8, scope: scope, more: more)
            let plan = try SmallRun.plan(
                shards: 8, scope: scope, more: more + ["watch.auditShards=1"])
            let alone = try ends(plain, ranks: 1, threads: 1)[0]
            #expect(alone.count == 64)
            for (ranks, threads) in [(1, 1), (1, 2), (1, 3), (3, 1), (2, 2), (1, 8)] {
                let digests = try ends(plan, ranks: ranks, threads: threads)
                #expect(
                    digests == Array(repeating: alone, count: ranks), "\(more) \(ranks)×\(threads)")
            }
        }
    }

    @Test(
        "a network for images passes, with dropout, augmentation and empty shards",
        arguments: [
            ["lenet"], ["resnet20"], ["resnet20", "model.normalization.kind=group"],
            ["lenet", "model.normalization.kind=none"],
            ["lenet", "freeze=[\"conv1\", \"bn1\"]"], ["mnist-cnn"],
            ["mnist-cnn", "model.placement=after", "optimizer.learningRate=0.001"],
        ])
    func passesImages(settings: [String]) throws {
        for scope in settings[0] == "resnet20" ? ["\"global\""] : ["\"global\"", "{group: 2}"] {
            let more = Array(settings.dropFirst())
            let plain = try ImageRun.plan(settings[0], scope: scope, more: more)
            let plan = try ImageRun.plan(
                settings[0], scope: scope, more: more + ["watch.auditShards=1"])
            let alone = try ends(plain, ranks: 1, threads: 1)[0]
            #expect(alone.count == 64)
            for (ranks, threads) in [(1, 1), (1, 3), (2, 2)] {
                let digests = try ends(plan, ranks: ranks, threads: threads)
                #expect(
                    digests == Array(repeating: alone, count: ranks), "\(scope) \(ranks)×\(threads)"
                )
            }
        }
    }

    // MARK: something wrong

    @Test(
        "one flipped bit in an audited shard names step, shard, layer and both workers",
        arguments: [
            ("layers.0", 70, 20, "layer layers.0's", "layers.0"),
            ("loss", 3, 22, "layer layers.3's weight gradient", "loss"),
        ])
    func flippedBit(layer: String, index: Int, bit: Int, words: String, _: String) throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", more: ["watch.auditShards=3"])
        for (ranks, threads) in [(1, 1), (1, 2), (3, 1), (2, 2)] {
            let (choice, places) = try audited(plan, step: 6, ranks: ranks, threads: threads)
            let fault = PlantedFault.activation(
                shard: choice.shard, step: 6, layer: layer, index: index, bit: bit)
            // The input of BN that changes after its statistics were taken shows when its gradient
            // is summed, and what the loss gives at once in the last layer.
            let what = layer == "loss" ? words : "layer layers.1's backward sums"
            let expected =
                "shard \(choice.shard) of step 6 (epoch 2) has other bits when it is computed "
                + "again: \(what)\(places)"
            #expect(
                try ends(plan, ranks: ranks, threads: threads, fault: fault)
                    == Array(repeating: expected, count: ranks))
        }
    }

    @Test(
        "one flipped bit in a shard's gradient of a convolution, bias or γ is found in every place")
    func flippedGradient() throws {
        let plan = try ImageRun.plan(
            "lenet", scope: "\"global\"",
            more: ["watch.auditShards=2", "model.normalization.kind=layer", "epochs=1"])
        let names = plan.layout.parameters.map(\.name)
        // LeNet's convolutions with biases, and γ and β of layer normalisation.
        let layers = plan.layout.parameters.filter { $0.range.lowerBound >= plan.layout.products }
        #expect(layers.count >= 8, "\(names)")
        for (number, parameter) in layers.enumerated() {
            let (ranks, threads) = [(1, 2), (2, 1), (1, 1)][number % 3]
            let (choice, places) = try audited(plan, step: 2, ranks: ranks, threads: threads)
            let flip = GradientFlip(
                owner: choice.owner, step: 2,
                index: parameter.range.lowerBound + 7 * number % parameter.range.count,
                bit: number * 5 % 32)
            let dot = try #require(parameter.name.lastIndex(of: "."))
            let expected =
                "shard \(choice.shard) of step 2 (epoch 1) has other bits when it is computed "
                + "again: layer \(parameter.name[..<dot])'s "
                + "\(parameter.name[dot...].dropFirst()) gradient\(places)"
            #expect(
                try ends(plan, ranks: ranks, threads: threads, flip: flip)
                    == Array(repeating: expected, count: ranks))
        }
    }

    @Test(
        "of random bits that flip in the gradient or activations of an audited shard, all are found that matter"
    )
    func randomBits() throws {
        let plan = try SmallRun.plan(
            shards: 8, scope: "\"global\"", epochs: 1,
            more: ["watch.auditShards=3", "batch.size=32"])
        let whole = try ends(plan, ranks: 1, threads: 1)[0]
        let choice = try audited(plan, step: 3, ranks: 1, threads: 2).choice
        var found = 0
        for number in 0..<96 {
            let fault = PlantedFault.activation(
                shard: choice.shard, step: 3, layer: ["loss", "layers.2", "layers.0"][number % 3],
                index: number * 7, bit: number / 3)
            let end = try ends(plan, ranks: 1, threads: 2, fault: fault)[0]
            if end.hasPrefix("shard ") {
                found += 1
            } else {
                // The flip was rounded away: the run is the same.
                #expect(end == whole, "\(fault)")
            }
        }
        #expect(found >= 80, "\(found) of 96")
    }

    @Test("what is not audited is not found: another shard, another step")
    func notAudited() throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", more: ["watch.auditShards=3"])
        let (choice, _) = try audited(plan, step: 6, ranks: 1, threads: 2)
        for (shard, step) in [((choice.shard + 1) % 5, 6), (choice.shard, 5)] {
            let fault = PlantedFault.activation(
                shard: shard, step: step, layer: "loss", index: 0, bit: 22)
            let end = try ends(plan, ranks: 1, threads: 2, fault: fault)[0]
            #expect(end.count == 64, "\(end)")
            #expect(try end != ends(plan, ranks: 1, threads: 2)[0])
        }
    }

    @Test("shards and auditors are drawn evenly, and nobody audits its own work who need not")
    func choices() throws {
        let plan = try SmallRun.plan(
            shards: 8, scope: "\"global\"", more: ["watch.auditShards=1"])
        for (ranks, threads) in [(1, 4), (3, 1), (2, 3)] {
            let world = World(ranks: ranks, threadsPerRank: threads)
            var shards: [Int: Int] = [:]
            var auditors: [Int: Int] = [:]
            for step in 1...4000 {
                let choice = try #require(ShardAudit.choice(plan, step: step, world: world))
                #expect(choice.owner != choice.auditor)
                #expect(world.shards(ofWorker: choice.owner, of: 8).contains(choice.shard))
                shards[choice.shard, default: 0] += 1
                auditors[choice.auditor, default: 0] += 1
            }
            #expect(shards.count == 8 && shards.values.allSatisfy { (400...600).contains($0) })
            let share = 4000 / world.workers
            #expect(
                auditors.count == world.workers
                    && auditors.values.allSatisfy { $0 > share * 3 / 4 && $0 < share * 4 / 3 },
                "\(auditors)")
        }
        // In a group's shards only those can audit who know its statistics.
        let grouped = try SmallRun.plan(
            shards: 8, scope: "{group: 2}", more: ["watch.auditShards=1"])
        for step in 1...100 {
            let choice = try #require(
                ShardAudit.choice(grouped, step: step, world: World(threadsPerRank: 8)))
            #expect(choice.auditor == choice.shard ^ 1 && choice.owner == choice.shard)
            let alone = try #require(
                ShardAudit.choice(grouped, step: step, world: World(threadsPerRank: 4)))
            #expect(alone.auditor == alone.owner && alone.shard == choice.shard)
        }
    }
}
