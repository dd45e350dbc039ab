#if MPI
    import MPICollectives
    import TestSupport
    import Testing

    @testable import Collectives

    /// The communicator between real ranks: the same promises as in one process.
    extension RankContract {
        @Test(
            "sums over ranks and threads have the bits of the plain fold",
            arguments: [1, 2], [3, 700])
        @RankActor func sums(threads: Int, length: Int) throws {
            let shards = 8
            let expected = fold(0..<shards) { shardValues($0, length) }
            let sums = try run(threads: threads) { communicator in
                let reduction = StatisticsReduction(
                    communicator, shards: shards, group: shards, length: length, moments: false,
                    kind: .moments, layer: 0)
                return try (1...3).map { step in
                    communicator.step = step
                    reduction.begin(ShardedBatch(samples: 3 * shards - 1, shards: shards))
                    for shard in reduction.shards {
                        let values = shardValues(shard, length)
                        for i in 0..<length { reduction.leaf[i] = values[i] }
                        reduction.push()
                    }
                    try reduction.finish()
                    let result = reduction.result(ofGroup: 0)
                    return (0..<length).map { result[$0] }
                }
            }
            #expect(sums == [expected, expected, expected])
        }

        @Test("a barrier is passed by all workers of all ranks", arguments: [1, 2])
        @RankActor func barrier(threads: Int) throws {
            let passed = try run(threads: threads) { communicator in
                for step in 1...20 {
                    communicator.step = step
                    try communicator.barrier()
                }
                return true
            }
            #expect(passed)
        }

        @Test("ranks on one machine see what each writes to memory that they share")
        @RankActor func sharedMemory() throws {
            // Not where this machine has several NUMA nodes, or no folder in memory.
            guard NeighbourMemory.place() != nil else { return }
            let count = 100_000
            let wrong = try run(threads: 2) { communicator -> Int in
                let world = communicator.world
                guard communicator.thread == 0 else {
                    for _ in 0..<4 { try communicator.barrier() }
                    return 0
                }
                let memory = try communicator.shareWithNeighbours(byteCount: 8 * count)
                // A rank alone has no neighbours.
                var wrong = memory == nil && world.ranks > 1 ? 1 : 0
                for round in 1...2 {
                    try communicator.barrier()
                    let values = memory?.pointer.bindMemory(to: Int.self, capacity: count)
                    for i in stride(from: world.rank, to: count, by: world.ranks) {
                        values?[i] = round * i
                    }
                    try communicator.barrier()
                    if let values { wrong += (0..<count).count { values[$0] != round * $0 } }
                }
                withExtendedLifetime(memory) {}
                return wrong
            }
            #expect(wrong == 0)
        }

        @Test("two ranks that meet in different steps name both")
        @RankActor func mismatch() throws {
            let session = RankActor.session
            guard session.ranks > 1 else { return }
            let rank = session.rank
            let failure = #expect(throws: WorkerFailure.self) {
                try run(threads: 1) { communicator in
                    communicator.step = rank == 1 ? 8 : 7
                    try communicator.barrier()
                }
            }
            func meeting(_ step: Int) -> Fingerprint {
                Fingerprint(step: step, layer: -1, kind: .barrier, length: 0)
            }
            let there = rank == 1 ? 0 : 1
            let expected = CollectiveError.mismatch(
                here: rank, mine: meeting(rank == 1 ? 8 : 7), there: there,
                theirs: meeting(rank == 1 ? 7 : 8))
            #expect(failure?.error as? CollectiveError == expected)
        }

        @RankActor private func run<Result>(
            threads: Int, timeout: Double = 20,
            _ body: @escaping @Sendable (Communicator) throws -> Result
        ) throws(WorkerFailure) -> Result {
            let session = RankActor.session
            session.share(coresWith: threads)
            let world = World(ranks: session.ranks, threadsPerRank: threads, rank: session.rank)
            return try Team.run(
                world, transport: session.transport, timeout: timeout, spinning: false, body)
        }
    }

    /// Values so far apart in size that another order of addition shows.
    private func shardValues(_ shard: Int, _ length: Int) -> [Double] {
        (0..<length).map { i in
            let exponent = (shard * 37 + i * 11) % 40
            return Double(sign: .plus, exponent: exponent, significand: 1 + Double(i % 97) / 97)
                * (shard % 2 == 0 ? 1 : -1)
        }
    }

    /// The plain fold: node(lo, hi) = node(lo, mid) + node(mid, hi).
    private func fold(_ shards: Range<Int>, _ leaf: (Int) -> [Double]) -> [Double] {
        if shards.count == 1 { return leaf(shards.lowerBound) }
        let half = shards.count / 2
        return zip(
            fold(shards.prefix(half), leaf), fold(shards.dropFirst(half), leaf)
        ).map(+)
    }
#endif
