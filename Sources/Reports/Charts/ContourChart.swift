/// Contours of a loss over a plane of parameters, with the path that training took: a panel a run.
public struct ContourChart: Sendable {
    /// Lower case letters, digits and hyphens: the name of its SVG file.
    public var id: String

    /// What it shows, in a few words.
    public var title: String

    /// The horizontal axes.
    public var xLabel: String

    /// The vertical axes.
    public var yLabel: String

    /// The runs, each with axes of its own.
    public var panels: [Panel]

    /// A chart.
    public init(id: String, title: String, xLabel: String, yLabel: String, panels: [Panel]) {
        self.id = id
        self.title = title
        self.xLabel = xLabel
        self.yLabel = yLabel
        self.panels = panels
    }

    /// One run.
    public struct Panel: Sendable {
        /// Its name.
        public var name: String
        /// Its path and the loss around.
        public var path: DescentPath

        /// A panel.
        public init(name: String, path: DescentPath) {
            self.name = name
            self.path = path
        }
    }
}

/// Where training went in a plane of parameters, and the loss there.
public struct DescentPath: Sendable, Equatable {
    /// A place in the plane.
    public struct Point: Sendable, Equatable {
        /// Along the first coordinate.
        public var x: Double
        /// Along the second.
        public var y: Double

        /// A place.
        public init(_ x: Double, _ y: Double) {
            self.x = x
            self.y = y
        }
    }

    /// The loss over a grid, with all other parameters as training left them.
    public struct Contours: Sendable, Equatable {
        /// Ascending.
        public var x: [Double]
        /// Ascending.
        public var y: [Double]
        /// The loss, a row for each of `y`; NaN where there is none.
        public var loss: [[Double]]
        /// The lowest point.
        public var minimum: Point
        /// The loss there.
        public var minimumLoss: Double
        /// The loss where training ended.
        public var endLoss: Double
        /// How many times longer than wide contours about the lowest point are; nil without a bowl.
        public var ratio: Double?

        /// The loss over a grid.
        public init(
            x: [Double], y: [Double], loss: [[Double]], minimum: Point, minimumLoss: Double,
            endLoss: Double, ratio: Double?
        ) {
            self.x = x
            self.y = y
            self.loss = loss
            self.minimum = minimum
            self.minimumLoss = minimumLoss
            self.endLoss = endLoss
            self.ratio = ratio
        }

        /// Nine losses above the lowest, evenly spaced in a round bowl: the roots of what they lie
        /// above it are.
        var levels: [Double] {
            let highest = loss.joined().filter(\.isFinite).max() ?? minimumLoss
            return (1...9).map { place in
                let share = Double(place) / 9.5
                return minimumLoss + (highest - minimumLoss) * share * share
            }
        }

        /// Where the loss is `level`, in pieces: linear between neighbours of the grid, cell by cell.
        func pieces(at level: Double) -> [(Point, Point)] {
            var found: [(Point, Point)] = []
            for row in y.indices.dropLast() {
                for column in x.indices.dropLast() {
                    found += pieces(at: level, row, column)
                }
            }
            return found
        }

        private func pieces(at level: Double, _ row: Int, _ column: Int) -> [(Point, Point)] {
            // Around the cell: left below, right below, right above, left above.
            let corners = [(0, 0), (1, 0), (1, 1), (0, 1)].map { dx, dy in
                (
                    point: Point(x[column + dx], y[row + dy]),
                    height: loss[row + dy][column + dx] - level
                )
            }
            guard corners.allSatisfy({ $0.height.isFinite }) else { return [] }
            var crossings: [Point] = []
            for side in 0..<4 {
                let (a, b) = (corners[side], corners[(side + 1) % 4])
                guard (a.height < 0) != (b.height < 0) else { continue }
                let share = a.height / (a.height - b.height)
                crossings.append(
                    Point(
                        a.point.x + share * (b.point.x - a.point.x),
                        a.point.y + share * (b.point.y - a.point.y)))
            }
            switch crossings.count {
            case 2: return [(crossings[0], crossings[1])]
            case 4:
                // A saddle: the middle says which corners belong together.
                let middle = corners.reduce(0) { $0 + $1.height }
                return (middle < 0) == (corners[0].height < 0)
                    ? [(crossings[0], crossings[1]), (crossings[2], crossings[3])]
                    : [(crossings[3], crossings[0]), (crossings[1], crossings[2])]
            default: return []
            }
        }
    }

    /// From the initial parameters on.
    public var points: [Point]

    /// The loss around; nil where the run did not come to its end.
    public var contours: Contours?

    /// A path.
    public init(points: [Point], contours: Contours?) {
        self.points = points
        self.contours = contours
    }
}
