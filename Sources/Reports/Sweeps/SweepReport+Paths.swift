import Configuration

extension Report {
    /// A panel for each cell whose first run was followed; nil where none was.
    static func paths(
        _ figure: SweepConfiguration.Figure, index: Int, of sweep: SweepRecord
    ) -> Block? {
        paths(
            id: "figure-\(index + 1)", title: figure.title, labels: figure.labels,
            zip(sweep.configuration.cells, sweep.runs).compactMap { cell, runs in
                runs.first?.descent.map { .init(name: cell.name, path: $0) }
            })
    }

    /// A panel for each run that was followed; nil where none was.
    static func path(_ runs: [RunRecord]) -> Section? {
        let labels = ["x", "y"].map { name in
            Set(runs.compactMap { $0.setting("probes.path").flatMap { coordinate(name, in: $0) } })
        }
        let block = paths(
            id: "path", title: "",
            labels: labels.allSatisfy { $0.count == 1 } ? labels.compactMap(\.first) : [],
            runs.compactMap { run in run.path.map { .init(name: run.name, path: $0) } })
        return block.map { Section("Path", [$0]) }
    }

    /// What `probes.path` as JSON says of one of its two coordinates.
    private static func coordinate(_ name: String, in text: String) -> String? {
        let parts = text.split(separator: "\"", omittingEmptySubsequences: false)
        guard let place = parts.firstIndex(where: { $0 == name }), place + 2 < parts.count else {
            return nil
        }
        return String(parts[place + 2])
    }

    private static func paths(
        id: String, title: String, labels: [String], _ panels: [ContourChart.Panel]
    ) -> Block? {
        guard !panels.isEmpty else { return nil }
        func place(_ point: DescentPath.Point?) -> String {
            "\(measure(point?.x)), \(measure(point?.y))"
        }
        let rows = panels.compactMap { panel in
            panel.path.contours.map { contours in
                [
                    panel.name, place(panel.path.points.last), measure(contours.endLoss),
                    place(contours.minimum), measure(contours.minimumLoss),
                    measure(contours.ratio),
                ]
            }
        }
        return .contours(
            ContourChart(
                id: id, title: title.isEmpty ? "The path on contours of the training loss" : title,
                xLabel: labels.first ?? "x", yLabel: labels.last ?? "y", panels: panels),
            Table(
                ["", "end", "loss there", "lowest", "loss there", "contours' length : width"],
                rows, numbers: Set(1...5)))
    }
}
