/// Which nodes of the forest are finished where: by a worker, inside a rank, or by the world.
///
/// Computed alike on every worker before the first step, from the world and the forest alone.
struct ReductionPlan: Sendable {
    let world: World
    let forest: ShardForest

    /// Of each worker of the world: its shards to its maximal subtrees.
    let workers: [FoldPlan]

    /// Of each rank: its workers' nodes to its own maximal subtrees.
    let ranks: [FoldPlan]

    /// Of each rank, the positions among its results of the nodes that other ranks must see.
    let shared: [[Int]]

    /// All shared nodes, in shard order, to whole trees.
    let final: FoldPlan

    /// Some group's shards lie on more than one worker of a rank, in any rank: the team meets.
    let teamMeets: Bool

    /// Some group's shards lie on more than one rank.
    let ranksMeet: Bool

    /// Every rank holds one node, and neighbours at distance 1, 2, 4, … are siblings: recursive
    /// doubling takes log2(ranks) messages.
    let doubling: Bool

    init(world: World, forest: ShardForest) {
        self.world = world
        self.forest = forest

        // The baseline adds up whatever comes, within a group, left to right.
        func meet(_ left: Range<Int>, _ right: Range<Int>) -> Bool {
            switch world.arithmetic {
            case .tree: forest.areSiblings(left, right)
            case .mpi:
                forest.group(ofShard: left.lowerBound) == forest.group(ofShard: right.lowerBound)
            }
        }
        func isWhole(_ node: Range<Int>) -> Bool { forest.isRoot(node) }

        workers = (0..<world.workers).map { worker in
            let shards = world.shards(ofWorker: worker, of: forest.shards)
            return FoldPlan(inputs: shards.map { $0..<$0 + 1 }, meet: meet)
        }
        let workers = workers
        ranks = (0..<world.ranks).map { rank in
            let threads = rank * world.threadsPerRank..<(rank + 1) * world.threadsPerRank
            return FoldPlan(inputs: threads.flatMap { workers[$0].results }, meet: meet)
        }
        let ranks = ranks
        shared = ranks.map { plan in
            plan.results.indices.filter { !isWhole(plan.results[$0]) }
        }
        let shared = shared
        final = FoldPlan(
            inputs: ranks.indices.flatMap { rank in shared[rank].map { ranks[rank].results[$0] } },
            meet: meet)
        ranksMeet = !final.inputs.isEmpty
        teamMeets =
            world.threadsPerRank > 1
            && (ranksMeet || workers.contains { $0.results.contains { !isWhole($0) } })
        doubling = Self.allowsDoubling(
            ranks.map(\.results), world: world, siblings: forest.areSiblings)
    }

    private static func allowsDoubling(
        _ results: [[Range<Int>]], world: World,
        siblings: (Range<Int>, Range<Int>) -> Bool
    ) -> Bool {
        guard world.arithmetic == .tree, world.ranks & (world.ranks - 1) == 0 else { return false }
        guard results.allSatisfy({ $0.count == 1 }) else { return false }
        var nodes = results.map { $0[0] }
        var distance = 1
        while distance < world.ranks {
            var next = nodes
            for rank in nodes.indices {
                let left = nodes[rank & ~distance]
                let right = nodes[rank | distance]
                guard siblings(left, right) else { return false }
                next[rank] = left.lowerBound..<right.upperBound
            }
            nodes = next
            distance *= 2
        }
        return true
    }
}
