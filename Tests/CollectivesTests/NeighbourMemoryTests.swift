import Foundation
import TestSupport
import Testing

@testable import Collectives

@Suite("Memory that neighbouring ranks share")
struct NeighbourMemoryTests {
    /// What a rank saw: who shares, and everybody's value in the memory; nil for no memory.
    private struct Seen: Equatable {
        var ranks: [Int]
        var values: [Int]
    }

    /// Ranks that share by their `places` write their number, and read everybody's.
    private func share(
        _ places: [UInt64?], byteCount: Int = 40_000, folder: @escaping @Sendable (Int) -> String
    ) throws -> [Seen?] {
        try runWorld(ranks: places.count, threads: 1) { communicator -> Seen? in
            let rank = communicator.world.rank
            let exchange = try #require(communicator.exchange)
            let memory = try NeighbourMemory.agree(
                exchange, step: 0, byteCount: byteCount, place: places[rank],
                folder: folder(rank))
            // A barrier of all, as only some may have memory.
            try communicator.barrier()
            defer { withExtendedLifetime(memory) {} }
            let values = memory?.pointer.bindMemory(to: Int.self, capacity: byteCount / 8)
            let last = byteCount / 8 - 1
            let isZero = values.map { $0[0] == 0 && $0[rank] == 0 && $0[last] == 0 }
            try communicator.barrier()
            values?[rank] = rank + 1
            values?[last] = -1
            try communicator.barrier()
            guard let memory, let values, isZero == true, memory.byteCount == byteCount,
                values[last] == -1
            else { return nil }
            return Seen(ranks: memory.ranks, values: memory.ranks.map { values[$0] })
        }.map { try $0.get() }
    }

    /// A new folder, in memory where tests may write there.
    private func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("neighbours-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        return try body(folder)
    }

    private func entries(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder)
    }

    @Test("all ranks of one place see what each of them writes; nothing is left in the folder")
    func sharing() throws {
        try withFolder { folder in
            for ranks in 2...5 {
                let all = Seen(ranks: Array(0..<ranks), values: Array(1...ranks))
                let seen = try share(Array(repeating: 7, count: ranks)) { _ in folder }
                #expect(seen == Array(repeating: all, count: ranks))
                #expect(try entries(folder).isEmpty)
            }
        }
    }

    @Test("ranks of different places share with their own, and one that is alone with nobody")
    func groups() throws {
        try withFolder { folder in
            let seen = try share([7, 8, 7, nil, 8, 9, nil]) { _ in folder }
            let sevens = Seen(ranks: [0, 2], values: [1, 3])
            let eights = Seen(ranks: [1, 4], values: [2, 5])
            #expect(seen == [sevens, eights, sevens, nil, eights, nil, nil])
        }
    }

    @Test("without room nobody shares, and nothing is left")
    func noRoom() throws {
        try withFolder { folder in
            let seen = try share([7, 7, 7], byteCount: 1 << 55) { _ in folder }
            #expect(seen == [nil, nil, nil])
            #expect(try entries(folder).isEmpty)
        }
        #expect(try share([7, 7]) { _ in "/no such folder" } == [nil, nil])
    }

    @Test("where one neighbour cannot reach the memory none of its group has it; others do")
    func unreachable() throws {
        try withFolder { folder in
            let seen = try share([7, 8, 7, 7, 8]) { $0 == 3 ? "/no such folder" : folder }
            let eights = Seen(ranks: [1, 4], values: [2, 5])
            #expect(seen == [nil, eights, nil, nil, eights])
            #expect(try entries(folder).isEmpty)
        }
    }

    @Test("ranks that ask for different sizes find out")
    func mismatch() throws {
        try withFolder { folder in
            let results = runWorld(ranks: 2, threads: 1) { communicator -> Bool in
                let rank = communicator.world.rank
                let exchange = try #require(communicator.exchange)
                return try NeighbourMemory.agree(
                    exchange, step: 0, byteCount: 64 + rank, place: 7, folder: folder) == nil
            }
            func length(_ rank: Int) -> Fingerprint {
                Fingerprint(step: 0, layer: -1, kind: .start, length: 64 + rank)
            }
            for (rank, result) in results.enumerated() {
                let failure = #expect(throws: WorkerFailure.self) { try result.get() }
                #expect(
                    failure?.error as? CollectiveError
                        == .mismatch(
                            here: rank, mine: length(rank), there: 1 - rank,
                            theirs: length(1 - rank)))
            }
            let left = try entries(folder)
            #expect(left.isEmpty)
        }
    }

    @Test(
        "the NUMA node of all cores, or none where they lie on several",
        arguments: [
            ("0-3", ["0-3\n", "4-7\n"], 0), ("5", ["0-3\n", "4-7\n"], 1),
            ("4,6-7", ["0-3,8-11\n", "4-7,12-15\n"], 1), ("12", ["0-3,8-11", "4-7,12-15"], 1),
            ("3-4", ["0-3\n", "4-7\n"], nil), ("0-7", ["0-3\n", "4-7\n"], nil),
            ("0-7", ["0-7\n"], 0), ("0-7", [], 0),
            // A node of memory alone has no cores.
            ("0-1", ["0-1\n", "\n"], 0),
        ] as [(String, [String], Int?)])
    func numaNode(cores: String, nodes: [String], expected: Int?) {
        #expect(NeighbourMemory.numaNode(ofCores: cores, among: nodes) == expected)
    }

    @Test("a process finds the same place each time, and none in a folder that is not there")
    func place() {
        #expect(NeighbourMemory.place() == NeighbourMemory.place())
        #expect(NeighbourMemory.place(folder: "/no such folder") == nil)
    }
}
