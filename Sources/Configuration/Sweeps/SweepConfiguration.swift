/// Runs that belong together: a base configuration, and what is changed in it, cell by cell.
///
/// A sweep file is JSON5: `base` (a configuration), `grid` (lists of values by key), `cells` (an
/// explicit list of settings), `seeds`, and how the result is shown. Every cell is run with every
/// grid point and every seed.
public struct SweepConfiguration: Sendable {
    /// What it is called: the file's `title`, or the file's name.
    public var title: String

    /// What it asks, in a sentence; may be empty.
    public var question: String

    /// The keys that tell its cells apart, in the file's order; `cell` for named ones.
    public var columns: [String]

    /// The settings to be compared, each with a configuration for every seed.
    public var cells: [Cell]

    /// The seeds.
    public var seeds: [UInt64]

    /// The accuracy, 0…1, whose first step is looked for; nil for none.
    public var threshold: Double?

    /// Where the published numbers come from; empty without any.
    public var publishedSource: String

    /// Published numbers, each for the cells that it names.
    public var published: [Published]

    /// The columns whose values are lines of one chart; the others make charts of their own.
    public var series: [String]

    /// Charts of a final number against a column.
    public var figures: [Figure]

    /// One point of the grid.
    public struct Cell: Sendable {
        /// The values of the columns, as text; empty where the cell does not set the key.
        public var values: [String]

        /// Its configuration with each of the seeds.
        public var configurations: [RunConfiguration]

        /// What tells it from the others: "relu, 0.01".
        public var name: String { values.filter { !$0.isEmpty }.joined(separator: ", ") }
    }

    /// Accuracies that somebody published.
    public struct Published: Sendable {
        /// The cells they are of, as values of columns.
        public var when: [String: String]
        /// On held-out samples, 0…1.
        public var validation: Double?
        /// On the test samples, 0…1.
        public var test: Double?
        /// What was published in words: "3 000".
        public var steps: String?
    }

    /// A chart of a final number against a column, or of paths on contours.
    public struct Figure: Sendable {
        /// What it shows.
        public enum Kind: String, Sendable, CaseIterable {
            /// A final number against a column.
            case measure
            /// Each cell's path in the plane of `probes.path`, on contours of the loss.
            case path
        }

        /// What it shows.
        public var kind = Kind.measure
        /// `path`: what stands at the two axes.
        public var labels: [String] = []
        /// Its title.
        public var title: String
        /// The column along the horizontal axis, or `samplesPerShard`.
        public var x: String
        /// What is measured.
        public var y: Measure
        /// Whether equal factors are equally far apart along the horizontal axis.
        public var isLogarithmic: Bool
    }

    /// What a figure shows of a finished run.
    public enum Measure: String, Sendable, CaseIterable {
        /// Accuracies at the end.
        case testAccuracy, validationAccuracy, trainAccuracy
        /// 1 − the accuracy on the test samples.
        case testError
        /// The accuracy in training minus that on the test samples.
        case generalizationGap
        /// Losses at the end.
        case testLoss, trainLoss
        /// Speed.
        case stepsPerSecond
        /// The probes' effective smoothness along the gradient, the median over the run.
        case smoothness
        /// How far the mean of what a layer is given moves from one probe to the next, in its
        /// deviations, the median over layers and probes.
        case inputShift
        /// How many times longer than wide contours of the loss are, about its lowest point in the
        /// plane of `probes.path`.
        case contourRatio
        /// The loss in the end, above the lowest in that plane.
        case excessLoss
    }

    /// All runs: cells by seeds.
    public var runCount: Int { cells.count * seeds.count }

    /// The published numbers for a cell, the first that fits.
    public func published(for cell: Cell) -> Published? {
        let values = Dictionary(uniqueKeysWithValues: zip(columns, cell.values))
        return published.first { numbers in
            numbers.when.allSatisfy { values[$0.key] == $0.value }
        }
    }
}
