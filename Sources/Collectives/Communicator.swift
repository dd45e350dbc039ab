import Synchronization

/// Learns when a worker is inside a collective.
package protocol CollectiveTimer: AnyObject {
    /// A collective of this kind begins.
    func began(_ kind: Fingerprint.Kind)
    /// It has ended.
    func ended(_ kind: Fingerprint.Kind)
}

/// A worker's end of the world: its place, and how it meets the others.
///
/// Confined to its worker's thread. All workers must make the same collectives in the same order;
/// layers run in order and backward in reverse, so the order is fixed by construction.
public final class Communicator {
    /// Ranks, threads, and this rank.
    public let world: World

    /// The thread in the team, 0 ..< threadsPerRank.
    public let thread: Int

    /// The threads that compute this worker's shards.
    package let crew: Crew

    /// The optimizer step that fingerprints carry; set by the training loop.
    public var step = 0

    /// Called where a collective of this worker begins and where it ends; for profiles.
    package var collectiveTimer: (any CollectiveTimer)?

    /// Messages between ranks; only worker 0 of a rank has it.
    let exchange: RankExchange?

    private let otherRanks: [Int]
    private let table: TeamTable
    private let seat: Rendezvous.Seat
    /// Meetings of the team that this worker has arrived at, and those it has waited for.
    private var arrivals = 0
    private var meetings = 0
    private var kept: [AnyObject] = []

    init(
        world: World, thread: Int, crew: Crew = .alone(), table: TeamTable,
        exchange: RankExchange?
    ) {
        self.world = world
        self.crew = crew
        self.thread = thread
        otherRanks = (0..<world.ranks).filter { $0 != world.rank }
        self.table = table
        seat = table.rendezvous.seat(ofThread: thread)
        self.exchange = exchange
    }

    /// The one worker of a world of its own, beside the one whose thread it is on.
    package static func alone() -> Communicator {
        Communicator(
            world: World(), thread: 0, table: TeamTable(threads: 1, spinning: false), exchange: nil)
    }

    /// The worker's index in the world.
    public var worker: Int { world.rank * world.threadsPerRank + thread }

    /// Rank 0's worker 0, which speaks for all.
    public var isSpeaker: Bool { worker == 0 }

    /// Zeroed memory that team-mates may read in collectives; it lives as long as the team.
    package func buffer<Element>(of type: Element.Type, count: Int) -> MessageBuffer<Element> {
        let buffer = MessageBuffer<Element>(count: count)
        kept.append(buffer)
        return buffer
    }

    /// Keeps `object`, whose memory team-mates may read, for as long as the team lives: a worker
    /// that fails and leaves pulls no memory from under another.
    package func keep(_ object: AnyObject) { kept.append(object) }

    /// Lets go of what was kept; after all threads have ended.
    func releaseKept() { kept.removeAll() }

    /// Meets all workers of the world; nothing is exchanged.
    public func barrier() throws(CollectiveError) {
        try barrier(with: otherRanks)
    }

    /// Meets all workers of this rank and of `peers`, who all call it alike; nothing is exchanged. What
    /// each wrote before, also to memory that the ranks share, is then there for all.
    package func barrier(with peers: [Int]) throws(CollectiveError) {
        let fingerprint = Fingerprint(step: step, layer: -1, kind: .barrier, length: 0)
        try meetTeam(nil, fingerprint)
        guard !peers.isEmpty else { return }
        if let exchange {
            // Messages order what ranks read and write only by what the library does for them.
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            try exchange.open(fingerprint, with: peers)
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        }
        try meetTeam(nil, fingerprint)
    }

    /// Meets the workers of this rank; nothing is exchanged.
    package func teamBarrier() throws(CollectiveError) {
        try meetTeam(nil, Fingerprint(step: step, layer: -1, kind: .barrier, length: 0))
    }

    /// Shows `address` to the team and waits for all of it. What each worker wrote before is then
    /// visible to all, and `address(ofThread:)` gives theirs until the next meeting but one.
    ///
    /// - Throws: `.peerFailed`; `.mismatch` where two workers met in different collectives.
    package func meetTeam(
        _ address: UnsafeRawPointer?, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        precondition(arrivals == meetings, "what was started is finished first")
        try arrive(address, fingerprint)
        try awaitTeam(fingerprint)
    }

    /// The first half of `meetTeam`, which waits for nobody. Others read what `address` shows until
    /// they arrive at a meeting that comes after the second half, `awaitTeam`. All workers of the rank
    /// take the halves in the same order.
    package func showTeam(
        _ address: UnsafeRawPointer?, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        precondition(mayShowTeam, "a worker is not that far ahead")
        try arrive(address, fingerprint)
        if world.threadsPerRank > 1 { seat.wakeSleepers(of: arrivals) }
    }

    private func arrive(
        _ address: UnsafeRawPointer?, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        guard world.threadsPerRank > 1 else {
            if seat.isPoisoned { throw .peerFailed }
            seat.card(ofThread: 0, at: 0).pointee.address = address
            return
        }
        arrivals += 1
        let card = seat.card(ofThread: thread, at: arrivals)
        card.pointee.address = address
        card.pointee.fingerprint = fingerprint
        try seat.arrive(at: arrivals)
    }

    /// Whether `showTeam` may come before what was shown is awaited. Among several ranks a collective
    /// is more than one meeting, and takes them one after the other.
    package var mayShowTeam: Bool {
        arrivals - meetings < (world.ranks > 1 ? 1 : Rendezvous.mostAhead)
    }

    /// The second half of `meetTeam`.
    package func awaitTeam(_ fingerprint: Fingerprint) throws(CollectiveError) {
        guard world.threadsPerRank > 1 else { return }
        meetings += 1
        try seat.wait(for: meetings)
        let first = seat.card(ofThread: 0, at: meetings).pointee.fingerprint
        if first != fingerprint {
            throw .mismatch(
                here: worker, mine: fingerprint, there: worker - thread, theirs: first)
        }
    }

    /// What worker `thread` of this rank showed at the last meeting.
    @inline(__always)
    package func address(ofThread thread: Int) -> UnsafeRawPointer? {
        seat.card(ofThread: thread, at: meetings).pointee.address
    }
}
