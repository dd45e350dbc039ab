/// A chart of lines over one horizontal axis: data, axes and names; `svg(…)` draws it.
public struct Chart: Sendable {
    /// Lower case letters, digits and hyphens: the name of its SVG file and of what is in it.
    public var id: String

    /// What it shows, in a few words.
    public var title: String

    /// The horizontal axis.
    public var x: Axis

    /// The vertical axis.
    public var y: Axis

    /// The lines.
    public var series: [Series]

    /// A chart.
    public init(id: String, title: String, x: Axis, y: Axis, series: [Series]) {
        self.id = id
        self.title = title
        self.x = x
        self.y = y
        self.series = series
    }

    /// One axis.
    public struct Axis: Sendable {
        /// What is measured, with its unit.
        public var label: String

        /// Whether equal factors are equally far apart. Values of 0 and below are then not drawn.
        public var isLogarithmic: Bool

        /// What is shown; nil for all there is.
        public var range: ClosedRange<Double>?

        /// Where the marks are; nil for round numbers.
        public var marks: [Double]?

        /// Names of the marks 0, 1, …, where those are kinds and not numbers; points are then not joined.
        public var names: [String]?

        /// Whether values are shares of 0…1 that readers want in percent.
        public var isShare: Bool

        /// An axis.
        public init(
            _ label: String, isLogarithmic: Bool = false, range: ClosedRange<Double>? = nil,
            marks: [Double]? = nil, names: [String]? = nil, isShare: Bool = false
        ) {
            self.names = names
            self.label = label
            self.isLogarithmic = isLogarithmic
            self.range = range
            self.marks = marks
            self.isShare = isShare
        }
    }

    /// A point of a line, with the extremes of what it is the middle of.
    public struct Point: Sendable, Equatable {
        /// Along the horizontal axis.
        public var x: Double
        /// Along the vertical axis. A line breaks at what is not finite.
        public var y: Double
        /// The smallest and the largest value here, where there are several.
        public var range: ClosedRange<Double>?

        /// A point.
        public init(_ x: Double, _ y: Double, range: ClosedRange<Double>? = nil) {
            self.x = x
            self.y = y
            self.range = range
        }
    }

    /// A line.
    public struct Series: Sendable {
        /// Its name in the legend.
        public var name: String
        /// In the order in which they are joined.
        public var points: [Point]
        /// The colour, from 0; see ``Palette``.
        public var color: Int
        /// How it is drawn.
        public var stroke: Stroke

        /// How a line is drawn.
        public enum Stroke: Int, Sendable {
            /// In one piece.
            case solid
            /// In dashes.
            case dashed
            /// In dots.
            case dotted
        }

        /// A line.
        public init(
            _ name: String, _ points: [Point], color: Int, stroke: Stroke = .solid
        ) {
            self.name = name
            self.points = points
            self.color = color
            self.stroke = stroke
        }
    }

    /// Whether there is anything to draw.
    public var isEmpty: Bool {
        !series.contains { $0.points.contains { isDrawable($0) } }
    }

    /// Whether a point has a place on both axes.
    func isDrawable(_ point: Point) -> Bool {
        point.x.isFinite && point.y.isFinite && (!x.isLogarithmic || point.x > 0)
            && (!y.isLogarithmic || point.y > 0)
    }
}

extension Chart.Series {
    /// At most about `limit` points: of each run of neighbours only the lowest and the highest stay,
    /// so that no peak is lost.
    public func thinned(to limit: Int = 600) -> Chart.Series {
        guard points.count > limit, limit >= 4 else { return self }
        let runs = limit / 2
        var kept: [Chart.Point] = []
        for run in 0..<runs {
            let range = run * points.count / runs..<(run + 1) * points.count / runs
            let finite = range.filter { points[$0].y.isFinite }
            guard let low = finite.min(by: { points[$0].y < points[$1].y }),
                let high = finite.max(by: { points[$0].y < points[$1].y })
            else {
                if let first = range.first { kept.append(points[first]) }
                continue
            }
            kept += Set([low, high]).sorted().map { points[$0] }
        }
        if let last = points.last, kept.last != last { kept.append(last) }
        var result = self
        result.points = kept
        return result
    }
}
