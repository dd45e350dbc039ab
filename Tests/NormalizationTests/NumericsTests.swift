import Collectives
import Kernels
import Layers
import TestSupport
import Testing

@testable import Normalization

/// Means far from zero, through the whole layer: what the centred form is for. ε = 0, so that
/// nothing hides an error of the variance.
@Suite("BatchNorm's numerics")
struct NumericsTests {
    static let ratios = [0, 1e2, 1e4, 1e6]
    static let deviations = [1, 1e-4]
    static let channels = 19

    /// Samples and shards: one, even, uneven, empty.
    static let batches = [(32, 1), (32, 2), (32, 4), (30, 4), (33, 8), (7, 8)]

    static func layer(
        _ samples: Int, _ shards: Int, ratio: Double, deviation: Double
    ) -> LayerCase {
        var layer = LayerCase(
            samples: samples, channels: channels, shards: shards, mean: ratio * deviation,
            deviation: deviation)
        layer.settings.epsilon = 0
        return layer
    }

    /// The largest relative error of any channel's variance in scope global.
    static func varianceError(_ variance: [Double], _ layer: LayerCase) -> Double {
        zip(variance, layer.reference().variance[0]).map { abs($0 - $1) / $1 }.max() ?? .infinity
    }

    static func variance(_ part: LayerCase.Part) -> [Double] {
        (part.moments[0] ?? []).suffix(channels)
    }

    @Test(
        "variance to 1e-6, outputs and input gradients to 1e-5, at any mean / std",
        arguments: ratios, deviations)
    func table(ratio: Double, deviation: Double) throws {
        for (samples, shards) in Self.batches {
            for activation in [ActivationKind.identity, .sigmoid] {
                var layer = Self.layer(samples, shards, ratio: ratio, deviation: deviation)
                layer.activation = activation
                let expected = layer.reference()
                for (ranks, threads) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
                where ranks * threads <= shards {
                    let parts = try layer.run(ranks: ranks, threads: threads)
                    let whole = LayerCase.Part.joined(parts, channels: Self.channels)
                    let place = "\(samples) on \(shards), \(ranks)×\(threads)"
                    #expect(Self.varianceError(Self.variance(whole), layer) < 1e-6, "\(place)")
                    #expect(largestDifference(whole.output, expected.output) < 1e-5, "\(place)")
                    #expect(
                        largestDifference(whole.inputGradient, expected.inputGradient) < 1e-5,
                        "\(place)")
                }
            }
        }
    }

    @Test(
        "the literal arithmetic of `collectives: mpi` fails the same table", arguments: deviations)
    func literal(deviation: Double) throws {
        for (samples, shards) in Self.batches {
            let layer = Self.layer(samples, shards, ratio: 1e6, deviation: deviation)
            let part = try layer.runAlone(arithmetic: .mpi)
            #expect(Self.varianceError(Self.variance(part), layer) > 1e-6)
        }
        // It is the same layer where the mean is near zero.
        let layer = Self.layer(30, 4, ratio: 0, deviation: deviation)
        let part = try layer.runAlone(arithmetic: .mpi)
        #expect(Self.varianceError(Self.variance(part), layer) < 1e-6)
        #expect(largestDifference(part.output, layer.reference().output) < 1e-5)
    }

    @Test(
        "a plain Float32 E[x²] − E[x]² fails the same table", arguments: ratios.dropFirst(),
        deviations)
    func plainFloat32(ratio: Double, deviation: Double) {
        for (samples, shards) in Self.batches {
            let layer = Self.layer(samples, shards, ratio: ratio, deviation: deviation)
            let m = Float(samples)
            let variance = (0..<Self.channels).map { c in
                var sum: Float = 0
                var squares: Float = 0
                for row in 0..<samples {
                    let x = layer.input[row * Self.channels + c]
                    sum += x
                    squares += x * x
                }
                return Double(squares / m - (sum / m) * (sum / m))
            }
            #expect(Self.varianceError(variance, layer) > 1e-6)
        }
    }

    @Test("a constant channel gives exactly β, at any ε", arguments: [0, 1e-5])
    func constantChannel(epsilon: Double) throws {
        for (samples, shards) in Self.batches {
            var layer = Self.layer(samples, shards, ratio: 1e4, deviation: 1)
            layer.settings.epsilon = epsilon
            let row = normals(Self.channels, mean: 1e4, deviation: 1e3, index: 7)
            layer.input = (0..<samples).flatMap { _ in row }
            let expected = (0..<samples).flatMap { _ in layer.shift }
            for (ranks, threads) in [(1, 1), (1, 3), (2, 2)] where ranks * threads <= shards {
                let parts = try layer.run(ranks: ranks, threads: threads)
                let whole = LayerCase.Part.joined(parts, channels: Self.channels)
                #expect(whole.output == expected)
                #expect(whole.inputGradient.allSatisfy { $0.isFinite })
                if epsilon == 0 { #expect(whole.inputGradient.allSatisfy { $0 == 0 }) }
                #expect(Self.variance(whole).allSatisfy { $0 == 0 })
            }
        }
    }

    @Test("two values per channel come out as −1 and 1", arguments: ratios, [1, 2, 4])
    func twoValues(ratio: Double, shards: Int) throws {
        var layer = Self.layer(2, shards, ratio: ratio, deviation: 1)
        layer.settings.affine = false
        let spread = (0..<Self.channels).map { Float($0 + 1) / 8 }
        layer.input = spread.map { Float(ratio) - $0 } + spread.map { Float(ratio) + $0 }
        for threads in [1, 2] where threads <= shards {
            let parts = try layer.run(ranks: 1, threads: threads)
            let output = LayerCase.Part.joined(parts, channels: Self.channels).output
            for (i, y) in output.enumerated() {
                #expect(abs(y - (i < Self.channels ? -1 : 1)) < 2e-7)
            }
        }
    }

    @Test("the worked example of one channel of eight values", arguments: [1, 2, 4])
    func workedExample(shards: Int) throws {
        var layer = LayerCase(samples: 8, channels: 1, shards: shards)
        layer.input = [1.0, 1.5, 1.2, 0.9, 1.7, 2.1, 3.1, 1.7]
        layer.settings.epsilon = 1e-8
        layer.settings.affine = false
        for (ranks, threads) in [(1, 1), (1, 2), (2, 1), (4, 1)] where ranks * threads <= shards {
            let parts = try layer.run(ranks: ranks, threads: threads)
            let whole = LayerCase.Part.joined(parts, channels: 1)
            let moments = try #require(whole.moments[0])
            #expect(moments[0] == 8)
            #expect(abs(moments[1] - 1.65) < 1e-7)
            #expect((moments[2] * 100).rounded() == 44)
            let rounded = whole.output.map { ($0 * 100).rounded() / 100 }
            #expect(rounded == [-0.98, -0.23, -0.68, -1.13, 0.08, 0.68, 2.19, 0.08])
        }
    }
}
