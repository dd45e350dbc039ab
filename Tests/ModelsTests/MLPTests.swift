import Kernels
import Layers
import Normalization
import TensorCore
import Testing

@testable import Models

@Suite("MLP")
struct MLPTests {
    static func names(_ mlp: MLP) -> [String] {
        mlp.specification.layout(shards: 4).entries.map { entry in
            switch entry {
            case .parameter(let parameter): "\(parameter.name) \(parameter.shape)"
            case .statistics(let running): "\(running.name) running [\(running.channels)]"
            }
        }
    }

    @Test("before the activation: Linear without bias, BatchNorm1d, activation, as nn.Sequential")
    func before() {
        let mlp = MLP(inputs: 784, hidden: [128, 64], classes: 10)
        #expect(
            Self.names(mlp) == [
                "layers.0.weight [128, 784]",
                "layers.1.weight [128]", "layers.1.bias [128]", "layers.1 running [128]",
                "layers.3.weight [64, 128]",
                "layers.4.weight [64]", "layers.4.bias [64]", "layers.4 running [64]",
                "layers.6.weight [10, 64]", "layers.6.bias [10]",
            ])
    }

    @Test("after the activation: Linear keeps its bias")
    func after() {
        let mlp = MLP(inputs: 20, hidden: [7, 5], classes: 3, placement: .after)
        #expect(
            Self.names(mlp) == [
                "layers.0.weight [7, 20]", "layers.0.bias [7]",
                "layers.2.weight [7]", "layers.2.bias [7]", "layers.2 running [7]",
                "layers.3.weight [5, 7]", "layers.3.bias [5]",
                "layers.5.weight [5]", "layers.5.bias [5]", "layers.5 running [5]",
                "layers.6.weight [3, 5]", "layers.6.bias [3]",
            ])
    }

    @Test("on the inputs: BatchNorm1d in front of every Linear, which keep their biases")
    func inputs() {
        let mlp = MLP(inputs: 20, hidden: [7], classes: 3, placement: .inputs)
        #expect(
            Self.names(mlp) == [
                "layers.0.weight [20]", "layers.0.bias [20]", "layers.0 running [20]",
                "layers.1.weight [7, 20]", "layers.1.bias [7]",
                "layers.3.weight [7]", "layers.3.bias [7]", "layers.3 running [7]",
                "layers.4.weight [3, 7]", "layers.4.bias [3]",
            ])
        let linear = MLP(
            inputs: 2, hidden: [], classes: 2, placement: .inputs,
            normalization: BatchNormSettings(affine: false))
        #expect(
            Self.names(linear) == [
                "layers.0 running [2]", "layers.1.weight [2, 2]", "layers.1.bias [2]",
            ])
    }

    @Test("without normalisation, for either placement", arguments: MLP.Placement.allCases)
    func none(placement: MLP.Placement) {
        let mlp = MLP(
            inputs: 20, hidden: [7, 5], classes: 3, placement: placement, normalization: nil)
        #expect(
            Self.names(mlp) == [
                "layers.0.weight [7, 20]", "layers.0.bias [7]", "layers.2.weight [5, 7]",
                "layers.2.bias [5]", "layers.4.weight [3, 5]", "layers.4.bias [3]",
            ])
        #expect(!mlp.specification.isNormalized)
    }

    @Test(
        "without affine there are running statistics only",
        arguments: [MLP.Placement.before, .after])
    func withoutAffine(placement: MLP.Placement) {
        let mlp = MLP(
            inputs: 4, hidden: [3], classes: 2, placement: placement,
            normalization: BatchNormSettings(affine: false))
        let number = placement == .before ? 1 : 2
        #expect(
            Self.names(mlp).filter { $0.hasPrefix("layers.\(number)") } == [
                "layers.\(number) running [3]"
            ])
        #expect(mlp.specification.isNormalized)
    }

    @Test("no hidden layers are a linear classifier", arguments: [MLP.Placement.before, .after])
    func linear(placement: MLP.Placement) {
        let mlp = MLP(inputs: 784, hidden: [], classes: 10, placement: placement)
        #expect(Self.names(mlp) == ["layers.0.weight [10, 784]", "layers.0.bias [10]"])
        #expect(
            mlp.specification.nodes
                == [.init(name: "layers.0", module: Linear(10, bias: true), input: 0)]
        )
        #expect(!mlp.specification.isNormalized)
        #expect(mlp.specification.layout(shards: 2).parameterCount == 7850)
    }

    @Test("parameters are counted as papers count them")
    func counts() {
        func count(_ placement: MLP.Placement, _ settings: BatchNormSettings?) -> Int {
            MLP(
                inputs: 784, hidden: [128, 128, 128], classes: 10, placement: placement,
                normalization: settings
            ).specification.layout(shards: 4).parameterCount
        }
        let weights = 784 * 128 + 2 * 128 * 128 + 128 * 10
        #expect(count(.before, nil) == weights + 3 * 128 + 10)
        #expect(count(.before, BatchNormSettings()) == weights + 3 * 256 + 10)
        #expect(count(.after, BatchNormSettings()) == weights + 3 * 384 + 10)
        #expect(count(.before, BatchNormSettings(affine: false)) == weights + 10)
    }

    @Test("γ and β are summed over the tree exactly where no collective of their own knows them")
    func reduced() {
        for (scope, shards, isReduced) in [
            (StatisticsScope.global, 4, false), (.group(2), 4, true), (.group(4), 4, false),
            (.shard, 4, true), (.shard, 1, false), (.global, 1, false),
        ] {
            let layout = MLP(
                inputs: 4, hidden: [3], classes: 2, normalization: BatchNormSettings(scope: scope)
            ).specification.layout(shards: shards)
            for parameter in layout.parameters {
                let isOfNormalization = parameter.role == .scale || parameter.role == .shift
                #expect(
                    (parameter.range.upperBound <= layout.reduced)
                        == (!isOfNormalization || isReduced), "\(scope) on \(shards)")
            }
        }
    }

    @Test(
        "initial weights are the same with and without BN and for every placement",
        arguments: [
            Initialization.normal(standardDeviation: 0.05), .xavier(gain: 1), .he(gain: 2),
        ])
    func sameWeights(initialization: Initialization) {
        let variants: [(MLP.Placement, BatchNormSettings?)] = [
            (.before, nil), (.before, BatchNormSettings()), (.after, BatchNormSettings()),
            (.before, BatchNormSettings(scope: .shard, affine: false)),
            (.after, BatchNormSettings(scope: .group(2))),
        ]
        func weights(_ variant: (MLP.Placement, BatchNormSettings?), seed: UInt64) -> [[Float]] {
            let layout = MLP(
                inputs: 20, hidden: [7, 5], classes: 3, placement: variant.0,
                normalization: variant.1
            ).specification.layout(shards: 4)
            let replica = Replica(layout)
            replica.initialize(initialization, seed: seed)
            for parameter in layout.parameters where !parameter.decays {
                let start: Float = parameter.role == .scale ? 1 : 0
                #expect(replica.values(of: parameter).allSatisfy { $0 == start })
            }
            return layout.parameters.filter(\.decays).map { replica.values(of: $0) }
        }
        let expected = weights(variants[0], seed: 3)
        #expect(expected.map(\.count) == [140, 35, 15])
        for variant in variants { #expect(weights(variant, seed: 3) == expected) }
        #expect(weights(variants[1], seed: 4) != expected)
    }
}
