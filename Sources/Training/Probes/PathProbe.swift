import Configuration
import Layers
import Models
import TensorCore

/// Two coordinates in the space of a network's parameters.
struct Plane: Sendable {
    /// A sum of single weights, by where they stand.
    struct Coordinate: Sendable {
        /// The parameter, the place in its file layout, and 1 or −1.
        let terms: [(parameter: Parameter, place: Int, sign: Double)]

        /// Its value.
        func value(_ replica: Replica) -> Double {
            terms.reduce(0) {
                $0 + $1.sign * Double(replica.values(of: $1.parameter)[$1.place])
            }
        }

        /// Moves the weights alike until the value is larger by `difference`.
        func add(_ difference: Double, to replica: Replica) {
            for term in terms {
                var values = replica.values(of: term.parameter)
                let share = term.sign * difference / Double(terms.count)
                values[term.place] = Float(Double(values[term.place]) + share)
                replica.setValues(values, of: term.parameter)
            }
        }
    }

    let x: Coordinate
    let y: Coordinate

    /// - Throws: `ModelError.noWeight`.
    init(_ path: RunConfiguration.Probes.Path, _ layout: ModelLayout) throws(ModelError) {
        x = try Self.coordinate(path.x, layout)
        y = try Self.coordinate(path.y, layout)
    }

    private static func coordinate(
        _ coordinate: RunConfiguration.Probes.Coordinate, _ layout: ModelLayout
    ) throws(ModelError) -> Coordinate {
        var terms: [(parameter: Parameter, place: Int, sign: Double)] = []
        for term in coordinate.terms {
            guard let parameter = layout.parameters.first(where: { $0.name == term.parameter }),
                parameter.shape.dimensions.count == term.indices.count,
                zip(term.indices, parameter.shape.dimensions).allSatisfy({ $0 < $1 })
            else {
                throw .noWeight(
                    coordinate: coordinate.text,
                    parameters: layout.parameters.map { "\($0.name) \($0.shape)" })
            }
            let place = zip(term.indices, parameter.shape.dimensions).reduce(0) {
                $0 * $1.1 + $1.0
            }
            terms.append((parameter, place, term.isSubtracted ? -1 : 1))
        }
        return Coordinate(terms: terms)
    }
}

/// Follows two coordinates of the parameters along training, and computes the loss around when it is
/// over. One a worker; all see the same numbers, which need no message: replicas are equal.
final class PathProbe {
    private unowned let worker: TrainingWorker
    private let plan: RunPlan
    private let plane: Plane
    private var beginning: (x: Double, y: Double)?
    private var isReported = false
    private var xs: ClosedRange<Double>?
    private var ys: ClosedRange<Double>?

    /// Places of the grid along each axis.
    static let places = 33

    init(_ worker: TrainingWorker, _ plan: RunPlan, _ plane: Plane) {
        self.worker = worker
        self.plan = plan
        self.plane = plane
    }

    /// A point of the path.
    struct Point {
        let step: Int
        let x: Double
        let y: Double
        var members: [JSONObject.Member] {
            [.init(name: "x", value: .double(x)), .init(name: "y", value: .double(y))]
        }
    }

    private var present: (x: Double, y: Double) {
        (plane.x.value(worker.network.replica), plane.y.value(worker.network.replica))
    }

    /// Notes where the path begins, before the first step that is followed.
    func start() {
        if beginning == nil { beginning = present }
    }

    /// The point after `step`; before that of the first step, the beginning.
    func points(after step: Int) -> [Point] {
        var points: [Point] = []
        if !isReported, let beginning {
            isReported = true
            // A resumed run has lines of the steps before.
            if step == 1 { points.append(Point(step: 0, x: beginning.x, y: beginning.y)) }
            extend(beginning)
        }
        let point = present
        points.append(Point(step: step, x: point.x, y: point.y))
        extend(point)
        return points
    }

    private func extend(_ point: (x: Double, y: Double)) {
        func wider(_ range: ClosedRange<Double>?, _ value: Double) -> ClosedRange<Double> {
            range.map { min($0.lowerBound, value)...max($0.upperBound, value) } ?? value...value
        }
        xs = wider(xs, point.x)
        ys = wider(ys, point.y)
    }

    // MARK: contours

    /// The members of the line on contours. The parameters are afterwards what they were.
    func contours() throws -> [JSONObject.Member] {
        let search = try PlaneSearch(worker, plan, plane)
        let (lowest, ratio) = try search.lowest()
        extend(search.end)
        extend((lowest.x, lowest.y))
        func places(_ range: ClosedRange<Double>?, _ scale: Double) -> [Double] {
            let range = range ?? 0...0
            let room = max(0.2 * (range.upperBound - range.lowerBound), scale)
            let (low, high) = (range.lowerBound - room, range.upperBound + room)
            return (0..<Self.places).map {
                low + (high - low) * Double($0) / Double(Self.places - 1)
            }
        }
        let (gridX, gridY) = (places(xs, search.scales.x), places(ys, search.scales.y))
        var rows: [JSONValue] = []
        for y in gridY {
            var row: [JSONValue] = []
            for x in gridX { row.append(.double(try search.loss(x, y))) }
            rows.append(.array(row))
        }
        try search.restore()
        return [
            .init(name: "x", value: .array(gridX.map { .double($0) })),
            .init(name: "y", value: .array(gridY.map { .double($0) })),
            .init(name: "loss", value: .array(rows)),
            .init(name: "end", value: .double(search.endLoss)),
            .init(
                name: "minimum",
                value: [
                    "x": .double(lowest.x), "y": .double(lowest.y), "loss": .double(lowest.loss),
                ]),
            .init(name: "ratio", value: ratio.map { .double($0) } ?? .null),
        ]
    }
}
