extension Report {
    /// The report on one run, or on several side by side.
    ///
    /// - Parameters:
    ///   - runs: at least one.
    ///   - system: what the report was made on.
    ///   - notes: what concerns all of it.
    ///   - origin: who made it.
    public init(runs: [RunRecord], system: [RunRecord.Setting], notes: [String], origin: String) {
        let title = runs.count == 1 ? runs[0].name : "\(runs.count) runs"
        self.init(
            title: title, lead: Self.lead(runs), origin: origin,
            sections: [
                Self.overview(runs, notes: notes), Self.differences(runs), Self.curves(runs),
                Self.path(runs), Self.probes(runs), Self.models(runs), Self.divisions(runs),
                Self.settings(runs), Self.system(runs, system),
            ].compactMap { $0 })
    }

    private static func lead(_ runs: [RunRecord]) -> String {
        func common(_ key: String) -> String? {
            let values = Set(runs.map { $0.setting(key) ?? "" })
            return values.count == 1 ? values.first.flatMap { $0.isEmpty ? nil : $0 } : nil
        }
        // An IDX folder is called by its name: mnist.
        let folder = common("data.directory")?.split(separator: "/").last.map(String.init)
        let parts = [
            common("model.name"),
            common("data.name") == "idx" ? folder ?? "idx" : common("data.name"),
            common("batch.size").map { "batch \($0)" },
            common("optimizer.name").map { name in
                let rate = common("optimizer.learningRate")
                return name + (rate.map { ", learning rate \($0)" } ?? "")
            },
            common("model.normalization.kind").map { "normalisation: \($0)" },
        ]
        return parts.compactMap { $0 }.joined(separator: " · ")
    }

    // MARK: At a glance

    private static func overview(_ runs: [RunRecord], notes: [String]) -> Section {
        var blocks = notes.map(Block.note)
        for run in runs {
            blocks += run.notes.map { .note(runs.count > 1 ? "\(run.name): \($0)" : $0) }
        }
        guard let only = runs.first, runs.count == 1 else {
            blocks.append(.table(table(of: runs)))
            return Section("Runs", blocks)
        }
        var tiles: [(name: String, value: String)] = []
        for (name, key) in [("test accuracy", "test"), ("validation accuracy", "validation")] {
            if let value = only.last("\(key)_accuracy") { tiles.append((name, percent(value))) }
        }
        if let value = only.last("test_loss") { tiles.append(("test loss", measure(value))) }
        if let step = only.evaluations.last?.step {
            tiles.append(("steps", thousands(Double(step))))
        }
        if let speed = only.last("images_per_second") {
            tiles.append(("images a second", thousands(speed.rounded())))
        }
        if !tiles.isEmpty { blocks.append(.tiles(tiles)) }
        return Section("", blocks)
    }

    private static func table(of runs: [RunRecord]) -> Table {
        let hasValidation = runs.contains { $0.last("validation_accuracy") != nil }
        var header = ["run", "steps", "train loss"]
        if hasValidation { header.append("validation accuracy") }
        header += ["test accuracy", "test loss", "images/s"]
        let rows = runs.map { run in
            var row = [
                run.name, run.evaluations.last.map { thousands(Double($0.step)) } ?? "–",
                measure(run.last("train_loss")),
            ]
            if hasValidation { row.append(percent(run.last("validation_accuracy"))) }
            return row + [
                percent(run.last("test_accuracy")), measure(run.last("test_loss")),
                run.last("images_per_second").map { thousands($0.rounded()) } ?? "–",
            ]
        }
        return Table(
            header, rows, numbers: Set(1..<header.count), colors: Array(runs.indices))
    }

    /// The keys that do not have the same value in all runs.
    private static func differences(_ runs: [RunRecord]) -> Section? {
        guard runs.count > 1 else { return nil }
        var keys: [String] = []
        for run in runs {
            for setting in run.settings where !keys.contains(setting.key) {
                keys.append(setting.key)
            }
        }
        let different = keys.filter { key in Set(runs.map { $0.setting(key) }).count > 1 }
        guard !different.isEmpty else {
            return Section(
                "What differs", [.text("Nothing: all runs have the same configuration.")])
        }
        // The longer side of the table goes down the page.
        if runs.count <= 5, different.count > 3 {
            let rows = different.map { key in [key] + runs.map { $0.setting(key) ?? "–" } }
            return Section(
                "What differs", [.table(Table(["key"] + runs.map(\.name), rows))])
        }
        let rows = runs.map { run in [run.name] + different.map { run.setting($0) ?? "–" } }
        return Section(
            "What differs",
            [.table(Table(["run"] + different, rows, colors: Array(runs.indices)))])
    }

    // MARK: Curves

    private static func curves(_ runs: [RunRecord]) -> Section? {
        var blocks: [Block] = []
        let kinds = [
            (id: "loss", title: "Loss", unit: "loss, nats", isShare: false),
            (id: "accuracy", title: "Accuracy", unit: "accuracy", isShare: true),
        ]
        for kind in kinds {
            // Two kinds of lines for each of many runs are too many for one chart.
            let groups =
                runs.count > 4
                ? [["train"], ["validation"], ["test"]] : [["train", "validation", "test"]]
            for group in groups {
                let series = lines(runs, kind.id, sets: group)
                guard !series.isEmpty else { continue }
                let isOne = groups.count == 1
                let chart = Chart(
                    id: isOne ? kind.id : "\(kind.id)-\(group[0])",
                    title: isOne ? kind.title : "\(kind.title), \(group[0])",
                    x: .init("steps", range: steps(runs)),
                    y: .init(
                        kind.unit, isLogarithmic: !kind.isShare && spansDecades(series),
                        isShare: kind.isShare), series: series)
                blocks.append(.chart(chart, summary(of: series, isShare: kind.isShare)))
            }
        }
        let rates = runs.enumerated().map { index, run in
            Chart.Series(run.name, run.curve("learning_rate"), color: index)
        }
        if rates.contains(where: { Set($0.points.map(\.y)).count > 1 }) {
            let chart = Chart(
                id: "learning-rate", title: "Learning rate", x: .init("steps", range: steps(runs)),
                y: .init("learning rate"), series: rates)
            blocks.append(.chart(chart, nil))
        }
        return blocks.isEmpty ? nil : Section("Curves", blocks)
    }

    private static func lines(
        _ runs: [RunRecord], _ kind: String, sets: [String]
    ) -> [Chart.Series] {
        var series: [Chart.Series] = []
        for (index, run) in runs.enumerated() {
            let curves = sets.map { ($0, run.curve("\($0)_\(kind)")) }.filter { !$0.1.isEmpty }
            for (position, (set, points)) in curves.enumerated() {
                if runs.count == 1 {
                    series.append(Chart.Series(set, points, color: position).thinned())
                    continue
                }
                // Beside a curve on held-out samples, the one test at the end is in the table.
                if sets.count > 1, set == "test", points.count == 1, curves.count > 2 { continue }
                let name = sets.count == 1 ? run.name : "\(run.name), \(set)"
                series.append(
                    Chart.Series(
                        name, points, color: index,
                        stroke: sets.count > 1 && set == "train" ? .dashed : .solid
                    ).thinned())
            }
        }
        return series
    }

    /// From the first step to the last of any run.
    private static func steps(_ runs: [RunRecord]) -> ClosedRange<Double> {
        let last = runs.flatMap { run in
            [run.evaluations.last?.step, run.probes.last?.step].compactMap { $0 }
        }
        return 0...Double(max(last.max() ?? 1, 1))
    }

    /// Whether values differ by so many factors that small ones vanish on a linear axis.
    private static func spansDecades(_ series: [Chart.Series]) -> Bool {
        let values = series.flatMap { $0.points.map(\.y) }.filter { $0 > 0 && $0.isFinite }
        guard let low = values.min(), let high = values.max() else { return false }
        return high / low > 30
    }

    private static func summary(of line: Chart.Series, isShare: Bool) -> [String] {
        func text(_ value: Double?) -> String { isShare ? percent(value) : measure(value) }
        let points = line.points.filter { $0.y.isFinite }
        let best = points.min { isShare ? $0.y > $1.y : $0.y < $1.y }
        return [
            line.name, text(points.last?.y), text(best?.y), best.map { thousands($0.x) } ?? "–",
        ]
    }

    private static func summary(of series: [Chart.Series], isShare: Bool) -> Table {
        let rows = series.map { summary(of: $0, isShare: isShare) }
        return Table(
            ["curve", "last", isShare ? "highest" : "lowest", "at step"], rows, numbers: [1, 2, 3],
            colors: series.map(\.color))
    }

    // MARK: Probes

    private static func probes(_ runs: [RunRecord]) -> Section? {
        var kinds: [String] = []
        for run in runs {
            for probe in run.probes where !kinds.contains(probe.kind) { kinds.append(probe.kind) }
        }
        guard !kinds.isEmpty else { return nil }
        return Section(
            "Probes",
            kinds.enumerated().map { position, kind in
                var series: [Chart.Series] = []
                for run in runs {
                    let own = run.probes.filter { $0.kind == kind }
                    var parts: [String] = []
                    for probe in own where !parts.contains(probe.part) { parts.append(probe.part) }
                    for part in parts {
                        let points = own.filter { $0.part == part }
                            .map { Chart.Point(Double($0.step), $0.value, range: $0.range) }
                        let name = runs.count == 1 ? part : "\(run.name), \(part)"
                        series.append(
                            Chart.Series(
                                name.isEmpty ? kind : name, points, color: series.count
                            ).thinned())
                    }
                }
                let chart = Chart(
                    id: "probe-\(position + 1)", title: kind, x: .init("steps", range: steps(runs)),
                    y: .init(
                        kind,
                        isLogarithmic: spansDecades(series)
                            && series.allSatisfy { $0.points.allSatisfy { $0.y > 0 } }),
                    series: series)
                return .chart(chart, summary(of: series, isShare: false))
            })
    }

    // MARK: Models

    private static func models(_ runs: [RunRecord]) -> Section? {
        var blocks: [Block] = []
        for run in runs {
            guard let findings = run.findings else { continue }
            if runs.count > 1 { blocks.append(.heading(run.name)) }
            blocks.append(.text(findings.samples))
            blocks.append(.confusion(findings.confusion))
            if !findings.worst.isEmpty {
                blocks.append(
                    .text(
                        "The worst mistakes: samples classified wrongly, those first whose own class "
                            + "got the smallest probability."))
                blocks.append(.images(findings.worst))
            }
            if let filters = findings.filters {
                let count =
                    filters.shown < filters.units
                    ? "\(filters.shown) of the \(filters.units)" : "the \(filters.units)"
                blocks.append(
                    .picture(
                        filters.image,
                        caption: "First layer: the weights of \(count) units on their "
                            + "\(filters.height) × \(filters.width) inputs, each scaled by its "
                            + "largest; on grey images blue is below 0 and red above."))
            }
        }
        return blocks.isEmpty ? nil : Section("What the model does", blocks)
    }

    private static func divisions(_ runs: [RunRecord]) -> Section? {
        let measured = runs.filter { !$0.division.isEmpty }
        guard !measured.isEmpty else { return nil }
        var blocks: [Block] = [
            .text(
                "Where the time of a training step goes, measured for this report on one thread "
                    + "with random data in memory; `bn-train bench` measures more.")
        ]
        for run in measured {
            if runs.count > 1 { blocks.append(.heading(run.name)) }
            blocks.append(
                .shares(
                    run.division.map {
                        ($0.name.replacing("_", with: " "), $0.seconds * 1e6)
                    }, unit: "µs"))
        }
        return Section("Time", blocks)
    }

    private static func settings(_ runs: [RunRecord]) -> Section? {
        let blocks = runs.filter { !$0.settings.isEmpty }.map { run in
            Block.details(
                runs.count == 1 ? "All keys" : run.name,
                Table(["key", "value"], run.settings.map { [$0.key, $0.value] }))
        }
        return blocks.isEmpty ? nil : Section("Configuration", blocks)
    }

    private static func system(
        _ runs: [RunRecord], _ system: [RunRecord.Setting]
    ) -> Section? {
        var blocks: [Block] = []
        for run in runs where !run.facts.isEmpty {
            if runs.count > 1 { blocks.append(.heading(run.name)) }
            blocks.append(
                .table(Table(["trained on", ""], run.facts.map { [$0.key, $0.value] })))
        }
        if !system.isEmpty {
            blocks.append(
                .table(Table(["this report made on", ""], system.map { [$0.key, $0.value] })))
        }
        return blocks.isEmpty ? nil : Section("System", blocks)
    }
}
