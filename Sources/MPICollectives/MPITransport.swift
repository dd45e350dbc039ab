#if MPI
    import CMPI
    package import Collectives
    import Glibc

    /// Messages between ranks over Open MPI: MPI_Isend, MPI_Irecv and MPI_Testall.
    ///
    /// Confined to the thread that started MPI (MPI_THREAD_FUNNELED). A call never blocks inside the
    /// library, which knows no deadline: `wait` tests, and between tests looks at the clock and at
    /// `interrupted`. After `.timeout` or `.peerFailed` the messages stay under way: the job is about
    /// to be aborted, and a further `wait` goes on with them.
    package final class MPITransport: RankTransport {
        package let rank: Int
        package let ranks: Int

        /// True where waiting ranks must make room for working ones: they have more threads than
        /// cores. Each test is then followed by `sched_yield`.
        package var yieldsEarly: Bool

        /// Longer messages travel as several, because MPI counts in int.
        private let chunkBytes: Int
        private let requests: OpaquePointer

        /// How long a wait tests without pause where every thread has a core. Two ranks in step meet
        /// within a few µs; past this the peer is computing, and the core may be wanted elsewhere.
        private static let busyNanoseconds: UInt64 = 100_000

        /// Tests before the first `sched_yield` of a rank that shares its core. Measured with 4 ranks
        /// on 2 cores, 10 exchanges a step and 163 µs of work a rank: 590 µs a step; 630 with 1,
        /// 720 with 128, 960 with 512, and 2 980 with the 100 µs above.
        private static let testsBeforeEarlyYield = 8

        package init(
            rank: Int, ranks: Int, yieldsEarly: Bool, chunkBytes: Int = 1 << 30
        ) {
            precondition(chunkBytes > 0 && chunkBytes % 8 == 0, "chunks hold whole Float64 values")
            // A collective has a send and a receive per peer under way, a header and a payload each.
            guard let table = bn_mpi_requests_create(Int32(clamping: 4 * ranks + 64)) else {
                fatalError("no memory for \(ranks) ranks' requests")
            }
            self.rank = rank
            self.ranks = ranks
            self.yieldsEarly = yieldsEarly
            self.chunkBytes = chunkBytes
            requests = table
        }

        deinit { bn_mpi_requests_free(requests) }

        package func send(
            _ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int32
        ) throws(CollectiveError) {
            var offset = 0
            repeat {
                let count = min(chunkBytes, bytes.count - offset)
                let code = bn_mpi_send(
                    requests, bytes.baseAddress.map { $0 + offset }, Int64(count), Int32(rank), tag)
                try check(code, peer: rank)
                offset += count
            } while offset < bytes.count
        }

        package func receive(
            into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int32
        ) throws(CollectiveError) {
            var offset = 0
            repeat {
                let count = min(chunkBytes, bytes.count - offset)
                let code = bn_mpi_receive(
                    requests, bytes.baseAddress.map { $0 + offset }, Int64(count), Int32(rank), tag)
                try check(code, peer: rank)
                offset += count
            } while offset < bytes.count
        }

        package func isComplete() throws(CollectiveError) -> Bool {
            // MPI may have ended where nothing is under way.
            if bn_mpi_requests_count(requests) == 0 { return true }
            var done: Int32 = 0
            var peer: Int32 = -1
            let code = bn_mpi_test(requests, &done, &peer)
            try check(code, peer: Int(peer))
            return done != 0
        }

        package func beside() -> any RankTransport {
            MPITransport(
                rank: rank, ranks: ranks, yieldsEarly: yieldsEarly, chunkBytes: chunkBytes)
        }

        package func wait(seconds: Double, interrupted: () -> Bool) throws(CollectiveError) {
            var tests = 0
            var last: UInt64 = 0
            var elapsed: UInt64 = 0
            let limit = UInt64(max(0, min(seconds, 1e9)) * 1e9)
            while true {
                var done: Int32 = 0
                var peer: Int32 = -1
                let code = bn_mpi_test(requests, &done, &peer)
                try check(code, peer: Int(peer))
                if done != 0 { return }
                tests += 1
                let yields =
                    yieldsEarly
                    ? tests >= MPITransport.testsBeforeEarlyYield
                    : elapsed > MPITransport.busyNanoseconds
                if yields { sched_yield() }
                // Eight tests take about 1 µs; a yield can take a time slice of milliseconds.
                guard yields || tests & 7 == 0 else { continue }
                if interrupted() { throw .peerFailed }
                let now = monotonicNanoseconds()
                // A gap of more than a second is this process's own: it was stopped, or its machine
                // slept. When it goes on, it must not blame its peers.
                if last != 0 { elapsed += min(now - last, 1_000_000_000) }
                last = now
                if elapsed > limit {
                    throw .timeout(waitingFor: waitedFor(), seconds: seconds, at: nil)
                }
            }
        }

        package func sum(
            _ values: UnsafeMutableBufferPointer<Double>, seconds: Double, interrupted: () -> Bool
        ) throws(CollectiveError) {
            var offset = 0
            while offset < values.count {
                let count = min(chunkBytes / MemoryLayout<Double>.stride, values.count - offset)
                let code = bn_mpi_sum_doubles(
                    requests, values.baseAddress.map { $0 + offset }, Int64(count))
                try check(code, peer: -1)
                offset += count
            }
            try wait(seconds: seconds, interrupted: interrupted)
        }

        package func sum(
            _ values: UnsafeMutableBufferPointer<Float>, seconds: Double, interrupted: () -> Bool
        ) throws(CollectiveError) {
            var offset = 0
            while offset < values.count {
                let count = min(chunkBytes / MemoryLayout<Float>.stride, values.count - offset)
                let code = bn_mpi_sum_floats(
                    requests, values.baseAddress.map { $0 + offset }, Int64(count))
                try check(code, peer: -1)
                offset += count
            }
            try wait(seconds: seconds, interrupted: interrupted)
        }

        /// The ranks that messages still wait for, ascending. A sum does not know which rank is
        /// missing: it adds none.
        private func waitedFor() -> [Int] {
            var late: Set<Int> = []
            for index in 0..<bn_mpi_requests_count(requests) {
                let peer = Int(bn_mpi_waits_for(requests, index))
                if peer >= 0 { late.insert(peer) }
            }
            return late.sorted()
        }

        private func check(_ code: Int32, peer: Int) throws(CollectiveError) {
            guard code != 0 else { return }
            let text = mpiErrorText(code)
            throw .transport(peer < 0 ? text : "\(text) (message with rank \(peer))")
        }
    }

    /// Nanoseconds of a clock that nobody sets.
    @inline(__always)
    private func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// What MPI says about an error code.
    func mpiErrorText(_ code: Int32) -> String {
        text(capacity: 512) { bn_mpi_error_text(code, $0, $1) }
    }
#endif
