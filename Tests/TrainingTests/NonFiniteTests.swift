import Collectives
import FaultInjection
import Foundation
import Layers
import Models
import Synchronization
import TestSupport
import Testing

@testable import Training

@Suite("Numbers that are none")
struct NonFiniteTests {
    /// What rank 0 hears of a run.
    private final class Listener: TrainingObserver {
        let skips = Mutex<[(step: Int, found: NonFinite)]>([])

        func stepped(_ report: StepReport) {}
        func evaluated(_ report: EvaluationReport) throws {}
        func skipped(_ report: StepReport, _ found: NonFinite) throws {
            skips.withLock { $0.append((report.step, found)) }
        }
    }

    /// What a run skipped, and every rank's digest.
    private func run(
        _ plan: RunPlan, ranks: Int, threads: Int, fault: PlantedFault? = nil
    ) throws -> (skips: [(step: Int, found: NonFinite)], digests: [String], loss: Double) {
        let network = InMemoryNetwork(ranks: ranks)
        let listener = Listener()
        let ends = try runRanks(ranks) { rank in
            var trainer = Trainer(plan)
            if let fault { trainer.furtherInstruments = fault.instruments }
            let outcome = try trainer.run(
                in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                transport: ranks > 1 ? network.transport(rank: rank) : nil, timeout: 60,
                spinning: false, observer: rank == 0 ? listener : nil)
            return (trainer.replica.digest, outcome.trainingLoss)
        }
        return (listener.skips.withLock { $0 }, ends.map(\.0), ends[0].1)
    }

    @Test(
        "a step is skipped alike in every world, named by layer and shard, and leaves no trace",
        arguments: [
            ("input", NonFinite.Value.loss, "layers.0"), ("loss", .gradient, "layers.8"),
        ], ["\"global\"", "{group: 2}"])
    func skips(fault: (layer: String, value: NonFinite.Value, named: String), scope: String) throws
    {
        for more in [["optimizer.momentum=0.9"], ["optimizer.name=adam", "optimizer.clipNorm=1"]] {
            let plan = try SmallRun.plan(
                shards: 8, scope: scope, hidden: "[64, 9]",
                more: more + ["watch.nonFinite=skip", "model.dropout=0.2"])
            let plain = try SmallRun.plan(
                shards: 8, scope: scope, hidden: "[64, 9]", more: more + ["model.dropout=0.2"])
            // Watching moves no bit.
            let whole = try run(plain, ranks: 1, threads: 1).digests[0]
            #expect(try run(plan, ranks: 1, threads: 2).digests == [whole])
            var digests: Set<String> = []
            for (ranks, threads) in [(1, 1), (1, 3), (3, 1), (2, 2)] {
                let end = try run(
                    plan, ranks: ranks, threads: threads,
                    fault: .notANumber(shard: 5, step: 6, layer: fault.layer))
                #expect(end.skips.map(\.step) == [6])
                let found = try #require(end.skips.first?.found)
                #expect(found.value == fault.value && found.shard == 5, "\(found)")
                #expect(found.layer == fault.named)
                digests.formUnion(end.digests)
                #expect(end.loss.isFinite)
            }
            #expect(digests.count == 1 && !digests.contains(whole))
        }
    }

    @Test("a skipped step changes no parameter, running statistic or moment")
    func noTrace() throws {
        let more = ["optimizer.momentum=0.9", "watch.nonFinite=skip"]
        let plan = try SmallRun.plan(shards: 5, scope: "\"global\"", more: more)
        for layer in ["input", "loss"] {
            for threads in [1, 3] {
                var trainer = Trainer(plan)
                trainer.furtherInstruments =
                    PlantedFault.notANumber(shard: 2, step: 3, layer: layer).instruments
                let faulty = trainer
                let digests = try Team.run(
                    World(threadsPerRank: threads), spinning: false
                ) { communicator -> [String] in
                    let worker = try faulty.makeWorker(communicator)
                    var digests: [String] = []
                    for step in 1...4 {
                        let report = try worker.take(faulty.step(step, of: worker))
                        #expect((report.skipped != nil) == (step == 3))
                        try communicator.barrier()
                        digests.append(
                            faulty.replica.digest + "\(Array(faulty.replica.batchesTracked))")
                        try communicator.barrier()
                    }
                    return digests
                }
                #expect(digests[2] == digests[1] && digests[3] != digests[2])
                #expect(digests[1].hasSuffix("2]") && digests[3].hasSuffix("3]"))
            }
        }
    }

    @Test("a layer whose output is not kept is named as others are", arguments: [1, 3])
    func notKept(threads: Int) throws {
        let plan = try ImageRun.plan(
            "resnet20", scope: "\"global\"", shards: 5, more: ["watch.nonFinite=skip"])
        let trainer = Trainer(plan)
        let layer = "layer2.1.bn1"
        let scale = try #require(trainer.replica.layout.parameter("\(layer).weight"))
        trainer.replica.parameters[scale.range.lowerBound + 3] = .nan
        let found = try Team.run(World(threadsPerRank: threads), spinning: false) {
            communicator -> NonFinite? in
            let worker = try trainer.makeWorker(communicator)
            let nodes = worker.network.layers.nodes
            let node = try #require(nodes.firstIndex { $0.layer.name == layer })
            #expect(!worker.network.layers.keepsOutput(ofNode: node))
            return try worker.take(trainer.step(1, of: worker)).skipped
        }
        #expect(found == NonFinite(value: .loss, layer: layer, shard: 0))
    }
}
