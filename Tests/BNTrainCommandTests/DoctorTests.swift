import Configuration
import MPICollectives
import Testing
import Training

@testable import BNTrainCommand

/// A machine of four cores with nothing wrong.
private let sound = DoctorFacts(
    program: "bn-train 0.1.0", compiler: "6.3", mpi: "Open MPI v4.1.4",
    lapack: "LAPACK 3.9.0",
    cLibrary: "glibc 2.36", isDebugBuild: false,
    machine: Machine(
        host: "host", cpu: "CPU", compiledInstructionSet: "AVX-512", cpuInstructionSet: "AVX-512",
        affinityCores: 4, affinityList: "0-3", quota: nil, memory: 16_000_000_000,
        openMPThreads: nil),
    isUnderOpenMPI: false, isUnderLauncher: false, isRoot: true, rank: 0, localRanks: 1,
    localCores: 4, places: [.init(rank: 0, host: "host", cores: 4, mask: "0-3")], threads: 4,
    threadsAreGiven: false, model: "mlp 784-128-10 with BN", parameters: 101_770,
    replicaBytes: 815_000,
    worlds: [
        .init(name: "perceptron 9-5-3", threads: [1, 2, 3], different: []),
        .init(name: "mlp 784-128-10 with BN", threads: [1], different: []),
    ])

/// The facts after a change.
private func facts(_ change: (inout DoctorFacts) -> Void) -> DoctorFacts {
    var facts = sound
    change(&facts)
    return facts
}

private func mpirun(ranks: Int, threads: Int, coresOfEach: Int, together: Int) -> DoctorFacts {
    facts {
        $0.isUnderLauncher = true
        $0.isUnderOpenMPI = true
        $0.isRoot = false
        $0.localRanks = ranks
        $0.localCores = together
        $0.threads = threads
        $0.places = (0..<ranks).map {
            .init(
                rank: $0, host: "host", cores: coresOfEach, mask: coresOfEach == 1 ? "\($0)" : "0-3"
            )
        }
    }
}

@Suite struct DoctorTests {
    @Test("nothing is wrong with a sound machine, whoever runs it")
    func soundMachine() {
        #expect(sound.warnings == [])
        #expect(mpirun(ranks: 4, threads: 1, coresOfEach: 1, together: 4).warnings == [])
        #expect(mpirun(ranks: 2, threads: 2, coresOfEach: 4, together: 4).warnings == [])
        #expect(sound.text.hasSuffix("\nnothing is slow or wrong here\n"))
    }

    @Test("each warning says what and what to do")
    func warnings() {
        func only(_ facts: DoctorFacts) -> String {
            facts.warnings.count == 1 ? facts.warnings[0].text : "\(facts.warnings)"
        }
        #expect(
            only(facts { $0.threads = 8 })
                == "8 threads share 4 cores, and wait for one another: give --threads 4 or fewer")
        #expect(
            only(facts { $0.machine.quota = 1 })
                == "4 threads share 1 core, and wait for one another: give --threads 1 or fewer")
        #expect(
            only(mpirun(ranks: 8, threads: 1, coresOfEach: 4, together: 4))
                == "8 ranks of 1 thread on this host share 4 cores, and wait for one another: "
                + "start fewer ranks, or fewer --threads")
        #expect(
            only(mpirun(ranks: 2, threads: 2, coresOfEach: 1, together: 2))
                == "rank 0 is bound to 1 core and has 2 threads: `mpirun -n 2` binds each rank to "
                + "one core; add --bind-to none or --map-by slot:PE=2 to mpirun")
        var slurm = mpirun(ranks: 2, threads: 2, coresOfEach: 1, together: 2)
        slurm.isUnderOpenMPI = false
        #expect(
            only(slurm)
                == "rank 0 is bound to 1 core and has 2 threads: ask the launcher for 2 cores a "
                + "rank (srun --cpus-per-task=2)")
        #expect(
            only(facts { $0.isDebugBuild = true })
                == "this is a debug build, about 50 times slower: build with "
                + "`swift build -c release -Xcc -march=native`, as launch/setup does")
        #expect(
            only(facts { $0.machine.compiledInstructionSet = "SSE2" })
                == "this binary uses SSE2, and the CPU has AVX-512: rebuild it on this machine "
                + "with launch/setup (-Xcc -march=native)")
        #expect(
            only(
                facts {
                    $0.machine.compiledInstructionSet = "SSE2"
                    $0.machine.cpuInstructionSet = "SSE2"
                })
                == "this CPU has no AVX2, and multiply-adds are fused by a function call each: the "
                + "bits are those of other CPUs, the speed about a hundredth; train on a newer one")
        #expect(
            only(facts { $0.machine.openMPThreads = 2 })
                == "OMP_NUM_THREADS is 2: bn-train's workers use one OpenMP thread each whatever "
                + "it says, but other libraries start more; unset it or set it to 1")
        #expect(
            only(facts { $0.copiesTwice = true })
                == "the system refuses process_vm_readv, as containers do, and messages between "
                + "ranks of this host are copied twice: start the container with --cap-add "
                + "SYS_PTRACE")
        var root = mpirun(ranks: 4, threads: 1, coresOfEach: 1, together: 4)
        root.isRoot = true
        #expect(
            only(root)
                == "running as root under Open MPI, where a mistake can overwrite anything: use "
                + "an ordinary account, except in a container")
    }

    @Test("a network that ends in other bits in other worlds comes first")
    func otherBits() {
        let facts = facts {
            $0.worlds = [
                .init(name: "perceptron 9-5-3", threads: [1, 2, 3, 4], different: [2, 4]),
                .init(name: "resnet8 on 11×10×3", threads: [1, 2, 3], different: []),
            ]
            $0.isDebugBuild = true
        }
        #expect(facts.warnings.map(\.kind) == ["other-bits", "debug-build"])
        #expect(
            facts.warnings[0].text
                == "perceptron 9-5-3 ends in other bits with 2 and 4 threads than with 1 thread: on "
                + "this machine the number of workers changes the model; report its CPU and the "
                + "versions above, and try --threads 1")
        #expect(
            facts.text.contains(
                "\nsame bits           resnet8 on 11×10×3 with 1, 2 and 3 threads\n"))
        #expect(facts.json["same_bits"]?.array?.count == 2)
    }

    @Test("one rank of many with fewer cores is found")
    func oneBoundRank() {
        var facts = mpirun(ranks: 4, threads: 2, coresOfEach: 4, together: 8)
        facts.places[2].cores = 1
        #expect(facts.warnings.map(\.kind) == ["bound"])
        #expect(facts.warnings[0].text.hasPrefix("rank 2 is bound to 1 core and has 2 threads"))
    }

    @Test("what is harmless is not warned of")
    func harmless() {
        #expect(facts { $0.machine.openMPThreads = 1 }.warnings == [])
        #expect(facts { $0.machine.cpuInstructionSet = "AVX2" }.warnings == [])
        #expect(
            facts {
                $0.machine.compiledInstructionSet = "NEON"
                $0.machine.cpuInstructionSet = "NEON"
            }.warnings == [])
    }

    @Test("the report folds ranks of the same host and mask, and fits 100 columns")
    func report() {
        var facts = mpirun(ranks: 4, threads: 2, coresOfEach: 4, together: 4)
        facts.places[3] = .init(rank: 3, host: "other", cores: 1, mask: "5")
        let text = facts.text
        #expect(text.contains("binding             ranks 0-2 on host: 4 cores (0-3)\n"))
        #expect(text.contains("\n                    rank 3 on other: 1 core (5)\n"))
        #expect(
            text.contains(
                "world               rank 0 of 4 ranks, 4 on this host, 2 threads (default) each"))
        #expect(text.contains("\nwarning: rank 3 is bound"))
        for line in text.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
        #expect(sound.text.contains("Swift compiler      6.3\n"))
        #expect(
            sound.text.contains(
                """

                same bits           perceptron 9-5-3 with 1, 2 and 3 threads
                                    mlp 784-128-10 with BN with 1 thread

                """))
        #expect(facts.json["warnings"]?.array?.count == 1)
    }

    @Test("the JSON object reads back and says the same")
    func json() throws {
        let json = try JSONValue(parsing: facts { $0.mpi = nil }.json.text)
        #expect(json["command"]?.string == "doctor")
        #expect(json["mpi"] == .null)
        #expect(json["cores"]?["quota"] == .null)
        #expect(json["world"]?["workers"]?.int == 4)
        #expect(json["replica_bytes"]?.int == 815_000)
        #expect(json["warnings"]?.array?.isEmpty == true)
    }

    @Test("memory of a replica: parameters and gradient, with momentum the velocity too")
    func memory() throws {
        func size(_ settings: String...) throws -> ModelSize {
            try ModelSize(RunConfiguration.load(file: nil, settings: settings))
        }
        let plain = try size()
        #expect(plain.name == "mlp 784-128-128-128-10 with BN")
        // Three products without bias, BN's γ and β, the last product with its bias.
        #expect(plain.parameters == 784 * 128 + 2 * 128 * 128 + 3 * 256 + 128 * 10 + 10)
        // Each tensor is padded to 16 values; only the last bias, 10, is not a multiple.
        #expect(plain.replicaBytes == 4 * (2 * (plain.parameters + 6) + 3 * 256))
        let momentum = try size("optimizer.momentum=0.9")
        #expect(momentum.replicaBytes - plain.replicaBytes == 4 * (plain.parameters + 6))
        let bare = try size("model.normalization.kind=none", "model.hidden=[16]")
        #expect(bare.name == "mlp 784-16-10")
        #expect(bare.parameters == 784 * 16 + 16 + 160 + 10)
    }

    @Test("the command runs here and returns 0")
    func run() throws {
        let session = try MPISession.start(environment: [:])
        #expect(try DoctorCommand.run(Arguments(), session: session, environment: [:]) == 0)
    }
}
