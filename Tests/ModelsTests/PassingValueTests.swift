import Collectives
import Kernels
import Layers
import TensorCore
import TestSupport
import Testing

@testable import Models

/// Values that nobody reads outside of their block: see `LayerGraph`.
@Suite("Values that are not kept")
struct PassingValueTests {
    static let small = ImageShape(height: 6, width: 5, channels: 3)

    static func network(_ name: String) throws -> NetworkSpecification {
        switch name {
        case "residual":
            try ResNet(.resnet20, input: small, classes: 5).specification()
        case "option A":
            try ResNet(.resnet20, shortcut: .padding, input: small, classes: 5).specification()
        case "bottleneck":
            // Images of a single pixel come in no blocks.
            try ResNet(
                .resnet50, input: ImageShape(height: 12, width: 10, channels: 3), classes: 5
            ).specification()
        case "vgg":
            try VGG(input: ImageShape(height: 32, width: 32, channels: 3), classes: 5)
                .specification()
        default:
            try LeNet(input: ImageShape(height: 17, width: 16, channels: 2), classes: 5)
                .specification()
        }
    }

    /// One worker's network, with what `body` finds in it.
    private func inNetwork<Result: Sendable>(
        _ pass: PassCase, threads: Int = 1,
        _ body: @escaping @Sendable (Network, Communicator) throws -> Result
    ) throws -> Result {
        let replica = pass.makeReplica()
        return try Team.run(World(threadsPerRank: threads), spinning: false) { communicator in
            try body(
                try Network(
                    pass.specification, replica: replica, communicator: communicator,
                    shards: pass.shards, batches: [(pass.samples, true)], seed: pass.seed),
                communicator)
        }
    }

    /// Names of the values of a residual network whose stages have so many blocks.
    private static func names(
        stages: [Int], behind norms: [String], projected: Range<Int>
    ) -> [String] {
        var names: [String] = []
        for (index, blocks) in stages.enumerated() {
            let stage = "layer\(index + 1)"
            for block in 0..<blocks { names += norms.map { "\(stage).\(block).\($0)" } }
            if projected.contains(index + 1) { names.append("\(stage).0.downsample.1") }
        }
        return names
    }

    static let expected: [String: [String]] = [
        "residual": names(stages: [3, 3, 3], behind: ["bn1"], projected: 2..<4),
        "option A": names(stages: [3, 3, 3], behind: ["bn1"], projected: 0..<0),
        "bottleneck": names(stages: [3, 4, 6, 3], behind: ["bn1", "bn2"], projected: 1..<5),
        // Behind the others comes a pool.
        "vgg": ["features.9", "features.16", "features.23"],
        "lenet": [],
    ]

    @Test(
        "they are the ReLUs of BN right before a convolution, and projected shortcuts",
        arguments: expected.keys.sorted())
    func names(network: String) throws {
        let names = try #require(Self.expected[network])
        let pass = PassCase(try Self.network(network), samples: 2, shards: 1)
        let found = try inNetwork(pass) { network, _ in
            network.layers.nodes.indices.filter { !network.layers.keepsOutput(ofNode: $0) }
                .map { network.layers.nodes[$0].layer.name }
        }
        #expect(Set(found).symmetricDifference(names) == [])
        #expect(found.count == names.count)
    }

    @Test(
        "computed again, each shard has the values it had, in any order",
        arguments: ["residual", "option A"])
    func restored(name: String) throws {
        // Uneven shards, and empty ones.
        for (samples, shards, threads) in [(7, 4, 1), (7, 4, 3), (4, 6, 2)] {
            let pass = PassCase(try Self.network(name), samples: samples, shards: shards)
            let specification = pass.specification
            let lowering = Lowering(specification, shards: 1)
            let reference = pass.makeReference().forward(doubles(pass.input))
            try inNetwork(pass, threads: threads) { network, communicator in
                let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
                let first = ShardedBatch(samples: samples, shards: shards)
                    .samples(ofShards: mine).lowerBound
                let shape = network.shapes[0]
                let input = Tensor(rows: max(shape.rows, 1), columns: specification.inputs)
                for i in 0..<shape.rows * specification.inputs {
                    input.pointer[i] = pass.input[first * specification.inputs + i]
                }
                let training = Pass(.training, shape, step: pass.step)
                _ = try network.layers.forward(input, training)
                var worst = 0.0
                for node in network.layers.nodes.indices.reversed()
                where !network.layers.keepsOutput(ofNode: node) {
                    let layer = network.layers.nodes[node].layer
                    let index = try #require(
                        specification.nodes.firstIndex { $0.name == layer.name })
                    let expected =
                        reference[(lowering.fusedActivation(ofNode: index) ?? index) + 1]
                    let scale = expected.map(abs).max() ?? 1
                    for position in shape.shardRows.indices.reversed() {
                        try network.layers.restoreOutput(ofNode: node, shard: position, training)
                        for row in shape.shardRows[position] {
                            for i in row * layer.outputs..<(row + 1) * layer.outputs {
                                worst = max(
                                    worst,
                                    abs(
                                        Double(layer.output.pointer[i])
                                            - expected[first * layer.outputs + i]) / scale)
                            }
                        }
                    }
                }
                // Each worker looks at its own. Reached: 1.8e-6.
                #expect(
                    worst < 5e-6,
                    "\(samples) on \(shards), worker \(communicator.worker) of \(threads)")
            }
        }
    }
}
