/// Claims about batch normalisation, each with the comparison that decides on it.
///
/// A claims file is JSON5: `claims`, a list of `{ claim, sweep, compare, picture }`, or of
/// `{ claim, outside }` where this program cannot tell.
public struct ClaimsConfiguration: Sendable, Equatable {
    /// The claims, in the file's order.
    public var claims: [Claim]

    /// One claim.
    public struct Claim: Sendable, Equatable {
        /// What textbooks say, in a sentence.
        public var claim: String
        /// The sweep's name, as of `configs/experiments/NAME.json5`; nil where it is outside.
        public var sweep: String?
        /// What is compared with what.
        public var comparison: Comparison?
        /// Why it is not tested; empty where it is.
        public var outside: String
        /// The picture's path, from the ledger's folder; empty without one.
        public var picture: String
    }

    /// Pairs of cells that differ in nothing but what the two sides name, and which is better.
    public struct Comparison: Sendable, Equatable {
        /// What is measured.
        public var measure: Measure
        /// The cells in question: values of columns, of which each has one of the listed.
        public var `where`: [String: [String]]
        /// What the claim is about, as `where`.
        public var of: [String: [String]]
        /// What it is compared with.
        public var with: [String: [String]]
        /// What the difference must be.
        public var expected: Expected
        /// By how much: a difference of accuracies (0.01 is a point), or a factor of others.
        public var margin: Double
    }

    /// What the first side must be, compared with the second.
    public enum Expected: String, Sendable, CaseIterable {
        /// Larger, by more than the margin.
        case higher
        /// Smaller, by more than the margin.
        case lower
        /// Neither, by no more than the margin.
        case equal
    }

    /// A number of a cell: the median over its seeds.
    public enum Measure: String, Sendable, CaseIterable {
        case testAccuracy, validationAccuracy, trainAccuracy
        /// Train minus test accuracy.
        case generalizationGap
        /// The first evaluated step that reaches the sweep's threshold; never is the largest number.
        case stepsToThreshold
        case stepsPerSecond
        /// Of probes; see `SweepConfiguration.Measure`.
        case smoothness, inputShift, contourRatio, excessLoss

        /// Whether it is a share of 1, and differences are points rather than factors.
        public var isShare: Bool {
            switch self {
            case .testAccuracy, .validationAccuracy, .trainAccuracy, .generalizationGap: true
            case .stepsToThreshold, .stepsPerSecond, .smoothness, .inputShift, .contourRatio,
                .excessLoss:
                false
            }
        }
    }
}
