import Collectives
import Kernels
import Layers
import Models
import Normalization
import TestSupport
import Testing

#if MPI
    import MPICollectives
#endif

/// Twenty steps of a whole network four ways: (1) one worker, one shard: ordinary large-batch BN;
/// (2) many workers, a shard each, scope shard: unsynchronised; (3) one worker, many shards, scope
/// global; (4) many workers, the same shards, scope global.
enum FourWays {
    /// Samples and shards: even, uneven, and with an empty shard.
    static let batches = [(32, 4), (30, 4), (7, 8), (33, 5)]

    /// Worlds of one to four workers.
    static let worlds = [(1, 2), (1, 3), (1, 4), (2, 1), (3, 1), (4, 1), (2, 2)]
}

@Suite("Four-way BN over a network")
struct FourWayNetworkTests {
    @Test(
        "many workers give one worker's bits, parameters after 20 steps included",
        arguments: FourWays.batches, MLP.Placement.allCases)
    func threeIsFour(batch: (samples: Int, shards: Int), placement: MLP.Placement) throws {
        for scope in [StatisticsScope.global, .shard, .group(2)] {
            if scope == .group(2) && batch.shards % 2 != 0 { continue }
            var run = TrainingCase(samples: batch.samples, shards: batch.shards)
            run.scope = scope
            run.placement = placement
            let three = try run.runAlone()
            #expect(three.losses.count == 20 && three.losses.allSatisfy(\.isFinite))
            for (ranks, threads) in FourWays.worlds where ranks * threads <= batch.shards {
                let four = try run.run(ranks: ranks, threads: threads)
                #expect(four.count == ranks * threads)
                for part in four {
                    #expect(
                        part.hasBits(of: three),
                        "\(scope), \(ranks)×\(threads), samples \(part.samples)")
                }
            }
        }
    }

    @Test(
        "many shards give large-batch BN", arguments: FourWays.batches, MLP.Placement.allCases)
    func oneIsThree(batch: (samples: Int, shards: Int), placement: MLP.Placement) throws {
        var run = TrainingCase(samples: batch.samples, shards: batch.shards)
        run.placement = placement
        let three = try run.runAlone()
        run.shards = 1
        let one = try run.runAlone()
        #expect(largestDifference(three.logits, one.logits) < 1e-6)
        #expect(largestDifference(three.firstStatistics, one.firstStatistics) < 1e-6)
        #expect(three.gradients.count == run.specification.layout(shards: 1).parameters.count)
        let names = run.specification.layout(shards: 1).parameters.map(\.name)
        for (index, name) in names.enumerated() {
            #expect(
                largestDifference(three.gradients[index], one.gradients[index]) < 1e-5,
                "gradient of \(name)")
            #expect(
                largestDifference(three.parameters[index], one.parameters[index]) < 1e-5,
                "\(name)")
        }
        #expect(largestDifference(three.statistics, one.statistics) < 1e-5)
        // The steps have moved what they say they agree on.
        #expect(largestDifference(one.statistics, one.firstStatistics) > 1e-2)
        #expect(one.losses[19] != one.losses[0])
    }

    // To see that these tests work: without synchronisation they would fail.
    @Test("without synchronisation everything differs", arguments: FourWays.batches)
    func twoDiffers(samples: Int, shards: Int) throws {
        var run = TrainingCase(samples: samples, shards: shards)
        run.scope = .shard
        let two = try run.run(ranks: 1, threads: min(shards, 4))
        run.shards = 1
        let one = try run.runAlone()
        #expect(largestDifference(two.flatMap(\.logits), one.logits) > 1e-2)
        #expect(largestDifference(two[0].firstStatistics, one.firstStatistics) > 1e-3)
        for index in one.gradients.indices.dropLast() {
            #expect(largestDifference(two[0].gradients[index], one.gradients[index]) > 1e-2)
        }
        for index in one.parameters.indices {
            #expect(largestDifference(two[0].parameters[index], one.parameters[index]) > 1e-3)
        }
    }
}

#if MPI
    /// The fourth way in real ranks, each of which computes the third by itself.
    @Suite(
        "Four-way BN over a network in ranks", .serialized,
        .enabled(if: rankTestRanks != nil, "only in ranks"))
    struct FourWayNetworkRanks {
        @Test(
            "every rank has its part of one worker's bits", arguments: FourWays.batches.dropFirst())
        @RankActor func threeIsFour(samples: Int, shards: Int) throws {
            let session = RankActor.session
            for scope in [StatisticsScope.global, .shard, .group(2)] {
                if scope == .group(2) && shards % 2 != 0 { continue }
                var run = TrainingCase(samples: samples, shards: shards)
                run.scope = scope
                if scope != .global { run.steps = 3 }
                let three = try run.runAlone()
                for threads in 1...2 where session.ranks * threads <= shards {
                    session.share(coresWith: threads)
                    let world = World(
                        ranks: session.ranks, threadsPerRank: threads, rank: session.rank)
                    let four = try run.run(in: world, transport: session.transport)
                    #expect(four.count == threads)
                    for part in four {
                        #expect(
                            part.hasBits(of: three),
                            "\(scope), \(session.ranks)×\(threads), samples \(part.samples)")
                    }
                }
            }
        }
    }

    @Suite(
        "Four-way BN over a network under mpirun", .serialized,
        .enabled(if: rankTestRanks == nil && mpirunIsInstalled, "needs mpirun, outside ranks"))
    struct FourWayNetworkRankRuns {
        @Test("real ranks have one worker's bits", arguments: 1...4)
        func ranks(_ ranks: Int) throws {
            let result = try runRankTests(ranks: ranks, filter: "ModelsTests.FourWayNetworkRanks/")
            #expect(result.status == 0, "\(result.stdout)\n\(result.stderr)")
            #expect(passedTests(result) == Array(repeating: 1, count: ranks))
        }
    }
#endif
