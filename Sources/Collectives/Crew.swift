import Foundation

/// The threads that compute one worker's shards together, where there are more threads than shards.
///
/// Member 0 is the worker's own thread: it alone meets other workers, and decides what the others do
/// and when. The others wait for it between tasks.
package final class Crew: Sendable {
    /// Threads.
    package let members: Int

    private let rendezvous: Rendezvous
    /// The meeting at which the next task begins; member 0's.
    nonisolated(unsafe) private var next = 1

    /// It guards the failure.
    private let lock = NSLock()
    nonisolated(unsafe) private var failure: (member: Int, error: any Error)?

    init(members: Int, spinning: Bool) {
        self.members = members
        rendezvous = Rendezvous(threads: members, spinning: spinning)
    }

    /// A worker's thread by itself.
    package static func alone() -> Crew { Crew(members: 1, spinning: false) }

    /// All of `count` things, divided among the members: those of `member`.
    package func part(of count: Int, member: Int) -> Range<Int> {
        member * count / members..<(member + 1) * count / members
    }

    /// Prepares what all members will do at the same time, each its part; once, before the first step.
    ///
    /// - Parameter work: what member `member` does, on its thread.
    /// - Returns: what member 0 calls to have it done, by all: it throws what the first of the members
    ///   that failed threw.
    package func prepare(
        _ work: @escaping (_ member: Int) throws -> Void
    ) -> () throws -> Void {
        let task = Task(work)
        return { try self.run(task) }
    }

    private final class Task {
        let work: (_ member: Int) throws -> Void
        init(_ work: @escaping (_ member: Int) throws -> Void) { self.work = work }
    }

    private func run(_ task: Task) throws {
        guard members > 1 else { return try task.work(0) }
        let seat = rendezvous.seat(ofThread: 0)
        // A task is kept by who runs it.
        seat.card(ofThread: 0, at: next).pointee.address = UnsafeRawPointer(
            Unmanaged.passUnretained(task).toOpaque())
        try seat.arrive(at: next)
        seat.wakeSleepers(of: next)
        perform(task, member: 0)
        try seat.arrive(at: next + 1)
        try seat.wait(for: next + 1)
        next += 2
        if let failure = lock.withLock({ failure }) {
            lock.withLock { self.failure = nil }
            throw failure.error
        }
    }

    /// What members but the first do until they are dismissed.
    func serve(member: Int) {
        let seat = rendezvous.seat(ofThread: member)
        var meeting = 1
        do {
            while true {
                try seat.arrive(at: meeting)
                try seat.wait(for: meeting)
                guard let address = seat.card(ofThread: 0, at: meeting).pointee.address else {
                    return
                }
                let task = Unmanaged<Task>.fromOpaque(address)
                perform(task.takeUnretainedValue(), member: member)
                try seat.arrive(at: meeting + 1)
                seat.wakeSleepers(of: meeting + 1)
                meeting += 2
            }
        } catch {
            // Nobody poisons a crew: member 0 dismisses it.
        }
    }

    /// Lets the other members go; called by member 0, after its last task.
    func dismiss() {
        guard members > 1 else { return }
        let seat = rendezvous.seat(ofThread: 0)
        seat.card(ofThread: 0, at: next).pointee.address = nil
        do {
            try seat.arrive(at: next)
            seat.wakeSleepers(of: next)
        } catch {
            // Nobody poisons a crew.
        }
    }

    private func perform(_ task: Task, member: Int) {
        do {
            try task.work(member)
        } catch {
            lock.withLock {
                if failure.map({ member < $0.member }) ?? true { failure = (member, error) }
            }
        }
    }
}
