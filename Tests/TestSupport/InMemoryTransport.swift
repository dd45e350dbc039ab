package import Collectives
import Foundation

/// The messages of several ranks inside one process: each rank is a thread, a message a copied
/// array. Lets every route between ranks be tested without MPI.
package final class InMemoryNetwork: Sendable {
    package let ranks: Int

    // Guarded by `condition`.
    nonisolated(unsafe) private var boxes: [Address: [[UInt8]]] = [:]
    nonisolated(unsafe) private var sums: [Int: (values: [Double], arrived: Int, left: Int)] = [:]
    private let condition = NSCondition()

    private struct Address: Hashable {
        let from: Int
        let to: Int
        let tag: Int32
    }

    package init(ranks: Int) { self.ranks = ranks }

    package func transport(rank: Int) -> any RankTransport { Transport(self, rank: rank) }

    private func put(_ bytes: [UInt8], from: Int, to: Int, tag: Int32) {
        condition.withLock {
            boxes[Address(from: from, to: to, tag: tag), default: []].append(bytes)
            condition.broadcast()
        }
    }

    private func take(from: Int, to: Int, tag: Int32) -> [UInt8]? {
        condition.withLock {
            let address = Address(from: from, to: to, tag: tag)
            guard let first = boxes[address]?.first else { return nil }
            boxes[address]?.removeFirst()
            return first
        }
    }

    /// Adds in the order of arrival, as a library may.
    private func sum(_ values: [Double], round: Int) -> [Double] {
        condition.lock()
        defer { condition.unlock() }
        var entry = sums[round] ?? (Array(repeating: 0, count: values.count), 0, 0)
        entry.values = zip(entry.values, values).map(+)
        entry.arrived += 1
        sums[round] = entry
        condition.broadcast()
        while sums[round]?.arrived != ranks { condition.wait() }
        let result = sums[round]?.values ?? []
        sums[round]?.left += 1
        return result
    }

    private final class Transport: RankTransport {
        let network: InMemoryNetwork
        let rank: Int
        var ranks: Int { network.ranks }
        private var pending: [(into: UnsafeMutableRawBufferPointer, from: Int, tag: Int32)] = []
        private var rounds = 0

        init(_ network: InMemoryNetwork, rank: Int) {
            self.network = network
            self.rank = rank
        }

        func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int32) {
            network.put(Array(bytes), from: self.rank, to: rank, tag: tag)
        }

        func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int32) {
            pending.append((bytes, rank, tag))
        }

        func beside() -> any RankTransport { Transport(network, rank: rank) }

        func isComplete() throws(CollectiveError) -> Bool {
            var still: [(into: UnsafeMutableRawBufferPointer, from: Int, tag: Int32)] = []
            for (into, from, tag) in pending {
                let blocked = still.contains { $0.from == from && $0.tag == tag }
                if !blocked, let bytes = network.take(from: from, to: rank, tag: tag) {
                    guard bytes.count == into.count else {
                        throw .transport("expected \(into.count) bytes, got \(bytes.count)")
                    }
                    into.copyBytes(from: bytes)
                } else {
                    still.append((into, from, tag))
                }
            }
            pending = still
            return pending.isEmpty
        }

        func wait(seconds: Double, interrupted: () -> Bool) throws(CollectiveError) {
            let start = ContinuousClock.now
            while !(try isComplete()) {
                if interrupted() { throw .peerFailed }
                if ContinuousClock.now - start > .seconds(seconds) {
                    throw .timeout(
                        waitingFor: Set(pending.map(\.from)).sorted(), seconds: seconds, at: nil)
                }
                usleep(20)
            }
        }

        func sum(
            _ values: UnsafeMutableBufferPointer<Double>, seconds: Double,
            interrupted: () -> Bool
        ) {
            rounds += 1
            let total = network.sum(Array(values), round: rounds)
            for i in values.indices { values[i] = total[i] }
        }

        func sum(
            _ values: UnsafeMutableBufferPointer<Float>, seconds: Double,
            interrupted: () -> Bool
        ) {
            rounds += 1
            let total = network.sum(values.map(Double.init), round: rounds)
            for i in values.indices { values[i] = Float(total[i]) }
        }
    }
}

/// Runs `body` on every worker of a world of `ranks` × `threads` in this process, and returns what
/// each rank's worker 0 returned, or threw.
package func runWorld<Result: Sendable>(
    ranks: Int, threads: Int, arithmetic: World.Arithmetic = .tree, timeout: Double = 20,
    _ body: @escaping @Sendable (Communicator) throws -> Result
) -> [Swift.Result<Result, WorkerFailure>] {
    let network = InMemoryNetwork(ranks: ranks)
    let results = ResultTable<Swift.Result<Result, WorkerFailure>>(count: ranks)
    let finished = DispatchGroup()
    for rank in 0..<ranks {
        finished.enter()
        Thread.detachNewThread {
            let world = World(
                ranks: ranks, threadsPerRank: threads, rank: rank, arithmetic: arithmetic)
            let transport = ranks > 1 ? network.transport(rank: rank) : nil
            do throws(WorkerFailure) {
                results.set(
                    rank,
                    .success(
                        try Team.run(
                            world, transport: transport, timeout: timeout, spinning: false, body)
                    ))
            } catch {
                results.set(rank, .failure(error))
            }
            finished.leave()
        }
    }
    finished.wait()
    return results.values
}

/// One result a rank, filled from several threads.
private final class ResultTable<Value: Sendable>: Sendable {
    private let lock = NSLock()
    nonisolated(unsafe) private var slots: [Value?]

    init(count: Int) { slots = Array(repeating: nil, count: count) }

    func set(_ index: Int, _ value: Value) { lock.withLock { slots[index] = value } }

    var values: [Value] { lock.withLock { slots.compactMap { $0 } } }
}

/// Worlds that every promise is tested in: one worker, threads, ranks, both, and uneven ones.
package let testWorlds: [(ranks: Int, threads: Int)] = [
    (1, 1), (1, 2), (1, 3), (1, 4), (1, 7), (1, 8), (2, 1), (3, 1), (4, 1), (5, 1), (2, 2), (2, 3),
    (3, 2),
]

/// Runs `body` for every rank at once, each on a thread of its own, and returns their results.
package func runRanks<Result: Sendable>(
    _ ranks: Int, _ body: @escaping @Sendable (Int) throws -> Result
) throws -> [Result] {
    let results = ResultTable<Swift.Result<Result, any Error>>(count: ranks)
    let finished = DispatchGroup()
    for rank in 0..<ranks {
        finished.enter()
        Thread.detachNewThread {
            results.set(rank, Swift.Result { try body(rank) })
            finished.leave()
        }
    }
    finished.wait()
    return try results.values.map { try $0.get() }
}
