import Foundation
import Glibc

/// Memory that ranks of one machine share: each writes parts of it, and all read the whole.
///
/// A file in memory (`shm_open(3)`'s folder) that every one of them maps, and that has no name any
/// more by the time they use it: nothing is left behind, however the job ends.
package final class NeighbourMemory: Sendable {
    /// Zeroed; aligned to pages.
    nonisolated(unsafe) package let pointer: UnsafeMutableRawPointer

    /// Bytes behind `pointer`.
    package let byteCount: Int

    /// The ranks that share it, ascending, this one among them.
    package let ranks: [Int]

    private init(pointer: UnsafeMutableRawPointer, byteCount: Int, ranks: [Int]) {
        self.pointer = pointer
        self.byteCount = byteCount
        self.ranks = ranks
    }

    deinit { munmap(pointer, byteCount) }

    /// Where files are memory.
    package static let folder = "/dev/shm"

    // MARK: agreement between ranks

    /// Agrees with the other ranks on who shares, and maps the memory: worker 0 of every rank calls
    /// it alike.
    ///
    /// - Parameters:
    ///   - place: alike on ranks that shall share; nil for one that shares with nobody.
    ///   - folder: where its file lies for a moment.
    /// - Returns: nil where this rank has no neighbours, or the folder no room for all of them.
    static func agree(
        _ exchange: RankExchange, step: Int, byteCount: Int, place: UInt64?, folder: String
    ) throws(CollectiveError) -> NeighbourMemory? {
        // A rank without neighbours gathers all the same: its peers wait for what it has to say.
        let everybody = try gather(
            exchange, step: step, byteCount: byteCount, place ?? .random(in: .min ... .max))
        let here = everybody[exchange.rank]
        let ranks = everybody.indices.filter { everybody[$0] == here }
        let leads = ranks.first == exchange.rank && ranks.count > 1
        var file = leads ? create(in: folder, byteCount: byteCount) : nil
        // Where an exchange fails the job ends, and its file must not stay.
        defer { if leads, let file { unlink(path(file.name, in: folder)) } }
        let names = try gather(exchange, step: step, byteCount: byteCount, file?.name ?? 0)
        let name = names[ranks[0]]
        if !leads, ranks.count > 1, name != 0 {
            file = open(name, in: folder)
        }
        let memory = file.flatMap { map($0.descriptor, byteCount: byteCount) }
        if let file { close(file.descriptor) }
        let mapped = try gather(exchange, step: step, byteCount: byteCount, memory == nil ? 0 : 1)
        guard let memory else { return nil }
        guard ranks.allSatisfy({ mapped[$0] == 1 }) else {
            munmap(memory, byteCount)
            return nil
        }
        return NeighbourMemory(pointer: memory, byteCount: byteCount, ranks: ranks)
    }

    /// Every rank's `value`.
    private static func gather(
        _ exchange: RankExchange, step: Int, byteCount: Int, _ value: UInt64
    ) throws(CollectiveError) -> [UInt64] {
        let size = MemoryLayout<UInt64>.size
        let values = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: exchange.ranks)
        defer { values.deallocate() }
        values.initialize(repeating: value)
        let all = UnsafeMutableRawBufferPointer(values)
        func place(_ rank: Int) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(rebasing: all[rank * size..<(rank + 1) * size])
        }
        try exchange.gather(
            Fingerprint(step: step, layer: -1, kind: .start, length: byteCount),
            sending: UnsafeRawBufferPointer(place(exchange.rank)), into: place)
        return Array(values)
    }

    // MARK: the file

    private struct File {
        let descriptor: Int32
        /// Not 0.
        let name: UInt64
    }

    private static func path(_ name: UInt64, in folder: String) -> String {
        "\(folder)/bn-train-\(String(name, radix: 16))"
    }

    /// A new file of so many zeros, for which there is room; nil where there is none.
    private static func create(in folder: String, byteCount: Int) -> File? {
        let name = UInt64.random(in: 1 ... .max)
        let descriptor = Glibc.open(
            path(name, in: folder), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        // Without room that is kept for it, the first write past it would end the process (SIGBUS).
        guard posix_fallocate(descriptor, 0, byteCount) == 0 else {
            close(descriptor)
            unlink(path(name, in: folder))
            return nil
        }
        return File(descriptor: descriptor, name: name)
    }

    private static func open(_ name: UInt64, in folder: String) -> File? {
        let descriptor = Glibc.open(path(name, in: folder), O_RDWR | O_CLOEXEC)
        return descriptor < 0 ? nil : File(descriptor: descriptor, name: name)
    }

    private static func map(_ descriptor: Int32, byteCount: Int) -> UnsafeMutableRawPointer? {
        let memory = mmap(
            nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        return memory == MAP_FAILED ? nil : memory
    }

    // MARK: who is near

    /// What this process has in common with those it can share memory with: the running kernel, the
    /// folder, and the NUMA node of all of its cores. nil where its cores lie on several: what one
    /// rank writes would be far from another's.
    package static func place(folder: String = folder) -> UInt64? {
        func contents(_ path: String) -> String? {
            try? String(contentsOfFile: path, encoding: .utf8)
        }
        var status = stat()
        guard stat(folder, &status) == 0,
            let kernel = contents("/proc/sys/kernel/random/boot_id"),
            let allowed = contents("/proc/self/status")?.split(separator: "\n")
                .first(where: { $0.hasPrefix("Cpus_allowed_list:") })?.split(separator: "\t").last
        else { return nil }
        let nodes = "/sys/devices/system/node"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: nodes)) ?? []
        let cores = names.filter { $0.hasPrefix("node") }.sorted()
            .compactMap { contents("\(nodes)/\($0)/cpulist") }
        guard let node = numaNode(ofCores: String(allowed), among: cores) else { return nil }
        // FNV-1a.
        return "\(kernel) \(status.st_dev) \(node)".utf8.reduce(0xcbf2_9ce4_8422_2325) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01b3
        }
    }

    /// Which of `nodes` has all `cores`; nil where several have some. Lists as the kernel writes
    /// them: "0-3,8".
    static func numaNode(ofCores cores: String, among nodes: [String]) -> Int? {
        func ranges(_ list: String) -> [ClosedRange<Int>] {
            list.split { $0 == "," || $0.isWhitespace }.compactMap { part in
                let ends = part.split(separator: "-").compactMap { Int($0) }
                guard let first = ends.first, let last = ends.last, first <= last else {
                    return nil
                }
                return first...last
            }
        }
        let mine = ranges(cores)
        let touched = nodes.indices.filter { index in
            ranges(nodes[index]).contains { node in mine.contains { $0.overlaps(node) } }
        }
        // A kernel without NUMA lists none.
        return touched.count > 1 ? nil : touched.first ?? 0
    }
}

extension Communicator {
    /// Zeroed memory that this rank shares with its neighbours, ranks on cores of the same NUMA node.
    /// Worker 0 of every rank calls it alike; its team-mates wait for it.
    ///
    /// - Returns: nil where it has no neighbours, or the machine no room in memory that can be shared
    ///   (containers often have 64 MB).
    package func shareWithNeighbours(byteCount: Int) throws(CollectiveError) -> NeighbourMemory? {
        guard let exchange else { return nil }
        return try NeighbourMemory.agree(
            exchange, step: step, byteCount: byteCount, place: NeighbourMemory.place(),
            folder: NeighbourMemory.folder)
    }
}
