public import Collectives
import Glibc

#if MPI
    import CMPI
#endif

/// This process among the ranks of a job, from the start of MPI to its end.
///
/// Without a launcher nothing of MPI is started (finding out that one is alone takes MPI 0.1 s and
/// more), and the session is that of one rank. Confined to the thread that started it: worker 0.
public final class MPISession {
    /// This process, 0 ..< ranks.
    public let rank: Int

    /// Processes of the job.
    public let ranks: Int

    /// Processes of the job on this host.
    public let localRanks: Int

    /// Cores that the affinity masks of this host's ranks allow together; nil without MPI.
    public let localCores: Int?

    /// The name of this host, as the kernel has it.
    public let hostName: String

    /// Who started this process.
    public let launcher: LauncherEnvironment

    /// Whether messages between the ranks of this host are copied twice, because the system refuses
    /// to let one read the other's memory (process_vm_readv).
    public let copiesTwice: Bool

    /// Messages to the other ranks; nil without MPI.
    package let transport: (any RankTransport)?

    private var finished = false

    /// The tag of the session's own messages; MPI promises tags up to 32767 only.
    package static let tag: Int32 = 32_000

    private init(
        rank: Int, ranks: Int, localRanks: Int, localCores: Int?,
        launcher: LauncherEnvironment, transport: (any RankTransport)?, copiesTwice: Bool = false
    ) {
        self.copiesTwice = copiesTwice
        self.rank = rank
        self.ranks = ranks
        self.localRanks = localRanks
        self.localCores = localCores
        self.launcher = launcher
        self.transport = transport
        hostName = text(capacity: 256) { gethostname($0, Int($1) - 1) }
    }

    /// Starts MPI if a launcher started this process; else the session of a single rank.
    ///
    /// - Parameter environment: the process's environment.
    /// - Throws: where the launcher says several processes and MPI sees one: N runs of the whole
    ///   model would follow. All N throw; `LauncherEnvironment.rank` tells which may speak.
    public static func start(
        environment: [String: String]
    ) throws(MPISessionError) -> MPISession {
        let launcher = LauncherEnvironment.detect(environment: environment)
        let expected = launcher.leastProcesses
        #if MPI
            // Open MPI 4 ends a process that srun started without PMIx, with a page of its own text.
            if expected > 1, !launcher.hasProcessManager {
                throw .noProcessManager(launcher: launcher, expected: expected)
            }
            if launcher.kind != .none, launcher.hasProcessManager {
                return try start(launcher: launcher, expected: expected)
            }
        #else
            if expected > 1 { throw .builtWithoutMPI(launcher: launcher, expected: expected) }
        #endif
        return MPISession(
            rank: 0, ranks: 1, localRanks: 1, localCores: nil, launcher: launcher, transport: nil)
    }

    #if MPI
        private static func start(
            launcher: LauncherEnvironment, expected: Int
        ) throws(MPISessionError) -> MPISession {
            let canRead = bn_mpi_process_memory_can_be_read() == 1
            if !canRead { copyTwice() }
            var rank: Int32 = 0
            var ranks: Int32 = 1
            var localRanks: Int32 = 1
            var localCores: Int32 = 1
            var code = bn_mpi_start(&rank, &ranks)
            if code == 0 { code = bn_mpi_local_ranks(&localRanks, &localCores) }
            guard code == 0 else { throw .library(mpiErrorText(code)) }
            let library = libraryVersion ?? "MPI"
            if expected > 1, ranks == 1 {
                throw .separated(
                    launcher: launcher, library: library, expected: expected, actual: 1)
            }
            guard bn_mpi_threads_allowed() == 1 else { throw .threadsNotAllowed(library: library) }
            let transport = MPITransport(
                rank: Int(rank), ranks: Int(ranks), yieldsEarly: localRanks > localCores)
            return MPISession(
                rank: Int(rank), ranks: Int(ranks), localRanks: Int(localRanks),
                localCores: Int(localCores), launcher: launcher, transport: transport,
                copiesTwice: !canRead && localRanks > 1)
        }

        /// Lets Open MPI copy messages through shared memory, unless the user has chosen a way: version
        /// 4 finds out at every message that it may not read the other's memory, and prints a line
        /// (ompi #4948). 5 calls the choice smsc.
        private static func copyTwice() {
            setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0)
            setenv("OMPI_MCA_smsc", "^cma", 0)
        }
    #endif

    /// The MPI library's name and version ("Open MPI v4.1.4"), or nil in a build without MPI.
    public static var libraryVersion: String? {
        #if MPI
            let whole = text(capacity: 1024) { bn_mpi_library_version($0, $1) }
            return String(whole.prefix { $0 != "," && $0 != "\n" })
        #else
            return nil
        #endif
    }

    /// Says how many threads of this rank compete for its cores, so that a waiting rank gives its
    /// core up at once where ranks × threads on this host exceed the cores.
    public func share(coresWith threads: Int, atMost cores: Int = .max) {
        #if MPI
            guard let transport = transport as? MPITransport, let localCores else { return }
            transport.yieldsEarly = localRanks * threads > min(localCores, cores)
        #endif
    }

    /// Returns when every rank has called it.
    public func barrier(seconds: Double) throws(CollectiveError) {
        _ = try gather(record: [], seconds: seconds)
    }

    /// Every rank's record, in the order of ranks, on every rank. Records may differ in length.
    ///
    /// - Throws: `.timeout` naming the ranks whose record did not come within `seconds`.
    public func gather(record: [UInt8], seconds: Double) throws(CollectiveError) -> [[UInt8]] {
        guard let transport else { return [record] }
        return try transport.gather(record: record, tag: MPISession.tag, seconds: seconds)
    }

    /// Ends all ranks at once; mpirun returns `code`. The way out while other ranks wait for this
    /// one. What was printed before is written out first.
    public func abort(code: Int32) -> Never {
        fflush(nil)
        #if MPI
            if transport != nil, !finished { bn_mpi_abort(code) }
        #endif
        exit(code)
    }

    /// Waits for every rank, then ends MPI. Afterwards the ranks may exit with whatever code, which
    /// should be the same on all: mpirun ends the others as soon as one leaves with another than 0.
    /// A second call does nothing.
    ///
    /// - Throws: `.timeout` naming the ranks that did not come; MPI is then still running, and
    ///   `abort` is the way out.
    public func finish(seconds: Double = 60) throws(CollectiveError) {
        guard !finished else { return }
        #if MPI
            if transport != nil {
                try barrier(seconds: seconds)
                finished = true
                let code = bn_mpi_finalize()
                if code != 0 { throw .transport(mpiErrorText(code)) }
            }
        #endif
        finished = true
    }
}

/// The string that a C function writes into a buffer of `capacity` bytes.
func text(capacity: Int, _ write: (UnsafeMutablePointer<CChar>, Int32) -> Void) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { bytes in
        bytes.initialize(repeating: 0)
        guard let start = bytes.baseAddress else { return "" }
        write(start, Int32(capacity))
        return String(cString: start)
    }
}
