import Testing

@testable import Collectives

@Suite("The shard tree")
struct ShardTreeTests {
    @Test("a node is cut at the largest power of two below its size")
    func cuts() {
        #expect(ShardTree.middle(of: 0..<2) == 1)
        #expect(ShardTree.middle(of: 0..<3) == 2)
        #expect(ShardTree.middle(of: 0..<8) == 4)
        #expect(ShardTree.middle(of: 8..<13) == 12)
    }

    @Test("siblings are the two children of one node and nothing else")
    func siblings() {
        let tree = ShardTree(shards: 0..<5)
        #expect(tree.areSiblings(0..<1, 1..<2))
        #expect(!tree.areSiblings(1..<2, 2..<3))
        #expect(tree.areSiblings(0..<4, 4..<5))
        #expect(!tree.areSiblings(2..<4, 4..<5))
        #expect(!tree.areSiblings(4..<5, 5..<6))
    }

    @Test("the plans of every world end in one whole tree for every group, of the same merges")
    func plansAgree() {
        for shards in 1...12 {
            for group in 1...shards where shards % group == 0 {
                let forest = ShardForest(shards: shards, group: group)
                let alone = merges(ReductionPlan(world: World(), forest: forest))
                #expect(alone.count == shards - shards / group)
                for ranks in 1...shards {
                    for threads in 1...shards where ranks * threads <= shards {
                        let world = World(ranks: ranks, threadsPerRank: threads)
                        let plan = ReductionPlan(world: world, forest: forest)
                        #expect(merges(plan) == alone, "\(shards) \(group) \(ranks)×\(threads)")
                    }
                }
            }
        }
    }

    private func merges(_ plan: ReductionPlan) -> Set<FoldPlan.Merge> {
        Set((plan.workers + plan.ranks + [plan.final]).flatMap { $0.merges.flatMap { $0 } })
    }

    @Test("aligned power-of-two worlds use recursive doubling, others do not")
    func doubling() {
        func plan(_ ranks: Int, _ threads: Int, _ shards: Int) -> ReductionPlan {
            ReductionPlan(
                world: World(ranks: ranks, threadsPerRank: threads),
                forest: ShardForest(shards: shards, group: shards))
        }
        #expect(plan(4, 1, 8).doubling)
        #expect(plan(2, 2, 8).doubling)
        #expect(plan(2, 3, 8).doubling)
        #expect(!plan(3, 1, 8).doubling)
        #expect(!plan(4, 1, 6).doubling)
    }

    @Test("a worker of s shards keeps at most log2(s) + 1 buffers")
    func depth() {
        for shards in [1, 2, 4, 8, 16, 64] {
            let plan = ReductionPlan(
                world: World(), forest: ShardForest(shards: shards, group: shards))
            #expect(plan.workers[0].depth == shards.trailingZeroBitCount + 1)
        }
    }

    @Test("shards of a batch are contiguous, cover it, and differ by at most one sample")
    func sharding() {
        for samples in 0...40 {
            for shards in 1...9 {
                let batch = ShardedBatch(samples: samples, shards: shards)
                let sizes = (0..<shards).map { batch.samples(ofShard: $0).count }
                #expect(sizes.reduce(0, +) == samples)
                #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
                #expect(batch.samples(ofShards: 0..<shards) == 0..<samples)
            }
        }
    }
}
