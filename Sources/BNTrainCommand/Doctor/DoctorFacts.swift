import Training

/// What `doctor` found out, before it judges.
struct DoctorFacts: Equatable, Sendable {
    /// A rank and the cores that it may use.
    struct RankPlace: Equatable, Sendable {
        var rank: Int
        var host: String
        var cores: Int
        var mask: String
    }

    var program: String
    var compiler: String

    /// "Open MPI v4.1.4"; nil in a build without MPI.
    var mpi: String?
    var lapack: String
    var cLibrary: String
    var isDebugBuild: Bool

    var machine: Machine

    /// Whether Open MPI's mpirun started this process.
    var isUnderOpenMPI: Bool

    /// Whether any launcher did.
    var isUnderLauncher: Bool
    var isRoot: Bool

    var rank: Int
    var localRanks: Int

    /// Cores that the masks of this host's ranks allow together.
    var localCores: Int
    var places: [RankPlace]

    var threads: Int
    var threadsAreGiven: Bool

    var model: String
    var parameters: Int

    /// Bytes of one rank's parameters, gradient, velocity and running statistics.
    var replicaBytes: Int

    /// Whether messages between this host's ranks are copied twice; see `MPISession.copiesTwice`.
    var copiesTwice = false

    /// Short runs in worlds of several sizes; nil under a launcher, where none are made.
    var worlds: [WorldComparison.Case]?

    var ranks: Int { max(1, places.count) }

    /// Cores that this host's ranks may use together.
    var hostCores: Int { max(1, min(localCores, machine.quota ?? .max)) }
}

/// What is slow or wrong, and what to do about it.
struct DoctorWarning: Equatable, Sendable {
    /// One word or two for machines: "oversubscribed".
    let kind: String

    /// What and what to do; one line.
    let text: String
}

extension DoctorFacts {
    /// All that is slow or wrong, the worst first.
    var warnings: [DoctorWarning] {
        let machine = [
            debugBuild, oldCPU, narrowBinary, boundRanks, oversubscribed, doubleCopy, openMP, root,
        ]
        return otherBits + machine.compactMap { $0 }
    }

    private var otherBits: [DoctorWarning] {
        (worlds ?? []).filter { !$0.different.isEmpty }.map { run in
            DoctorWarning(
                kind: "other-bits",
                text: "\(run.name) ends in other bits with \(listed(run.different)) than with "
                    + "\(counted(run.threads[0], "thread")): on this machine the number of workers "
                    + "changes the model; report its CPU and the versions above, and try "
                    + "--threads 1")
        }
    }

    /// "1, 2 and 3 threads".
    private func listed(_ threads: [Int]) -> String {
        let words = threads.map { "\($0)" }
        let last = counted(threads.last ?? 0, "thread")
        return words.count < 2 ? last : words.dropLast().joined(separator: ", ") + " and " + last
    }

    private var debugBuild: DoctorWarning? {
        guard isDebugBuild else { return nil }
        return DoctorWarning(
            kind: "debug-build",
            text: "this is a debug build, about 50 times slower: build with "
                + "`swift build -c release -Xcc -march=native`, as launch/setup does")
    }

    private var oldCPU: DoctorWarning? {
        guard machine.cpuInstructionSet == "SSE2" else { return nil }
        return DoctorWarning(
            kind: "old-cpu",
            text:
                "this CPU has no AVX2, and multiply-adds are fused by a function call each: the bits "
                + "are those of other CPUs, the speed about a hundredth; train on a newer one")
    }

    private var narrowBinary: DoctorWarning? {
        let widths = ["generic": 0, "SSE2": 1, "NEON": 1, "AVX2": 2, "AVX-512": 3]
        let compiled = machine.compiledInstructionSet
        let cpu = machine.cpuInstructionSet
        guard let mine = widths[compiled], let widest = widths[cpu], mine < widest else {
            return nil
        }
        return DoctorWarning(
            kind: "narrow-binary",
            text: "this binary uses \(compiled), and the CPU has \(cpu): rebuild it on this "
                + "machine with launch/setup (-Xcc -march=native)")
    }

    private var boundRanks: DoctorWarning? {
        guard isUnderLauncher, let place = places.min(by: { $0.cores < $1.cores }),
            place.cores < threads
        else { return nil }
        let few =
            "rank \(place.rank) is bound to \(counted(place.cores, "core")) and has "
            + "\(counted(threads, "thread"))"
        return DoctorWarning(
            kind: "bound",
            text: isUnderOpenMPI
                ? "\(few): `mpirun -n 2` binds each rank to one core; add --bind-to none or "
                    + "--map-by slot:PE=\(threads) to mpirun"
                : "\(few): ask the launcher for \(threads) cores a rank "
                    + "(srun --cpus-per-task=\(threads))")
    }

    private var oversubscribed: DoctorWarning? {
        // Bound ranks see only a part of the host: how many cores it has is not known.
        guard boundRanks == nil, localRanks * threads > hostCores else { return nil }
        let asked =
            localRanks > 1
            ? "\(localRanks) ranks of \(counted(threads, "thread")) on this host"
            : counted(threads, "thread")
        let remedy =
            localRanks > 1
            ? "start fewer ranks, or fewer --threads" : "give --threads \(hostCores) or fewer"
        return DoctorWarning(
            kind: "oversubscribed",
            text: "\(asked) share \(counted(hostCores, "core")), and wait for one another: "
                + remedy)
    }

    private var doubleCopy: DoctorWarning? {
        guard copiesTwice else { return nil }
        return DoctorWarning(
            kind: "double-copy",
            text:
                "the system refuses process_vm_readv, as containers do, and messages between ranks "
                + "of this host are copied twice: start the container with --cap-add SYS_PTRACE")
    }

    private var openMP: DoctorWarning? {
        guard let threads = machine.openMPThreads, threads > 1 else { return nil }
        return DoctorWarning(
            kind: "openmp",
            text: "OMP_NUM_THREADS is \(threads): bn-train's workers use one OpenMP thread each "
                + "whatever it says, but other libraries start more; unset it or set it to 1")
    }

    private var root: DoctorWarning? {
        guard isRoot, isUnderOpenMPI else { return nil }
        return DoctorWarning(
            kind: "root",
            text: "running as root under Open MPI, where a mistake can overwrite anything: use "
                + "an ordinary account, except in a container")
    }

    // MARK: Output

    /// The report for people: two columns, then the warnings.
    var text: String {
        var rows: [(String, String)] = [
            ("program", program + (isDebugBuild ? " (debug build)" : "")),
            ("Swift compiler", compiler),
            ("MPI", mpi ?? "built without MPI"),
            ("LAPACK", lapack),
            ("C library", cLibrary),
            ("host", "\(machine.host), \(machine.cpu)"),
            (
                "instruction set",
                "compiled for \(machine.compiledInstructionSet), CPU has "
                    + machine.cpuInstructionSet
            ),
            ("memory", byteCount(machine.memory)),
            ("cores", coresText),
            (
                "OMP_NUM_THREADS",
                machine.openMPThreads.map { "\($0)" } ?? "not set; each worker uses 1"
            ),
            ("world", worldText),
        ]
        if ranks > 1 {
            for (index, line) in placeLines.enumerated() {
                rows.append((index == 0 ? "binding" : "", line))
            }
        }
        rows.append(("model", "\(model), \(parameters) parameters"))
        rows.append(
            (
                "memory per replica", "\(byteCount(replicaBytes)), one for each rank"
            ))
        for (index, run) in (worlds ?? []).filter(\.different.isEmpty).enumerated() {
            rows.append(
                (index == 0 ? "same bits" : "", "\(run.name) with \(listed(run.threads))"))
        }
        var lines = rows.map { name, value in
            name + String(repeating: " ", count: 20 - name.count) + visible(value)
        }
        lines.append("")
        let warnings = warnings
        lines += warnings.flatMap { Help.wrapped("warning: " + $0.text, indent: 0) }
        if warnings.isEmpty { lines.append("nothing is slow or wrong here") }
        return lines.joined(separator: "\n") + "\n"
    }

    private var coresText: String {
        let quota = machine.quota.map { ", quota \($0)" } ?? ""
        return "\(machine.cores) (mask \(machine.affinityList)\(quota))"
    }

    private var worldText: String {
        let each = counted(threads, "thread") + (threadsAreGiven ? "" : " (default)")
        guard isUnderLauncher else { return each }
        return "rank \(rank) of \(counted(ranks, "rank")), \(localRanks) on this host, \(each) each"
    }

    /// A line for each run of ranks with the same host and mask.
    private var placeLines: [String] {
        var lines: [(first: RankPlace, last: Int)] = []
        for place in places {
            if let line = lines.last, line.first.host == place.host, line.first.mask == place.mask {
                lines[lines.count - 1].last = place.rank
            } else {
                lines.append((place, place.rank))
            }
        }
        return lines.map { first, last in
            (last > first.rank ? "ranks \(first.rank)-\(last)" : "rank \(first.rank)")
                + " on \(first.host): \(counted(first.cores, "core")) (\(first.mask))"
        }
    }
}
