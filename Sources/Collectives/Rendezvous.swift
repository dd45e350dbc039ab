import CPlatform
import Glibc
import Synchronization

/// Where the threads of a team meet: each arrives and shows a card, and reads the others' cards
/// when all have arrived. Between the two it may compute, and arrive at the next meeting.
///
/// A card is one cache line with the number of its meeting: who sees the number has the rest too,
/// and nobody writes what another one writes. A waiting thread spins for a while (a sleep and
/// wake-up costs about 27 µs, a step of a small network 150 µs) and then blocks. A poisoned
/// rendezvous lets everybody go with `peerFailed`.
final class Rendezvous: Sendable {
    /// What a thread shows its team-mates.
    struct Card: ~Copyable {
        var address: UnsafeRawPointer?
        var fingerprint = Fingerprint(step: 0, layer: -1, kind: .barrier, length: 0)
        /// The meeting at which it is shown, from 1; written last.
        fileprivate let meeting = Atomic<Int>(0)
    }

    /// Meetings that a thread may have arrived at and not waited for.
    static let mostAhead = 2

    /// Cards of a thread, in turn: while it is ahead, others may still read those of the meetings
    /// before.
    private static let cardsPerThread = 2 * mostAhead

    /// Cards are two cache lines apart: processors fetch lines in pairs.
    private static let cardBytes = 128

    private let threads: Int
    private let spins: Int
    private let bell: Bell

    // A card is written by its thread before its number, and read by others after it.
    nonisolated(unsafe) private let cards: UnsafeMutableRawPointer
    nonisolated(unsafe) private let state: UnsafeMutablePointer<State>

    /// What all threads of the team look at while nobody sleeps or fails.
    fileprivate struct State: ~Copyable {
        let sleepers = Atomic<Int>(0)
        let isPoisoned = Atomic<Bool>(false)
    }

    /// - Parameter spinning: false where threads outnumber cores and a spinning thread would keep
    ///   the one it waits for from running.
    init(threads: Int, spinning: Bool) {
        self.threads = threads
        // About 100 µs: a pause takes some 10 to 40 ns.
        spins = spinning ? 5_000 : 0
        bell = Bell()
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        let count = threads * Self.cardsPerThread
        cards = .allocate(byteCount: count * Self.cardBytes, alignment: Self.cardBytes)
        for index in 0..<count {
            (cards + index * Self.cardBytes).bindMemory(to: Card.self, capacity: 1)
                .initialize(to: Card())
        }
    }

    deinit {
        for index in 0..<threads * Self.cardsPerThread {
            (cards + index * Self.cardBytes).assumingMemoryBound(to: Card.self)
                .deinitialize(count: 1)
        }
        cards.deallocate()
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Thread `thread`'s place; good for as long as the rendezvous lives.
    func seat(ofThread thread: Int) -> Seat {
        Seat(
            thread: thread, threads: threads, spins: spins, cards: cards, state: state,
            bell: .passUnretained(bell))
    }

    /// Whether some worker of the team has failed.
    var isPoisoned: Bool { state.pointee.isPoisoned.load(ordering: .relaxed) }

    /// Lets everybody go, now and ever after.
    func poison() {
        state.pointee.isPoisoned.store(true, ordering: .sequentiallyConsistent)
        bell.ring()
    }

    /// A thread's place at the rendezvous, from which it meets the others.
    ///
    /// It points at what they share. Counting references to that would have all threads write one
    /// cache line several times a meeting.
    struct Seat {
        fileprivate let thread: Int
        fileprivate let threads: Int
        fileprivate let spins: Int
        fileprivate let cards: UnsafeMutableRawPointer
        fileprivate let state: UnsafeMutablePointer<State>
        fileprivate let bell: Unmanaged<Bell>

        /// What thread `thread` shows at `meeting`, which the caller has waited for; its own from
        /// before it arrives.
        @inline(__always)
        func card(ofThread thread: Int, at meeting: Int) -> UnsafeMutablePointer<Card> {
            let index = thread &* cardsPerThread &+ meeting % cardsPerThread
            return (cards + index &* cardBytes).assumingMemoryBound(to: Card.self)
        }

        /// Whether some worker of the team has failed.
        var isPoisoned: Bool { state.pointee.isPoisoned.load(ordering: .relaxed) }

        /// Arrives at `meeting` and shows its card. What the thread wrote before is visible to all
        /// who have waited for the meeting; who does not `wait` at once has to `wakeSleepers`.
        func arrive(at meeting: Int) throws(CollectiveError) {
            if isPoisoned { throw .peerFailed }
            card(ofThread: thread, at: meeting).pointee.meeting.store(meeting, ordering: .releasing)
        }

        /// Wakes those who sleep until `meeting`, if the caller was the last to arrive.
        ///
        /// A sleeper counts itself, then looks at all numbers; here the number is written, then
        /// sleepers are counted, and the fence keeps it so: one of the two sees the other.
        func wakeSleepers(of meeting: Int) {
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            if state.pointee.sleepers.load(ordering: .relaxed) > 0, haveAllArrived(at: meeting) {
                bell.takeUnretainedValue().ring()
            }
        }

        /// Waits until all threads have arrived at `meeting`, the caller too.
        ///
        /// The fence comes last: the caller's own line travels while it reads the others'.
        func wait(for meeting: Int) throws(CollectiveError) {
            var spins = spins
            for thread in 0..<threads {
                let card = card(ofThread: thread, at: meeting)
                while card.pointee.meeting.load(ordering: .acquiring) != meeting {
                    if isPoisoned { throw .peerFailed }
                    guard spins > 0 else { return try sleep(until: meeting) }
                    spins -= 1
                    bn_pause()
                }
            }
            wakeSleepers(of: meeting)
        }

        private func sleep(until meeting: Int) throws(CollectiveError) {
            state.pointee.sleepers.add(1, ordering: .sequentiallyConsistent)
            // Of those who arrive last and go to sleep without having seen each other, the last to
            // be counted sees all.
            if haveAllArrived(at: meeting) { bell.takeUnretainedValue().ring() }
            bell.takeUnretainedValue().wait {
                haveAllArrived(at: meeting)
                    || state.pointee.isPoisoned.load(ordering: .sequentiallyConsistent)
            }
            state.pointee.sleepers.subtract(1, ordering: .sequentiallyConsistent)
            if !haveAllArrived(at: meeting) { throw .peerFailed }
        }

        private func haveAllArrived(at meeting: Int) -> Bool {
            (0..<threads).allSatisfy {
                card(ofThread: $0, at: meeting).pointee.meeting.load(
                    ordering: .sequentiallyConsistent) == meeting
            }
        }
    }
}

/// A condition variable with its mutex: made to be shared, at fixed addresses for the life of the
/// object.
private final class Bell: Sendable {
    nonisolated(unsafe) private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(
        capacity: 1)
    nonisolated(unsafe) private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(
        capacity: 1)

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func wait(until done: () -> Bool) {
        pthread_mutex_lock(mutex)
        while !done() { pthread_cond_wait(condition, mutex) }
        pthread_mutex_unlock(mutex)
    }

    func ring() {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }
}
