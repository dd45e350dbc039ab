import Collectives
import Kernels
import Layers
import Models
import Normalization
import TensorCore
import TestSupport
import Testing

@Suite("Network")
struct NetworkTests {
    static let inputs = 13
    static let samples = 9

    /// The logits of `input` [9, 13] in inference mode, by one worker with 4 shards.
    static func infer(
        _ specification: NetworkSpecification, _ replica: Replica, _ input: [Float]
    ) throws -> [Float] {
        try Team.run(World(), spinning: false) { communicator in
            let network = try Network(
                specification, replica: replica, communicator: communicator, shards: 4,
                batches: [(samples, false)])
            let tensor = Tensor(rows: samples, columns: inputs)
            tensor.elements = input
            return try network.layers.forward(tensor, Pass(.inference, network.shapes[0]))
                .elements
        }
    }

    /// Random everything, running statistics included.
    static func replica(_ specification: NetworkSpecification) -> Replica {
        let replica = Replica(specification.layout(shards: 4))
        for (index, parameter) in replica.layout.parameters.enumerated() {
            let mean = parameter.role == .scale ? 1.0 : 0
            replica.setValues(
                normals(
                    parameter.range.count, mean: mean, deviation: 0.4, index: UInt64(index)),
                of: parameter)
        }
        for (index, entry) in replica.layout.statistics.enumerated() {
            let values = normals(2 * entry.channels, index: UInt64(50 + index))
            for c in 0..<entry.channels {
                replica.statistics[entry.mean.lowerBound + c] = values[c]
                let deviation = values[entry.channels + c]
                replica.statistics[entry.variance.lowerBound + c] = 0.2 + deviation * deviation
            }
        }
        return replica
    }

    @Test(
        "inference follows a Float64 network with running statistics",
        arguments: MLP.Placement.allCases, ActivationKind.allCases)
    func inference(placement: MLP.Placement, activation: ActivationKind) throws {
        for normalization in [BatchNormSettings(epsilon: 1e-3), nil] {
            let specification = MLP(
                inputs: Self.inputs, hidden: [7, 5], classes: 3, activation: activation,
                placement: placement, normalization: normalization
            ).specification
            let replica = Self.replica(specification)
            let input = normals(Self.samples * Self.inputs, index: 20)
            let logits = try Self.infer(specification, replica, input)
            var reference = ReferenceNetwork(specification, replica, samples: Self.samples)
            reference.mode = .inference
            let expected = try #require(reference.forward(doubles(input)).last)
            #expect(largestDifference(logits, expected) < 2e-6)
        }
    }

    @Test(
        "a sample's logits have the same bits whatever the other samples are",
        arguments: MLP.Placement.allCases)
    func independence(placement: MLP.Placement) throws {
        let specification = MLP(
            inputs: Self.inputs, hidden: [7, 5], classes: 3, placement: placement
        ).specification
        let replica = Self.replica(specification)
        let input = normals(Self.samples * Self.inputs, index: 20)
        let logits = try Self.infer(specification, replica, input)
        for sample in 0..<Self.samples {
            var other = normals(Self.samples * Self.inputs, mean: 3, index: 21)
            let row = sample * Self.inputs..<(sample + 1) * Self.inputs
            other.replaceSubrange(row, with: input[row])
            let alone = try Self.infer(specification, replica, other)
            let classes = sample * 3..<sample * 3 + 3
            #expect(bits(Array(alone[classes])) == bits(Array(logits[classes])))
            #expect(alone != logits)
        }
    }

    @Test("an activation behind BN is fused into it, one before it is not")
    func fusion() throws {
        for (placement, names) in [
            (MLP.Placement.before, ["layers.0", "layers.1", "layers.3"]),
            (.after, ["layers.0", "layers.1", "layers.2", "layers.3"]),
        ] {
            let specification = MLP(
                inputs: 4, hidden: [3], classes: 2, placement: placement
            ).specification
            let replica = Replica(specification.layout(shards: 2))
            let built = try Team.run(World(), spinning: false) { communicator in
                let network = try Network(
                    specification, replica: replica, communicator: communicator, shards: 2,
                    batches: [(5, true)])
                return (network.layers.layers.map(\.name), network.normalizations.count)
            }
            #expect(built.0 == names)
            #expect(built.1 == 1)
        }
    }
}
