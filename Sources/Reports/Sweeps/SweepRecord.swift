public import Configuration

/// A sweep with what its runs came to.
public struct SweepRecord: Sendable {
    /// What was asked for.
    public var configuration: SweepConfiguration

    /// The runs of each cell, in the order of the seeds; a run that is still missing is left out.
    public var runs: [[Run]]

    /// A sweep.
    public init(_ configuration: SweepConfiguration, runs: [[Run]]) {
        self.configuration = configuration
        self.runs = runs
    }

    /// One run.
    public struct Run: Sendable {
        /// Its seed.
        public var seed: UInt64
        /// The folder with its files.
        public var path: String
        /// The lines of its metrics.
        public var evaluations: [RunRecord.Evaluation]
        /// Optimizer steps a second; nil for a run that failed.
        public var stepsPerSecond: Double?
        /// Why it failed, in one line; nil for a run that ended well.
        public var failure: String?
        /// What was measured on the way.
        public var probes: [RunRecord.Probe]

        /// Where its parameters went in a plane; nil where they were not followed.
        public var descent: DescentPath?

        /// A run.
        public init(
            seed: UInt64, path: String, evaluations: [RunRecord.Evaluation],
            stepsPerSecond: Double?, failure: String?, probes: [RunRecord.Probe] = [],
            descent: DescentPath? = nil
        ) {
            self.probes = probes
            self.descent = descent
            self.seed = seed
            self.path = path
            self.evaluations = evaluations
            self.stepsPerSecond = stepsPerSecond
            self.failure = failure
        }

        /// The last value of a name of metrics.jsonl; nil for a run that failed.
        public func last(_ name: String) -> Double? {
            guard failure == nil else { return nil }
            return evaluations.last { $0.values[name] != nil }?.values[name]
        }

        /// The first evaluated step whose accuracy reaches `threshold`, on held-out samples where
        /// there are any.
        public func step(reaching threshold: Double) -> Int? {
            evaluations.first { line in
                (line.values["validation_accuracy"] ?? line.values["test_accuracy"] ?? 0)
                    >= threshold
            }?.step
        }

        /// A number of the finished run; nil where it has none.
        public func measure(_ measure: SweepConfiguration.Measure) -> Double? {
            guard failure == nil else { return nil }
            switch measure {
            case .testAccuracy: return last("test_accuracy")
            case .validationAccuracy: return last("validation_accuracy")
            case .trainAccuracy: return last("train_accuracy")
            case .testError: return last("test_accuracy").map { 1 - $0 }
            case .generalizationGap:
                guard let train = last("train_accuracy"), let test = last("test_accuracy") else {
                    return nil
                }
                return train - test
            case .testLoss: return last("test_loss")
            case .trainLoss: return last("train_loss")
            case .stepsPerSecond: return stepsPerSecond
            case .smoothness:
                return Spread(probes.filter { $0.kind == "landscape: smoothness" }.map(\.value))?
                    .median
            case .inputShift: return Spread(inputShifts)?.median
            case .contourRatio: return descent?.contours?.ratio
            case .excessLoss:
                return descent?.contours.map { max($0.endLoss - $0.minimumLoss, 0) }
            }
        }

        /// By layer and probe, from the one before: |Δ mean| / √variance.
        private var inputShifts: [Double] {
            let means = probes.filter { $0.kind == "pre-activations: mean" }
            let variances = probes.filter { $0.kind == "pre-activations: variance" }
            var last: [String: (mean: Double, deviation: Double)] = [:]
            var shifts: [Double] = []
            for (mean, variance) in zip(means, variances) where variance.value > 0 {
                if let before = last[mean.part] {
                    shifts.append(abs(mean.value - before.mean) / before.deviation)
                }
                last[mean.part] = (mean.value, variance.value.squareRoot())
            }
            return shifts
        }
    }
}

/// The middle of several numbers and their extremes.
public struct Spread: Sendable, Equatable {
    /// The middle one, or the mean of the two in the middle.
    public var median: Double
    /// From the smallest to the largest.
    public var range: ClosedRange<Double>

    /// The spread of `values`; nil without a finite one.
    public init?(_ values: [Double]) {
        let sorted = values.filter(\.isFinite).sorted()
        guard let first = sorted.first, let last = sorted.last else { return nil }
        let middle = sorted.count / 2
        median =
            sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        range = first...last
    }

    /// "97.46 (97.31…97.60)", or the one number alone.
    func text(_ format: (Double) -> String) -> String {
        range.lowerBound == range.upperBound
            ? format(median)
            : "\(format(median)) (\(format(range.lowerBound))…\(format(range.upperBound)))"
    }
}
