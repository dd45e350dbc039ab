import Foundation
import Testing

@testable import Reports

#if canImport(FoundationXML)
    import FoundationXML
#endif

struct ReportPageTests {
    private func run(_ name: String, rate: String, accuracy: Double) -> RunRecord {
        var run = RunRecord(name: name)
        run.settings = [
            .init("seed", "1"), .init("model.name", "mlp"),
            .init("optimizer.learningRate", rate),
        ]
        run.evaluations = (1...5).map { step in
            .init(
                step: step * 100,
                values: [
                    "train_loss": 1 / Double(step), "train_accuracy": accuracy,
                    "test_loss": 1.5 / Double(step), "test_accuracy": accuracy,
                    "learning_rate": 0.1, "images_per_second": 12_345.6,
                ])
        }
        return run
    }

    private func report(_ runs: [RunRecord], notes: [String] = []) -> Report {
        Report(
            runs: runs, system: [.init("CPU", "a & b")], notes: notes, origin: "Made here.")
    }

    /// The page without what is HTML and not XML.
    private func parse(_ html: String) -> (any Error)? {
        var text = html.replacing("<!DOCTYPE html>\n", with: "")
        for tag in ["<meta ", "<link "] {
            while let start = text.range(of: tag),
                let end = text[start.lowerBound...].firstIndex(of: ">")
            {
                text.removeSubrange(start.lowerBound...end)
            }
        }
        for tag in ["style", "script"] {
            while let start = text.range(of: "<\(tag)"), let end = text.range(of: "</\(tag)>") {
                text.removeSubrange(start.lowerBound..<end.upperBound)
            }
        }
        let parser = XMLParser(data: Data(text.utf8))
        return parser.parse() ? nil : parser.parserError
    }

    @Test("a page is sound, and asks no network for anything")
    func selfContained() {
        var one = run("a <b> & 'c'", rate: "0.1", accuracy: 0.9)
        one.findings = ModelFindings(
            confusion: ConfusionMatrix(classes: ["zero", "<one>"]),
            worst: [
                CaptionedImage(PNGImage(width: 2, height: 2, channels: 3), caption: ["x → y"])
            ],
            filters: FilterSheet(
                weights: [1, 2, 3, 4], units: 1, channels: 1, height: 2, width: 2),
            samples: "All of them.")
        one.division = [("products", 1e-3), ("update", 2e-3)]
        one.facts = [.init("host", "h")]
        one.probes = [.init(kind: "norm", part: "layer 1", step: 1, value: 2)]
        let html = report([one, run("two", rate: "0.2", accuracy: 0.8)]).html
        #expect(parse(html) == nil)
        #expect(html.contains("a &lt;b&gt; &amp; &#39;c&#39;"))
        let addresses = html.matches(of: /(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)/)
            .map { String($0.1) }
        #expect(!addresses.isEmpty)
        for address in addresses {
            #expect(address.hasPrefix("#") || address.hasPrefix("data:"), "\(address)")
        }
        let external = html.replacing("http://www.w3.org/2000/svg", with: "")
        #expect(!external.contains("http://") && !external.contains("https://"))
        #expect(html.contains("@media print") && html.contains("prefers-color-scheme:dark"))
    }

    @Test("two runs share the charts, and the table says in which keys they differ")
    func severalRuns() {
        let page = report([
            run("one", rate: "0.1", accuracy: 0.9), run("two", rate: "0.2", accuracy: 0.8),
        ])
        #expect(page.charts.map(\.id) == ["loss", "accuracy"])
        #expect(
            page.charts[0].series.map(\.name) == [
                "one, train", "one, test", "two, train", "two, test",
            ])
        #expect(page.charts[0].series.map(\.color) == [0, 0, 1, 1])
        let tables = page.sections.first { $0.title == "What differs" }?.blocks ?? []
        guard case .table(let table)? = tables.first else {
            Issue.record("there is no table of differences")
            return
        }
        #expect(table.header == ["run", "optimizer.learningRate"])
        #expect(table.rows == [["one", "0.1"], ["two", "0.2"]])
    }

    @Test("many runs get a chart for each set of samples, and equal ones differ in nothing")
    func manyRuns() {
        let page = report((1...9).map { run("run \($0)", rate: "0.1", accuracy: 0.5) })
        #expect(
            page.charts.map(\.id)
                == ["loss-train", "loss-test", "accuracy-train", "accuracy-test"])
        #expect(page.charts.allSatisfy { $0.series.count == 9 })
        #expect(page.html.contains("Nothing: all runs have the same configuration."))
    }

    @Test("a run without a line is a page with its notes")
    func nothingYet() {
        var empty = RunRecord(name: "empty")
        empty.notes = ["Nothing yet."]
        let page = report([empty], notes: ["A general <note>."])
        #expect(page.charts.isEmpty)
        #expect(parse(page.html) == nil)
        #expect(page.html.contains("<p class=\"note\">Nothing yet.</p>"))
        #expect(page.html.contains("<p class=\"note\">A general &lt;note&gt;.</p>"))
    }

    @Test("what the script reads is JSON, whatever the names hold")
    func chartData() throws {
        var odd = run("</script><b>\u{2028}\"\\", rate: "1", accuracy: .nan)
        odd.evaluations[0].values["train_loss"] = .infinity
        let html = report([odd, run("b", rate: "2", accuracy: 0.123456789)]).html
        let opening = "<script type=\"application/json\">"
        let pieces = html.components(separatedBy: opening).dropFirst()
        #expect(pieces.count == 2)
        for piece in pieces {
            let text = piece.components(separatedBy: "</script>")[0]
            let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
            let series = (value as? [String: Any])?["series"] as? [[String: Any]]
            #expect((series?[0]["name"] as? String)?.hasPrefix("</script><b>\u{2028}\"\\") == true)
        }
    }

    @Test("the most frequent mistakes come first")
    func mistakes() {
        var matrix = ConfusionMatrix(classes: ["a", "b", "c"])
        matrix.counts = [[9, 2, 0], [5, 7, 2], [0, 0, 8]]
        #expect(matrix.mistakes.map(\.label) == [1, 0, 1])
        #expect(matrix.mistakes.map(\.said) == [0, 1, 2])
        #expect(matrix.mistakes.map(\.count) == [5, 2, 2])
    }

    @Test("numbers are written for people")
    func numbers() {
        #expect(measure(0.97123) == "0.9712")
        #expect(measure(3.14159e-7) == "3.142e-07")
        #expect(measure(123.456) == "123.5")
        #expect(measure(-1_234_567) == "−1\u{202F}234\u{202F}567")
        #expect(measure(nil) == "–" && measure(.nan) == "–" && measure(0) == "0")
        #expect(percent(0.98765) == "98.77 %")
        #expect(coordinate(1.0) == "1" && coordinate(1.005) == "1" && coordinate(-0.001) == "0")
    }
}
