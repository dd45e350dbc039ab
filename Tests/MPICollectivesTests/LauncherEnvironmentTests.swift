import Testing

@testable import MPICollectives

/// What launchers set, taken from their documentation and from what they leave in the environment.
private let launches: [(String, [String: String], LauncherEnvironment.Kind, Int?, Int?)] = [
    ("a plain start", ["PATH": "/bin", "HOME": "/root"], .none, nil, nil),
    (
        "Open MPI's mpirun",
        ["OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2", "PMIX_RANK": "2"],
        .openMPI, 4, 2
    ),
    (
        "Open MPI's mpirun in a Slurm batch job",
        [
            "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0",
            "SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2",
        ], .openMPI, 8, 0
    ),
    ("prun", ["PMIX_RANK": "3", "PMIX_NAMESPACE": "prterun-1"], .pmix, nil, 3),
    (
        "MPICH's mpiexec",
        [
            "PMI_SIZE": "4", "PMI_RANK": "1", "PMI_FD": "9", "MPI_LOCALNRANKS": "4",
            "MPI_LOCALRANKID": "1",
        ], .hydra, 4, 1
    ),
    (
        "MPICH's mpiexec in a Slurm batch job, which starts its proxies through srun",
        [
            "PMI_SIZE": "6", "PMI_RANK": "5", "MPI_LOCALNRANKS": "3", "SLURM_STEP_ID": "0",
            "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2",
        ], .hydra, 6, 5
    ),
    ("a launcher that speaks only PMI", ["PMI_SIZE": "2", "PMI_RANK": "0"], .hydra, 2, 0),
    (
        "srun --mpi=pmix",
        [
            "SLURM_STEP_ID": "1", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4",
            "SLURM_NTASKS": "4", "PMIX_RANK": "3", "PMIX_NAMESPACE": "slurm.pmix.7.1",
        ], .slurm, 4, 3
    ),
    (
        "srun --mpi=pmi2",
        [
            "SLURM_STEPID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "4", "PMI_RANK": "0",
            "PMI_SIZE": "4", "PMI_FD": "5",
        ], .slurm, 4, 0
    ),
    (
        "srun --mpi=none",
        ["SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_NTASKS": "4"], .slurm, 4, 1
    ),
    (
        "the script of a Slurm batch job",
        ["SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"], .none, nil, nil
    ),
    (
        "the script of a Slurm batch job that has a step id",
        ["SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEPID": "4294967291"], .none, nil, nil
    ),
    (
        "the shell of salloc",
        ["SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "4294967290"], .none, nil, nil
    ),
    ("a shell inside an allocation", ["SLURM_NTASKS": "4"], .none, nil, nil),
    (
        "Cray's mpiexec",
        ["PALS_RANKID": "2", "PALS_APID": "a-b", "PMI_SIZE": "16", "PMI_RANK": "2"], .pals, 16, 2
    ),
    ("aprun", ["ALPS_APP_PE": "1"], .pals, nil, 1),
]

@Suite struct LauncherEnvironmentTests {
    @Test("each launcher is known by its variables", arguments: launches.indices)
    func detection(_ index: Int) {
        let (name, environment, kind, processes, rank) = launches[index]
        let found = LauncherEnvironment.detect(environment: environment)
        #expect(found.kind == kind, "\(name)")
        #expect(found.processes == processes, "\(name)")
        #expect(found.rank == rank, "\(name)")
    }

    @Test("a number that is none counts as not said")
    func malformed() {
        let found = LauncherEnvironment.detect(environment: ["OMPI_COMM_WORLD_SIZE": "four"])
        #expect(found.kind == .openMPI)
        #expect(found.processes == nil)
        #expect(found.leastProcesses == 1)
    }

    @Test("PMIx gives no size, but rank 3 means at least four processes")
    func leastProcesses() {
        let found = LauncherEnvironment.detect(environment: ["PMIX_RANK": "3"])
        #expect(found.leastProcesses == 4)
    }
}

@Suite struct MPISessionTests {
    @Test("without a launcher the session is one rank's and MPI stays asleep")
    func solo() throws {
        let session = try MPISession.start(environment: [:])
        #expect(session.rank == 0)
        #expect(session.ranks == 1)
        #expect(session.localRanks == 1)
        #expect(session.transport == nil)
        #expect(!session.hostName.isEmpty)
        try session.barrier(seconds: 1)
        #expect(try session.gather(record: [1, 2], seconds: 1) == [[1, 2]])
        try session.finish()
        try session.finish()
    }

    @Test("one task of srun without PMIx runs alone")
    func soloTask() throws {
        let session = try MPISession.start(environment: [
            "SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_NTASKS": "1",
        ])
        #expect(session.ranks == 1)
        #expect(session.transport == nil)
    }

    @Test("several tasks of srun without PMIx are refused before MPI starts")
    func separateTasks() {
        let environment = ["SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_NTASKS": "4"]
        let error = #expect(throws: MPISessionError.self) {
            try MPISession.start(environment: environment)
        }
        #if MPI
            #expect(
                error?.description
                    == "started by srun with 4 processes, but without PMIx, so that they cannot "
                    + "find one another; use Open MPI's mpirun, or srun --mpi=pmix")
        #else
            #expect(
                error?.description
                    == "started by srun with 4 processes, but this bn-train was built without MPI; "
                    + "run launch/setup to rebuild it with Open MPI, or use --threads instead of "
                    + "ranks")
        #endif
    }

    #if MPI
        @Test("the library names itself")
        func version() throws {
            let version = try #require(MPISession.libraryVersion)
            #expect(version.hasPrefix("Open MPI v"), "\(version)")
            #expect(!version.contains(","))
        }
    #else
        @Test("a build without MPI names no library")
        func version() {
            #expect(MPISession.libraryVersion == nil)
        }
    #endif
}
