import Foundation
import TestSupport
import Testing

@testable import Collectives

@Suite("Gathering what ranks have")
struct GatherTests {
    /// A rank's bytes and everybody's, shared by its workers.
    private final class Shared: Sendable {
        nonisolated(unsafe) let mine: UnsafeMutableRawBufferPointer
        nonisolated(unsafe) let all: UnsafeMutableRawBufferPointer

        init(count: Int, ranks: Int) {
            mine = .allocate(byteCount: count, alignment: 16)
            all = .allocate(byteCount: count * ranks, alignment: 16)
            mine.initializeMemory(as: UInt8.self, repeating: 0)
            all.initializeMemory(as: UInt8.self, repeating: 0)
        }

        deinit {
            mine.deallocate()
            all.deallocate()
        }
    }

    @Test(
        "every rank gets everybody's bytes in order, short ones and long ones, as its workers left them",
        arguments: [3, 4000, 4001, 20_000])
    func gathers(count: Int) throws {
        for (ranks, threads) in testWorlds where ranks * threads <= 6 {
            let shared = (0..<ranks).map { _ in Shared(count: count, ranks: ranks) }
            let results = runWorld(ranks: ranks, threads: threads) { communicator in
                let rank = communicator.world.rank
                let own = shared[rank]
                var wrong = 0
                for round in 0..<3 {
                    // Each worker writes its part.
                    for i in stride(from: communicator.thread, to: count, by: threads) {
                        own.mine[i] = UInt8(truncatingIfNeeded: i &* 31 &+ rank &* 7 &+ round)
                    }
                    try communicator.gather(
                        UnsafeRawBufferPointer(own.mine), into: own.all, .digest)
                    for other in 0..<ranks {
                        for i in 0..<count
                        where own.all[other * count + i]
                            != UInt8(truncatingIfNeeded: i &* 31 &+ other &* 7 &+ round)
                        {
                            wrong += 1
                        }
                    }
                    try communicator.barrier()
                }
                return wrong
            }
            #expect(try results.map { try $0.get() } == Array(repeating: 0, count: ranks))
        }
    }
}
