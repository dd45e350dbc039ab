import Collectives

/// A rank and the host that it runs on.
public struct RankOnHost: Hashable, Sendable, CustomStringConvertible {
    /// The rank.
    public let rank: Int
    /// What its host calls itself.
    public let host: String

    /// "2 (node7)".
    public var description: String { host.isEmpty ? "\(rank)" : "\(rank) (\(oneLine(host)))" }
}

/// A worker, its rank, and the host that it runs on.
public struct WorkerOnHost: Hashable, Sendable, CustomStringConvertible {
    /// The worker.
    public let worker: Int
    /// Its rank.
    public let rank: Int
    /// What its host calls itself.
    public let host: String

    /// "worker 3 (rank 1, node7)".
    public var description: String {
        "worker \(worker) (rank \(rank)" + (host.isEmpty ? ")" : ", \(oneLine(host)))")
    }
}

/// The hosts of all ranks, for alarms that must name one: exchanged once, at the start of a run.
final class HostNames: Sendable {
    private static let length = 64

    // One rank's, then every rank's; written by the meeting in `exchange`.
    nonisolated(unsafe) private let mine: UnsafeMutableRawBufferPointer
    nonisolated(unsafe) private let all: UnsafeMutableRawBufferPointer

    /// - Parameter host: what this rank's host calls itself; 64 bytes of it are kept.
    init(_ host: String, ranks: Int) {
        mine = .allocate(byteCount: Self.length, alignment: 16)
        mine.initializeMemory(as: UInt8.self, repeating: 0)
        mine.copyBytes(from: host.utf8.prefix(Self.length))
        all = .allocate(byteCount: ranks * Self.length, alignment: 16)
        all.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit {
        mine.deallocate()
        all.deallocate()
    }

    /// All workers call it, before the first step.
    func exchange(_ communicator: Communicator) throws(CollectiveError) {
        try communicator.gather(UnsafeRawBufferPointer(mine), into: all, .start)
    }

    /// The host of rank `rank`.
    subscript(rank: Int) -> String {
        let name = all[rank * Self.length..<(rank + 1) * Self.length]
        return String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
    }
}
