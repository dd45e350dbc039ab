import CPlatform
import Glibc
import Synchronization

/// Where the threads of a team meet: all arrive before any goes on.
///
/// A waiting thread spins for a while (a sleep and wake-up costs about 27 µs, a step of a small
/// network 150 µs) and then blocks. A poisoned rendezvous lets everybody go with `peerFailed`.
final class Rendezvous: Sendable {
    private let threads: Int
    private let spins: Int
    private let arrived = Atomic<Int>(0)
    private let generation = Atomic<Int>(0)
    private let sleepers = Atomic<Int>(0)
    private let poisoned = Atomic<Bool>(false)
    private let bell: Bell

    /// - Parameter spinning: false where threads outnumber cores and a spinning thread would keep
    ///   the one it waits for from running.
    init(threads: Int, spinning: Bool) {
        self.threads = threads
        // About 100 µs: a pause takes some 10 to 40 ns.
        spins = spinning ? 5_000 : 0
        bell = Bell()
    }

    /// Whether some worker of the team has failed.
    var isPoisoned: Bool { poisoned.load(ordering: .relaxed) }

    /// Lets everybody go, now and ever after.
    func poison() {
        poisoned.store(true, ordering: .sequentiallyConsistent)
        bell.ring()
    }

    /// Waits until all threads have arrived; what they wrote before is then visible to all.
    func arrive() throws(CollectiveError) {
        if isPoisoned { throw .peerFailed }
        if threads == 1 { return }
        let current = generation.load(ordering: .relaxed)
        if arrived.add(1, ordering: .acquiringAndReleasing).newValue == threads {
            arrived.store(0, ordering: .relaxed)
            generation.store(current &+ 1, ordering: .sequentiallyConsistent)
            if sleepers.load(ordering: .sequentiallyConsistent) > 0 { bell.ring() }
            return
        }
        for _ in 0..<spins {
            if generation.load(ordering: .acquiring) != current { return }
            if isPoisoned { throw .peerFailed }
            bn_pause()
        }
        sleepers.add(1, ordering: .sequentiallyConsistent)
        bell.wait {
            generation.load(ordering: .sequentiallyConsistent) != current
                || poisoned.load(ordering: .sequentiallyConsistent)
        }
        sleepers.subtract(1, ordering: .sequentiallyConsistent)
        if generation.load(ordering: .acquiring) == current { throw .peerFailed }
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
