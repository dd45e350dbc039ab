import Collectives
import Layers

/// One worker's part in the copies of a network's weights, which passes read in layouts of their own.
///
/// Each worker copies some of the layers, for all workers of its rank; ranks whose memory is near
/// share them, too: every one has the same parameters. Copies of few values are each worker's own.
final class NetworkCopies {
    /// Copies the layers that are this worker's part, with its crew.
    private let pack: () throws -> Void

    /// Whether other workers read what this one copies, and which other ranks do.
    private let isShared: Bool
    private let neighbours: [Int]

    private let communicator: Communicator

    /// Gives all copies their place: the same for every network of the replica. All workers of all
    /// ranks call it alike, but for an audit's.
    ///
    /// - Parameter auditor: the thread in the run of a worker that reads what the run's network has
    ///   copied, and copies nothing; nil for a network of the run.
    init(
        of layers: LayerGraph, replica: Replica, communicator: Communicator, auditor: Int?
    ) throws {
        self.communicator = communicator
        let layers = layers.layers.filter { $0.packedCount > 0 }
            .filter { $0.packedCount > 0 }
        let own = layers.filter(\.packsForItself)
        let shared = layers.filter { !$0.packsForItself }
        let thread = auditor ?? communicator.thread
        var ranks: [Int] = []
        if !own.isEmpty {
            let count = Self.places(of: own).count
            let copies = replica.copies(ofThread: thread) ?? WeightCopies(count: count)
            replica.keep(copies, ofThread: thread)
            Self.place(own, in: copies)
        }
        if !shared.isEmpty {
            let copies = try Self.shared(
                count: Self.places(of: shared).count, replica, communicator,
                isAudit: auditor != nil)
            Self.place(shared, in: copies)
            // A rank that is by itself copies everything, into memory that it may once have shared.
            ranks =
                copies.ranks.isEmpty || communicator.world.ranks == 1
                ? [communicator.world.rank] : copies.ranks
        }
        isShared = !shared.isEmpty
        neighbours = ranks.filter { $0 != communicator.world.rank }
        let mine = auditor == nil ? own + Self.part(of: shared, ranks: ranks, communicator) : []
        let members = Self.divided(mine, among: communicator.crew.members)
        pack = communicator.crew.prepare { member in
            for layer in members[member] { layer.pack(member: member) }
        }
    }

    /// Makes this worker's part of the copies, and waits for the others'.
    func make() throws {
        // A neighbour may still read what it copied from other parameters; team-mates have met.
        if !neighbours.isEmpty { try communicator.barrier(with: neighbours) }
        try pack()
        // Nobody may read a copy that another is still writing.
        if isShared { try communicator.barrier(with: neighbours) }
    }

    // MARK: places

    /// Where the copies of each of `layers` begin, and how many floats all have.
    private static func places(of layers: [any Layer]) -> (starts: [Int], count: Int) {
        var count = 0
        let starts = layers.map { layer in
            defer { count += (layer.packedCount + 15) / 16 * 16 }
            return count
        }
        return (starts, count)
    }

    private static func place(_ layers: [any Layer], in memory: WeightCopies) {
        let places = places(of: layers)
        precondition(places.count == memory.count, "networks of a replica have the same copies")
        for (layer, start) in zip(layers, places.starts) {
            layer.place(copies: memory.pointer + start)
        }
    }

    /// The memory that all workers of the rank read: the first network asks for it.
    private static func shared(
        count: Int, _ replica: Replica, _ communicator: Communicator, isAudit: Bool
    ) throws -> WeightCopies {
        if !isAudit {
            if communicator.thread == 0, replica.copies(ofThread: nil) == nil {
                replica.keep(try newCopies(count: count, communicator), ofThread: nil)
            }
            // Team-mates take what their first worker has asked for.
            try communicator.teamBarrier()
        }
        guard let copies = replica.copies(ofThread: nil) else {
            preconditionFailure("the run's network comes before an audit's")
        }
        return copies
    }

    /// Memory that the neighbours share, or the rank's own.
    private static func newCopies(
        count: Int, _ communicator: Communicator
    ) throws(CollectiveError) -> WeightCopies {
        let bytes = count * MemoryLayout<Float>.stride
        guard let memory = try communicator.shareWithNeighbours(byteCount: bytes) else {
            return WeightCopies(count: count)
        }
        return WeightCopies(
            memory.pointer.bindMemory(to: Float.self, capacity: count), count: count,
            ranks: memory.ranks, owner: memory)
    }

    // MARK: who copies what

    /// Those of `layers` that this worker copies.
    private static func part(
        of layers: [any Layer], ranks: [Int], _ communicator: Communicator
    ) -> [any Layer] {
        if layers.isEmpty { return [] }
        let world = communicator.world
        let threads = world.threadsPerRank
        let me = (ranks.firstIndex(of: world.rank) ?? 0) * threads + communicator.thread
        return divided(layers, among: ranks.count * threads)[me]
    }

    /// Who copies which of `layers`: the largest first, each to whom has least to do.
    private static func divided(
        _ layers: [any Layer], among count: Int
    ) -> [[any Layer]] {
        var loads = Array(repeating: 0, count: count)
        var parts: [[any Layer]] = Array(repeating: [], count: count)
        for layer in layers.enumerated().sorted(by: {
            ($1.element.packedCount, $0.offset) < ($0.element.packedCount, $1.offset)
        }).map(\.element) {
            guard let least = loads.indices.min(by: { (loads[$0], $0) < (loads[$1], $1) }) else {
                break
            }
            loads[least] += layer.packedCount
            parts[least].append(layer)
        }
        return parts
    }
}
