import Configuration
import Foundation
import Testing

@testable import Reports

struct SweepReportTests {
    /// A sweep of two cells, read from a file as users write it.
    private func configuration(_ replaced: String? = nil) throws -> SweepConfiguration {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("sweep-\(UUID().uuidString).json5").path
        let text = """
            { title: "A | sweep", grid: { "optimizer.learningRate": [0.5, 1000] },
              seeds: 3, threshold: 0.8,
              published: { source: "a page.", rows: [
                { when: { "optimizer.learningRate": 0.5 }, validation: 0.9, test: 0.89 } ] },
              figures: [{ x: "optimizer.learningRate", y: "testError", log: true }] }
            """
        try Data((replaced ?? text).utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try SweepConfiguration.load(file: path)
    }

    private func run(_ seed: UInt64, _ accuracies: [Double], failure: String? = nil)
        -> SweepRecord.Run
    {
        SweepRecord.Run(
            seed: seed, path: "runs/x",
            evaluations: accuracies.enumerated().map {
                .init(
                    step: 100 * ($0 + 1),
                    values: [
                        "validation_accuracy": $1, "test_accuracy": $1 - 0.01,
                        "train_loss": 1 - $1,
                    ])
            }, stepsPerSecond: failure == nil ? Double(1000 * seed) : nil, failure: failure)
    }

    private func sweep() throws -> SweepRecord {
        SweepRecord(
            try configuration(),
            runs: [
                [run(1, [0.7, 0.8, 0.95]), run(2, [0.6, 0.79, 0.9]), run(3, [0.5, 0.6, 0.7])],
                [
                    run(1, [0.1], failure: "training diverged at step 7 (epoch 1): …"),
                    run(2, [], failure: "training diverged at step 3 (epoch 1): …"),
                    run(3, [0.2], failure: "ended by signal 9"),
                ],
            ])
    }

    @Test("a row has the median and the extremes; a failing cell says why, and is a row")
    func markdown() throws {
        #expect(
            SweepTable(try sweep()).markdown == """
                | learningRate | validation, % | test, % | steps to 80 % | steps/s | \
                published validation, % | published test, % | failed |
                |---|---|---|---|---|---|---|---|
                | 0.5 | 90.00 (70.00…95.00) | 89.00 (69.00…94.00) | 250 (200…300) (2 of 3) | \
                2\u{202F}000 | 90.00 | 89.00 |  |
                | 1000 | – | – | never | – | – | – | diverged at step 3…7 (2 of 3); \
                ended by signal 9 (1 of 3) |

                """)
    }

    @Test("CSV has a line for each cell and quotes what needs it")
    func csv() throws {
        let lines = SweepTable(try sweep()).csv.components(separatedBy: "\r\n")
        #expect(lines.count == 4 && lines[3].isEmpty)
        #expect(lines[0].hasPrefix("optimizer.learningRate,runs,validation_accuracy,"))
        #expect(lines[1].hasPrefix("0.5,3,0.9,0.7,0.95,"))
        #expect(lines[1].hasSuffix(",2,0.9,0.89,"))
        #expect(
            lines[2].hasSuffix(",0,,,diverged at step 3…7 (2 of 3); ended by signal 9 (1 of 3)"))
        let columns = lines[0].split(separator: ",").count
        #expect(
            lines[1].split(separator: ",", omittingEmptySubsequences: false).count == columns)
    }

    @Test("the page has the table, figures, and curves with a band over the seeds")
    func page() throws {
        let page = Report(
            sweep: try sweep(), system: [], notes: ["A note."], origin: "Made here.")
        // The failed cell has no place in a figure of one point, so there is none.
        #expect(page.charts.map(\.id) == ["validation-accuracy-1", "train-loss-1"])
        let line = page.charts[0].series[0]
        #expect(line.points.map(\.x) == [100, 200, 300])
        #expect(line.points[0].y == 0.6 && line.points[0].range == 0.5...0.7)
        #expect(page.html.contains("A | sweep") && page.html.contains("diverged at step 3…7"))
    }

    @Test("a figure has a point for each value, with the extremes over seeds")
    func figure() throws {
        let sweep = SweepRecord(
            try configuration(), runs: [[run(1, [0.9]), run(2, [0.7])], [run(1, [0.5])]])
        let chart = try #require(
            Report(sweep: sweep, system: [], notes: [], origin: "").charts.first)
        #expect(chart.id == "figure-1" && chart.x.isLogarithmic)
        #expect(chart.x.marks == [0.5, 1000])
        let points = chart.series[0].points
        #expect(points.count == 2 && points[0].x == 0.5)
        #expect(abs(points[0].y - 0.21) < 1e-9 && abs(points[1].y - 0.51) < 1e-9)
    }

    @Test("a figure over kinds has points with names, which are not joined")
    func kinds() throws {
        let configuration = try configuration(
            """
            { cells: [{ "model.hidden": [8] }, { "model.hidden": [9] }],
              grid: { "model.activation": ["tanh", "relu", "sigmoid"] }, series: ["model.hidden"],
              figures: [{ x: "model.activation", y: "testAccuracy" }] }
            """)
        let record = SweepRecord(
            configuration,
            runs: [0.7, 0.8, 0.9, 0.5, 0.6].map { [run(1, [$0])] }
                + [[run(1, [], failure: "training diverged at step 3 (epoch 1): …")]])
        let page = Report(sweep: record, system: [], notes: [], origin: "")
        let figure = try #require(page.charts.first)
        #expect(figure.x.names == ["tanh", "relu", "sigmoid"])
        // The hover and the table beside it name them, too; one seed leaves no extremes to show.
        #expect(page.html.contains("\"names\":[\"tanh\",\"relu\",\"sigmoid\"]"))
        #expect(page.html.contains(">sigmoid</td>") && !page.html.contains("over seeds"))
        #expect(figure.series.map { $0.points.map(\.x) } == [[0, 1, 2], [0, 1]])
        let drawing = figure.svg(width: 760, height: 440)
        #expect(drawing.components(separatedBy: "<circle").count == 1 + 5)
        #expect(drawing.contains(">sigmoid</text>") && !drawing.contains("<path"))
    }

    @Test("the middle of an even number of values is between the two in the middle")
    func spread() {
        #expect(Spread([]) == nil && Spread([.nan]) == nil)
        #expect(Spread([3, 1, 2])?.median == 2)
        #expect(Spread([4, 1, 2, 3])?.median == 2.5)
        #expect(Spread([4, 1, .infinity])?.range == 1...4)
    }
}
