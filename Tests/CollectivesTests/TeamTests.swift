import Foundation
import Synchronization
import Testing

@testable import Collectives

@Suite("The threads of a team")
struct TeamTests {
    /// A subnormal number that the compiler cannot compute.
    private static var halfOfTheLeastNormal: Float {
        ([.leastNormalMagnitude] as [Float]).randomElement()! / 2
    }

    @Test(
        "workers compute with subnormals, as every CPU does by itself",
        arguments: [1, 2, 3])
    func floatingPointMode(threads: Int) throws {
        #expect(Self.halfOfTheLeastNormal != 0)
        let found = Mutex<[Float]>([])
        try Team.run(threads: threads) { _ in
            let value = Self.halfOfTheLeastNormal
            found.withLock { $0.append(value) }
        }
        #expect(
            found.withLock { $0 } == [Float](repeating: .leastNormalMagnitude / 2, count: threads))
        #expect(Self.halfOfTheLeastNormal != 0)
    }

    @Test(
        "everybody sees what all others showed, however far apart they come",
        arguments: [2, 3, 8], [true, false])
    func meetings(threads: Int, spinning: Bool) throws {
        let rounds = 400
        try Team.run(World(threadsPerRank: threads), spinning: spinning) { communicator in
            let thread = communicator.thread
            let shown = communicator.buffer(of: Int.self, count: 4 * 16).pointer
            func show(_ meeting: Int) throws -> Fingerprint {
                let place = shown + meeting % 4 * 16
                place.pointee = meeting * threads + thread
                let fingerprint = Fingerprint(
                    step: meeting, layer: -1, kind: .barrier, length: 0)
                try communicator.showTeam(place, fingerprint)
                return fingerprint
            }
            func see(_ meeting: Int, _ fingerprint: Fingerprint) throws {
                try communicator.awaitTeam(fingerprint)
                for other in 0..<threads {
                    let address = try #require(communicator.address(ofThread: other))
                    #expect(address.load(as: Int.self) == meeting * threads + other)
                }
            }
            for round in 0..<rounds {
                if (round + thread * 3) % 17 == 0 { usleep(300) }
                // Two ahead, then both awaited; then one by itself.
                let first = try show(3 * round)
                let second = try show(3 * round + 1)
                #expect(!communicator.mayShowTeam)
                try see(3 * round, first)
                try see(3 * round + 1, second)
                try see(3 * round + 2, try show(3 * round + 2))
            }
        }
    }

    @Test("of threads that sleep as soon as they wait, and come at once, none is left asleep")
    func sleepers() {
        let come = Atomic<Int>(0)
        let ended = DispatchSemaphore(value: 0)
        let failures = Mutex<[String]>([])
        // On a thread of its own: one that is left asleep fails the test, and does not hang it.
        Thread.detachNewThread {
            do {
                try Team.run(World(threadsPerRank: 2), spinning: false) { communicator in
                    for round in 1...10_000 {
                        come.add(1, ordering: .sequentiallyConsistent)
                        var spins = 0
                        while come.load(ordering: .sequentiallyConsistent) < 2 * round {
                            spins += 1
                            // The other one may be waiting for this core.
                            if spins % 1000 == 0 { sched_yield() }
                        }
                        try communicator.teamBarrier()
                    }
                }
            } catch {
                failures.withLock { $0.append("\(error)") }
            }
            ended.signal()
        }
        #expect(ended.wait(timeout: .now() + 60) == .success)
        #expect(failures.withLock { $0 } == [])
    }
}
