import Collectives
import Kernels
import Layers
import TensorCore
import TestSupport
import Testing

@testable import Normalization

/// BN(W·u) at ε = 0: W's scale goes nowhere. Ioffe, Szegedy, 2015, section 3.3.
@Suite("Scale invariance")
struct ScaleInvarianceTests {
    /// What a product with weights a·W and the BN behind it give.
    struct Outcome: Sendable {
        /// BN(aWu), [30, 19]
        var output: [Float]
        /// ∂/∂u, [30, 13]
        var inputGradient: [Float]
        /// ∂/∂(aW), [19, 13]
        var weightGradient: [Float]
    }

    static func run(scaledBy a: Float, threads: Int) throws -> [Outcome] {
        let (samples, inputs, channels, shards) = (30, 13, 19, 4)
        let layout = ModelLayout([
            .parameter(
                name: "product.weight", shape: [channels, inputs], role: .weight,
                isReduced: true),
            .parameter(name: "bn.weight", shape: [channels], role: .scale, isReduced: false),
            .parameter(name: "bn.bias", shape: [channels], role: .shift, isReduced: false),
            .statistics(name: "bn", channels: channels),
        ])
        let replica = Replica(layout)
        let (weight, scale, shift) = (
            layout.parameters[0], layout.parameters[1], layout.parameters[2]
        )
        replica.setValues(normals(weight.range.count, index: 1).map { a * $0 }, of: weight)
        replica.setValues(normals(channels, mean: 1, deviation: 0.3, index: 2), of: scale)
        replica.setValues(normals(channels, index: 3), of: shift)
        let input = normals(samples * inputs, mean: 1, index: 4)
        let outputGradient = normals(samples * channels, index: 5)

        let outcomes = Collected<(worker: Int, outcome: Outcome)>()
        try Team.run(World(threadsPerRank: threads), spinning: false) { communicator in
            let batch = ShardedBatch(samples: samples, shards: shards)
            let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
            let rows = batch.samples(ofShards: mine)
            let shape = BatchShape(
                index: 0, samples: samples,
                shardRows: mine.map {
                    let own = batch.samples(ofShard: $0)
                    return own.lowerBound - rows.lowerBound..<own.upperBound - rows.lowerBound
                }, trains: true)
            let reduction = GradientReduction(
                communicator, shards: shards, length: layout.reduced, result: replica.gradient)
            let gradients = GradientAccumulator(
                nodes: reduction.nodeShards.indices.map {
                    .init(shards: reduction.nodeShards[$0], values: reduction.node($0))
                }, merges: reduction.merges, depth: reduction.depth, largest: channels,
                known: communicator.thread == 0 ? replica.gradient : nil)
            let extent = ImageShape(height: 1, width: 1, channels: channels)
            var place = ModulePlace(name: "bn", input: extent, output: extent, shards: shards)
            place.fusion.activation = .tanh
            let context = WorkerContext(
                replica: replica, gradients: gradients, communicator: communicator,
                shapes: [shape])
            let layers = try LayerGraph(
                chain: [
                    LinearLayer(
                        name: "product", weight: weight, bias: nil, needsInputGradient: true,
                        replica: replica, gradients: gradients, shapes: [shape]),
                    BatchNormLayer(BatchNormSettings(epsilon: 0), at: place, context),
                ], shapes: [shape], inputSize: inputs, needsInputGradient: true)
            func tensor(_ all: [Float], _ columns: Int) -> Tensor {
                let tensor = Tensor(rows: rows.count, columns: columns)
                tensor.elements = Array(
                    all[rows.lowerBound * columns..<rows.upperBound * columns])
                return tensor
            }
            let pass = Pass(.training, shape)
            let output = try layers.forward(tensor(input, inputs), pass).elements
            let inputGradient = try layers.backward(tensor(outputGradient, channels), pass)
            try reduction.sum { _ in }
            try communicator.teamBarrier()
            outcomes.append(
                (
                    communicator.worker,
                    Outcome(
                        output: output, inputGradient: inputGradient?.elements ?? [],
                        weightGradient: replica.gradient(of: weight))
                ))
        }
        return outcomes.values.sorted { $0.worker < $1.worker }.map(\.outcome)
    }

    @Test("a power of two changes no bit", arguments: [0.25, 2, 1024] as [Float], [1, 3])
    func powerOfTwo(a: Float, threads: Int) throws {
        let plain = try Self.run(scaledBy: 1, threads: threads)
        let scaled = try Self.run(scaledBy: a, threads: threads)
        #expect(scaled.count == threads)
        for (scaled, plain) in zip(scaled, plain) {
            #expect(bits(scaled.output) == bits(plain.output))
            #expect(bits(scaled.inputGradient) == bits(plain.inputGradient))
            #expect(bits(scaled.weightGradient) == bits(plain.weightGradient.map { $0 / a }))
            #expect(plain.weightGradient.contains { $0 != 0 })
        }
    }

    @Test("any other factor changes roundings only", arguments: [0.3, 3, 700] as [Float])
    func anyFactor(a: Float) throws {
        let plain = try Self.run(scaledBy: 1, threads: 2)
        let scaled = try Self.run(scaledBy: a, threads: 2)
        for (scaled, plain) in zip(scaled, plain) {
            #expect(largestDifference(scaled.output, plain.output) < 1e-5)
            #expect(largestDifference(scaled.inputGradient, plain.inputGradient) < 1e-5)
            #expect(
                largestDifference(scaled.weightGradient.map { $0 * a }, plain.weightGradient)
                    < 1e-5)
        }
    }
}
