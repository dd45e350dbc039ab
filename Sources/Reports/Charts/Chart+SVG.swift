import Foundation

extension Chart {
    /// The chart as a file of its own: one SVG with its style, light or dark as the reader prefers.
    public var svgFile: String {
        let style = Palette.variables(".plot") + Palette.chartStyle
        return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            + svg(width: 760, height: 440, isFile: true, style: style) + "\n"
    }

    /// The chart as an SVG element.
    ///
    /// - Parameters:
    ///   - width, height: of its drawing, in CSS pixels; text is 12 of them high.
    ///   - isFile: whether it carries its title and background.
    ///   - style: a style sheet of its own.
    func svg(width: Double, height: Double, isFile: Bool = false, style: String? = nil) -> String {
        Drawing(self, width: width, height: height, isFile: isFile, style: style).markup.text
    }
}

/// A chart being drawn.
private struct Drawing {
    let chart: Chart
    let width: Double
    let height: Double
    let isFile: Bool
    var markup = Markup()

    private var x: Placement
    private var y: Placement
    private let legend: [[LegendEntry]]
    private let titleHeight: Double

    /// Where values of an axis lie.
    struct Placement {
        let ticks: Ticks
        let isLogarithmic: Bool
        /// The places of the domain's two ends.
        var start = 0.0
        var end = 0.0

        func place(_ value: Double) -> Double {
            func scaled(_ value: Double) -> Double { isLogarithmic ? log10(value) : value }
            let (low, high) = (scaled(ticks.domain.lowerBound), scaled(ticks.domain.upperBound))
            return start + (end - start) * (scaled(value) - low) / (high - low)
        }
    }

    struct LegendEntry {
        let series: Chart.Series
        let text: String
        let x: Double
    }

    init(_ chart: Chart, width: Double, height: Double, isFile: Bool, style: String?) {
        self.chart = chart
        self.width = width
        self.height = height
        self.isFile = isFile
        titleHeight = isFile ? 34 : 0
        legend = Self.legend(of: chart, width: width - 24)
        x = Placement(
            ticks: Self.ticks(
                chart.x, chart.drawn.map(\.x), about: Int(width / 90), widens: false),
            isLogarithmic: chart.x.isLogarithmic)
        let heights = chart.drawn.flatMap { point in
            [point.y] + (point.range.map { [$0.lowerBound, $0.upperBound] } ?? [])
        }
        y = Placement(
            ticks: Self.ticks(chart.y, heights, about: Int(height / 60), widens: true),
            isLogarithmic: chart.y.isLogarithmic)
        let labels = y.ticks.labels.map { Self.length(of: $0) }.max() ?? 0
        x.start = 30 + labels
        x.end = width - 16
        y.start = height - 44
        y.end = titleHeight + 14 + Double(legend.count) * 20
        draw(style)
    }

    private static func ticks(
        _ axis: Chart.Axis, _ values: [Double], about count: Int, widens: Bool
    ) -> Ticks {
        let values = values.filter { $0.isFinite && (!axis.isLogarithmic || $0 > 0) }
        let found = (values.min() ?? (axis.isLogarithmic ? 1 : 0))...(values.max() ?? 1)
        let range = axis.range ?? found
        if let names = axis.names {
            let last = Double(names.count - 1)
            var ticks = Ticks(at: names.indices.map(Double.init), domain: -0.5...last + 0.5)
            ticks.labels = names
            return ticks
        }
        if let marks = axis.marks {
            // Room beside the outer marks.
            if axis.isLogarithmic {
                return Ticks(at: marks, domain: range.lowerBound / 1.15...range.upperBound * 1.15)
            }
            let room = max(range.upperBound - range.lowerBound, 1e-9) * 0.04
            return Ticks(at: marks, domain: range.lowerBound - room...range.upperBound + room)
        }
        var ticks =
            axis.isLogarithmic
            ? Ticks(logarithmic: range, about: count)
            : Ticks(linear: range, about: count, widens: widens && axis.range == nil)
        if axis.isShare {
            // Nothing lies beyond 100 %.
            if found.upperBound <= 1, ticks.domain.upperBound > 1 {
                ticks.domain = min(ticks.domain.lowerBound, 1)...1
            }
            let inside = Ticks(
                linear: ticks.domain.lowerBound * 100...ticks.domain.upperBound * 100,
                about: count, widens: false)
            ticks.values = inside.values.map { $0 / 100 }
            ticks.labels = inside.labels.map { $0 + " %" }
        }
        return ticks
    }

    /// An estimate of a text's width; digits of the usual sans serif fonts take 0.56 of the size.
    private static func length(of text: String) -> Double { Double(text.count) * 6.9 }

    private static func legend(of chart: Chart, width: Double) -> [[LegendEntry]] {
        guard chart.series.count > 1 else { return [] }
        var rows: [[LegendEntry]] = [[]]
        var place = 0.0
        for series in chart.series {
            let most = Int((width - 40) / 6.9)
            let name = series.name
            let text = name.count > most ? name.prefix(max(1, most - 1)) + "…" : name[...]
            let needed = 34 + length(of: String(text)) + 14
            if place + needed > width, !(rows.last?.isEmpty ?? true) {
                rows.append([])
                place = 0
            }
            rows[rows.count - 1].append(
                LegendEntry(series: series, text: String(text), x: place + 12))
            place += needed
        }
        return rows
    }

    // MARK: Parts

    private mutating func draw(_ style: String?) {
        markup.open(
            "svg",
            [
                "xmlns": "http://www.w3.org/2000/svg", "class": "plot", "role": "img",
                "viewBox": "0 0 \(coordinate(width)) \(coordinate(height))",
                "aria-label": chart.title,
                "data-plot": [x.start, x.end, y.end, y.start].map(coordinate)
                    .joined(separator: " "),
                "data-x": "\(x.ticks.domain.lowerBound) \(x.ticks.domain.upperBound) "
                    + (x.isLogarithmic ? "log" : "linear"),
            ])
        if let style { markup.raw("<style>\(style)</style>") }
        if isFile {
            markup.empty("rect", ["width": "100%", "height": "100%", "fill": "var(--card)"])
            markup.element("text", ["class": "title", "x": "12", "y": "24"], chart.title)
        } else {
            markup.element("title", chart.title)
        }
        drawGrid()
        drawLegend()
        if chart.isEmpty {
            markup.element(
                "text",
                [
                    "x": coordinate((x.start + x.end) / 2), "y": coordinate((y.start + y.end) / 2),
                    "text-anchor": "middle",
                ], "nothing to draw")
        }
        let clip = "clip-\(chart.id)-\(Int(width))"
        markup.element("clipPath", ["id": clip]) { [x, y] markup in
            markup.empty(
                "rect",
                [
                    "x": coordinate(x.start - 4), "y": coordinate(y.end - 4),
                    "width": coordinate(x.end - x.start + 8),
                    "height": coordinate(y.start - y.end + 8),
                ])
        }
        markup.open("g", ["clip-path": "url(#\(clip))"])
        for series in chart.series { drawBand(series) }
        for series in chart.series { drawLine(series) }
        markup.close("g")
        markup.empty(
            "line",
            [
                "class": "cursor", "x1": "0", "x2": "0", "y1": coordinate(y.end),
                "y2": coordinate(y.start),
            ]
        )
        markup.close("svg")
    }

    private mutating func drawGrid() {
        for (value, label) in zip(y.ticks.values, y.ticks.labels) {
            let place = coordinate(y.place(value))
            markup.empty(
                "line",
                [
                    "class": "grid", "x1": coordinate(x.start), "x2": coordinate(x.end),
                    "y1": place, "y2": place,
                ])
            markup.element(
                "text",
                [
                    "x": coordinate(x.start - 8), "y": place, "dy": "0.35em", "text-anchor": "end",
                ], label)
        }
        markup.empty(
            "line",
            [
                "class": "axis", "x1": coordinate(x.start), "x2": coordinate(x.end),
                "y1": coordinate(y.start), "y2": coordinate(y.start),
            ])
        for (value, label) in zip(x.ticks.values, x.ticks.labels) {
            let place = coordinate(x.place(value))
            markup.empty(
                "line",
                [
                    "class": "axis", "x1": place, "x2": place, "y1": coordinate(y.start),
                    "y2": coordinate(y.start + 5),
                ])
            markup.element(
                "text",
                ["x": place, "y": coordinate(y.start + 19), "text-anchor": "middle"], label)
        }
        markup.element(
            "text",
            [
                "x": coordinate((x.start + x.end) / 2), "y": coordinate(height - 6),
                "text-anchor": "middle",
            ], chart.x.label)
        let middle = coordinate((y.start + y.end) / 2)
        markup.element(
            "text",
            ["transform": "translate(13 \(middle)) rotate(-90)", "text-anchor": "middle"],
            chart.y.label)
    }

    private mutating func drawLegend() {
        for (row, entries) in legend.enumerated() {
            let height = titleHeight + 14 + 20 * Double(row)
            for entry in entries {
                let series = entry.series
                markup.element("g") { markup in
                    markup.element("title", series.name)
                    markup.empty(
                        "line",
                        [
                            "class": series.lineClass, "x1": coordinate(entry.x),
                            "x2": coordinate(entry.x + 24), "y1": coordinate(height - 4),
                            "y2": coordinate(height - 4),
                        ])
                    markup.element(
                        "text",
                        [
                            "class": "name", "x": coordinate(entry.x + 31),
                            "y": coordinate(height),
                        ], entry.text)
                }
            }
        }
    }

    /// The lines of a series, cut where a point has no place.
    private func pieces(_ series: Chart.Series) -> [ArraySlice<Chart.Point>] {
        guard chart.x.names == nil else {
            return series.points.filter(chart.isDrawable).map { [$0] }
        }
        return series.points.split { !chart.isDrawable($0) }
    }

    private mutating func drawBand(_ series: Chart.Series) {
        for piece in pieces(series) {
            let ranged = piece.compactMap { point in point.range.map { (point.x, $0) } }
            guard ranged.count > 1 else { continue }
            let floor = y.ticks.domain.lowerBound
            let upper = ranged.map { ($0.0, $0.1.upperBound) }
            let lower = ranged.reversed().map { ($0.0, $0.1.lowerBound) }
            let path = (upper + lower).enumerated().map { index, point in
                let height = y.isLogarithmic ? max(point.1, floor) : point.1
                return (index == 0 ? "M" : "L") + coordinate(x.place(point.0)) + " "
                    + coordinate(y.place(height))
            }
            markup.empty(
                "path",
                ["class": "band f\(series.colorIndex)", "d": path.joined() + "Z"])
        }
    }

    private mutating func drawLine(_ series: Chart.Series) {
        let showsPoints = series.points.count <= 16
        for piece in pieces(series) {
            let places = piece.map { (x.place($0.x), y.place($0.y)) }
            if places.count > 1 {
                let path = places.enumerated().map { index, place in
                    (index == 0 ? "M" : "L") + coordinate(place.0) + " " + coordinate(place.1)
                }
                markup.empty("path", ["class": series.lineClass, "d": path.joined()])
            }
            guard showsPoints || places.count == 1 else { continue }
            for place in places {
                markup.empty(
                    "circle",
                    [
                        "class": "f\(series.colorIndex)", "cx": coordinate(place.0),
                        "cy": coordinate(place.1), "r": "3",
                    ])
            }
        }
    }
}

extension Chart {
    /// All points that have a place.
    fileprivate var drawn: [Point] { series.flatMap { $0.points.filter(isDrawable) } }
}

extension Chart.Series {
    fileprivate var colorIndex: Int { color % Palette.count }

    /// Beyond the colours, lines differ in their strokes.
    fileprivate var lineClass: String {
        let kind = (stroke.rawValue + color / Palette.count) % 3
        return "line s\(colorIndex)" + (kind == 0 ? "" : " k\(kind)")
    }
}
