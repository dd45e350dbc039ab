import Collectives
import Kernels
import Layers
import TestSupport
import Testing

@testable import Normalization

@Suite("BatchNorm against Float64")
struct BatchNormTests {
    static let shapes = [(30, 1, 19), (7, 1, 1), (9, 6, 3), (3, 4, 33)]

    /// Every combination of settings that changes the arithmetic.
    static func settings() -> [BatchNormSettings] {
        [true, false].flatMap { affine in
            [RunningAverage.momentum(0.1), .momentum(1), .cumulative].flatMap { average in
                [true, false].map { unbiased in
                    BatchNormSettings(
                        average: average, epsilon: 1e-3, unbiasedRunningVariance: unbiased,
                        affine: affine)
                }
            }
        }
    }

    @Test(
        "training, inference and frozen passes follow the reference for every shape and setting",
        arguments: shapes, [1, 3, 8])
    func reference(shape: (samples: Int, positions: Int, channels: Int), shards: Int) throws {
        for activation in ActivationKind.allCases {
            for settings in Self.settings() {
                var layer = LayerCase(
                    samples: shape.samples, positions: shape.positions, channels: shape.channels,
                    shards: shards)
                layer.activation = activation
                layer.settings = settings
                layer.batchesTracked = 3
                expectReference(try layer.runAlone(), layer)
                layer.mode = .inference
                expectReference(try layer.runAlone(), layer)
                layer.mode = .training
                layer.isFrozen = true
                expectReference(try layer.runAlone(), layer)
            }
        }
    }

    @Test("scopes follow the reference", arguments: [StatisticsScope.shard, .group(2), .group(4)])
    func scopes(_ scope: StatisticsScope) throws {
        // 21 samples on 8 shards are 2 or 3 each, 3 are an empty shard for every other group.
        for (samples, positions) in [(21, 1), (21, 6), (3, 6)] {
            var layer = LayerCase(samples: samples, positions: positions, channels: 5, shards: 8)
            layer.settings.scope = scope
            layer.settings.epsilon = 1e-3
            layer.activation = .tanh
            expectReference(try layer.runAlone(), layer)
            layer.settings.average = .cumulative
            layer.settings.unbiasedRunningVariance = false
            expectReference(try layer.runAlone(), layer)
        }
    }

    @Test("frozen layers and inference have the same bits in every world, and leave no trace")
    func frozen() throws {
        for samples in [30, 7] {
            var layer = LayerCase(samples: samples, positions: 2, channels: 19, shards: 8)
            layer.activation = .sigmoid
            layer.isFrozen = true
            for mode in [Mode.training, .inference] {
                layer.mode = mode
                let alone = try layer.runAlone()
                #expect(bits(alone.runningMean) == bits(layer.runningMean))
                #expect(bits(alone.runningVariance) == bits(layer.runningVariance))
                for (ranks, threads) in testWorlds where ranks * threads <= 8 {
                    for part in try layer.run(ranks: ranks, threads: threads) {
                        #expect(part.hasBits(of: alone, channels: 19), "\(ranks)×\(threads)")
                    }
                }
            }
        }
    }

    @Test("a first layer computes dγ and dβ without an input gradient")
    func firstLayer() throws {
        var layer = LayerCase(samples: 11, channels: 4, shards: 3)
        layer.activation = .tanh
        layer.needsInputGradient = false
        let part = try layer.runAlone()
        #expect(part.inputGradient.isEmpty)
        expectReference(part, layer)
    }

    @Test(
        "gradients are central differences of the outputs", arguments: ActivationKind.allCases)
    func gradientCheck(activation: ActivationKind) throws {
        for (isFrozen, scope) in [
            (false, StatisticsScope.global), (false, .group(2)),
            (true, .global),
        ] {
            var layer = LayerCase(samples: 9, positions: 2, channels: 3, shards: 4)
            layer.activation = activation
            layer.isFrozen = isFrozen
            layer.settings.scope = scope
            let (input, scale, shift) = (
                doubles(layer.input), doubles(layer.scale), doubles(layer.shift)
            )
            // L = Σ dy·y: its gradients are dx, dγ and dβ.
            func loss(_ input: [Double], _ scale: [Double], _ shift: [Double]) -> Double {
                zip(
                    layer.reference(input: input, scale: scale, shift: shift).output,
                    layer.outputGradient
                ).reduce(0) { $0 + $1.0 * Double($1.1) }
            }
            let expected = (
                input: centralDifferences(at: input) { loss($0, scale, shift) },
                scale: centralDifferences(at: scale) { loss(input, $0, shift) },
                shift: centralDifferences(at: shift) { loss(input, scale, $0) }
            )
            let reference = layer.reference()
            #expect(largestDifference(reference.inputGradient, expected.input) < 1e-7)
            #expect(largestDifference(reference.scaleGradient, expected.scale) < 1e-7)
            #expect(largestDifference(reference.shiftGradient, expected.shift) < 1e-7)
            let actual = try layer.runAlone()
            #expect(largestDifference(actual.inputGradient, expected.input) < 5e-6)
            #expect(largestDifference(actual.scaleGradient, expected.scale) < 5e-6)
            #expect(largestDifference(actual.shiftGradient, expected.shift) < 5e-6)
        }
    }

    @Test("γ = √(σ² + ε) and β = μ restore the input", arguments: [0, 1e-5, 0.1])
    func restoresInput(epsilon: Double) throws {
        var layer = LayerCase(samples: 30, channels: 19, shards: 4, mean: 3, deviation: 2)
        layer.settings.epsilon = epsilon
        let moments = try #require(try layer.runAlone().moments[0])
        layer.shift = moments[1..<20].map { Float($0) }
        layer.scale = moments[20..<39].map { Float(($0 + epsilon).squareRoot()) }
        #expect(largestDifference(try layer.runAlone().output, layer.input) < 1e-6)
    }
}
