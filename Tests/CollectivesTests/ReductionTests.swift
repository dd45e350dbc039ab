import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Collectives

/// A plain readable fold along the tree, which all routes are compared with.
func foldReference<Value>(
    _ leaves: [Value], _ range: Range<Int>, merge: (Value, Value, Range<Int>, Range<Int>) -> Value
) -> Value {
    if range.count == 1 { return leaves[range.lowerBound] }
    let middle = ShardTree.middle(of: range)
    let (left, right) = (range.lowerBound..<middle, middle..<range.upperBound)
    return merge(
        foldReference(leaves, left, merge: merge), foldReference(leaves, right, merge: merge),
        left, right)
}

/// Values of shard `shard`: far apart in size, so that another order of addition shows.
func shardValues(_ shard: Int, _ length: Int, salt: Int = 0) -> [Double] {
    let random = CounterRandom(seed: UInt64(salt), purpose: .benchmark, index: UInt64(shard))
    return (0..<length).map {
        random.uniform(in: -1...1, at: 2 * $0)
            * Double(
                sign: .plus, exponent: random.integer(below: 30, at: 2 * $0 + 1), significand: 1)
    }
}

@Suite("Reductions over shards")
struct ReductionTests {
    static func statistics(
        _ communicator: Communicator, shards: Int, group: Int, length: Int, rounds: Int
    ) throws -> [[Double]] {
        let reduction = StatisticsReduction(
            communicator, shards: shards, group: group, length: length, moments: false,
            kind: .moments, layer: 0)
        var results: [[Double]] = []
        for round in 0..<rounds {
            communicator.step = round
            reduction.begin(ShardedBatch(samples: shards * 3 - 1, shards: shards))
            push(into: reduction, salt: round)
            try reduction.finish()
            results += groupResults(reduction)
        }
        return results
    }

    /// The worker's groups, each with its number first.
    private static func groupResults(_ reduction: StatisticsReduction) -> [[Double]] {
        Set(reduction.shards.map(reduction.group(ofShard:))).sorted().map { group in
            let pointer = reduction.result(ofGroup: group)
            return [Double(group)] + (0..<reduction.length).map { pointer[$0] }
        }
    }

    /// Writes what each of this worker's shards contributes.
    private static func push(into reduction: StatisticsReduction, salt: Int) {
        for shard in reduction.shards {
            let values = shardValues(shard, reduction.length, salt: salt)
            for i in values.indices { reduction.leaf[i] = values[i] }
            reduction.push()
        }
    }

    @Test(
        "sums have the bits of the plain fold, in every world, group size and length",
        arguments: [1, 3, 5, 8, 12], [3, 700])
    func sums(shards: Int, length: Int) throws {
        let rounds = 3
        for group in 1...shards where shards % group == 0 {
            let expected = (0..<rounds).map { round in
                (0..<shards / group).map { index in
                    foldReference(
                        (0..<shards).map { shardValues($0, length, salt: round) },
                        index * group..<(index + 1) * group
                    ) { left, right, _, _ in zip(left, right).map(+) }
                }
            }
            for (ranks, threads) in testWorlds where ranks * threads <= shards {
                let outcomes = runWorld(ranks: ranks, threads: threads) {
                    try Self.statistics(
                        $0, shards: shards, group: group, length: length, rounds: rounds)
                }
                #expect(outcomes.count == ranks)
                for outcome in outcomes {
                    let rows = try outcome.get()
                    #expect(rows.count % rounds == 0 && !rows.isEmpty)
                    for (index, row) in rows.enumerated() {
                        let round = index / (rows.count / rounds)
                        #expect(Array(row.dropFirst()) == expected[round][Int(row[0])])
                    }
                }
            }
        }
    }

    /// Three reductions that all begin before the first is awaited, one after the other with others.
    static func startedAhead(
        _ communicator: Communicator, shards: Int, groups: [Int], length: Int, rounds: Int
    ) throws -> [[Double]] {
        let reductions = groups.enumerated().map { layer, group in
            StatisticsReduction(
                communicator, shards: shards, group: group, length: length, moments: false,
                kind: .momentGradients, layer: layer)
        }
        let whole = StatisticsReduction(
            communicator, shards: shards, group: shards, length: 1, moments: false,
            kind: .metrics, layer: -1)
        var results: [[Double]] = []
        for round in 0..<rounds {
            communicator.step = round
            let batch = ShardedBatch(samples: shards, shards: shards)
            for (layer, reduction) in reductions.enumerated() {
                reduction.begin(batch)
                push(into: reduction, salt: 3 * round + layer)
                try reduction.start()
            }
            // Workers are apart when they come to the second half.
            usleep(UInt32((communicator.worker * 7 + round * 5) % 11 * 30))
            for (layer, reduction) in reductions.enumerated() {
                try reduction.finish()
                results += groupResults(reduction).map { [Double(3 * round + layer)] + $0 }
            }
            whole.begin(batch)
            for shard in whole.shards {
                whole.leaf[0] = Double(shard)
                whole.push()
            }
            try whole.finish()
            let sum = whole.result(ofGroup: 0)[0]
            precondition(sum == Double(shards * (shards - 1) / 2), "another's sum: \(sum)")
        }
        return results
    }

    @Test(
        "sums that are started before others are awaited have the bits of the plain fold",
        arguments: [1, 5, 8, 12], [3, 700])
    func startedAhead(shards: Int, length: Int) throws {
        let rounds = 4
        // One that needs nobody may lie between two that do.
        for groups in [[shards, shards, shards], [shards, 1, shards], [1, shards, shards]] {
            for (ranks, threads) in testWorlds where ranks * threads <= shards {
                let outcomes = runWorld(ranks: ranks, threads: threads) {
                    try Self.startedAhead(
                        $0, shards: shards, groups: groups, length: length, rounds: rounds)
                }
                #expect(outcomes.count == ranks)
                for outcome in outcomes {
                    let rows = try outcome.get()
                    #expect(rows.count >= groups.count * rounds)
                    for row in rows {
                        let (salt, index) = (Int(row[0]), Int(row[1]))
                        let group = groups[salt % 3]
                        let expected = foldReference(
                            (0..<shards).map { shardValues($0, length, salt: salt) },
                            index * group..<(index + 1) * group
                        ) { left, right, _, _ in zip(left, right).map(+) }
                        #expect(Array(row.dropFirst(2)) == expected, "\(ranks)×\(threads)")
                    }
                }
            }
        }
    }

    @Test("merged moments have the bits of the plain fold, empty shards included")
    func moments() throws {
        let (channels, shards) = (5, 8)
        for samples in [0, 1, 3, 7, 8, 9, 30] {
            let batch = ShardedBatch(samples: samples, shards: shards)
            @Sendable func leaf(_ shard: Int) -> [Double] {
                batch.samples(ofShard: shard).isEmpty
                    ? Array(repeating: 0, count: 2 * channels)
                    : shardValues(shard, 2 * channels).map(abs)
            }
            let expected = foldReference((0..<shards).map(leaf), 0..<shards) {
                left, right, leftShards, rightShards in
                let n1 = Double(batch.samples(ofShards: leftShards).count)
                let n2 = Double(batch.samples(ofShards: rightShards).count)
                if n2 == 0 { return left }
                if n1 == 0 { return right }
                return (0..<2 * channels).map { i in
                    let delta = right[i % channels] - left[i % channels]
                    return i < channels
                        ? left[i] + delta * (n2 / (n1 + n2))
                        : left[i] + right[i] + delta * delta * (n1 * (n2 / (n1 + n2)))
                }
            }
            for (ranks, threads) in testWorlds where ranks * threads <= shards {
                let outcomes = runWorld(ranks: ranks, threads: threads) { communicator in
                    let reduction = StatisticsReduction(
                        communicator, shards: shards, group: shards, length: 2 * channels,
                        moments: true, kind: .moments, layer: 0)
                    reduction.begin(batch)
                    for shard in reduction.shards {
                        let values = leaf(shard)
                        for i in values.indices { reduction.leaf[i] = values[i] }
                        reduction.push()
                    }
                    try reduction.finish()
                    let pointer = reduction.result(ofGroup: 0)
                    return (0..<2 * channels).map { pointer[$0] }
                }
                for outcome in outcomes { #expect(try outcome.get() == expected) }
            }
        }
    }

    /// A rank's result, which its workers share.
    final class SharedResult: Sendable {
        nonisolated(unsafe) let pointer: UnsafeMutablePointer<Float>
        let length: Int

        init(_ length: Int) {
            self.length = length
            pointer = .allocate(capacity: (length + 15) / 16 * 16)
            pointer.initialize(repeating: 0, count: (length + 15) / 16 * 16)
        }

        deinit { pointer.deallocate() }

        var values: [Float] { (0..<length).map { pointer[$0] } }
    }

    static func gradient(
        _ communicator: Communicator, shards: Int, result: SharedResult, buckets: [Int] = []
    ) throws {
        let length = result.length
        let reduction = GradientReduction(
            communicator, shards: shards, length: length, result: result.pointer)
        reduction.divide(intoBuckets: buckets)
        var height = 0
        let spare = UnsafeMutablePointer<Float>.allocate(capacity: reduction.depth * length)
        defer { spare.deallocate() }
        func slot(_ height: Int) -> UnsafeMutablePointer<Float> {
            height < reduction.nodeCount ? reduction.node(height) : spare + height * length
        }
        let world = communicator.world
        for (position, shard) in world.shards(ofWorker: communicator.worker, of: shards)
            .enumerated()
        {
            let values = shardValues(shard, length).map(Float.init)
            slot(height).update(from: values, count: length)
            height += 1
            for _ in 0..<reduction.merges[position] {
                add(
                    left: slot(height - 2), right: slot(height - 1), count: length,
                    into: slot(height - 2))
                height -= 1
            }
        }
        for (index, bucket) in reduction.buckets.enumerated() {
            // What lies before a bucket is still being computed when its sum begins.
            let front = (0..<reduction.nodeCount).map { node in
                (0..<bucket.lowerBound).map { reduction.node(node)[$0] }
            }
            for node in front.indices {
                reduction.node(node).update(repeating: .nan, count: bucket.lowerBound)
            }
            try reduction.sum(bucket: index)
            for _ in 0..<communicator.worker { try reduction.progress() }
            for (node, values) in front.enumerated() {
                reduction.node(node).update(from: values, count: values.count)
            }
        }
        var updated = 0
        try reduction.sum { updated += $0.count }
        precondition(updated == reduction.slice(ofThread: communicator.thread).count)
    }

    @Test(
        "gradients have the bits of the plain fold, by halving and doubling and by slices",
        arguments: [1, 5, 8, 12], [1, 15, 100, 5000])
    func gradients(shards: Int, length: Int) throws {
        let expected = foldReference(
            (0..<shards).map { shardValues($0, length).map(Float.init) }, 0..<shards
        ) { left, right, _, _ in zip(left, right).map(+) }
        for (ranks, threads) in testWorlds where ranks * threads <= shards {
            let results = (0..<ranks).map { _ in SharedResult(length) }
            let outcomes = runWorld(ranks: ranks, threads: threads) {
                try Self.gradient($0, shards: shards, result: results[$0.world.rank])
            }
            for outcome in outcomes { try outcome.get() }
            for result in results { #expect(result.values == expected, "\(ranks)×\(threads)") }
        }
    }

    @Test(
        "gradients summed in buckets have the bits of the plain fold",
        arguments: [[4992], [4096, 1024, 1008, 16], [2048, 0]])
    func buckets(starts: [Int]) throws {
        let length = 5003
        for shards in [5, 8, 12] {
            let expected = foldReference(
                (0..<shards).map { shardValues($0, length).map(Float.init) }, 0..<shards
            ) { left, right, _, _ in zip(left, right).map(+) }
            for (ranks, threads) in testWorlds where ranks * threads <= shards {
                let results = (0..<ranks).map { _ in SharedResult(length) }
                let outcomes = runWorld(ranks: ranks, threads: threads) {
                    for _ in 0..<2 {
                        try Self.gradient(
                            $0, shards: shards, result: results[$0.world.rank], buckets: starts)
                    }
                }
                for outcome in outcomes { try outcome.get() }
                for result in results { #expect(result.values == expected, "\(ranks)×\(threads)") }
            }
        }
    }

    @Test("the test bites: left folds, the baseline's, move with the world")
    func bites() throws {
        let (shards, length) = (8, 64)
        func bits(_ arithmetic: World.Arithmetic, _ threads: Int) throws -> [[Double]] {
            try runWorld(ranks: 1, threads: threads, arithmetic: arithmetic) {
                try Self.statistics(
                    $0, shards: shards, group: shards, length: length, rounds: 1)
            }[0].get()
        }
        let right = try bits(.tree, 1)
        for threads in 2...8 { #expect(try bits(.tree, threads) == right) }
        let folded = try bits(.mpi, 1)
        #expect(try (2...8).contains { try bits(.mpi, $0) != folded })
        #expect(try (2...8).contains { try bits(.mpi, $0) != right })
    }
}
