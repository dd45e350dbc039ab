import Testing

@testable import BNTrainCommand

@Suite struct MachineTests {
    /// The quota where `files` are the files of /sys/fs/cgroup.
    private func quota(_ groups: String, _ files: [String: String]) -> Int? {
        Machine.quota(groups: groups) { files[$0] ?? "" }
    }

    @Test(
        "cpu.max gives cores, rounded up",
        arguments: [
            ("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000", 1),
            ("250001 100000", 3), ("max 100000\n", nil), ("", nil), ("200000", nil),
            ("200000 0", nil), ("-1 100000", nil), ("x y", nil),
        ] as [(String, Int?)])
    func second(text: String, cores: Int?) {
        #expect(Machine.quota(maximum: text) == cores)
    }

    @Test("version 2: the tightest group on the way to the root counts")
    func parents() {
        let files = [
            "/sys/fs/cgroup/a/b/cpu.max": "800000 100000", "/sys/fs/cgroup/a/cpu.max": "max 100000",
            "/sys/fs/cgroup/cpu.max": "300000 100000",
        ]
        #expect(quota("0::/a/b\n", files) == 3)
        #expect(quota("0::/a\n", ["/sys/fs/cgroup/a/cpu.max": "400000 100000"]) == 4)
        #expect(quota("0::/\n", ["/sys/fs/cgroup/cpu.max": "100000 100000"]) == 1)
        #expect(quota("0::/elsewhere\n", ["/sys/fs/cgroup/cpu.max": "100000 100000"]) == 1)
        #expect(quota("0::/a\n", [:]) == nil)
        #expect(quota("", files) == nil)
        #expect(quota("nonsense\n0:\n::\n", files) == nil)
    }

    @Test("version 1: the cpu controller's quota, and none for -1")
    func first() {
        let groups = "11:memory:/d\n4:cpu,cpuacct:/d/c\n1:name=systemd:/d\n"
        let folder = "/sys/fs/cgroup/cpu,cpuacct"
        #expect(
            quota(
                groups,
                [
                    "\(folder)/d/c/cpu.cfs_quota_us": "250000\n",
                    "\(folder)/d/c/cpu.cfs_period_us": "100000\n",
                    "/sys/fs/cgroup/memory/d/cpu.cfs_quota_us": "100000",
                ]) == 3)
        #expect(
            quota(
                groups,
                ["\(folder)/cpu.cfs_quota_us": "-1\n", "\(folder)/cpu.cfs_period_us": "100000\n"])
                == nil)
    }

    @Test("the CPU's name, on x86-64 and arm64")
    func cpu() {
        #expect(
            Machine.cpuName("processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum\nflags\t: a\n")
                == "Intel(R) Xeon(R) Platinum")
        #expect(
            Machine.cpuName("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n")
                == "Neoverse V1")
        #expect(
            Machine.cpuName("CPU implementer\t: 0x99\nCPU part\t: 0x123\n")
                == "arm64 (implementer 0x99, part 0x123)")
        #expect(Machine.cpuName("") == "unknown CPU")
    }

    @Test("memory and OpenMP's threads from their texts")
    func texts() {
        #expect(Machine.memory("MemTotal:       16315412 kB\nMemFree: 1 kB\n") == 16_315_412 * 1024)
        #expect(Machine.memory("") == 0)
        #expect(Machine.openMPThreads("4,2") == 4)
        #expect(Machine.openMPThreads(" 8 ") == 8)
        #expect(Machine.openMPThreads("many") == nil)
    }

    @Test("threads: one under MPI; alone the cores, but no more than shards or a rank can have")
    func threads() {
        #expect(Machine.defaultThreads(cores: 64, shards: 8, underMPI: true) == 1)
        #expect(Machine.defaultThreads(cores: 64, shards: 8, underMPI: false) == 8)
        #expect(Machine.defaultThreads(cores: 2, shards: 8, underMPI: false) == 2)
        #expect(Machine.defaultThreads(cores: 384, shards: 1000, underMPI: false) == 250)
        #expect(Machine.defaultThreads(cores: 0, shards: 8, underMPI: false) == 1)
    }

    @Test("this machine has cores, memory and a name")
    func present() {
        let machine = Machine.present(environment: ["OMP_NUM_THREADS": "3"])
        #expect(machine.cores >= 1 && machine.cores <= machine.affinityCores)
        #expect(machine.memory > 1 << 20)
        #expect(!machine.host.isEmpty && !machine.cpu.isEmpty)
        #expect(machine.affinityList != "?")
        #expect(machine.openMPThreads == 3)
        #expect(machine.compiledInstructionSet != "" && machine.cpuInstructionSet != "")
    }
}
