import Dispatch
import Foundation

/// The first error of a team, and who had it.
public struct WorkerFailure: Error {
    /// The worker's index in the world.
    public let worker: Int

    /// What it threw.
    public let error: any Error
}

/// The workers of one rank: threads that compute side by side and meet in collectives.
///
/// Worker 0 runs on the calling thread (under MPI the one that initialised it, and the only one
/// that sends messages). Every other worker is one block on its own serial Dispatch queue: a
/// queue's successive blocks may run on different threads, and MPI's must be one.
public enum Team {
    /// Dispatch runs at most 255 blocked queues; a rank of more threads would hang.
    public static let mostThreads = 250

    /// Runs `body` once on each of `threads` workers of this process, and returns worker 0's result.
    ///
    /// - Throws: `WorkerFailure` with the first error of the team.
    public static func run<Result>(
        threads: Int, _ body: @escaping @Sendable (Communicator) throws -> Result
    ) throws(WorkerFailure) -> Result {
        try run(World(threadsPerRank: threads), body)
    }

    /// Runs `body` once on each worker of this rank, and returns worker 0's result.
    ///
    /// - Parameters:
    ///   - world: ranks, threads and this rank.
    ///   - transport: messages between ranks; needed when there is more than one.
    ///   - timeout: seconds after which a silent rank counts as lost.
    ///   - spinning: whether a waiting thread may keep its core busy; give false where threads
    ///     outnumber the cores.
    /// - Throws: `WorkerFailure` with the first error of the team that is not `peerFailed`. A
    ///   worker's error poisons the rendezvous, so that the others leave their next collective
    ///   with `peerFailed` instead of waiting for it.
    package static func run<Result>(
        _ world: World, transport: (any RankTransport)? = nil, timeout: Double = 300,
        spinning: Bool = true, _ body: @escaping @Sendable (Communicator) throws -> Result
    ) throws(WorkerFailure) -> Result {
        precondition(
            world.computingThreadsPerRank <= mostThreads, "too many threads for one rank")
        precondition(world.ranks == 1 || transport != nil, "ranks need a transport")
        let table = TeamTable(threads: world.threadsPerRank, spinning: spinning)
        let group = DispatchGroup()
        let first = world.rank * world.threadsPerRank
        let crews = (0..<world.threadsPerRank).map { thread in
            let crew = Crew(members: world.members(ofThread: thread), spinning: spinning)
            for member in 1..<max(crew.members, 1) {
                DispatchQueue(label: "bn-train.worker-\(first + thread)-\(member)")
                    .async(group: group) { crew.serve(member: member) }
            }
            return crew
        }
        for thread in 1..<max(world.threadsPerRank, 1) {
            let queue = DispatchQueue(label: "bn-train.worker-\(first + thread)")
            queue.async(group: group) {
                let crew = crews[thread]
                defer { crew.dismiss() }
                let communicator = Communicator(
                    world: world, thread: thread, crew: crew, table: table, exchange: nil)
                table.keep(communicator, thread: thread)
                do {
                    _ = try body(communicator)
                } catch {
                    table.fail(worker: first + thread, error)
                }
            }
        }
        let exchange = transport.map {
            RankExchange(transport: $0, timeout: timeout) { table.rendezvous.isPoisoned }
        }
        let communicator = Communicator(
            world: world, thread: 0, crew: crews[0], table: table, exchange: exchange)
        table.keep(communicator, thread: 0)
        var result: Result?
        do {
            result = try body(communicator)
        } catch {
            table.fail(worker: first, error)
        }
        crews[0].dismiss()
        group.wait()
        table.release()
        if let failure = table.failure { throw failure }
        guard let result else { preconditionFailure("a worker without a result has failed") }
        return result
    }
}

/// What the workers of a team share: the rendezvous, and the first failure.
final class TeamTable: Sendable {
    let rendezvous: Rendezvous
    let threads: Int

    // Set once by each thread before it computes, released when the team is over: a communicator
    // owns memory that team-mates read, and must outlive its worker's failure.
    nonisolated(unsafe) private let communicators: UnsafeMutablePointer<Communicator?>

    /// No `Mutex`, which ThreadSanitizer does not see; it guards the failure.
    private let lock = NSLock()
    nonisolated(unsafe) private var firstFailure: WorkerFailure?

    init(threads: Int, spinning: Bool) {
        self.threads = threads
        rendezvous = Rendezvous(threads: threads, spinning: spinning)
        communicators = .allocate(capacity: threads)
        communicators.initialize(repeating: nil, count: threads)
    }

    deinit {
        communicators.deinitialize(count: threads)
        communicators.deallocate()
    }

    func keep(_ communicator: Communicator, thread: Int) {
        communicators[thread] = communicator
    }

    /// Lets go of the communicators, which hold this table; after all threads have ended.
    func release() {
        for thread in 0..<threads { communicators[thread]?.releaseKept() }
        communicators.update(repeating: nil, count: threads)
    }

    func fail(worker: Int, _ error: any Error) {
        lock.withLock {
            let isEcho = (error as? CollectiveError) == .peerFailed
            let firstIsEcho = (firstFailure?.error as? CollectiveError) == .peerFailed
            if firstFailure == nil || (firstIsEcho && !isEcho) {
                firstFailure = WorkerFailure(worker: worker, error: error)
            }
        }
        rendezvous.poison()
    }

    var failure: WorkerFailure? { lock.withLock { firstFailure } }
}
