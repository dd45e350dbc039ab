import Foundation
import Testing

@testable import Reports

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// What is in a drawing, as an XML parser reads it.
private final class Elements: NSObject, XMLParserDelegate {
    var found: [(name: String, attributes: [String: String])] = []
    var texts: [String] = []
    private var text = ""

    static func of(_ markup: String) throws -> Elements {
        let parser = XMLParser(data: Data(markup.utf8))
        let elements = Elements()
        parser.delegate = elements
        let isSound = parser.parse()
        #expect(isSound, "\(String(describing: parser.parserError))")
        return elements
    }

    func all(_ name: String) -> [[String: String]] {
        found.filter { $0.name == name }.map(\.attributes)
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
        qualifiedName: String?, attributes: [String: String]
    ) {
        found.append((name, attributes))
        text = ""
    }

    func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

    func parser(
        _ parser: XMLParser, didEndElement name: String, namespaceURI: String?,
        qualifiedName: String?
    ) {
        if name == "text" { texts.append(text) }
    }
}

struct ChartTests {
    private func chart(_ series: [Chart.Series], isLogarithmic: Bool = false) -> Chart {
        Chart(
            id: "a-chart", title: "A <chart> & \"more\"", x: .init("steps"),
            y: .init("loss", isLogarithmic: isLogarithmic), series: series)
    }

    private func points(_ path: [String: String]) -> [(Double, Double)] {
        (path["d"] ?? "").split { "MLZ".contains($0) }.map { pair in
            let numbers = pair.split(separator: " ").compactMap { Double($0) }
            return (numbers[0], numbers[1])
        }
    }

    @Test("a chart's file is sound XML whatever its names hold")
    func soundXML() throws {
        let names = ["a & b", "<script>alert('x')</script>", "\"quoted\"", "\u{1}\u{8}", "日本 🙂"]
        let series = names.enumerated().map {
            Chart.Series($1, [.init(0, 1), .init(1, Double($0))], color: $0)
        }
        let file = chart(series).svgFile
        let elements = try Elements.of(file)
        #expect(elements.texts.contains("A <chart> & \"more\""))
        #expect(elements.texts.contains("<script>alert('x')</script>"))
        #expect(elements.texts.contains("\u{FFFD}\u{FFFD}"))
        #expect(file.contains("prefers-color-scheme:dark"))
        #expect(!file.contains("<script"))
    }

    @Test("lines lie where their values are, and within the drawing")
    func places() throws {
        let line = Chart.Series("a", [.init(0, 0), .init(50, 5), .init(100, 10)], color: 0)
        let elements = try Elements.of(chart([line]).svg(width: 760, height: 400))
        let path = try #require(elements.all("path").first)
        let places = points(path)
        #expect(places.count == 3)
        // Halfway is halfway, and up is up.
        #expect(abs(places[1].0 - (places[0].0 + places[2].0) / 2) < 0.02)
        #expect(abs(places[1].1 - (places[0].1 + places[2].1) / 2) < 0.02)
        #expect(places[2].1 < places[0].1)
        for place in places {
            #expect((0...760).contains(place.0) && (0...400).contains(place.1))
        }
        let plot = try #require(elements.all("svg").first?["data-plot"]).split(separator: " ")
        #expect(Double(plot[0]) == places[0].0 && Double(plot[1]) == places[2].0)
    }

    @Test("equal factors are equally far apart on a logarithmic axis, and zeros have no place")
    func logarithmic() throws {
        let line = Chart.Series(
            "a", [.init(0, 0), .init(1, 0.01), .init(2, 1), .init(3, 100)], color: 0)
        let elements = try Elements.of(
            chart([line], isLogarithmic: true).svg(width: 600, height: 400))
        let places = points(try #require(elements.all("path").first))
        #expect(places.count == 3)
        #expect(abs((places[0].1 - places[1].1) - (places[1].1 - places[2].1)) < 0.03)
    }

    @Test("a line breaks where a value is not a number, and a single point is a dot")
    func gaps() throws {
        let line = Chart.Series(
            "a",
            [
                .init(0, 1), .init(1, 2), .init(2, .nan), .init(3, 1), .init(4, .infinity),
                .init(5, 3),
            ]
                + (6..<30).map { .init(Double($0), 2) }, color: 0)
        let elements = try Elements.of(chart([line]).svg(width: 600, height: 400))
        #expect(elements.all("path").map { points($0).count } == [2, 25])
        #expect(elements.all("circle").count == 1)
        #expect(!chart([line]).svgFile.contains("nan"))
    }

    @Test("a range of values is a band around its line")
    func bands() throws {
        let line = Chart.Series(
            "a", [.init(0, 2, range: 1...3), .init(1, 4, range: 2...6)], color: 1)
        let elements = try Elements.of(chart([line]).svg(width: 600, height: 400))
        let band = try #require(elements.all("path").first { $0["class"] == "band f1" })
        let places = points(band)
        #expect(places.count == 4)
        // The upper edge from left to right, then the lower one back.
        #expect(places[0].0 == places[3].0 && places[0].1 < places[3].1)
        #expect(places[1].0 == places[2].0 && places[1].1 < places[2].1)
    }

    @Test("a chart without a value says so")
    func empty() throws {
        for series in [
            [], [Chart.Series("a", [], color: 0), .init("b", [.init(.nan, 1)], color: 1)],
        ] {
            #expect(chart(series).isEmpty)
            let elements = try Elements.of(chart(series).svg(width: 300, height: 200))
            #expect(elements.texts.contains("nothing to draw"))
        }
    }

    @Test("more lines than colours differ in their strokes")
    func strokes() throws {
        let series = (0..<24).map {
            Chart.Series("line \($0)", [.init(0, 0), .init(1, Double($0))], color: $0)
        }
        let elements = try Elements.of(chart(series).svg(width: 760, height: 600))
        let classes = elements.all("path").compactMap { $0["class"] }
        #expect(classes.count == 24 && Set(classes).count == 24)
    }

    @Test("shares are marked in percent, and none lies beyond 100 %")
    func shares() throws {
        let line = Chart.Series("a", [.init(0, 0.11), .init(1, 0.993)], color: 0)
        let chart = Chart(
            id: "b", title: "b", x: .init("steps"), y: .init("accuracy", isShare: true),
            series: [line])
        let texts = try Elements.of(chart.svg(width: 600, height: 400)).texts
        #expect(texts.contains("100 %") && texts.contains("20 %"))
        #expect(!texts.contains("120 %"))
    }

    @Test("thinning keeps the ends, the lowest and the highest point")
    func thinned() throws {
        var points = (0..<50_000).map { Chart.Point(Double($0), sin(Double($0) / 900)) }
        points[31_415].y = 40
        points[27_182].y = -40
        points[100].y = .nan
        let line = Chart.Series("a", points, color: 0).thinned(to: 500)
        #expect(line.points.count <= 501 && line.points.count > 400)
        #expect(line.points.contains(points[31_415]) && line.points.contains(points[27_182]))
        #expect(line.points.last == points.last)
        for (a, b) in zip(line.points, line.points.dropFirst()) { #expect(a.x < b.x) }
        let short = Chart.Series("a", Array(points[..<300]), color: 0)
        #expect(short.thinned().points.count == 300)
    }
}
