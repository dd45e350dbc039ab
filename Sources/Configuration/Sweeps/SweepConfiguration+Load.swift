import Foundation

extension SweepConfiguration {
    /// The most runs of one sweep: more are a mistake in the grid.
    static let mostRuns = 10_000

    /// Reads a sweep file, with settings of the command line on top of every run.
    ///
    /// - Parameters:
    ///   - file: its path. Relative data paths in it start from its folder.
    ///   - settings: the texts of `--set`.
    ///   - isQuick: whether the file's `quick` section replaces what it names.
    /// - Throws: what is wrong, and where. Every run's configuration is checked.
    public static func load(
        file: String, settings: [String] = [], isQuick: Bool = false
    ) throws(ConfigurationError) -> SweepConfiguration {
        let bytes: [UInt8]
        do throws(ConfigurationError) {
            bytes = try RunConfiguration.contents(of: file)
        } catch {
            guard case .missingFile = error.problem else { throw error }
            throw ConfigurationError(.missingSweep(file))
        }
        return try load(bytes: bytes, name: file, settings: settings, isQuick: isQuick)
    }

    static func load(
        bytes: [UInt8], name: String, settings: [String] = [], isQuick: Bool = false
    ) throws(ConfigurationError) -> SweepConfiguration {
        let url = URL(fileURLWithPath: name)
        let source = Source(
            name: name, bytes: bytes, origin: .file,
            directory: url.deletingLastPathComponent().path)
        let document = try SweepDocument(try JSON5Parser.parse(source), isQuick: isQuick)
        return try document.sweep(
            name: url.deletingPathExtension().lastPathComponent, settings: settings)
    }
}

/// A sweep file, read but not yet multiplied out.
struct SweepDocument {
    /// The sections of a sweep file.
    static let keys = [
        "title", "question", "base", "grid", "cells", "seeds", "threshold", "published", "series",
        "figures", "quick",
    ]

    /// What `quick` may replace.
    static let quickKeys = ["base", "grid", "cells", "seeds", "threshold"]

    /// A key with its value in a cell.
    struct Change {
        let key: String
        let text: String
        let entries: [Settings.Entry]
    }

    /// A cell's own settings.
    struct CellChange {
        var name: String?
        var changes: [Change]
    }

    private var title: String?
    private var question = ""
    private var bases: [JSON5Value] = []
    private var grid: [(key: String, values: [Change])] = []
    private var cells: [CellChange] = []
    private var seeds: [UInt64] = [1]
    private var threshold: Double?
    private var publishedSource = ""
    private var published: [SweepConfiguration.Published] = []
    private var series: [(name: String, value: JSON5Value)] = []
    private var figures: [(figure: SweepConfiguration.Figure, x: JSON5Value)] = []
    private let document: JSON5Value

    init(_ document: JSON5Value, isQuick: Bool) throws(ConfigurationError) {
        self.document = document
        for member in try document.members("the sweep", known: Self.keys) {
            switch member.key {
            case "title": title = try member.value.text("title")
            case "question": question = try member.value.text("question")
            case "published": try readPublished(member.value)
            case "series":
                series = try member.value.elements("series").map {
                    value throws(ConfigurationError) in
                    (try value.text("series"), value)
                }
            case "figures":
                figures = try member.value.elements("figures").map(SweepConfiguration.Figure.read)
            case "quick":
                for inner in try member.value.members("quick", known: Self.quickKeys) where isQuick
                {
                    try read(inner, in: "quick.")
                }
            default: break
            }
        }
        // What `quick` has replaced is still checked, but not used.
        let replaced = isQuick ? Set(try quickMembers(document).map(\.key)) : []
        var full = self
        full.bases = []
        for member in try document.members("the sweep", known: Self.keys) {
            try full.read(member, in: "")
        }
        bases = full.bases + bases
        if !replaced.contains("grid") { grid = full.grid }
        if !replaced.contains("cells") { cells = full.cells }
        if !replaced.contains("seeds") { seeds = full.seeds }
        if !replaced.contains("threshold") { threshold = full.threshold }
    }

    private func quickMembers(
        _ document: JSON5Value
    ) throws(ConfigurationError) -> [JSON5Value.Member] {
        let all = try document.members("the sweep", known: Self.keys)
        guard let quick = all.first(where: { $0.key == "quick" }) else { return [] }
        return try quick.value.members("quick", known: Self.quickKeys)
    }

    private mutating func read(
        _ member: JSON5Value.Member, in place: String
    ) throws(ConfigurationError) {
        let (key, value) = (place + member.key, member.value)
        switch member.key {
        case "base": bases.append(value)
        case "grid": grid = try Self.grid(value, key)
        case "cells": cells = try value.elements(key).map(Self.cell)
        case "seeds": seeds = try Self.seeds(value, key)
        case "threshold":
            guard case .number(let number) = value.content, number.value > 0, number.value < 1
            else { throw value.error(key: key, expected: "an accuracy between 0 and 1") }
            threshold = number.value
        default: break
        }
    }

    // MARK: Sections

    private static func grid(
        _ value: JSON5Value, _ key: String
    ) throws(ConfigurationError) -> [(key: String, values: [Change])] {
        let members = try value.members(key)
        if members.isEmpty {
            throw value.range.error(
                .invalidValue(
                    key: key, expected: "at least one key with a list of values",
                    found: "an empty object"))
        }
        var grid: [(key: String, values: [Change])] = []
        for member in members {
            let values = try member.value.elements("\(key).\(member.key)")
            if values.isEmpty {
                throw member.value.error(
                    key: "\(key).\(member.key)", expected: "a list of at least one value")
            }
            var changes: [Change] = []
            for value in values {
                let change = try Self.change(member, value)
                if changes.contains(where: { $0.text == change.text }) {
                    throw value.range.error(
                        .invalidValue(
                            key: "\(key).\(member.key)", expected: "values that differ",
                            found: "\(change.text) twice"))
                }
                changes.append(change)
            }
            grid.append((member.key, changes))
        }
        return grid
    }

    /// The setting of a key such as "optimizer.learningRate", checked as far as it can be alone.
    private static func change(
        _ member: JSON5Value.Member, _ value: JSON5Value
    ) throws(ConfigurationError) -> Change {
        let path = member.key.split(separator: ".", omittingEmptySubsequences: false)
            .map(String.init)
        if path == ["seed"] {
            throw member.keyRange.error(
                .invalidValue(
                    key: "a cell", expected: "any key but seed, which \"seeds\" lists",
                    found: "seed"))
        }
        var nested = value
        for name in path.reversed() {
            nested = JSON5Value(
                content: .object([
                    JSON5Value.Member(key: name, keyRange: member.keyRange, value: nested)
                ]), range: value.range)
        }
        let entries = try Settings.entries(of: nested)
        for entry in entries where !entry.value.isNull {
            try Schema.keys[entry.path]?.check(entry.value)
        }
        return Change(key: member.key, text: value.shortText, entries: entries)
    }

    private static func cell(_ value: JSON5Value) throws(ConfigurationError) -> CellChange {
        var cell = CellChange(name: nil, changes: [])
        for member in try value.members("cells") {
            if member.key == "name" {
                cell.name = try member.value.text("cells.name")
            } else {
                cell.changes.append(try change(member, member.value))
            }
        }
        return cell
    }

    private static func seeds(
        _ value: JSON5Value, _ key: String
    ) throws(ConfigurationError) -> [UInt64] {
        let expected = "a list of seeds, or how many of 1, 2, 3 …"
        if case .number(let number) = value.content, let count = number.whole,
            (1...1000).contains(count)
        {
            return Array(1...count)
        }
        guard case .array(let elements) = value.content, !elements.isEmpty else {
            throw value.error(key: key, expected: expected)
        }
        var seeds: [UInt64] = []
        for element in elements {
            let seed = try Keys.seed.reader.read(element, key)
            if seeds.contains(seed) {
                throw element.range.error(
                    .invalidValue(key: key, expected: "seeds that differ", found: "\(seed) twice"))
            }
            seeds.append(seed)
        }
        return seeds
    }

    private mutating func readPublished(_ value: JSON5Value) throws(ConfigurationError) {
        for member in try value.members("published", known: ["source", "rows"]) {
            if member.key == "source" {
                publishedSource = try member.value.text("published.source")
                continue
            }
            published = try member.value.elements("published.rows").map(Self.row)
        }
    }

    private static func row(
        _ value: JSON5Value
    ) throws(ConfigurationError) -> SweepConfiguration.Published {
        var row = SweepConfiguration.Published(when: [:])
        let place = "published.rows"
        for member in try value.members(place, known: ["when", "validation", "test", "steps"]) {
            switch member.key {
            case "when":
                for condition in try member.value.members("\(place).when") {
                    row.when[condition.key] = condition.value.shortText
                }
            case "steps": row.steps = member.value.shortText
            default:
                guard case .number(let number) = member.value.content,
                    (0...1).contains(number.value)
                else {
                    throw member.value.error(
                        key: "\(place).\(member.key)", expected: "an accuracy of 0 to 1")
                }
                if member.key == "validation" {
                    row.validation = number.value
                } else {
                    row.test = number.value
                }
            }
        }
        return row
    }

    // MARK: Multiplying out

    func sweep(
        name: String, settings: [String]
    ) throws(ConfigurationError) -> SweepConfiguration {
        if grid.isEmpty, cells.isEmpty {
            throw document.range.error(
                .missingValue(
                    key: "grid", because: "a sweep without cells",
                    what: "lists of values by key, such as "
                        + "{ \"optimizer.learningRate\": [0.01, 0.1] }"))
        }
        let points = try points()
        var columns = points.contains { $0.name != nil } ? ["cell"] : []
        for change in points.flatMap(\.unnamed) where !columns.contains(change.key) {
            columns.append(change.key)
        }
        for key in grid.map(\.key) where !columns.contains(key) { columns.append(key) }
        try check(columns)
        var sweep = SweepConfiguration(
            title: title ?? name, question: question, columns: columns, cells: [], seeds: seeds,
            threshold: threshold, publishedSource: publishedSource, published: published,
            series: series.map(\.name), figures: figures.map(\.figure))
        for point in points {
            let values = columns.map { column in
                column == "cell"
                    ? point.name ?? "" : point.changes.last { $0.key == column }?.text ?? ""
            }
            if sweep.cells.contains(where: { $0.values == values }) {
                throw document.range.error(
                    .invalidValue(
                        key: "cells", expected: "cells that differ",
                        found: "\(values.joined(separator: ", ")) twice"))
            }
            var configurations: [RunConfiguration] = []
            for seed in seeds {
                configurations.append(try configuration(point.changes, settings + ["seed=\(seed)"]))
            }
            sweep.cells.append(.init(values: values, configurations: configurations))
        }
        return sweep
    }

    /// A cell with a grid point.
    private struct Point {
        var name: String?
        var changes: [Change]
        /// Those that become columns: a name stands for the settings of its cell.
        var unnamed: [Change]
    }

    private func points() throws(ConfigurationError) -> [Point] {
        let starts = cells.isEmpty ? [CellChange(name: nil, changes: [])] : cells
        let count = grid.reduce(starts.count * seeds.count) { count, line in
            count.multipliedReportingOverflow(by: line.values.count).overflow
                ? Int.max : count * line.values.count
        }
        guard count <= SweepConfiguration.mostRuns else {
            throw document.range.error(
                .invalidValue(
                    key: "grid", expected: "at most \(SweepConfiguration.mostRuns) runs",
                    found: count == Int.max ? "very many" : "\(count)"))
        }
        var points = starts.map {
            Point(name: $0.name, changes: $0.changes, unnamed: $0.name == nil ? $0.changes : [])
        }
        for line in grid {
            points = points.flatMap { point in
                line.values.map { change in
                    var point = point
                    point.changes.append(change)
                    return point
                }
            }
        }
        return points
    }

    private func configuration(
        _ changes: [Change], _ texts: [String]
    ) throws(ConfigurationError) -> RunConfiguration {
        var settings = Settings.embedded
        for base in bases { try settings.apply(document: base) }
        settings.apply(changes.flatMap(\.entries))
        return try RunConfiguration.resolved(settings, texts)
    }

    /// What refers to columns names one of them.
    private func check(_ columns: [String]) throws(ConfigurationError) {
        for (name, value) in series where !columns.contains(name) {
            throw value.range.error(
                .unknownName(
                    key: "series", found: name, known: columns.sorted(byDistanceTo: name)))
        }
        let places = columns + ["samplesPerShard"]
        for (figure, value) in figures
        where figure.kind == .measure && !places.contains(figure.x) {
            throw value.range.error(
                .unknownName(
                    key: "figures.x", found: figure.x, known: places.sorted(byDistanceTo: figure.x))
            )
        }
    }
}
