import Datasets
import TensorCore
import Testing

@Suite struct SyntheticDigitsTests {
    @Test("a run's digits are 20 000 and 4 000, of ten classes, 28 × 28")
    func defaults() {
        let pair = SyntheticDigits.pair(seed: 1)
        #expect(pair.training.count == 20_000 && pair.test.count == 4_000)
        #expect(pair.files.isEmpty)
        for dataset in [pair.training, pair.test] {
            #expect(dataset.name == "synthetic-digits" && dataset.classes == 10)
            #expect(dataset.height == 28 && dataset.width == 28 && dataset.channels == 1)
            var counts = [Int](repeating: 0, count: 10)
            for label in dataset.labels { counts[Int(label)] += 1 }
            // A binomial's five deviations: 5 · √(n · 0.1 · 0.9).
            let expected = Double(dataset.count) / 10
            let allowed = 5 * (Double(dataset.count) * 0.09).squareRoot()
            #expect(counts.allSatisfy { abs(Double($0) - expected) < allowed })
        }
    }

    @Test("a sample depends on seed and index, not on counts or threads")
    func pureFunction() {
        let one = SyntheticDigits.pair(seed: 7, trainingCount: 100, testCount: 40)
        for (training, test, threads) in [(31, 40, 2), (100, 7, 3), (1, 1, 5)] {
            let other = SyntheticDigits.pair(
                seed: 7, trainingCount: training, testCount: test, threads: threads)
            #expect(other.training.images == Array(one.training.images.prefix(training * 784)))
            #expect(other.training.labels == Array(one.training.labels.prefix(training)))
            #expect(other.test.images == Array(one.test.images.prefix(test * 784)))
            #expect(other.test.labels == Array(one.test.labels.prefix(test)))
        }
        let otherSeed = SyntheticDigits.pair(seed: 8, trainingCount: 100, testCount: 40)
        #expect(otherSeed.training.labels != one.training.labels)
        #expect(otherSeed.training.images != one.training.images)
    }

    @Test("no image occurs twice, in training or test")
    func distinct() {
        let pair = SyntheticDigits.pair(seed: 3, trainingCount: 2_000, testCount: 1_000)
        var seen = Set<ArraySlice<UInt8>>()
        for dataset in [pair.training, pair.test] {
            let view = SampleView(dataset)
            for index in 0..<view.count { seen.insert(view.pixels(at: index)) }
        }
        #expect(seen.count == 3_000)
    }

    /// The values are this program's own, taken when the test was written: a change of theirs
    /// is a change of every run's data, and a difference between machines breaks the promise of
    /// equal bits. Builds for x86-64, x86-64-v3 and AVX-512, optimised or not, gave the same.
    @Test("the bytes are the same on every machine")
    func fixedBytes() {
        let pair = SyntheticDigits.pair(seed: 1, trainingCount: 200, testCount: 200, threads: 2)
        #expect(pair.training.labels.prefix(12) == [2, 4, 1, 8, 4, 7, 4, 4, 3, 7, 8, 4])
        #expect(fingerprint(pair.training) == 16_783_137_457_949_709_977)
        #expect(fingerprint(pair.test) == 15_291_296_122_709_690_023)
    }

    /// FNV-1a, 64 bits, of images, then labels.
    private func fingerprint(_ dataset: Dataset) -> UInt64 {
        (dataset.images + dataset.labels).reduce(0xcbf2_9ce4_8422_2325) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01b3
        }
    }

    @Test("a linear classifier learns much, but stays under 92 %", arguments: [1, 2] as [UInt64])
    func linearClassifier(seed: UInt64) throws {
        let pair = SyntheticDigits.pair(seed: seed, threads: 2)
        let accuracy = try SoftmaxRegression.accuracy(of: pair, epochs: 20)
        print("softmax regression on synthetic digits of seed \(seed): \(accuracy)")
        #expect(accuracy > 0.75)
        #expect(accuracy < 0.92)
    }
}

/// Softmax regression by stochastic gradient descent, one sample at a time: no more than a yard
/// stick for data.
private enum SoftmaxRegression {
    /// The best test accuracy after any epoch.
    static func accuracy(of pair: DatasetPair, epochs: Int) throws -> Double {
        let training = SampleView(pair.training)
        let scaling = try InputScaling(.standardize, for: training)
        let features = pair.training.features
        let input = Tensor(rows: 1, columns: features)
        // Ten classes and the rest of a vector, which gets no gradient. [features + 1][16]
        var weights = [SIMD16<Float>](repeating: .zero, count: features + 1)

        func logits() -> SIMD16<Float> {
            var sums = weights[features]
            for index in 0..<features {
                sums.addProduct(weights[index], SIMD16(repeating: input.pointer[index]))
            }
            return sums
        }
        var best = 0.0
        for epoch in 0..<epochs {
            let rate = 0.002 * Float(epochs - epoch) / Float(epochs)
            for sample in 0..<training.count {
                scaling.fill(input, from: training, at: sample..<sample + 1)
                var step = probabilities(logits())
                step[training.label(at: sample)] -= 1
                step *= -rate
                for index in 0..<features {
                    weights[index].addProduct(step, SIMD16(repeating: input.pointer[index]))
                }
                weights[features] += step
            }
            let test = SampleView(pair.test)
            var right = 0
            for sample in 0..<test.count {
                scaling.fill(input, from: test, at: sample..<sample + 1)
                let values = logits()
                let guess = (0..<10).max { values[$0] < values[$1] }
                if guess == test.label(at: sample) { right += 1 }
            }
            best = max(best, Double(right) / Double(test.count))
        }
        return best
    }

    private static func probabilities(_ logits: SIMD16<Float>) -> SIMD16<Float> {
        var result = SIMD16<Float>()
        let greatest = (0..<10).map { logits[$0] }.max() ?? 0
        for lane in 0..<10 { result[lane] = exponential(logits[lane] - greatest) }
        return result / result.sum()
    }

    /// e^x for x ≤ 0, as (1 + x/1024)^1024, near enough here.
    private static func exponential(_ x: Float) -> Float {
        var power = max(1 + x / 1024, 0)
        for _ in 0..<10 { power *= power }
        return power
    }
}
