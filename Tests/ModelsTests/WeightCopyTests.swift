import Collectives
import Layers
import TensorCore
import Testing

@testable import Models

@Suite("Copies of weights in the layouts of passes")
struct WeightCopyTests {
    /// Values of the copies of each layer that has some, and whether each worker has its own.
    private func copies(
        _ specification: NetworkSpecification
    ) throws -> [(values: Int, own: Bool)] {
        let replica = Replica(specification.layout(shards: 4))
        return try Team.run(threads: 2) { communicator in
            let network = try Network(
                specification, replica: replica, communicator: communicator, shards: 4,
                batches: [(samples: 8, trains: true)])
            return network.layers.layers.compactMap { $0 as? any PackingLayer }
                .filter { $0.packedCount > 0 }.map { ($0.packedCount, $0.packsForItself) }
        }
    }

    @Test("small ones are each worker's, large ones the rank's")
    func owners() throws {
        let image = ImageShape(height: 32, width: 32, channels: 3)
        let lenet = try LeNet(input: image, classes: 10).specification()
        let small = try copies(lenet)
        let large = try copies(ResNet(.resnet20, input: image, classes: 10).specification())
        for copy in small + large { #expect(copy.own == (copy.values <= 8192)) }
        // Without AVX-512 oneDNN's kernels may read the parameters as they are.
        guard lenet.poolBehindConvolution(ofNode: 0) != nil else { return }
        #expect(!small.isEmpty && small.allSatisfy(\.own))
        #expect(large.contains { $0.own } && large.contains { !$0.own })
    }
}
