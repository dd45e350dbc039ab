import Collectives
import Configuration
import Normalization
import TestSupport
import Testing

@testable import Training

@Suite("Statistics of evaluations along training")
struct EvaluationStatisticsTests {
    private struct Ending: Equatable {
        var digest: String
        var loss: Double
    }

    private func run(
        _ statistics: String, scope: String, ranks: Int = 1, threads: Int = 1
    ) throws -> (endings: [Ending], trainer: Trainer) {
        let plan = try SmallRun.plan(
            shards: 6, scope: scope, hidden: "[9, 5]",
            more: ["evaluate={everySteps: 3, statistics: '\(statistics)'}"])
        let network = InMemoryNetwork(ranks: ranks)
        let runs = try runRanks(ranks) { rank in
            let trainer = Trainer(plan)
            let outcome = try trainer.run(
                in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                transport: ranks > 1 ? network.transport(rank: rank) : nil, timeout: 60,
                spinning: false)
            return (
                Ending(digest: trainer.replica.digest, loss: outcome.last.test?.loss ?? .nan),
                trainer
            )
        }
        return (runs.map(\.0), runs[0].1)
    }

    @Test(
        "they are those of recalibrate, in any world, and the run keeps its bits",
        arguments: ["paper", "exact"], ["\"global\"", "\"shard\"", "{group: 2}"])
    func population(statistics: String, scope: String) throws {
        let moving = try run("moving", scope: scope)
        let (endings, _) = try run(statistics, scope: scope)
        #expect(endings[0].digest == moving.endings[0].digest)
        #expect(endings[0].loss != moving.endings[0].loss)
        // The trained model, recalibrated afterwards.
        let method = try #require(PopulationMethod(rawValue: statistics))
        let world = World(threadsPerRank: 1)
        _ = try moving.trainer.recalibrate(method, in: world, spinning: false)
        let after = try moving.trainer.evaluate(in: world, spinning: false)
        #expect(endings[0].loss == after.loss)
        for (ranks, threads) in [(1, 3), (2, 1), (3, 2)] {
            let others = try run(statistics, scope: scope, ranks: ranks, threads: threads).endings
            #expect(others.allSatisfy { $0 == endings[0] }, "\(ranks) × \(threads)")
        }
    }

    @Test("each test batch's own are those of eval --statistics batch")
    func batches() throws {
        let (endings, trainer) = try run("batch", scope: "\"global\"")
        let after = try trainer.evaluate(
            byBatches: true, in: World(threadsPerRank: 1), spinning: false)
        #expect(endings[0].loss == after.loss)
        #expect(try run("batch", scope: "\"global\"", threads: 2).endings[0] == endings[0])
    }
}
