import Collectives
import Configuration
import Testing

@testable import Training

@Suite("Whether this machine keeps the promise, in short")
struct WorldComparisonTests {
    private func comparison(_ settings: [String] = []) throws -> WorldComparison {
        try WorldComparison(
            RunConfiguration.load(file: nil, settings: settings), name: "configured")
    }

    @Test("every network has run in every team that its shards allow, to the same bits")
    func compares() throws {
        let cases = try comparison(["batch.shards=8", "model.hidden=[20]"]).run(seconds: 1e6)
        #expect(
            cases.map(\.threads) == [[1, 2, 3], [1, 2, 3]]
                + Array(repeating: [1, 2, 3, 4], count: 2) + [[1, 2, 3, 4, 7, 8]])
        #expect(cases.last?.name == "configured")
        #expect(cases.allSatisfy { $0.different.isEmpty }, "\(cases)")
    }

    @Test("it bites: where sums move with the world, the teams that differ are named")
    func bites() throws {
        let cases = try comparison(["batch.shards=8", "model.hidden=[20]"]).run(
            seconds: 1e6, arithmetic: .mpi)
        #expect(cases.last?.different.contains(3) == true)
        #expect(cases.allSatisfy { !$0.different.contains(1) })
    }

    @Test("no run begins when time is up")
    func ends() throws {
        #expect(try comparison().run(seconds: 0) == [])
    }
}
