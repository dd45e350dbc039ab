import Kernels
import TensorCore
import TestSupport
import Testing

@testable import Layers

@Suite("GradientAccumulator")
struct GradientAccumulatorTests {
    /// What shard `shard` contributes: far apart in size, so that another order of addition shows.
    static func contribution(_ shard: Int, count: Int, salt: Int) -> [Float] {
        let values = normals(count, index: UInt64(1000 * salt + shard))
        return values.enumerated().map { i, value in
            value * Float(sign: .plus, exponent: (7 * shard + 5 * i) % 40 - 20, significand: 1)
        }
    }

    @Test("every node has the bits of the plain fold, in every division of the shards")
    func plainFold() {
        let ranges = [0..<3, 16..<53]
        for shards in 1...17 {
            let leaves = ranges.indices.map { index in
                (0..<shards).map {
                    Self.contribution($0, count: ranges[index].count, salt: index)
                }
            }
            for workers in 1...shards {
                for worker in 0..<workers {
                    let mine = worker * shards / workers..<(worker + 1) * shards / workers
                    let gradients = WorkerGradients(range: mine, of: shards, length: 64)
                    #expect(gradients.accumulator.shards == mine.count)
                    for (index, range) in ranges.enumerated() {
                        gradients.accumulator.accumulate(range) { position, destination in
                            let values = leaves[index][mine.lowerBound + position]
                            for i in values.indices { destination[i] = values[i] }
                        }
                    }
                    for (node, values) in zip(gradients.nodes, gradients.values) {
                        for (index, range) in ranges.enumerated() {
                            let expected = ShardFold.sum(leaves[index], node)
                            #expect(bits(Array(values.elements[range])) == bits(expected))
                        }
                        // Nothing is written between the parameters, nor behind them.
                        #expect(values.elements[3..<16].allSatisfy { $0 == 0 })
                        #expect(values.elements[53...].allSatisfy { $0 == 0 })
                    }
                }
            }
        }
    }

    @Test("the test bites: adding from left to right gives other bits")
    func leftToRight() {
        let leaves = (0..<8).map { Self.contribution($0, count: 64, salt: 0) }
        let leftToRight = leaves.dropFirst().reduce(leaves[0]) { zip($0, $1).map(+) }
        #expect(bits(leftToRight) != bits(ShardFold.sum(leaves)))
    }
}
