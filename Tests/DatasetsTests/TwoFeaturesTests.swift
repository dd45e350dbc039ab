import TensorCore
import Testing

@testable import Datasets

@Suite("Two features")
struct TwoFeaturesTests {
    @Test("a sample depends on seed and index, not on counts")
    func pureFunction() {
        let one = TwoFeatures.pair(seed: 7, trainingCount: 100, testCount: 40)
        let other = TwoFeatures.pair(seed: 7, trainingCount: 31, testCount: 3)
        #expect(other.training.images == Array(one.training.images.prefix(62)))
        #expect(other.training.labels == Array(one.training.labels.prefix(31)))
        #expect(other.test.images == Array(one.test.images.prefix(6)))
        #expect(other.test.labels == Array(one.test.labels.prefix(3)))
        #expect(one.test.images != Array(one.training.images.prefix(80)))
        let otherSeed = TwoFeatures.pair(seed: 8, trainingCount: 100, testCount: 40)
        #expect(otherSeed.training.images != one.training.images)
    }

    /// Inputs as a network takes them, [samples, 2].
    private func inputs(_ samples: SampleView, _ scaling: Scaling) throws -> [[Float]] {
        let batch = Tensor(rows: samples.count, columns: 2)
        try InputScaling(scaling, for: samples).fill(batch, from: samples, at: 0..<samples.count)
        return (0..<samples.count).map { [batch[$0, 0], batch[$0, 1]] }
    }

    @Test(
        "raw inputs are uniform in 1…5 and 1 000…99 999, standardised ones the same in deviations")
    func scales() throws {
        let samples = SampleView(
            TwoFeatures.pair(seed: 1, trainingCount: 5000, testCount: 1).training)
        let (raw, unit) = (try inputs(samples, .none), try inputs(samples, .unit))
        for (feature, range) in TwoFeatures.ranges.enumerated() {
            let values = raw.map { Double($0[feature]) }
            let (low, high) = (Double(range.lowerBound), Double(range.upperBound))
            #expect(values.min() == low && abs((values.max() ?? 0) / high - 1) < 1e-6)
            let mean = values.reduce(0, +) / 5000
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 5000
            // A uniform distribution's, within five deviations of the estimates.
            #expect(abs(mean - (low + high) / 2) < 5 * (high - low) / (12 * 5000).squareRoot())
            #expect(abs(variance.squareRoot() / ((high - low) / 12.squareRoot()) - 1) < 0.05)
            for (row, standardised) in try inputs(samples, .standardizeFeatures).enumerated() {
                let expected = (values[row] - mean) / variance.squareRoot()
                #expect(abs(Double(standardised[feature]) - expected) < 1e-4)
                #expect(
                    abs(Double(unit[row][feature]) - (values[row] - low) / (high - low)) < 1e-6)
            }
        }
    }

    @Test("one line through the origin and the means tells nine of ten apart, whatever the scaling")
    func line() throws {
        let samples = SampleView(
            TwoFeatures.pair(seed: 3, trainingCount: 4000, testCount: 1).training)
        func accuracy(_ inputs: [[Float]], _ weights: [Float]) -> Double {
            let right = inputs.indices.count {
                let said = inputs[$0][0] * weights[0] + inputs[$0][1] * weights[1] > 0
                return said == (samples.label(at: $0) == 1)
            }
            return Double(right) / Double(samples.count)
        }
        let raw = try inputs(samples, .none)
        #expect(abs(accuracy(raw, [-1 / 3, 1 / 50_499.5]) - 0.91) < 0.02)
        let standardised = try inputs(samples, .standardizeFeatures)
        #expect(abs(accuracy(standardised, [-4 / 3, 98_999 / 50_499.5]) - 0.91) < 0.02)
        let ones = (0..<samples.count).count { samples.label(at: $0) == 1 }
        #expect(abs(Double(ones) / 4000 - 0.5) < 0.04)
    }
}
