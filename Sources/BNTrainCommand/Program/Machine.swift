import CPlatform
import Glibc

/// What this process runs on.
struct Machine: Equatable, Sendable {
    /// The host's name.
    var host: String

    /// The CPU as its maker calls it.
    var cpu: String

    /// The instruction set that the binary was compiled for, and the widest of this CPU.
    var compiledInstructionSet: String
    var cpuInstructionSet: String

    /// Cores in the affinity mask, and their list, such as "0-3,8".
    var affinityCores: Int
    var affinityList: String

    /// What the cgroup's quota amounts to, in cores, rounded up; nil without one.
    var quota: Int?

    /// Bytes of memory.
    var memory: Int

    /// OpenMP's threads, as the environment asks; nil where it does not.
    var openMPThreads: Int?

    /// Cores that this process may use.
    var cores: Int { max(1, min(affinityCores, quota ?? .max)) }

    /// This process's machine.
    static func present(environment: [String: String]) -> Machine {
        let status = contents("/proc/self/status")
        return Machine(
            host: hostName(), cpu: cpuName(contents("/proc/cpuinfo")),
            compiledInstructionSet: String(cString: bn_compiled_instruction_set()),
            cpuInstructionSet: String(cString: bn_cpu_instruction_set()),
            affinityCores: Int(bn_affinity_cores()),
            affinityList: field("Cpus_allowed_list", of: status) ?? "?",
            quota: quota(groups: contents("/proc/self/cgroup"), read: contents),
            memory: memory(contents("/proc/meminfo")),
            openMPThreads: environment["OMP_NUM_THREADS"].flatMap(openMPThreads))
    }

    /// `--threads` where it is not given: under MPI 1, as the number of ranks already says how many
    /// workers are wanted; alone as many as there are cores, but none without a shard.
    static func defaultThreads(cores: Int, shards: Int, underMPI: Bool) -> Int {
        underMPI ? 1 : max(1, min(cores, shards, Arguments.mostThreads))
    }

    // MARK: CPU time that the kernel grants

    /// The tightest quota of the process's control groups, in cores, rounded up.
    ///
    /// - Parameters:
    ///   - groups: the text of /proc/self/cgroup.
    ///   - read: the text of a file; empty where there is none.
    static func quota(groups: String, read: (String) -> String) -> Int? {
        var found: [Int] = []
        for line in groups.split(separator: "\n") {
            // hierarchy:controllers:path; version 2 is hierarchy 0 without controllers.
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let isSecond = parts[0] == "0" && parts[1].isEmpty
            guard isSecond || parts[1].split(separator: ",").contains("cpu") else { continue }
            let roots =
                isSecond
                ? ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
                : ["/sys/fs/cgroup/\(parts[1])", "/sys/fs/cgroup/cpu"]
            // A group's parents limit it too; in a container the path may not exist, but "/" does.
            var path = parts[2]
            while true {
                for root in roots {
                    let folder = root + (path == "/" ? "" : path)
                    let value =
                        isSecond
                        ? quota(maximum: read("\(folder)/cpu.max"))
                        : quota(
                            microseconds: read("\(folder)/cpu.cfs_quota_us"),
                            period: read("\(folder)/cpu.cfs_period_us"))
                    if let value { found.append(value) }
                }
                guard let slash = path.lastIndex(of: "/"), path.count > 1 else { break }
                path = slash == path.startIndex ? "/" : path[..<slash]
            }
        }
        return found.min()
    }

    /// The cores of a cpu.max, "200000 100000" or "max 100000" (cgroup version 2).
    static func quota(maximum text: String) -> Int? {
        let words = text.split { $0 == " " || $0 == "\n" }
        guard words.count == 2 else { return nil }
        return quota(microseconds: String(words[0]), period: String(words[1]))
    }

    /// The cores of cpu.cfs_quota_us and cpu.cfs_period_us (version 1); -1 is no quota.
    static func quota(microseconds: String, period: String) -> Int? {
        func number(_ text: String) -> Int? { Int(text.filter { !$0.isWhitespace }) }
        guard let quota = number(microseconds), let period = number(period), quota > 0, period > 0
        else { return nil }
        return quota / period + (quota % period == 0 ? 0 : 1)
    }

    // MARK: Texts of the kernel

    /// The CPU's name in a /proc/cpuinfo.
    static func cpuName(_ text: String) -> String {
        for key in ["model name", "Model Name", "cpu model"] {
            if let name = field(key, of: text), !name.isEmpty { return visible(name) }
        }
        // arm64 gives numbers only.
        if let maker = field("CPU implementer", of: text), let part = field("CPU part", of: text) {
            return armNames["\(maker) \(part)"] ?? "arm64 (implementer \(maker), part \(part))"
        }
        return "unknown CPU"
    }

    /// The parts that train networks, by MIDR implementer and part (Arm's reference manuals).
    private static let armNames = [
        "0x41 0xd08": "Cortex-A72", "0x41 0xd0b": "Cortex-A76", "0x41 0xd0c": "Neoverse N1",
        "0x41 0xd40": "Neoverse V1", "0x41 0xd49": "Neoverse N2", "0x41 0xd4f": "Neoverse V2",
        "0x46 0x001": "A64FX", "0xc0 0xac3": "Ampere-1",
    ]

    /// Bytes of MemTotal in a /proc/meminfo; 0 where it is missing.
    static func memory(_ text: String) -> Int {
        guard let words = field("MemTotal", of: text)?.split(separator: " "), words.count == 2,
            words[1] == "kB", let kilobytes = Int(words[0])
        else { return 0 }
        return kilobytes.multipliedReportingOverflow(by: 1024).partialValue
    }

    /// The first of the numbers in an OMP_NUM_THREADS, "4" or "4,2".
    static func openMPThreads(_ text: String) -> Int? {
        text.split(separator: ",").first.flatMap { Int($0.filter { !$0.isWhitespace }) }
    }

    /// The value of the first line `key : value`.
    private static func field(_ key: String, of text: String) -> String? {
        for line in text.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            if trimmed(line[..<colon]) == key { return trimmed(line[line.index(after: colon)...]) }
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0.isWhitespace }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    private static func hostName() -> String {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return "?" }
        return String(
            decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The text of a file of the kernel, whose size is not known before; empty where it cannot be
    /// read.
    private static func contents(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = fread(&piece, 1, piece.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += piece[..<count]
        }
    }
}
