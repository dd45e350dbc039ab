import TensorCore
import TestSupport
import Testing

@testable import Layers

@Suite("Initialization")
struct InitializationTests {
    static let shape: Shape = [300, 200]

    /// What each should give for `shape`: standard deviation and fourth moment / variance².
    static let kinds: [(Initialization, deviation: Double, kurtosis: Double)] = [
        (.normal(standardDeviation: 0.05), 0.05, 3),
        (.normal(standardDeviation: 2), 2, 3),
        (.he(gain: 1), (2 / 200.0).squareRoot(), 3),
        (.he(gain: 0.5), 0.5 * (2 / 200.0).squareRoot(), 3),
        (.xavier(gain: 1), (2 / 500.0).squareRoot(), 1.8),
        (.xavier(gain: 3), 3 * (2 / 500.0).squareRoot(), 1.8),
    ]

    @Test("mean, deviation and shape are those of the distribution", arguments: kinds.indices)
    func moments(index: Int) {
        let (kind, deviation, kurtosis) = Self.kinds[index]
        for seed in [1, 2, 77] as [UInt64] {
            let values = doubles(kind.values(shape: Self.shape, seed: seed, ordinal: 1))
            let count = Double(values.count)
            let mean = values.reduce(0, +) / count
            // Five standard errors each.
            #expect(abs(mean) < 5 * deviation / count.squareRoot())
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
            let error = ((kurtosis - 1) / count).squareRoot()
            #expect(abs(variance / (deviation * deviation) - 1) < 5 * error)
            let fourth = values.reduce(0) {
                $0 + ($1 - mean) * ($1 - mean) * ($1 - mean) * ($1 - mean)
            }
            #expect(abs(fourth / count / (variance * variance) - kurtosis) < 0.15)
        }
    }

    @Test("Xavier's values stay inside its bound and come near it")
    func bound() {
        let values = Initialization.xavier(gain: 2).values(
            shape: Self.shape, seed: 5, ordinal: 0)
        let bound = Float(2 * (6 / 500.0).squareRoot())
        #expect(values.allSatisfy { abs($0) <= bound })
        #expect(values.contains { $0 > 0.999 * bound } && values.contains { $0 < -0.999 * bound })
    }

    @Test("the gain scales every weight")
    func gain() {
        for (one, three) in [
            (Initialization.he(gain: 1), Initialization.he(gain: 3)),
            (.xavier(gain: 1), .xavier(gain: 3)),
            (.normal(standardDeviation: 1), .normal(standardDeviation: 3)),
        ] {
            let plain = one.values(shape: [7, 11], seed: 1, ordinal: 2)
            let scaled = three.values(shape: [7, 11], seed: 1, ordinal: 2)
            #expect(largestDifference(scaled, plain.map { $0 * 3 }) < 1e-6)
        }
    }

    @Test("neighbouring weights are uncorrelated, and so are layers and seeds")
    func independence() {
        let kind = Initialization.normal(standardDeviation: 1)
        func values(_ seed: UInt64, _ ordinal: Int) -> [Double] {
            doubles(kind.values(shape: Self.shape, seed: seed, ordinal: ordinal))
        }
        func correlation(_ a: [Double], _ b: [Double]) -> Double {
            zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } / Double(min(a.count, b.count))
        }
        let first = values(1, 0)
        let error = 5 / Double(first.count).squareRoot()
        #expect(abs(correlation(first, Array(first.dropFirst()))) < error)
        #expect(abs(correlation(first, values(1, 1))) < error)
        #expect(abs(correlation(first, values(2, 0))) < error)
        #expect(values(1, 0) == first)
    }

    @Test("a convolution's fans count its field")
    func convolution() {
        let field = Initialization.he(gain: 1).values(shape: [8, 4, 3, 5], seed: 1, ordinal: 0)
        let matrix = Initialization.normal(standardDeviation: (2 / 60.0).squareRoot()).values(
            shape: [8, 60], seed: 1, ordinal: 0)
        #expect(field == matrix)
    }

    @Test("odd counts are filled to the end")
    func odd() {
        for count in 1...5 {
            let values = Initialization.normal(standardDeviation: 1).values(
                shape: [count, 1], seed: 1, ordinal: 0)
            #expect(values.count == count && values.allSatisfy { $0 != 0 })
        }
    }
}
