import Configuration

extension Report {
    /// The report on a sweep: its table, figures, and curves over the steps.
    public init(
        sweep: SweepRecord, system: [RunRecord.Setting], notes: [String], origin: String
    ) {
        let configuration = sweep.configuration
        let seeds = configuration.seeds.count
        let count =
            "\(configuration.cells.count) cells, \(seeds) seed\(seeds == 1 ? "" : "s") each"
        self.init(
            title: configuration.title,
            lead: [configuration.question, count].filter { !$0.isEmpty }.joined(separator: " · "),
            origin: origin,
            sections: [
                Self.table(of: sweep, notes: notes), Self.figures(of: sweep),
                Self.curves(of: sweep), Self.probes(of: sweep), Self.common(sweep),
                system.isEmpty
                    ? nil
                    : Section(
                        "System",
                        [.table(Table(["made on", ""], system.map { [$0.key, $0.value] }))]),
            ].compactMap { $0 })
    }

    private static func table(of sweep: SweepRecord, notes: [String]) -> Section {
        let configuration = sweep.configuration
        var blocks = notes.map(Block.note)
        let several =
            configuration.seeds.count > 1
            ? "The median over the seeds, and in brackets the extremes." : "One seed."
        var text = several
        if configuration.threshold != nil {
            text +=
                " Steps to the accuracy are those of the first evaluation that has it, on held-out "
                + "samples where there are any."
        }
        if !configuration.publishedSource.isEmpty {
            text += " Published: \(configuration.publishedSource)"
        }
        blocks.append(.text(text))
        blocks.append(.table(SweepTable(sweep).table))
        return Section("Results", blocks)
    }

    // MARK: Figures

    private static func figures(of sweep: SweepRecord) -> Section? {
        let blocks = sweep.configuration.figures.enumerated().compactMap {
            index, figure -> Block? in
            if figure.kind == .path { return paths(figure, index: index, of: sweep) }
            return chart(figure, index: index, of: sweep).map { chart -> Block in
                let rows = chart.series.flatMap { line in
                    line.points.map { point -> [String] in
                        let show: (Double) -> String =
                            chart.y.isShare ? { percent($0) } : { measure($0) }
                        let spread = point.range.map {
                            "\(show($0.lowerBound))…\(show($0.upperBound))"
                        }
                        let place = chart.x.names?[Int(point.x)] ?? measure(point.x)
                        return [line.name, place, show(point.y), spread ?? ""]
                    }
                }
                return .chart(
                    chart,
                    Table(
                        ["line", chart.x.label, chart.y.label, "over seeds"], rows,
                        numbers: [1, 2, 3]
                    ).withoutEmptyEnd)
            }
        }
        return blocks.isEmpty ? nil : Section("Figures", blocks)
    }

    private static func chart(
        _ figure: SweepConfiguration.Figure, index: Int, of sweep: SweepRecord
    ) -> Chart? {
        let configuration = sweep.configuration
        let named =
            configuration.series.isEmpty
            ? configuration.columns.filter { $0 != figure.x } : configuration.series
        let names = kinds(of: figure, configuration)
        var lines: [(name: String, points: [(x: Double, values: [Double])])] = []
        for (cell, runs) in zip(configuration.cells, sweep.runs) {
            let values = Dictionary(uniqueKeysWithValues: zip(configuration.columns, cell.values))
            let place =
                figure.x == "samplesPerShard"
                ? cell.samplesPerShard
                : values[figure.x].flatMap { value in
                    names.map { $0.firstIndex(of: value).map(Double.init) } ?? Double(value)
                }
            guard let place else { continue }
            let name = named.compactMap { values[$0] }.filter { !$0.isEmpty }
                .joined(separator: ", ")
            let numbers = runs.compactMap { $0.measure(figure.y) }
            if !lines.contains(where: { $0.name == name }) { lines.append((name, [])) }
            for position in lines.indices where lines[position].name == name {
                if let same = lines[position].points.firstIndex(where: { $0.x == place }) {
                    lines[position].points[same].values += numbers
                } else {
                    lines[position].points.append((place, numbers))
                }
            }
        }
        let series = lines.enumerated().map { position, line in
            Chart.Series(
                line.name,
                line.points.sorted { $0.x < $1.x }.compactMap { point in
                    Spread(point.values).map {
                        Chart.Point(
                            point.x, $0.median, range: point.values.count > 1 ? $0.range : nil)
                    }
                }, color: position)
        }
        let places = Set(series.flatMap { $0.points.map(\.x) })
        guard places.count > 1 else { return nil }
        let shares: Set<SweepConfiguration.Measure> = [
            .testAccuracy, .validationAccuracy, .trainAccuracy, .testError, .generalizationGap,
        ]
        return Chart(
            id: "figure-\(index + 1)",
            title: figure.title.isEmpty ? "\(figure.y.words) against \(figure.x)" : figure.title,
            x: .init(
                figure.x == "samplesPerShard"
                    ? "samples of a shard" : shortKey(figure.x, among: configuration.columns),
                isLogarithmic: figure.isLogarithmic && places.allSatisfy { $0 > 0 },
                marks: places.sorted(), names: names),
            y: .init(figure.y.words, isShare: shares.contains(figure.y)), series: series)
    }

    /// The values of a figure's axis in the order of the cells, where none of them is a number.
    private static func kinds(
        of figure: SweepConfiguration.Figure, _ configuration: SweepConfiguration
    ) -> [String]? {
        guard let column = configuration.columns.firstIndex(of: figure.x) else { return nil }
        var names: [String] = []
        for cell in configuration.cells where !names.contains(cell.values[column]) {
            names.append(cell.values[column])
        }
        return names.contains { Double($0) != nil } ? nil : names
    }

    // MARK: Curves

    private static func curves(of sweep: SweepRecord) -> Section? {
        let configuration = sweep.configuration
        let columns = configuration.columns
        let series =
            !configuration.series.isEmpty
            ? configuration.series
            : configuration.cells.count <= 6 ? columns : Array(columns.suffix(1))
        let isValidated = sweep.runs.joined().contains { run in
            run.evaluations.contains { $0.values["validation_accuracy"] != nil }
        }
        let accuracy = isValidated ? "validation" : "test"
        var groups: [(name: String, cells: [Int])] = []
        for (index, cell) in configuration.cells.enumerated() {
            let name = zip(columns, cell.values).filter { !series.contains($0.0) && !$0.1.isEmpty }
                .map { "\(shortKey($0.0, among: columns)) \($0.1)" }.joined(separator: ", ")
            if let known = groups.firstIndex(where: { $0.name == name }) {
                groups[known].cells.append(index)
            } else {
                groups.append((name, [index]))
            }
        }
        var names: [String] = []
        var blocks: [Block] = []
        for (number, group) in groups.enumerated() {
            func chart(_ key: String, _ title: String, isShare: Bool) -> Chart {
                let lines = group.cells.map { index -> Chart.Series in
                    let cell = configuration.cells[index]
                    let name = zip(columns, cell.values)
                        .filter { series.contains($0.0) && !$0.1.isEmpty }.map(\.1)
                        .joined(separator: ", ")
                    if !names.contains(name) { names.append(name) }
                    return Chart.Series(
                        name, curve(key, of: sweep.runs[index]),
                        color: names.firstIndex(of: name) ?? 0)
                }
                return Chart(
                    id: "\(key.replacing("_", with: "-"))-\(number + 1)",
                    title: group.name.isEmpty ? title : "\(title): \(group.name)",
                    x: .init("steps", range: 0...lastStep(of: sweep)),
                    y: .init(
                        title,
                        range: isShare && groups.count > 1 ? shares(key, of: sweep) : nil,
                        isShare: isShare), series: lines)
            }
            let first = chart("\(accuracy)_accuracy", "\(accuracy) accuracy", isShare: true)
            if !first.isEmpty { blocks.append(.chart(first, ends(of: first))) }
            let second = chart("train_loss", "train loss", isShare: false)
            if groups.count <= 4, !second.isEmpty {
                blocks.append(.chart(second, ends(of: second)))
            }
        }
        return blocks.isEmpty ? nil : Section("Over the steps", blocks)
    }

    private static func lastStep(of sweep: SweepRecord) -> Double {
        Double(max(1, sweep.runs.joined().compactMap { $0.evaluations.last?.step }.max() ?? 1))
    }

    /// One range for charts that are to be compared: tenths around all values.
    private static func shares(_ key: String, of sweep: SweepRecord) -> ClosedRange<Double>? {
        let values = sweep.runs.joined().flatMap { run in
            run.evaluations.compactMap { $0.values[key] }
        }.filter { (0...1).contains($0) }
        guard let low = values.min(), let high = values.max() else { return nil }
        let first = min((low * 10).rounded(.down), 9) / 10
        return first...max((high * 10).rounded(.up) / 10, first + 0.1)
    }

    /// The median over the runs at each step that all of them reached, with the extremes.
    private static func curve(_ key: String, of runs: [SweepRecord.Run]) -> [Chart.Point] {
        var values: [Int: [Double]] = [:]
        for run in runs {
            for line in run.evaluations {
                if let value = line.values[key] { values[line.step, default: []].append(value) }
            }
        }
        return values.sorted { $0.key < $1.key }.compactMap { step, values in
            Spread(values).map {
                Chart.Point(
                    Double(step), $0.median, range: values.count > 1 ? $0.range : nil)
            }
        }
    }

    private static func ends(of chart: Chart, ranges: String = "over seeds") -> Table {
        let rows = chart.series.map { line -> [String] in
            let last = line.points.last
            let show: (Double) -> String = chart.y.isShare ? { percent($0) } : { measure($0) }
            return [
                line.name, last.map { show($0.y) } ?? "–",
                last?.range.map { "\(show($0.lowerBound))…\(show($0.upperBound))" } ?? "",
            ]
        }
        return Table(
            ["", "last", ranges], rows, numbers: [1, 2],
            colors: chart.series.map { Optional($0.color) }
        ).withoutEmptyEnd
    }

    // MARK: Probes

    /// The most lines of a chart of probes.
    private static let mostProbed = 8

    /// What was measured on the way, of the last layer that has it, in each cell's first run.
    private static func probes(of sweep: SweepRecord) -> Section? {
        var kinds: [String] = []
        for probe in sweep.runs.compactMap(\.first).flatMap(\.probes)
        where !kinds.contains(probe.kind) {
            kinds.append(probe.kind)
        }
        guard !kinds.isEmpty, sweep.runs.count <= mostProbed else { return nil }
        let blocks = kinds.enumerated().map { number, kind -> Block in
            var part = ""
            let series = zip(sweep.configuration.cells, sweep.runs).enumerated().map {
                index, cell -> Chart.Series in
                let own = cell.1.first?.probes.filter { $0.kind == kind } ?? []
                part = own.last?.part ?? part
                let points = own.filter { $0.part == own.last?.part }
                    .map { Chart.Point(Double($0.step), $0.value, range: $0.range) }
                return Chart.Series(cell.0.name, points, color: index).thinned()
            }
            let values = series.flatMap { $0.points.map(\.y) }
            let chart = Chart(
                id: "probe-\(number + 1)",
                title: part.isEmpty ? kind : "\(kind), the last layer's (\(part))",
                x: .init("steps", range: 0...lastStep(of: sweep)),
                y: .init(
                    kind,
                    isLogarithmic: (values.min() ?? 0) > 0
                        && (values.max() ?? 0) > 100 * (values.min() ?? 0)
                        && series.allSatisfy { $0.points.allSatisfy { $0.range == nil } }),
                series: series)
            return .chart(chart, ends(of: chart, ranges: "from … to"))
        }
        return Section("Probes, of each cell's first seed", blocks)
    }

    // MARK: Configuration

    private static func common(_ sweep: SweepRecord) -> Section? {
        guard let text = sweep.configuration.cells.first?.configurations.first?.canonicalJSON else {
            return nil
        }
        let lines = text.split(separator: "\n").map { [String($0)] }
        return Section(
            "Configuration", [.details("The first run's, in full", Table(["config.json"], lines))])
    }
}

extension SweepConfiguration.Cell {
    /// Samples of a full batch's shard, on average.
    fileprivate var samplesPerShard: Double? {
        configurations.first.map { Double($0.batch.size) / Double($0.resolvedShards) }
    }
}

extension SweepConfiguration.Measure {
    /// For an axis.
    fileprivate var words: String {
        switch self {
        case .testAccuracy: "test accuracy"
        case .validationAccuracy: "validation accuracy"
        case .trainAccuracy: "train accuracy"
        case .testError: "test error"
        case .generalizationGap: "train minus test accuracy"
        case .testLoss: "test loss"
        case .trainLoss: "train loss"
        case .stepsPerSecond: "steps a second"
        case .smoothness: "effective smoothness along the gradient"
        case .inputShift: "shift of a layer's inputs, in deviations"
        case .contourRatio: "length of contours over their width"
        case .excessLoss: "loss in the end above the lowest"
        }
    }
}
