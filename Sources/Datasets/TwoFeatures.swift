import TensorCore

/// Two inputs of very different scales: the textbook's reason to scale inputs.
///
/// The first is uniform in 1…5, the second in 1 000…99 999, in 256 steps each. The class is 1 where
/// the second, as a share of its mean, is above the first as a share of its own, give or take a
/// noise of deviation 0.2: so one straight line through the origin and the means tells the classes
/// apart as well as can be, and a linear classifier without bias reaches it however the inputs are
/// scaled. Sample `index` of seed `seed` is a pure function of both; only + − × ÷ are used.
public enum TwoFeatures {
    /// What the two inputs range over.
    public static let ranges: [ClosedRange<Float>] = [1...5, 1_000...99_999]

    /// The deviation of the noise, in shares of a mean.
    static let noise = 0.2

    /// Training and test samples of seed `seed`. No test sample is a training sample.
    public static func pair(seed: UInt64, trainingCount: Int, testCount: Int) -> DatasetPair {
        precondition(trainingCount > 0 && testCount > 0, "a data set has samples")
        return DatasetPair(
            training: dataset(seed: seed, firstIndex: 0, count: trainingCount),
            test: dataset(seed: seed, firstIndex: 1 << 63, count: testCount))
    }

    private static func dataset(seed: UInt64, firstIndex: UInt64, count: Int) -> Dataset {
        var bytes: [UInt8] = []
        var labels: [UInt8] = []
        bytes.reserveCapacity(2 * count)
        labels.reserveCapacity(count)
        for sample in 0..<count {
            let random = CounterRandom(
                seed: seed, purpose: .synthesis, index: firstIndex + UInt64(sample))
            let inputs = [random.integer(below: 256, at: 0), random.integer(below: 256, at: 1)]
            bytes += inputs.map { UInt8($0) }
            let shares = zip(inputs, ranges).map { byte, range in
                let (low, high) = (Double(range.lowerBound), Double(range.upperBound))
                return (low + (high - low) * Double(byte) / 255) / ((low + high) / 2)
            }
            // Four uniform numbers: nearly normal, of variance 4 / 12.
            let sum = (4..<8).reduce(-2) { $0 + random.uniform(at: $1) }
            let noise = Self.noise * 1.7320508 * sum
            labels.append(shares[1] - shares[0] + noise > 0 ? 1 : 0)
        }
        do {
            return try Dataset(
                name: "two-features", height: 1, width: 2, channels: 1, classes: 2,
                images: bytes, labels: labels, source: "two-features", units: ranges)
        } catch {
            preconditionFailure("a class is neither of the two: \(error)")
        }
    }
}
