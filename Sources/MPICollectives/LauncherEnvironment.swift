/// Who started this process, and as how many, judged by environment variables alone.
///
/// MPI itself cannot tell: a program of one MPI started by the launcher of another finds itself
/// alone, and N such processes would each train the whole model.
public struct LauncherEnvironment: Equatable, Sendable {
    /// The programs that start ranks.
    public enum Kind: Equatable, Sendable {
        /// Nobody: a plain start.
        case none
        /// Open MPI's mpirun.
        case openMPI
        /// A PMIx server that is none of the others (prun).
        case pmix
        /// MPICH's, Intel MPI's or MVAPICH's mpiexec.
        case hydra
        /// srun.
        case slurm
        /// Cray's mpiexec or aprun.
        case pals
    }

    /// The launcher.
    public let kind: Kind

    /// The number of processes it started; nil where it does not say.
    public let processes: Int?

    /// As far as can be told, this many: PMIx gives a rank but no size.
    var leastProcesses: Int { max(processes ?? 1, (rank ?? 0) + 1) }

    /// This process among them; nil where it does not say.
    public let rank: Int?

    /// True where the launcher left the address of a server through which processes meet. srun
    /// without `--mpi` does not.
    public let hasProcessManager: Bool

    /// Reads the variables that launchers set.
    ///
    /// The order matters: mpirun and mpiexec inside a Slurm job see Slurm's variables beside their
    /// own, and srun sets PMI's. The script of a Slurm batch job is not a rank, although it sees the
    /// job's task count: only a job *step* is.
    public static func detect(environment: [String: String]) -> LauncherEnvironment {
        func number(_ names: String...) -> Int? {
            for name in names {
                if let value = environment[name].flatMap({ Int($0) }) { return value }
            }
            return nil
        }
        func has(_ names: String...) -> Bool { names.contains { environment[$0] != nil } }
        let managed = has("PMIX_RANK", "PMIX_NAMESPACE", "PMI_RANK", "PMI_FD", "PMI_PORT")

        if has("OMPI_COMM_WORLD_SIZE") {
            return LauncherEnvironment(
                kind: .openMPI, processes: number("OMPI_COMM_WORLD_SIZE"),
                rank: number("OMPI_COMM_WORLD_RANK"), hasProcessManager: true)
        }
        if has("MPI_LOCALNRANKS") {
            return LauncherEnvironment(
                kind: .hydra, processes: number("PMI_SIZE", "MPI_LOCALNRANKS"),
                rank: number("PMI_RANK"), hasProcessManager: true)
        }
        if has("PALS_RANKID", "ALPS_APP_PE") {
            return LauncherEnvironment(
                kind: .pals, processes: number("PMI_SIZE"),
                rank: number("PALS_RANKID", "ALPS_APP_PE"), hasProcessManager: true)
        }
        if isSlurmStep(environment) {
            return LauncherEnvironment(
                kind: .slurm, processes: number("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
                rank: number("SLURM_PROCID"), hasProcessManager: managed)
        }
        if has("PMI_SIZE") {
            return LauncherEnvironment(
                kind: .hydra, processes: number("PMI_SIZE"), rank: number("PMI_RANK"),
                hasProcessManager: true)
        }
        if has("PMIX_RANK", "PMIX_NAMESPACE") {
            return LauncherEnvironment(
                kind: .pmix, processes: nil, rank: number("PMIX_RANK"), hasProcessManager: true)
        }
        return LauncherEnvironment(
            kind: .none, processes: nil, rank: nil, hasProcessManager: false)
    }

    /// The steps in which Slurm runs a job's own shell rather than ranks, by name and by number
    /// (slurm.h: SLURM_INTERACTIVE_STEP, SLURM_BATCH_SCRIPT, SLURM_EXTERN_CONT).
    private static let shellSteps: Set<String> = [
        "interactive", "batch", "extern", "4294967290", "4294967291", "4294967292",
    ]

    private static func isSlurmStep(_ environment: [String: String]) -> Bool {
        guard environment["SLURM_PROCID"] != nil else { return false }
        guard let step = environment["SLURM_STEP_ID"] ?? environment["SLURM_STEPID"] else {
            return false
        }
        return !shellSteps.contains(step)
    }

    /// The launcher as an error names it.
    var name: String {
        switch kind {
        case .none: "no launcher"
        case .openMPI: "Open MPI's mpirun"
        case .pmix: "a PMIx launcher"
        case .hydra: "MPICH's or Intel MPI's mpiexec"
        case .slurm: "srun"
        case .pals: "Cray's mpiexec"
        }
    }
}
