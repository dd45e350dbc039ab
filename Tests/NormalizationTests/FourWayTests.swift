import Collectives
import Kernels
import Layers
import TestSupport
import Testing

@testable import Normalization

#if MPI
    import MPICollectives
#endif

/// The same global batch four ways: (1) one worker, one shard: ordinary large-batch BN; (2) many
/// workers, a shard each, scope shard: unsynchronised; (3) one worker, many shards, scope global;
/// (4) many workers, the same shards, scope global.
enum FourWays {
    /// Samples, positions and shards: even, uneven, and with an empty shard.
    static let batches = [(32, 1, 4), (30, 1, 4), (7, 1, 8), (33, 1, 5), (30, 6, 4), (7, 6, 8)]

    static func layer(_ samples: Int, _ positions: Int, _ shards: Int) -> LayerCase {
        var layer = LayerCase(
            samples: samples, positions: positions, channels: 19, shards: shards)
        layer.activation = .sigmoid
        return layer
    }

    /// Worlds of one to four workers.
    static let worlds = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (3, 1), (4, 1), (2, 2)]
}

@Suite("Four-way BN")
struct FourWayTests {
    @Test("many workers give one worker's bits", arguments: FourWays.batches)
    func threeIsFour(samples: Int, positions: Int, shards: Int) throws {
        var layer = FourWays.layer(samples, positions, shards)
        for scope in [StatisticsScope.global, .shard, .group(2)] {
            if scope == .group(2) && shards % 2 != 0 { continue }
            layer.settings.scope = scope
            let three = try layer.runAlone()
            for (ranks, threads) in FourWays.worlds where ranks * threads <= shards {
                let four = try layer.run(ranks: ranks, threads: threads)
                #expect(four.count == ranks * threads)
                for part in four {
                    #expect(
                        part.hasBits(of: three, channels: layer.channels),
                        "\(scope), \(ranks)×\(threads), rows \(part.rows)")
                }
            }
        }
    }

    @Test("many shards give large-batch BN", arguments: FourWays.batches)
    func oneIsThree(samples: Int, positions: Int, shards: Int) throws {
        let three = try FourWays.layer(samples, positions, shards).runAlone()
        let one = try FourWays.layer(samples, positions, 1).runAlone()
        #expect(largestDifference(three.output, one.output) < 1e-6)
        #expect(largestDifference(three.runningMean, one.runningMean) < 1e-6)
        #expect(largestDifference(three.runningVariance, one.runningVariance) < 1e-6)
        #expect(largestDifference(three.inputGradient, one.inputGradient) < 1e-5)
        #expect(largestDifference(three.scaleGradient, one.scaleGradient) < 1e-5)
        #expect(largestDifference(three.shiftGradient, one.shiftGradient) < 1e-5)
        let (many, single) = (three.moments[0] ?? [], one.moments[0] ?? [])
        #expect(many.count == 2 * 19 + 1)
        #expect(largestDifference(many, single) < 1e-14)
        expectReference(one, FourWays.layer(samples, positions, 1))
    }

    // To see that these tests work: without synchronisation they would fail.
    @Test("without synchronisation everything differs", arguments: FourWays.batches)
    func twoDiffers(samples: Int, positions: Int, shards: Int) throws {
        let one = try FourWays.layer(samples, positions, 1).runAlone()
        var layer = FourWays.layer(samples, positions, shards)
        layer.settings.scope = .shard
        let two = LayerCase.Part.joined(
            try layer.run(ranks: 1, threads: min(shards, 4)), channels: layer.channels)
        #expect(largestDifference(two.output, one.output) > 1e-2)
        #expect(largestDifference(two.runningVariance, one.runningVariance) > 1e-3)
        #expect(largestDifference(two.inputGradient, one.inputGradient) > 1e-2)
        #expect(largestDifference(two.scaleGradient, one.scaleGradient) > 1e-2)
    }

    @Test("groups of two shards are scope global on each half", arguments: [28, 30])
    func groups(samples: Int) throws {
        var layer = FourWays.layer(samples, 1, 4)
        layer.settings.scope = .group(2)
        let whole = try layer.runAlone()
        let middle = samples / 2 * layer.channels
        let halves = try [0..<middle, middle..<layer.input.count].map { values in
            var half = FourWays.layer(samples / 2, 1, 2)
            half.input = Array(layer.input[values])
            half.outputGradient = Array(layer.outputGradient[values])
            return try half.runAlone()
        }
        #expect(bits(whole.output) == bits(halves[0].output + halves[1].output))
        #expect(
            bits(whole.inputGradient) == bits(halves[0].inputGradient + halves[1].inputGradient))
        for (group, half) in halves.enumerated() {
            #expect(whole.moments[group].map { bits($0) } == half.moments[0].map { bits($0) })
        }
        func sum(_ gradient: (LayerCase.Part) -> [Float]) -> [Float] {
            zip(gradient(halves[0]), gradient(halves[1])).map(+)
        }
        #expect(bits(whole.scaleGradient) == bits(sum(\.scaleGradient)))
        #expect(bits(whole.shiftGradient) == bits(sum(\.shiftGradient)))
        func mean(_ statistic: (LayerCase.Part) -> [Float]) -> [Float] {
            zip(statistic(halves[0]), statistic(halves[1])).map { ($0 + $1) / 2 }
        }
        #expect(largestDifference(whole.runningMean, mean(\.runningMean)) < 1e-6)
        #expect(largestDifference(whole.runningVariance, mean(\.runningVariance)) < 1e-6)
    }

    @Test("the test bites: sums without the tree move the bits of a team, and of ranks")
    func bites() throws {
        let layer = FourWays.layer(30, 6, 8)
        let right = try layer.runAlone(arithmetic: .mpi)
        for (ranks, threads) in [(1, 3), (3, 1)] {
            let same = try layer.run(ranks: ranks, threads: threads, arithmetic: .mpi)
                .allSatisfy { $0.hasBits(of: right, channels: layer.channels) }
            #expect(!same, "\(ranks)×\(threads)")
        }
    }
}

#if MPI
    /// The fourth way in real ranks, each of which computes the third by itself.
    @Suite("Four-way BN in ranks", .serialized, .enabled(if: rankTestRanks != nil, "only in ranks"))
    struct FourWayRanks {
        @Test("every rank has its part of one worker's bits", arguments: FourWays.batches)
        @RankActor func threeIsFour(samples: Int, positions: Int, shards: Int) throws {
            let session = RankActor.session
            var layer = FourWays.layer(samples, positions, shards)
            for scope in [StatisticsScope.global, .shard, .group(2)] {
                if scope == .group(2) && shards % 2 != 0 { continue }
                layer.settings.scope = scope
                let three = try layer.runAlone()
                for threads in 1...2 where session.ranks * threads <= shards {
                    session.share(coresWith: threads)
                    let world = World(
                        ranks: session.ranks, threadsPerRank: threads, rank: session.rank)
                    let four = try layer.run(in: world, transport: session.transport)
                    #expect(four.count == threads)
                    for part in four {
                        #expect(
                            part.hasBits(of: three, channels: layer.channels),
                            "\(scope), \(session.ranks)×\(threads), rows \(part.rows)")
                    }
                }
            }
        }
    }

    @Suite(
        "Four-way BN under mpirun", .serialized,
        .enabled(if: rankTestRanks == nil && mpirunIsInstalled, "needs mpirun, outside ranks"))
    struct FourWayRankRuns {
        @Test("real ranks have one worker's bits", arguments: 1...4)
        func ranks(_ ranks: Int) throws {
            let result = try runRankTests(ranks: ranks, filter: "NormalizationTests.FourWayRanks/")
            #expect(result.status == 0, "\(result.stdout)\n\(result.stderr)")
            #expect(passedTests(result) == Array(repeating: 1, count: ranks))
        }
    }
#endif
