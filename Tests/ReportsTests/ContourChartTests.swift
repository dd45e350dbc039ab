import Foundation
import Testing

@testable import Reports

struct ContourChartTests {
    /// x² + 4y² over −2…2.
    private var bowl: DescentPath.Contours {
        let places = (0...40).map { -2 + Double($0) / 10 }
        return DescentPath.Contours(
            x: places, y: places, loss: places.map { y in places.map { x in x * x + 4 * y * y } },
            minimum: .init(0, 0), minimumLoss: 0, endLoss: 0.5, ratio: 2)
    }

    @Test("contours are where the loss has their level, in closed lines")
    func pieces() {
        let pieces = bowl.pieces(at: 1.03)
        #expect(!pieces.isEmpty)
        var ends: [String: Int] = [:]
        for (a, b) in pieces {
            for point in [a, b] {
                #expect(abs(point.x * point.x + 4 * point.y * point.y - 1.03) < 0.02)
                let place = [point.x, point.y].map { ($0 * 1e5).rounded() + 0 }
                ends["\(place)", default: 0] += 1
            }
        }
        // An end of one piece is an end of its neighbour.
        #expect(ends.values.allSatisfy { $0 == 2 })
        #expect(bowl.pieces(at: -1).isEmpty && bowl.pieces(at: 100).isEmpty)
    }

    @Test("in a saddle, contours do not cross; where there is no loss, there are none")
    func saddle() {
        func cell(_ loss: [[Double]]) -> DescentPath.Contours {
            DescentPath.Contours(
                x: [0, 1], y: [0, 1], loss: loss, minimum: .init(0, 0), minimumLoss: 0,
                endLoss: 0, ratio: nil)
        }
        // Low at two opposite corners, and low in the middle: the high corners are cut off.
        let low = cell([[0, 1.2], [1.2, 0]]).pieces(at: 1)
        #expect(low.count == 2)
        #expect(low.allSatisfy { abs($0.0.x - $0.1.x) < 0.3 && abs($0.0.y - $0.1.y) < 0.3 })
        let high = cell([[0.8, 3], [3, 0.8]]).pieces(at: 1)
        #expect(high.count == 2)
        #expect(high.allSatisfy { abs($0.0.x - $0.1.x) < 0.3 && abs($0.0.y - $0.1.y) < 0.3 })
        #expect(cell([[0, .nan], [1.2, 0]]).pieces(at: 1).isEmpty)
    }

    @Test("levels are evenly spaced along a bowl's axis, from the lowest loss up")
    func levels() {
        let radii = bowl.levels.map { $0.squareRoot() }
        let steps = zip(radii, radii.dropFirst()).map { $1 - $0 }
        #expect(radii.count == 9 && steps.allSatisfy { abs($0 - steps[0]) < 1e-9 })
    }

    @Test("a panel a run, with a run that was cut off said to be")
    func svg() {
        let path = DescentPath(points: [.init(1, 1), .init(0.5, 0.2)], contours: bowl)
        let chart = ContourChart(
            id: "figure-1", title: "A < B", xLabel: "first", yLabel: "second",
            panels: [
                .init(name: "one", path: path),
                .init(name: "two", path: DescentPath(points: path.points, contours: nil)),
            ])
        let svg = chart.svgFile
        #expect(svg.contains("A &lt; B") && svg.contains("one · contours 2.0 : 1"))
        #expect(svg.contains("two: the run did not come to its end"))
        #expect(svg.components(separatedBy: "class=\"contour\" d=").count - 1 == 9)
        #expect(!svg.contains("nan") && !svg.contains("inf"))
        #expect(svg.contains("prefers-color-scheme:dark"))
        let report = Report(
            title: "t", lead: "", origin: "",
            sections: [.init("s", [.contours(chart, nil)])])
        #expect(report.drawings.map(\.id) == ["figure-1"] && report.html.contains("contours"))
    }
}
