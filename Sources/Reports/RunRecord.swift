/// What is known of a run: all that a report on it shows.
public struct RunRecord: Sendable {
    /// What the report calls it.
    public var name: String

    /// The resolved configuration, a key a line, in the configuration's order.
    public var settings: [Setting]

    /// The lines of metrics.jsonl at evaluations, in order.
    public var evaluations: [Evaluation]

    /// The numbers of its probes, in order.
    public var probes: [Probe]

    /// Where its parameters went in a plane; nil where they were not followed.
    public var path: DescentPath?

    /// What else was recorded of it: its world, its speed.
    public var facts: [Setting]

    /// What is missing or doubtful.
    public var notes: [String]

    /// What the trained model does with the test samples; nil where it could not be asked.
    public var findings: ModelFindings?

    /// Seconds of the parts of a step; empty where they were not measured.
    public var division: [(name: String, seconds: Double)]

    /// A run of which nothing but its name is known.
    public init(name: String) {
        self.name = name
        settings = []
        evaluations = []
        probes = []
        facts = []
        notes = []
        division = []
    }

    /// A name with its value.
    public struct Setting: Sendable, Equatable {
        /// The name.
        public var key: String
        /// The value as text.
        public var value: String

        /// A name with its value.
        public init(_ key: String, _ value: String) {
            self.key = key
            self.value = value
        }
    }

    /// The numbers of one line of metrics.jsonl.
    public struct Evaluation: Sendable {
        /// Steps done.
        public var step: Int
        /// The numbers by the names of metrics.jsonl; what was null is absent.
        public var values: [String: Double]

        /// A line.
        public init(step: Int, values: [String: Double]) {
            self.step = step
            self.values = values
        }
    }

    /// A number that a probe measured.
    public struct Probe: Sendable, Equatable {
        /// What was measured, which gets a chart of its own.
        public var kind: String
        /// Which of several numbers: a layer, a percentile.
        public var part: String
        /// Steps done.
        public var step: Int
        /// The number.
        public var value: Double
        /// What it is the middle of.
        public var range: ClosedRange<Double>?

        /// A measurement.
        public init(
            kind: String, part: String, step: Int, value: Double,
            range: ClosedRange<Double>? = nil
        ) {
            self.kind = kind
            self.part = part
            self.step = step
            self.value = value
            self.range = range
        }
    }

    /// The last value of `name` that the run has.
    func last(_ name: String) -> Double? {
        evaluations.last { $0.values[name] != nil }?.values[name]
    }

    /// The values of `name` over the steps.
    func curve(_ name: String) -> [Chart.Point] {
        evaluations.compactMap { line in
            line.values[name].map { Chart.Point(Double(line.step), $0) }
        }
    }

    /// The value of a configuration key.
    func setting(_ key: String) -> String? { settings.first { $0.key == key }?.value }
}

/// What a trained model does with the test samples, and how its first layer looks.
public struct ModelFindings: Sendable {
    /// Who was taken for whom.
    public var confusion: ConfusionMatrix
    /// Samples classified wrongly with the greatest confidence, the worst first.
    public var worst: [CaptionedImage]
    /// The weights of the first layer's units as images; nil where they are none.
    public var filters: FilterSheet?
    /// What the samples were.
    public var samples: String

    /// Findings.
    public init(
        confusion: ConfusionMatrix, worst: [CaptionedImage], filters: FilterSheet?, samples: String
    ) {
        self.confusion = confusion
        self.worst = worst
        self.filters = filters
        self.samples = samples
    }
}
