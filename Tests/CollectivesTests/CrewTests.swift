import Foundation
import Synchronization
import Testing

@testable import Collectives

@Suite("The threads that share a worker's shards")
struct CrewTests {
    @Test("threads beyond the shards go to the workers in turn")
    func sizes() {
        let world = World(ranks: 2, threads: 7, sharing: 8, rank: 1)
        #expect(world.threadsPerRank == 4 && world.computingThreadsPerRank == 7)
        #expect(world.workers == 8)
        #expect((0..<4).map(world.members(ofThread:)) == [1, 2, 2, 2])
        let enough = World(ranks: 2, threads: 3, sharing: 8)
        #expect(enough.threadsPerRank == 3)
        #expect((0..<3).map(enough.members(ofThread:)) == [1, 1, 1])
        #expect(World(ranks: 3, threads: 4, sharing: 5).threadsPerRank == 1)
    }

    @Test(
        "every member does its part of every task, and all is there behind it",
        arguments: [(1, 1), (1, 2), (1, 5), (2, 3), (3, 7)], [true, false])
    func tasks(world: (workers: Int, threads: Int), spinning: Bool) throws {
        let rounds = 300
        try Team.run(
            World(threads: world.threads, sharing: world.workers), spinning: spinning
        ) { communicator in
            let crew = communicator.crew
            var values = [Int](repeating: 0, count: 10)
            try values.withUnsafeMutableBufferPointer { values in
                nonisolated(unsafe) let values = values
                nonisolated(unsafe) var round = 0
                let add = crew.prepare { member in
                    for index in crew.part(of: values.count, member: member) {
                        values[index] += round
                    }
                }
                let double = crew.prepare { member in
                    for index in crew.part(of: values.count, member: crew.members - 1 - member) {
                        values[index] *= 2
                    }
                }
                var expected = 0
                for number in 0..<rounds {
                    round = number
                    try add()
                    // As slow as a worker may be between two tasks.
                    if number % 100 == 50 { usleep(2_000) }
                    try double()
                    expected = 2 &* (expected &+ number) % 1_000_003
                    for index in values.indices {
                        values[index] %= 1_000_003
                        #expect(values[index] == expected)
                    }
                }
            }
        }
    }

    @Test("what the first of the members threw comes out, and the crew goes on")
    func failures() throws {
        struct Failure: Error { let member: Int }
        try Team.run(World(threads: 4, sharing: 1)) { communicator in
            let done = Mutex(0)
            let failing = communicator.crew.prepare { member in
                if member > 1 { throw Failure(member: member) }
            }
            let counting = communicator.crew.prepare { _ in done.withLock { $0 += 1 } }
            for _ in 0..<20 {
                do {
                    try failing()
                    Issue.record("two members threw")
                } catch let failure as Failure {
                    #expect(failure.member == 2)
                }
                try counting()
            }
            #expect(done.withLock { $0 } == 80)
        }
    }

    @Test("a worker that fails lets its crew go, and so do those that it leaves")
    func failingWorker() {
        struct Failure: Error {}
        #expect(throws: WorkerFailure.self) {
            try Team.run(World(threads: 6, sharing: 2), spinning: false) { communicator in
                let nothing = communicator.crew.prepare { _ in }
                try nothing()
                if communicator.thread == 1 { throw Failure() }
                while true {
                    try nothing()
                    try communicator.teamBarrier()
                }
            }
        }
    }
}
