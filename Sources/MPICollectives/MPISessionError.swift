/// Why ranks could not be brought together at the start.
public enum MPISessionError: Error, Equatable, Sendable {
    /// The launcher says `expected` processes, and MPI sees only `actual`.
    case separated(launcher: LauncherEnvironment, library: String, expected: Int, actual: Int)

    /// The launcher started `expected` processes and gave them no way to find one another.
    case noProcessManager(launcher: LauncherEnvironment, expected: Int)

    /// Several processes, of a program that was built without MPI.
    case builtWithoutMPI(launcher: LauncherEnvironment, expected: Int)

    /// MPI does not grant MPI_THREAD_FUNNELED.
    case threadsNotAllowed(library: String)

    /// An MPI function failed during the start.
    case library(String)
}

extension MPISessionError: CustomStringConvertible {
    /// One line: what happened, and what to do.
    public var description: String {
        let remedy = "use Open MPI's mpirun, or srun --mpi=pmix"
        switch self {
        case .separated(let launcher, let library, let expected, let actual):
            return "started by \(launcher.name) with \(expected) processes, but \(library) sees "
                + "\(actual): they would train \(expected) separate models; \(remedy)"
        case .noProcessManager(let launcher, let expected):
            return "started by \(launcher.name) with \(expected) processes, but without PMIx, so "
                + "that they cannot find one another; \(remedy)"
        case .builtWithoutMPI(let launcher, let expected):
            return "started by \(launcher.name) with \(expected) processes, but this bn-train was "
                + "built without MPI; run launch/setup to rebuild it with Open MPI, or use "
                + "--threads instead of ranks"
        case .threadsNotAllowed(let library):
            return "\(library) does not grant MPI_THREAD_FUNNELED, which workers beside the MPI "
                + "thread need; install an Open MPI built with threads (Debian's is)"
        case .library(let text):
            return "MPI did not start: \(text); check that mpirun and libmpi are of one version "
                + "(bn-train doctor)"
        }
    }
}
