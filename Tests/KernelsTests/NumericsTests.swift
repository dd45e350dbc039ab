import KernelReferences
import TestSupport
import Testing

@testable import Kernels

/// Means far from zero: what the centred form is for. std = 1e-4 and ε = 0 throughout, so that
/// nothing hides an error of the variance.
@Suite("numerics")
struct NumericsTests {
    static let ratios = [0, 1e2, 1e4, 1e6]
    static let channels = 19
    static let rows = 33
    static let deviation = 1e-4

    static func input(ratio: Double) -> [Float] {
        normals(rows * channels, mean: ratio * deviation, deviation: deviation, index: 1)
    }

    /// The largest relative error of any channel's variance.
    static func worst(_ variance: [Double], _ expected: [Double]) -> Double {
        zip(variance, expected).map { abs($0 - $1) / $1 }.max() ?? 0
    }

    static func expectedVariance(_ input: [Float]) -> [Double] {
        channelMomentsReference(input: doubles(input), channels: channels).m2.map {
            $0 / Double(rows)
        }
    }

    @Test(
        "variance to 1e-6, outputs and input gradients to 1e-5, at any mean / std",
        arguments: ratios, ActivationKind.allCases)
    func table(ratio: Double, activation: ActivationKind) {
        let input = Self.input(ratio: ratio)
        let gradient = normals(input.count, index: 2)
        let scale = normals(Self.channels, mean: 1, deviation: 0.2, index: 3)
        let shift = normals(Self.channels, index: 4)
        let layer = Normalization(channels: Self.channels, epsilon: 0, activation: activation)
        let actual = layer.run(
            input: input, scale: scale, shift: shift, outputGradient: gradient)
        let expected = layer.reference(
            input: doubles(input), scale: doubles(scale), shift: doubles(shift),
            outputGradient: doubles(gradient))
        #expect(Self.worst(actual.variance, expected.variance) < 1e-6)
        #expect(largestDifference(actual.output, expected.output) < 1e-5)
        #expect(largestDifference(actual.inputGradient, expected.inputGradient) < 1e-5)
    }

    @Test("a plain Float32 E[x²] − E[x]² fails the same table", arguments: ratios.dropFirst())
    func plainFloat32(ratio: Double) {
        let input = Self.input(ratio: ratio)
        let rows = Float(Self.rows)
        let variance = (0..<Self.channels).map { c in
            var sum: Float = 0
            var squares: Float = 0
            for row in 0..<Self.rows {
                let x = input[row * Self.channels + c]
                sum += x
                squares += x * x
            }
            return Double(squares / rows - (sum / rows) * (sum / rows))
        }
        #expect(Self.worst(variance, Self.expectedVariance(input)) > 1e-6)
    }

    @Test("even Float64 sums lose the variance at mean / std = 1e6, as `collectives: mpi` does")
    func plainFloat64() {
        let input = Self.input(ratio: 1e6)
        let sum = GuardedBuffer<Double>(count: Self.channels)
        let squares = GuardedBuffer<Double>(count: Self.channels)
        channelSums(
            input: input, rows: Self.rows, channels: Self.channels,
            sum: sum.pointer, squares: squares.pointer)
        let rows = Double(Self.rows)
        let variance = zip(sum.values, squares.values).map { $1 / rows - ($0 / rows) * ($0 / rows) }
        #expect(Self.worst(variance, Self.expectedVariance(input)) > 1e-6)
    }

    @Test("two values per channel come out as −1 and 1", arguments: ratios)
    func twoValues(ratio: Double) {
        let input = (0..<2 * Self.channels).map {
            Float(ratio * Self.deviation) + ($0 < Self.channels ? -1 : 1) * Float($0 % 19 + 1) / 64
        }
        let layer = Normalization(channels: Self.channels, epsilon: 0, activation: .identity)
        let ones = [Float](repeating: 1, count: Self.channels)
        let result = layer.run(
            input: input, scale: ones, shift: ones.map { _ in 0 }, outputGradient: input)
        for (i, y) in result.output.enumerated() {
            #expect(abs(y - (i < Self.channels ? -1 : 1)) < 2e-7)
        }
    }

    @Test("the worked example of one channel of eight values")
    func workedExample() {
        let input: [Float] = [1.0, 1.5, 1.2, 0.9, 1.7, 2.1, 3.1, 1.7]
        let layer = Normalization(channels: 1, epsilon: 1e-8, activation: .identity)
        let result = layer.run(input: input, scale: [1], shift: [0], outputGradient: input)
        #expect((result.variance[0] * 100).rounded() == 44)
        let rounded = result.output.map { ($0 * 100).rounded() / 100 }
        #expect(rounded == [-0.98, -0.23, -0.68, -1.13, 0.08, 0.68, 2.19, 0.08])
    }
}
