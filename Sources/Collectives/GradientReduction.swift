/// The all-reduce of a long Float32 vector, the gradient, in the steady state of training.
///
/// Each worker holds the maximal subtrees of its shards, `nodeCount` vectors of `length`, in memory
/// that its team-mates can read. `sum` brings them together: inside a rank every worker folds its
/// own slice of the vector over all workers' nodes; between ranks worker 0 halves and doubles
/// (each rank ends up with a slice of the sum, then slices are passed on) or, in worlds that are no
/// aligned power of two, sends each rank its slice of every node.
package final class GradientReduction {
    /// Values of the vector.
    package let length: Int

    /// This worker's nodes.
    package let nodeCount: Int

    /// The shards of each node, counted from the worker's first.
    package let nodeShards: [Range<Int>]

    /// How many nodes are merged after each of this worker's shards, and how high the stack grows.
    package let merges: [Int]
    package let depth: Int

    private let communicator: Communicator
    private let plan: ReductionPlan
    private let stride: Int
    private let result: UnsafeMutablePointer<Float>
    private let nodes: UnsafeMutablePointer<Float>
    private let writesResult: Bool
    private let rankFold: GradientFold
    private let rankInputs: [(thread: Int, node: Int)]
    private let finalFold: GradientFold
    /// Worker 0 of a rank among several: the rank's nodes, and what other ranks send.
    private let rankNodes: UnsafeMutablePointer<Float>
    private let arrivals: UnsafeMutablePointer<Float>
    private let arrivalStride: Int
    private let firstArrival: [Int]

    /// A node of this rank: a maximal subtree of the tree over all shards.
    package struct TeamNode {
        /// Its shards, counted from the rank's first.
        package let shards: Range<Int>
        /// The flat vector, which the workers of the rank share.
        package let values: UnsafeMutablePointer<Float>
    }

    /// The rank's nodes, after `joinTeam`. Their first `complete` values are written by the team
    /// together, by slices, before `sum`.
    package private(set) var teamNodes: [TeamNode] = []

    /// Values at the front of the vector that the team sums up by itself, in `teamNodes`.
    package let complete: Int

    /// Sums up `0 ..< complete` in this worker's slices; meets the team itself. Called first of all
    /// by `sum`.
    package var completeTogether: (() throws(CollectiveError) -> Void)?

    /// The parts of `0 ..< complete` that this worker sums up, and then updates.
    package var completeSlices: [Range<Int>] = []

    /// - Parameters:
    ///   - shards: the number of shards of every batch.
    ///   - length: Float32 values of the vector.
    ///   - complete: values at its front that the team sums up by itself.
    ///   - result: where the sum goes; the workers of a rank share it.
    package init(
        _ communicator: Communicator, shards: Int, length: Int, complete: Int = 0,
        result: UnsafeMutablePointer<Float>
    ) {
        let world = communicator.world
        precondition(world.workers <= shards, "every worker needs a shard")
        self.communicator = communicator
        self.length = length
        self.complete = complete
        let plan = ReductionPlan(
            world: world, forest: ShardForest(shards: shards, group: shards))
        self.plan = plan
        let mine = plan.workers[communicator.worker]
        nodeCount = mine.results.count
        let firstShard = world.shards(ofWorker: communicator.worker, of: shards).lowerBound
        nodeShards = mine.results.map {
            $0.lowerBound - firstShard..<$0.upperBound - firstShard
        }
        merges = mine.merges.map(\.count)
        depth = mine.depth
        let stride = (length + 15) / 16 * 16
        self.stride = stride
        let speaks = communicator.thread == 0 && world.ranks > 1
        let ownNodes = mine.results.count
        let rankNodeCount = speaks ? plan.ranks[world.rank].results.count : 0
        self.result = result
        // A rank of one worker and one node has nothing to add up before it meets the others.
        writesResult =
            world.threadsPerRank == 1 && ownNodes == 1
            && plan.ranks[world.rank].results.count == 1
        let memory = communicator.buffer(
            of: Float.self,
            count: writesResult ? 0 : (ownNodes + rankNodeCount) * stride
        ).pointer
        nodes = writesResult ? result : memory
        rankNodes = memory + ownNodes * stride
        rankFold = GradientFold(plan.ranks[world.rank])
        let first = world.rank * world.threadsPerRank
        rankInputs = (0..<world.threadsPerRank).flatMap { thread in
            plan.workers[first + thread].results.indices.map { (thread, $0) }
        }
        finalFold = GradientFold(plan.final)
        var counter = 0
        firstArrival = plan.shared.map { nodes in
            defer { counter += nodes.count }
            return counter
        }
        // Halving receives up to half of the vector; slices, one of each node of every rank.
        arrivalStride =
            plan.doubling ? stride : (stride / world.ranks / 16 + 1) * 16
        arrivals =
            communicator.buffer(
                of: Float.self,
                count: speaks ? max(plan.final.inputs.count, 1) * arrivalStride : 0
            ).pointer
    }

    /// Node `index` of this worker: `length` values.
    package func node(_ index: Int) -> UnsafeMutablePointer<Float> {
        precondition(index < nodeCount, "a worker has \(nodeCount) nodes")
        return nodes + index * stride
    }

    /// Finds out where the rank's nodes lie. All workers of the rank call it, before the first step.
    package func joinTeam() throws(CollectiveError) {
        try communicator.meetTeam(
            nodes, Fingerprint(step: 0, layer: -1, kind: .start, length: length))
        let results = plan.ranks[plan.world.rank].results
        let shared = threadZeroRankNodes()
        let first = plan.world.shards(ofRank: plan.world.rank, of: plan.forest.shards).lowerBound
        teamNodes = results.enumerated().map { index, node in
            TeamNode(
                shards: node.lowerBound - first..<node.upperBound - first,
                values: results.count == 1 ? result : shared + index * stride)
        }
        // A team-mate's address is good until the next meeting but one.
        try communicator.teamBarrier()
    }

    /// Sums all workers' nodes into the rank's result.
    ///
    /// Each worker completes one slice and calls `update` with every chunk of it; the slices of a
    /// rank's workers make up the whole vector. Nobody may read another's slice before the next
    /// meeting.
    package func sum(update: (Range<Int>) -> Void) throws(CollectiveError) {
        communicator.collectiveTimer?.began(.gradients)
        defer { communicator.collectiveTimer?.ended(.gradients) }
        let fingerprint = Fingerprint(
            step: communicator.step, layer: -1, kind: .gradients, length: length)
        try completeTogether?()
        if plan.world.ranks > 1 || complete < length || completeTogether == nil {
            // A rank's own slices need nobody; what is folded or sent on must be there.
            try communicator.meetTeam(nodes, fingerprint)
        }
        let slice = self.slice(ofThread: communicator.thread)
        guard plan.world.ranks > 1 else {
            if writesResult {
                chunks(of: slice, update)
            } else {
                foldRank(slice, output: { _ in result }, done: update)
            }
            for slice in completeSlices { chunks(of: slice, update) }
            return
        }
        let oneNode = plan.ranks[plan.world.rank].results.count == 1
        if !writesResult && complete < length {
            let shared = threadZeroRankNodes()
            foldRank(
                slice, output: { oneNode ? result : shared + $0 * stride }, done: { _ in })
            try communicator.meetTeam(nodes, fingerprint)
        }
        if let exchange = communicator.exchange {
            if plan.world.arithmetic == .mpi {
                try exchange.sum(
                    UnsafeMutableBufferPointer(start: result, count: length), fingerprint)
            } else if plan.doubling {
                try halveAndDouble(exchange, fingerprint, result)
            } else {
                try exchangeSlices(exchange, fingerprint, result, oneNode: oneNode)
            }
        }
        try communicator.meetTeam(nodes, fingerprint)
        chunks(of: slice, update)
        for slice in completeSlices { chunks(of: slice, update) }
    }

    private func chunks(of slice: Range<Int>, _ body: (Range<Int>) -> Void) {
        var lower = slice.lowerBound
        while lower < slice.upperBound {
            let upper = min(lower + GradientFold.chunk, slice.upperBound)
            body(lower..<upper)
            lower = upper
        }
    }

    /// The part of `complete ..< length` that thread `thread` of the rank folds; cut at cache lines.
    package func slice(ofThread thread: Int) -> Range<Int> {
        let part = Self.part(
            thread, of: communicator.world.threadsPerRank, length: length - complete)
        return complete + part.lowerBound..<complete + part.upperBound
    }

    private static func part(_ index: Int, of parts: Int, length: Int) -> Range<Int> {
        let lines = (length + 15) / 16
        return min(
            index * lines / parts * 16, length)..<min(
                (index + 1) * lines / parts * 16, length)
    }

    // MARK: inside the rank

    private func foldRank(
        _ slice: Range<Int>, output: (Int) -> UnsafeMutablePointer<Float>,
        done: (Range<Int>) -> Void
    ) {
        let single = communicator.world.threadsPerRank == 1
        rankFold.run(
            slice,
            input: { index in
                let (thread, node) = rankInputs[index]
                let base = single ? UnsafePointer(nodes) : published(thread)
                return base + node * stride
            }, output: output, done: done)
    }

    private func published(_ thread: Int) -> UnsafePointer<Float> {
        guard let address = communicator.address(ofThread: thread) else {
            preconditionFailure("a team-mate showed nothing")
        }
        return address.assumingMemoryBound(to: Float.self)
    }

    /// The rank's nodes lie behind worker 0's own.
    private func threadZeroRankNodes() -> UnsafeMutablePointer<Float> {
        if communicator.thread == 0 { return rankNodes }
        let first = plan.world.rank * plan.world.threadsPerRank
        return UnsafeMutablePointer(mutating: published(0))
            + plan.workers[first].results.count * stride
    }

    // MARK: between ranks

    /// Recursive halving at distances 1, 2, 4, …, as the tree has it, then doubling back.
    private func halveAndDouble(
        _ exchange: RankExchange, _ fingerprint: Fingerprint,
        _ vector: UnsafeMutablePointer<Float>
    ) throws(CollectiveError) {
        var kept = 0..<length
        var distance = 1
        while distance < exchange.ranks {
            let peer = exchange.rank ^ distance
            let (lower, upper) = Self.halves(of: kept)
            let keepsLower = exchange.rank < peer
            let mine = keepsLower ? lower : upper
            try exchange.open(fingerprint, with: peer)
            try exchange.send(bytes(of: vector, keepsLower ? upper : lower), to: peer)
            try exchange.receive(into: bytes(into: arrivals, mine), from: peer)
            try exchange.wait(fingerprint)
            let own = vector + mine.lowerBound
            let other = arrivals + mine.lowerBound
            add(
                left: keepsLower ? own : other, right: keepsLower ? other : own,
                count: mine.count, into: own)
            kept = mine
            distance *= 2
        }
        while distance > 1 {
            distance /= 2
            let peer = exchange.rank ^ distance
            // The halves of the round of this distance, from the top again.
            var whole = 0..<length
            var step = 1
            while step < distance {
                let (lower, upper) = Self.halves(of: whole)
                whole = exchange.rank & step == 0 ? lower : upper
                step *= 2
            }
            let (lower, upper) = Self.halves(of: whole)
            let keepsLower = exchange.rank < peer
            try exchange.send(bytes(of: vector, keepsLower ? lower : upper), to: peer)
            try exchange.receive(into: bytes(into: vector, keepsLower ? upper : lower), from: peer)
            try exchange.wait(fingerprint)
        }
    }

    private static func halves(of range: Range<Int>) -> (Range<Int>, Range<Int>) {
        let half = part(0, of: 2, length: range.count).upperBound
        let middle = range.lowerBound + half
        return (range.lowerBound..<middle, middle..<range.upperBound)
    }

    /// Each rank finishes one slice of the tree from everybody's nodes, then passes it on.
    private func exchangeSlices(
        _ exchange: RankExchange, _ fingerprint: Fingerprint,
        _ result: UnsafeMutablePointer<Float>, oneNode: Bool
    ) throws(CollectiveError) {
        let (rank, ranks) = (exchange.rank, exchange.ranks)
        func part(_ rank: Int) -> Range<Int> { Self.part(rank, of: ranks, length: length) }
        func ownNode(_ index: Int) -> UnsafeMutablePointer<Float> {
            oneNode ? result : rankNodes + index * stride
        }
        let mine = part(rank)
        try exchange.open(fingerprint)
        for peer in 0..<ranks where peer != rank {
            for node in plan.shared[peer].indices {
                let place = arrivals + (firstArrival[peer] + node) * arrivalStride
                try exchange.receive(
                    into: bytes(into: place, 0..<mine.count), from: peer)
            }
            for node in plan.shared[rank] {
                try exchange.send(bytes(of: ownNode(node), part(peer)), to: peer)
            }
        }
        try exchange.wait(fingerprint)
        for (index, node) in plan.shared[rank].enumerated() {
            let place = arrivals + (firstArrival[rank] + index) * arrivalStride
            place.update(from: ownNode(node) + mine.lowerBound, count: mine.count)
        }
        finalFold.run(
            0..<mine.count, input: { UnsafePointer(arrivals + $0 * arrivalStride) },
            output: { _ in result + mine.lowerBound }, done: { _ in })
        for peer in 0..<ranks where peer != rank {
            try exchange.receive(into: bytes(into: result, part(peer)), from: peer)
            try exchange.send(bytes(of: result, mine), to: peer)
        }
        try exchange.wait(fingerprint)
    }

    private func bytes(
        of vector: UnsafeMutablePointer<Float>, _ range: Range<Int>
    ) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: vector + range.lowerBound, count: range.count * MemoryLayout<Float>.stride)
    }

    private func bytes(
        into vector: UnsafeMutablePointer<Float>, _ range: Range<Int>
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: vector + range.lowerBound, count: range.count * MemoryLayout<Float>.stride)
    }
}
