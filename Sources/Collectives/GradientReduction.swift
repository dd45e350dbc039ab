/// The all-reduce of a long Float32 vector, the gradient, in the steady state of training.
///
/// Each worker holds the maximal subtrees of its shards, `nodeCount` vectors of `length`, in memory
/// that its team-mates can read. `sum` brings them together: inside a rank every worker folds its
/// own slice of the vector over all workers' nodes; worker 0 sums it over the ranks
/// (``GradientExchange``). Between ranks the back of the vector can be summed in buckets while the
/// front is still computed: `sum(bucket:)`.
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
    /// By thread of the rank, where its nodes lie; empty before `joinTeam`.
    private var nodesOfThreads: [UnsafePointer<Float>] = []
    /// Worker 0 of a rank among several: the rank's nodes.
    private let rankNodes: UnsafeMutablePointer<Float>
    /// Worker 0's sum over ranks along the tree.
    private lazy var ranksSum: GradientExchange? = makeRanksSum()

    /// The parts of the vector that `sum(bucket:)` sums up, from its end towards its front; `sum`
    /// takes what is left.
    package private(set) var buckets: [Range<Int>] = []
    /// Buckets whose sum has begun, in this step.
    private var begun = 0

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
    }

    /// Says in which parts the vector is summed; all workers of all ranks call it alike, before the
    /// first step. Only worlds of several ranks have buckets, and only the tree.
    ///
    /// - Parameter starts: where each bucket begins: descending multiples of 16, not in `0 ..< complete`.
    package func divide(intoBuckets starts: [Int]) {
        precondition(
            starts.allSatisfy { $0 % 16 == 0 && $0 >= complete && $0 < length }
                && zip(starts, starts.dropFirst()).allSatisfy(>), "buckets follow each other")
        guard plan.world.ranks > 1, plan.world.arithmetic != .mpi else { return }
        let ends = [length] + starts
        buckets = zip(starts, ends).map { $0..<$1 }
        ranksSum = makeRanksSum()
    }

    private func makeRanksSum() -> GradientExchange? {
        guard let exchange = communicator.exchange, plan.world.arithmetic != .mpi else {
            return nil
        }
        let oneNode = plan.ranks[plan.world.rank].results.count == 1
        return GradientExchange(
            exchange, plan: plan, buckets: buckets + [0..<(buckets.last?.lowerBound ?? length)],
            result: result, nodes: { oneNode ? result : rankNodes + $0 * stride },
            buffer: { communicator.buffer(of: Float.self, count: $0).pointer })
    }

    /// Node `index` of this worker: `length` values.
    package func node(_ index: Int) -> UnsafeMutablePointer<Float> {
        precondition(index < nodeCount, "a worker has \(nodeCount) nodes")
        return nodes + index * stride
    }

    /// Finds out where the rank's nodes lie. All workers of the rank call it, before the first step;
    /// otherwise the first sum does.
    package func joinTeam() throws(CollectiveError) {
        try communicator.meetTeam(
            nodes, Fingerprint(step: 0, layer: -1, kind: .start, length: length))
        nodesOfThreads = (0..<plan.world.threadsPerRank).map { thread in
            // A worker alone has shown its own.
            guard let address = communicator.address(ofThread: thread) else {
                preconditionFailure("a team-mate showed nothing")
            }
            return address.assumingMemoryBound(to: Float.self)
        }
        let results = plan.ranks[plan.world.rank].results
        let shared = threadZeroRankNodes()
        let first = plan.world.shards(ofRank: plan.world.rank, of: plan.forest.shards).lowerBound
        teamNodes = results.enumerated().map { index, node in
            TeamNode(
                shards: node.lowerBound - first..<node.upperBound - first,
                values: results.count == 1 ? result : shared + index * stride)
        }
    }

    /// Sums all workers' nodes into the rank's result.
    ///
    /// Each worker completes one slice and calls `update` with every chunk of it; the slices of a
    /// rank's workers make up the whole vector. Nobody may read another's slice before the next
    /// meeting.
    package func sum(update: (Range<Int>) -> Void) throws(CollectiveError) {
        communicator.collectiveTimer?.began(.gradients)
        defer { communicator.collectiveTimer?.ended(.gradients) }
        let rest = begun == 0 ? length : buckets[begun - 1].lowerBound
        begun = 0
        let fingerprint = fingerprint(rest)
        if nodesOfThreads.isEmpty { try joinTeam() }
        try completeTogether?()
        if plan.world.ranks > 1 || completeTogether == nil {
            // What is folded or sent on must be there; inside a rank `completeTogether` has met.
            try communicator.meetTeam(nil, fingerprint)
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
        try foldRank(complete..<rest)
        if let exchange = communicator.exchange {
            if let ranksSum {
                try ranksSum.finish(step: communicator.step)
            } else {
                try exchange.sum(
                    UnsafeMutableBufferPointer(start: result, count: length), fingerprint)
            }
        }
        try communicator.meetTeam(nil, fingerprint)
        chunks(of: slice, update)
        for slice in completeSlices { chunks(of: slice, update) }
    }

    /// Sums `buckets[index]` over the rank and starts to sum it over all ranks, which goes on beside
    /// what follows. All workers call it for every bucket in order, as soon as all of its gradients
    /// are in their nodes, and then `sum`, which takes those that were left out.
    package func sum(bucket index: Int) throws(CollectiveError) {
        communicator.collectiveTimer?.began(.gradients)
        defer { communicator.collectiveTimer?.ended(.gradients) }
        precondition(index == begun, "buckets are summed in order")
        begun += 1
        let bucket = buckets[index]
        if nodesOfThreads.isEmpty { try joinTeam() }
        try communicator.meetTeam(nil, fingerprint(bucket.count))
        try foldRank(bucket)
        try ranksSum?.start(bucket: index, step: communicator.step)
    }

    /// Goes on with the buckets that are under way, as far as that needs no waiting.
    package func progress() throws(CollectiveError) { try ranksSum?.progress() }

    private func fingerprint(_ length: Int) -> Fingerprint {
        Fingerprint(step: communicator.step, layer: -1, kind: .gradients, length: length)
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
        slice(complete..<length, ofThread: thread)
    }

    private func slice(_ range: Range<Int>, ofThread thread: Int) -> Range<Int> {
        range.part(thread, of: communicator.world.threadsPerRank)
    }

    // MARK: inside the rank

    /// Folds `range` into what the ranks exchange, each worker its slice.
    private func foldRank(_ range: Range<Int>) throws(CollectiveError) {
        guard !writesResult, !range.isEmpty else { return }
        let oneNode = plan.ranks[plan.world.rank].results.count == 1
        let shared = threadZeroRankNodes()
        foldRank(
            slice(range, ofThread: communicator.thread),
            output: { oneNode ? result : shared + $0 * stride }, done: { _ in })
        try communicator.meetTeam(nil, fingerprint(range.count))
    }

    private func foldRank(
        _ slice: Range<Int>, output: (Int) -> UnsafeMutablePointer<Float>,
        done: (Range<Int>) -> Void
    ) {
        rankFold.run(
            slice,
            input: { index in
                let (thread, node) = rankInputs[index]
                return nodesOfThreads[thread] + node * stride
            }, output: output, done: done)
    }

    /// The rank's nodes lie behind worker 0's own.
    private func threadZeroRankNodes() -> UnsafeMutablePointer<Float> {
        if communicator.thread == 0 { return rankNodes }
        let first = plan.world.rank * plan.world.threadsPerRank
        return UnsafeMutablePointer(mutating: nodesOfThreads[0])
            + plan.workers[first].results.count * stride
    }
}
