import Collectives
import Layers
import TensorCore
import TestSupport
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
            return network.layers.layers.filter { $0.packedCount > 0 }
                .filter { $0.packedCount > 0 }.map { ($0.packedCount, $0.packsForItself) }
        }
    }

    private static let image = ImageShape(height: 32, width: 32, channels: 3)

    private static func lenet() throws -> NetworkSpecification {
        try LeNet(input: image, classes: 10).specification()
    }

    private static func resnet() throws -> NetworkSpecification {
        try ResNet(.resnet20, input: image, classes: 10).specification()
    }

    @Test("small ones are each worker's, large ones the rank's")
    func owners() throws {
        for copy in try copies(Self.lenet()) + copies(Self.resnet()) {
            #expect(copy.own == (copy.values <= 8192))
        }
    }

    @Test("LeNet has small ones, ResNet-20 both")
    func ofNetworks() throws {
        let (small, large) = (try copies(Self.lenet()), try copies(Self.resnet()))
        #expect(!small.isEmpty && small.allSatisfy(\.own))
        #expect(large.contains { $0.own } && large.contains { !$0.own })
    }

    @Test(
        "ranks of one machine have one copy of large weights, made by one worker each",
        .enabled(if: NeighbourMemory.place() != nil, "cores on several NUMA nodes"),
        arguments: [(2, 1), (3, 1), (2, 2)])
    func neighbours(ranks: Int, threads: Int) throws {
        let image = ImageShape(height: 8, width: 8, channels: 3)
        let specification = try ResNet(.resnet20, input: image, classes: 10).specification()
        let layout = specification.layout(shards: 8)
        let replicas = (0..<ranks).map { _ in Replica(layout) }
        let results = runWorld(ranks: ranks, threads: threads) { communicator in
            let replica = replicas[communicator.world.rank]
            func network() throws -> Network {
                try Network(
                    specification, replica: replica, communicator: communicator, shards: 8,
                    batches: [(samples: 8, trains: true)])
            }
            // A second network of the replica has the copies of the first.
            let both = [try network(), try network()]
            if communicator.thread == 0 {
                replica.initialize(.normal(standardDeviation: 1), seed: 5)
            }
            try communicator.barrier()
            try both[1].prepareWeights()
            return withExtendedLifetime(both) { true }
        }
        _ = try results.map { try $0.get() }
        let alone = Replica(layout)
        alone.initialize(.normal(standardDeviation: 1), seed: 5)
        try Team.run(World()) { communicator in
            _ = try Network(
                specification, replica: alone, communicator: communicator, shards: 8,
                batches: [(samples: 8, trains: true)])
        }
        guard let expected = alone.copies(ofThread: nil) else {
            // Without AVX-512 kernels may read the parameters as they are.
            #expect(replicas.allSatisfy { $0.copies(ofThread: nil) == nil })
            return
        }
        #expect(expected.ranks.isEmpty)
        let copies = try replicas.map { try #require($0.copies(ofThread: nil)) }
        // Every value is there for every rank, at addresses of its own.
        #expect(Set(copies.map(\.pointer)).count == ranks)
        for copy in copies {
            #expect(copy.ranks == Array(0..<ranks) && copy.count == expected.count)
            #expect((0..<copy.count).allSatisfy { copy.pointer[$0] == expected.pointer[$0] })
        }
        #expect((0..<expected.count).contains { expected.pointer[$0] != 0 })
    }
}
