/// One all-reduce of Float64 statistics over the shards of each group: BN's collectives, losses
/// and metrics.
///
/// Planned once, before the first step; a step then allocates nothing. The use of one reduction:
/// `begin`, then for each of this worker's shards in order `leaf` (write `length` values there)
/// and `push`, then `finish`, then `result(ofGroup:)`.
///
/// What is merged is `[mean: C][M2: C]` (`.moments`) or plain sums. Under the arithmetic `.mpi`
/// everything is plain sums, taken left to right and by MPI_Allreduce.
package final class StatisticsReduction {
    /// Values of a node.
    package let length: Int

    /// This worker's shards.
    package let shards: Range<Int>

    private let communicator: Communicator
    private let plan: ReductionPlan
    private let merging: Merging
    private let layer: Int
    private let kind: Fingerprint.Kind
    private let stride: Int
    private var batch: ShardedBatch
    private var positions = 1
    private var pushed = 0
    /// Whether `start` has begun what `finish` ends.
    private var hasStarted = false

    /// Two sets of slots in turn: team-mates read one while the next reduction fills the other.
    private let own: [StatisticsFold]
    private let ownBases: [UnsafeMutablePointer<Double>]
    private var parity = 0

    private let rankFold: StatisticsFold
    private let finalFold: StatisticsFold
    /// Inputs of the rank's fold: thread and node of each.
    private let rankInputs: [(thread: Int, node: Int)]
    /// Shared nodes of all ranks, in shard order, as they come in.
    private let arrivals: UnsafeMutablePointer<Double>
    /// Where each rank's first shared node lies among the arrivals.
    private let firstArrival: [Int]
    private let partner: UnsafeMutablePointer<Double>
    /// Results for team-mates: every group's, two sets in turn.
    private let dense: [UnsafeMutablePointer<Double>]
    private var results: [UnsafePointer<Double>?]

    /// - Parameters:
    ///   - shards: the number of shards of every batch.
    ///   - group: shards of a statistics group; `shards` itself for the whole batch.
    ///   - length: Float64 values of a node.
    ///   - moments: whether nodes are (mean, M2) rather than sums.
    ///   - layer: the ordinal for fingerprints, -1 for none.
    package init(
        _ communicator: Communicator, shards: Int, group: Int, length: Int, moments: Bool,
        kind: Fingerprint.Kind, layer: Int
    ) {
        let world = communicator.world
        precondition(world.workers <= shards, "every worker needs a shard")
        self.communicator = communicator
        self.length = length
        self.kind = kind
        self.layer = layer
        merging = moments && world.arithmetic != .mpi ? .moments : .sum
        let plan = ReductionPlan(
            world: world, forest: ShardForest(shards: shards, group: group))
        self.plan = plan
        self.shards = world.shards(ofWorker: communicator.worker, of: shards)
        batch = ShardedBatch(samples: 0, shards: shards)
        let stride = (length + 7) / 8 * 8
        self.stride = stride

        let mine = plan.workers[communicator.worker]
        let ownBases = (0..<2).map { _ in
            communicator.buffer(of: Double.self, count: (mine.depth + 1) * stride).pointer
        }
        self.ownBases = ownBases
        let merging = merging
        own = ownBases.map {
            StatisticsFold(mine, merging: merging, length: length, slots: $0, slotStride: stride)
        }
        let rankPlan = plan.ranks[world.rank]
        let first = world.rank * world.threadsPerRank
        rankInputs = (0..<world.threadsPerRank).flatMap { thread in
            plan.workers[first + thread].results.indices.map { (thread, $0) }
        }
        func memory(_ nodes: Int) -> UnsafeMutablePointer<Double> {
            communicator.buffer(of: Double.self, count: (nodes + 1) * stride).pointer
        }
        rankFold = StatisticsFold(
            rankPlan, merging: merging, length: length, slots: memory(rankPlan.depth),
            slotStride: stride)
        finalFold = StatisticsFold(
            plan.final, merging: merging, length: length, slots: memory(plan.final.depth),
            slotStride: stride)
        arrivals = memory(plan.final.inputs.count)
        var counter = 0
        firstArrival = plan.shared.map { nodes in
            defer { counter += nodes.count }
            return counter
        }
        partner = memory(1)
        let groups = plan.forest.groups
        dense = (0..<2).map { _ in memory(groups) }
        results = Array(repeating: nil, count: groups)
    }

    /// Starts a reduction over a batch of `batch.samples`, each of which gives `positions` values
    /// a channel (H·W in images).
    package func begin(_ batch: ShardedBatch, positions: Int = 1) {
        precondition(batch.shards == plan.forest.shards, "a reduction keeps its shards")
        self.batch = batch
        self.positions = positions
        pushed = 0
        parity ^= 1
        own[parity].start()
    }

    /// Where the next shard's `length` values go.
    package var leaf: UnsafeMutablePointer<Double> { own[parity].top }

    /// Merges another part of the shard into `leaf`, which holds what comes before it.
    ///
    /// - Parameter counts: values a channel in `leaf` and in `part`.
    package func mergeIntoLeaf(_ part: UnsafePointer<Double>, counts: (leaf: Int, part: Int)) {
        merge(
            merging, left: leaf, right: part, leftCount: counts.leaf, rightCount: counts.part,
            length: length, into: leaf)
    }

    /// The place of a shard among this worker's, and where what it contributes is kept, too: [length];
    /// for an audit.
    package var captured: (position: Int, values: UnsafeMutablePointer<Double>)?

    /// Takes the shard that was written to `leaf`.
    package func push() {
        if let captured, captured.position == pushed {
            captured.values.update(from: leaf, count: length)
        }
        own[parity].push(pushed) { count(of: $0) }
        pushed += 1
    }

    /// Values a channel in `shards`.
    package func count(of shards: Range<Int>) -> Int {
        batch.samples(ofShards: shards).count * positions
    }

    /// The shards of group `group`.
    package func shards(ofGroup group: Int) -> Range<Int> { plan.forest.shards(ofGroup: group) }

    /// The group of shard `shard`.
    package func group(ofShard shard: Int) -> Int { plan.forest.group(ofShard: shard) }

    /// The whole of group `group`, which holds some shard of this worker: `length` values, until
    /// the next `begin` but one.
    package func result(ofGroup group: Int) -> UnsafePointer<Double> {
        guard let result = results[group] else {
            preconditionFailure("group \(group) has no shard on this worker")
        }
        return result
    }

    /// Sends on its way what this worker pushed, and waits for nobody: what is computed before
    /// `finish` hides the exchange. All workers call it, or none; it may do nothing.
    package func start() throws(CollectiveError) {
        precondition(pushed == shards.count, "every shard is pushed once")
        guard plan.world.arithmetic != .mpi else { return }
        if plan.teamMeets {
            guard communicator.mayShowTeam else { return }
            try communicator.showTeam(ownBases[parity], fingerprint)
        } else {
            // Thread 0 of several first has to wait for its team.
            guard plan.ranksMeet, let exchange = communicator.exchange, !exchange.isUnderWay else {
                return
            }
            foldRank()
            try startFoldingWorld(exchange, fingerprint)
        }
        hasStarted = true
    }

    /// Brings together what all workers pushed. A group inside one worker needs nobody, one inside
    /// one rank no message.
    package func finish() throws(CollectiveError) {
        precondition(pushed == shards.count, "every shard is pushed once")
        communicator.collectiveTimer?.began(kind)
        defer { communicator.collectiveTimer?.ended(kind) }
        if plan.world.arithmetic == .mpi { return try finishLiterally(fingerprint) }
        guard plan.teamMeets || plan.ranksMeet else {
            let nodes = plan.workers[communicator.worker].results
            for (node, pointer) in zip(nodes, own[parity].results) {
                results[plan.forest.group(ofShard: node.lowerBound)] = pointer
            }
            return
        }
        defer { hasStarted = false }
        if plan.teamMeets {
            if hasStarted {
                try communicator.awaitTeam(fingerprint)
            } else {
                try communicator.meetTeam(ownBases[parity], fingerprint)
            }
            if !plan.ranksMeet || communicator.exchange != nil { foldRank() }
            guard plan.ranksMeet else { return }
        } else if !hasStarted {
            try start()
        }
        if let exchange = communicator.exchange {
            if plan.teamMeets { try startFoldingWorld(exchange, fingerprint) }
            try finishFoldingWorld(exchange, fingerprint)
        }
        try shareResults(fingerprint)
    }

    private var fingerprint: Fingerprint {
        Fingerprint(step: communicator.step, layer: layer, kind: kind, length: length)
    }

    // MARK: inside the rank

    private func foldRank() {
        let threads = communicator.world.threadsPerRank
        let (base, slot) = (UnsafePointer(ownBases[parity]), stride)
        rankFold.run(
            input: { index in
                let (thread, node) = rankInputs[index]
                guard threads > 1 && plan.teamMeets else { return base + node * slot }
                return nodes(ofThread: thread) + node * slot
            }, count: { count(of: $0) })
        for (node, pointer) in zip(plan.ranks[plan.world.rank].results, rankFold.results)
        where plan.forest.isRoot(node) {
            results[plan.forest.group(ofShard: node.lowerBound)] = pointer
        }
    }

    private func nodes(ofThread thread: Int) -> UnsafePointer<Double> {
        guard let address = communicator.address(ofThread: thread) else {
            preconditionFailure("a team-mate showed nothing")
        }
        return address.assumingMemoryBound(to: Double.self)
    }

    /// Worker 0's results to its team-mates.
    private func shareResults(_ fingerprint: Fingerprint) throws(CollectiveError) {
        guard communicator.world.threadsPerRank > 1 else { return }
        let shared = dense[parity]
        if communicator.thread == 0 {
            for group in results.indices {
                if let result = results[group] {
                    (shared + group * stride).update(from: result, count: length)
                }
            }
        }
        try communicator.meetTeam(shared, fingerprint)
        let base = nodes(ofThread: 0)
        for group in results.indices { results[group] = base + group * stride }
    }

    // MARK: between ranks

    /// Sends the rank's nodes on their way.
    private func startFoldingWorld(
        _ exchange: RankExchange, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        if plan.doubling {
            arrivals.update(from: rankFold.results[0], count: length)
            try exchange.startSwap(
                with: exchange.rank ^ 1, fingerprint,
                sending: UnsafeRawBufferPointer(bytes(of: arrivals)))
            return
        }
        let mine = arrivals + firstArrival[exchange.rank] * stride
        for (index, node) in plan.shared[exchange.rank].enumerated() {
            (mine + index * stride).update(from: rankFold.results[node], count: length)
        }
        try exchange.startGather(
            fingerprint, sending: UnsafeRawBufferPointer(sharedNodes(of: exchange.rank)))
    }

    private func finishFoldingWorld(
        _ exchange: RankExchange, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        if plan.doubling {
            try doubleUp(exchange, fingerprint)
        } else {
            try gather(exchange, fingerprint)
        }
    }

    /// Recursive doubling: after round k each rank holds the node over 2^(k+1) ranks' shards.
    private func doubleUp(
        _ exchange: RankExchange, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        var range = plan.ranks[exchange.rank].results[0]
        let node = arrivals
        let sent = UnsafeRawBufferPointer(bytes(of: node))
        var distance = 1
        while distance < exchange.ranks {
            let peer = exchange.rank ^ distance
            if distance > 1 {
                try exchange.startSwap(with: peer, fingerprint, sending: sent)
            }
            try exchange.finishSwap(
                with: peer, fingerprint, sending: sent, receiving: bytes(of: partner))
            // The partner's node covers as many ranks as mine, on the other side of the cut.
            let span = rankSpan(of: peer, distance: distance)
            let isLeft = exchange.rank < peer
            merge(
                merging, left: isLeft ? node : partner, right: isLeft ? partner : node,
                leftCount: count(of: isLeft ? range : span),
                rightCount: count(of: isLeft ? span : range), length: length, into: node)
            range =
                min(range.lowerBound, span.lowerBound)..<max(range.upperBound, span.upperBound)
            distance *= 2
        }
        results[0] = UnsafePointer(node)
    }

    /// The shards of the `distance` ranks that `peer` speaks for in the round of `distance`.
    private func rankSpan(of peer: Int, distance: Int) -> Range<Int> {
        let first = peer & ~(distance - 1)
        return plan.ranks[first].results[0]
            .lowerBound..<plan.ranks[first + distance - 1].results[0].upperBound
    }

    /// Everybody's nodes to everybody, who all finish the trees in the same order.
    private func gather(
        _ exchange: RankExchange, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        try exchange.finishGather(
            fingerprint, sending: UnsafeRawBufferPointer(sharedNodes(of: exchange.rank)),
            into: sharedNodes)
        finalFold.run(
            input: { UnsafePointer(arrivals + $0 * stride) }, count: { count(of: $0) })
        for (node, pointer) in zip(plan.final.results, finalFold.results) {
            results[plan.forest.group(ofShard: node.lowerBound)] = pointer
        }
    }

    /// Where the nodes that `rank` shares lie among the arrivals.
    private func sharedNodes(of rank: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: arrivals + firstArrival[rank] * stride,
            count: plan.shared[rank].count * stride * MemoryLayout<Double>.stride)
    }

    /// A node's `length` values.
    private func bytes(of node: UnsafeMutablePointer<Double>) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: node, count: length * MemoryLayout<Double>.stride)
    }

    // MARK: the baseline

    /// Sums of all groups side by side, zero where a worker has no shard, through MPI_Allreduce.
    private func finishLiterally(_ fingerprint: Fingerprint) throws(CollectiveError) {
        try communicator.meetTeam(ownBases[parity], fingerprint)
        if communicator.thread == 0 {
            let sums = dense[parity]
            sums.update(repeating: 0, count: plan.forest.groups * stride)
            let single = communicator.world.threadsPerRank == 1
            for (thread, node) in rankInputs {
                let worker = communicator.worker + thread
                let shards = plan.workers[worker].results[node]
                let group = sums + plan.forest.group(ofShard: shards.lowerBound) * stride
                let base = single ? UnsafePointer(ownBases[parity]) : nodes(ofThread: thread)
                let values = base + node * stride
                for i in 0..<length { group[i] += values[i] }
            }
            if let exchange = communicator.exchange, plan.world.ranks > 1 {
                try exchange.sum(
                    UnsafeMutableBufferPointer(start: sums, count: plan.forest.groups * stride),
                    fingerprint)
            }
        }
        try communicator.meetTeam(dense[parity], fingerprint)
        let base =
            communicator.world.threadsPerRank == 1
            ? UnsafePointer(dense[parity]) : nodes(ofThread: 0)
        for group in results.indices { results[group] = base + group * stride }
    }
}
