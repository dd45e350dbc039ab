#if MPI
    import Foundation
    package import MPICollectives

    /// Runs tests on the one thread that started MPI: @Test functions marked `@RankActor`.
    ///
    /// MPI_THREAD_FUNNELED wants every call from one thread, and neither the cooperative pool nor,
    /// on Linux, the main actor keeps to one.
    @globalActor package actor RankActor {
        package static let shared = RankActor()

        private let thread = RankThread()

        package nonisolated var unownedExecutor: UnownedSerialExecutor {
            thread.asUnownedSerialExecutor()
        }

        /// This process among the ranks that `runRankTests` started. MPI ends when the process does:
        /// mpirun takes an exit without MPI_Finalize for a crash.
        @RankActor package static let session: MPISession = {
            do {
                let session = try MPISession.start(environment: ProcessInfo.processInfo.environment)
                shared.thread.end = {
                    do { try session.finish(seconds: 10) } catch { session.abort(code: 71) }
                }
                atexit { RankActor.shared.thread.finish() }
                return session
            } catch {
                fatalError("\(error)")
            }
        }()
    }

    /// A thread that runs jobs in the order in which they come.
    ///
    /// Unchecked: `jobs`, `stopped` and `thread` are guarded by `condition`; `end` is set and called on this
    /// thread only.
    private final class RankThread: SerialExecutor, @unchecked Sendable {
        private let condition = NSCondition()
        private var jobs: [() -> Void] = []
        private var stopped = false

        private var thread = pthread_t()

        /// The last job.
        var end: () -> Void = {}

        init() {
            Thread { [unowned self] in work() }.start()
        }

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            add { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
        }

        /// Ends MPI on the thread that started it, and waits for that: at once where a test on this
        /// very thread has called `exit`.
        func finish() {
            if pthread_equal(pthread_self(), condition.withLock { thread }) != 0 { return end() }
            add {
                self.end()
                self.condition.withLock { self.stopped = true }
            }
            condition.withLock {
                while !stopped { condition.wait() }
            }
        }

        private func add(_ job: @escaping () -> Void) {
            condition.withLock {
                jobs.append(job)
                condition.broadcast()
            }
        }

        private func work() {
            condition.withLock { thread = pthread_self() }
            while true {
                condition.lock()
                while jobs.isEmpty { condition.wait() }
                let job = jobs.removeFirst()
                condition.unlock()
                job()
                condition.lock()
                condition.broadcast()
                condition.unlock()
            }
        }
    }
#endif
