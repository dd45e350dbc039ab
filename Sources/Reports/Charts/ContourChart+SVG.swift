extension ContourChart {
    /// The chart as a file of its own: one SVG with its style, light or dark as the reader prefers.
    public var svgFile: String {
        let style = Palette.variables(".plot") + Palette.chartStyle
        return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            + svg(width: 760, isFile: true, style: style) + "\n"
    }

    /// The chart as an SVG element, with panels side by side as far as `width` allows.
    func svg(width: Double, isFile: Bool = false, style: String? = nil) -> String {
        var drawing = ContourDrawing(self, width: width, isFile: isFile)
        drawing.draw(style)
        return drawing.markup.text
    }
}

/// A chart of contours being drawn.
private struct ContourDrawing {
    let chart: ContourChart
    let width: Double
    let isFile: Bool
    let columns: Int
    var markup = Markup()

    private static let (legendHeight, titleHeight) = (26.0, 34.0)

    init(_ chart: ContourChart, width: Double, isFile: Bool) {
        self.chart = chart
        self.width = width
        self.isFile = isFile
        let most = max(1, Int(width / 360))
        let rows = (chart.panels.count + most - 1) / most
        // Rows of equal length where there are several.
        columns = max(1, rows > 0 ? (chart.panels.count + rows - 1) / rows : 1)
    }

    private var panelWidth: Double { width / Double(columns) }
    private var panelHeight: Double { min(panelWidth, 400) * 0.86 }
    private var top: Double { Self.legendHeight + (isFile ? Self.titleHeight : 0) }

    mutating func draw(_ style: String?) {
        let rows = (chart.panels.count + columns - 1) / columns
        let height = top + Double(rows) * panelHeight
        markup.open(
            "svg",
            [
                "xmlns": "http://www.w3.org/2000/svg", "class": "plot", "role": "img",
                "viewBox": "0 0 \(coordinate(width)) \(coordinate(height))",
                "aria-label": chart.title,
            ])
        if let style { markup.raw("<style>\(style)</style>") }
        if isFile {
            markup.empty("rect", ["width": "100%", "height": "100%", "fill": "var(--card)"])
            markup.element("text", ["class": "title", "x": "12", "y": "24"], chart.title)
        } else {
            markup.element("title", chart.title)
        }
        drawLegend()
        for (index, panel) in chart.panels.enumerated() {
            draw(
                panel, index, left: Double(index % columns) * panelWidth,
                top: top + Double(index / columns) * panelHeight)
        }
        markup.close("svg")
    }

    private mutating func drawLegend() {
        let height = top - 12
        var place = 12.0
        func text(_ text: String, _ markup: inout Markup) {
            markup.element(
                "text", ["class": "name", "x": coordinate(place + 28), "y": coordinate(height)],
                text)
            place += 28 + Double(text.count) * 6.7 + 16
        }
        line(place, height - 4, "line s1")
        text("path", &markup)
        mark(.start, place + 16, height - 4)
        text("start", &markup)
        mark(.end, place + 16, height - 4)
        text("end", &markup)
        mark(.minimum, place + 16, height - 4)
        text("lowest loss", &markup)
        if width < 500 { return }
        line(place, height - 4, "contour")
        text("equal loss", &markup)
    }

    private mutating func line(_ x: Double, _ y: Double, _ name: String) {
        markup.empty(
            "line",
            [
                "class": name, "x1": coordinate(x), "x2": coordinate(x + 22), "y1": coordinate(y),
                "y2": coordinate(y),
            ])
    }

    private enum Mark { case start, end, minimum }

    private mutating func mark(_ mark: Mark, _ x: Double, _ y: Double) {
        switch mark {
        case .start, .end:
            markup.empty(
                "circle",
                [
                    "class": mark == .start ? "ring s1" : "f1", "cx": coordinate(x),
                    "cy": coordinate(y), "r": mark == .start ? "4.5" : "4",
                ])
        case .minimum:
            let (x0, x1) = (coordinate(x - 5), coordinate(x + 5))
            let (y0, y1) = (coordinate(y - 5), coordinate(y + 5))
            markup.empty(
                "path",
                [
                    "class": "line s0",
                    "d": "M\(x0) \(y0)L\(x1) \(y1)M\(x0) \(y1)L\(x1) \(y0)",
                ])
        }
    }

    // MARK: A panel

    private mutating func draw(
        _ panel: ContourChart.Panel, _ index: Int, left: Double, top: Double
    ) {
        guard let contours = panel.path.contours, let x0 = contours.x.first,
            let x1 = contours.x.last, let y0 = contours.y.first, let y1 = contours.y.last,
            x1 > x0, y1 > y0
        else {
            markup.element(
                "text",
                [
                    "x": coordinate(left + panelWidth / 2), "y": coordinate(top + panelHeight / 2),
                    "text-anchor": "middle",
                ], "\(panel.name): the run did not come to its end")
            return
        }
        let xTicks = Ticks(linear: x0...x1, about: 4, widens: false)
        let yTicks = Ticks(linear: y0...y1, about: 5, widens: false)
        let label = Double(yTicks.labels.map(\.count).max() ?? 0) * 6.9
        let (start, end) = (left + 30 + label, left + panelWidth - 14)
        let (floor, ceiling) = (top + panelHeight - 48, top + 26)
        func place(_ point: DescentPath.Point) -> (x: Double, y: Double) {
            (
                start + (end - start) * (point.x - x0) / (x1 - x0),
                floor + (ceiling - floor) * (point.y - y0) / (y1 - y0)
            )
        }
        markup.element(
            "text",
            [
                "class": "name", "x": coordinate((start + end) / 2), "y": coordinate(top + 14),
                "text-anchor": "middle",
            ],
            panel.name
                + (contours.ratio.map { " · contours \(measureOfRatio($0)) : 1" } ?? ""))
        markup.empty(
            "rect",
            [
                "class": "frame", "x": coordinate(start), "y": coordinate(ceiling),
                "width": coordinate(end - start), "height": coordinate(floor - ceiling),
            ])
        for (value, text) in zip(xTicks.values, xTicks.labels) {
            let x = place(.init(value, y0)).x
            markup.element(
                "text",
                ["x": coordinate(x), "y": coordinate(floor + 17), "text-anchor": "middle"], text)
            tick(x, floor, x, floor + 4)
        }
        for (value, text) in zip(yTicks.values, yTicks.labels) {
            let y = place(.init(x0, value)).y
            markup.element(
                "text",
                [
                    "x": coordinate(start - 8), "y": coordinate(y), "dy": "0.35em",
                    "text-anchor": "end",
                ], text)
            tick(start - 4, y, start, y)
        }
        markup.element(
            "text",
            [
                "x": coordinate((start + end) / 2), "y": coordinate(floor + 36),
                "text-anchor": "middle",
            ], chart.xLabel)
        let middle = "\(coordinate(left + 13)) \(coordinate((floor + ceiling) / 2))"
        markup.element(
            "text",
            ["transform": "translate(\(middle)) rotate(-90)", "text-anchor": "middle"],
            chart.yLabel)
        let clip = "clip-\(chart.id)-\(index)-\(Int(width))"
        markup.element("clipPath", ["id": clip]) { markup in
            markup.empty(
                "rect",
                [
                    "x": coordinate(start), "y": coordinate(ceiling),
                    "width": coordinate(end - start), "height": coordinate(floor - ceiling),
                ])
        }
        markup.open("g", ["clip-path": "url(#\(clip))"])
        // No number at the frame, where it would be cut, and none below a mark.
        let marks = [panel.path.points.first, panel.path.points.last, contours.minimum]
            .compactMap { $0 }.map(place)
        draw(contours, place: place) { x, y in
            x > start + 14 && x < end - 14 && y > ceiling + 8 && y < floor - 8
                && marks.allSatisfy { abs($0.x - x) > 22 || abs($0.y - y) > 11 }
        }
        draw(panel.path.points.map(place))
        let lowest = place(contours.minimum)
        mark(.minimum, lowest.x, lowest.y)
        markup.close("g")
    }

    private mutating func tick(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) {
        markup.empty(
            "line",
            [
                "class": "axis", "x1": coordinate(x1), "x2": coordinate(x2), "y1": coordinate(y1),
                "y2": coordinate(y2),
            ])
    }

    private mutating func draw(
        _ contours: DescentPath.Contours,
        place: (DescentPath.Point) -> (x: Double, y: Double),
        hasRoom: (_ x: Double, _ y: Double) -> Bool
    ) {
        func rounded(_ value: Double) -> String { trimmed(decimal(value, 1)) }
        // Numbers stand along a ray from the lowest point to the farthest corner.
        let lowest = place(contours.minimum)
        let corners = [contours.x.first, contours.x.last].flatMap { x in
            [contours.y.first, contours.y.last].map { place(.init(x ?? 0, $0 ?? 0)) }
        }
        func distance(_ a: (x: Double, y: Double), _ b: (x: Double, y: Double)) -> Double {
            ((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y)).squareRoot()
        }
        let corner =
            corners.max { distance($0, lowest) < distance($1, lowest) } ?? lowest
        let length = max(distance(corner, lowest), 1)
        let ray = ((corner.x - lowest.x) / length, (corner.y - lowest.y) / length)
        var numbers: [(x: Double, y: Double, text: String)] = []
        for level in contours.levels {
            let pieces = contours.pieces(at: level).map { (place($0.0), place($0.1)) }
            if pieces.isEmpty { continue }
            let path = pieces.map { a, b in
                "M\(rounded(a.x)) \(rounded(a.y))L\(rounded(b.x)) \(rounded(b.y))"
            }
            markup.empty("path", ["class": "contour", "d": path.joined()])
            let near = pieces.map(\.0).filter {
                ($0.x - lowest.x) * ray.0 + ($0.y - lowest.y) * ray.1 > 0
            }.min {
                func away(_ p: (x: Double, y: Double)) -> Double {
                    abs((p.x - lowest.x) * ray.1 - (p.y - lowest.y) * ray.0)
                }
                return away($0) < away($1)
            }
            if let near, hasRoom(near.x, near.y),
                numbers.allSatisfy({ distance(($0.x, $0.y), near) > 24 })
            {
                numbers.append((near.x, near.y, measureOfLoss(level)))
            }
        }
        for number in numbers {
            markup.element(
                "text",
                [
                    "class": "height", "x": coordinate(number.x), "y": coordinate(number.y),
                    "dy": "0.35em", "text-anchor": "middle",
                ], number.text)
        }
    }

    /// Axes are stretched to fit: this says by how much contours are longer than wide without.
    private func measureOfRatio(_ ratio: Double) -> String {
        ratio >= 100 ? thousands(ratio.rounded()) : decimal(ratio, 1)
    }

    private func measureOfLoss(_ level: Double) -> String {
        level >= 10 ? thousands(level.rounded()) : decimal(level, 2)
    }

    private mutating func draw(_ places: [(x: Double, y: Double)]) {
        guard let first = places.first, let last = places.last else { return }
        let path = places.enumerated().map { index, place in
            (index == 0 ? "M" : "L") + coordinate(place.x) + " " + coordinate(place.y)
        }
        markup.empty("path", ["class": "line s1", "d": path.joined()])
        if places.count <= 60 {
            for place in places.dropFirst().dropLast() {
                markup.empty(
                    "circle",
                    [
                        "class": "f1", "cx": coordinate(place.x), "cy": coordinate(place.y),
                        "r": "1.8",
                    ])
            }
        }
        mark(.start, first.x, first.y)
        mark(.end, last.x, last.y)
    }
}
