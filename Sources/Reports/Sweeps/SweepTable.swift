public import Configuration

/// The one table of a sweep: a row for each cell.
public struct SweepTable: Sendable {
    /// What a cell came to.
    public struct Row: Sendable {
        /// The values of the sweep's columns.
        public var values: [String]
        /// Accuracies at the end, 0…1.
        public var validation: Spread?
        /// On the test samples.
        public var test: Spread?
        /// Steps until the threshold; of the runs that reached it.
        public var steps: Spread?
        /// Runs that reached the threshold.
        public var reached: Int
        /// Optimizer steps a second.
        public var speed: Spread?
        /// Runs that ended, well or not.
        public var runs: Int
        /// Why runs failed: "diverged at step 3…5 (2 of 5)"; empty where none did.
        public var failure: String
        /// What was published.
        public var published: SweepConfiguration.Published?
    }

    /// The rows, in the order of the cells.
    public let rows: [Row]

    private let configuration: SweepConfiguration

    /// The table of a sweep.
    public init(_ sweep: SweepRecord) {
        configuration = sweep.configuration
        let threshold = sweep.configuration.threshold
        rows = zip(sweep.configuration.cells, sweep.runs).map { cell, runs in
            let steps = threshold.map { threshold in
                runs.compactMap { $0.step(reaching: threshold) }
            }
            return Row(
                values: cell.values,
                validation: Spread(runs.compactMap { $0.last("validation_accuracy") }),
                test: Spread(runs.compactMap { $0.last("test_accuracy") }),
                steps: steps.flatMap { Spread($0.map(Double.init)) }, reached: steps?.count ?? 0,
                speed: Spread(runs.compactMap(\.stepsPerSecond)), runs: runs.count,
                failure: Self.failure(of: runs),
                published: sweep.configuration.published(for: cell))
        }
    }

    /// Runs that diverged are one kind, whatever the step; others are told by their messages.
    private static func failure(of runs: [SweepRecord.Run]) -> String {
        let failures = runs.compactMap(\.failure)
        let steps = failures.compactMap { text in
            text.firstMatch(of: /diverged at step (\d+)/).flatMap { Double($0.1) }
        }
        var parts: [String] = []
        func of(_ count: Int) -> String {
            count == runs.count ? "" : " (\(count) of \(runs.count))"
        }
        if let spread = Spread(steps) {
            let range = spread.range
            let place =
                range.lowerBound == range.upperBound
                ? "\(Int(range.lowerBound))"
                : "\(Int(range.lowerBound))…\(Int(range.upperBound))"
            parts.append("diverged at step \(place)" + of(steps.count))
        }
        for text in failures where !text.contains("diverged at step") {
            let known = failures.count { $0 == text }
            let line = text + of(known)
            if !parts.contains(line) { parts.append(line) }
        }
        return parts.joined(separator: "; ")
    }

    // MARK: For people

    private var hasValidation: Bool { rows.contains { $0.validation != nil } }
    private var hasPublished: Bool { rows.contains { $0.published != nil } }
    private var hasFailures: Bool { rows.contains { !$0.failure.isEmpty } }

    private static func hundredths(_ value: Double) -> String { decimal(100 * value, 2) }

    /// The names of the columns.
    public var header: [String] {
        var header = configuration.columns.map { shortKey($0, among: configuration.columns) }
        if hasValidation { header.append("validation, %") }
        header.append("test, %")
        if let threshold = configuration.threshold {
            header.append("steps to \(trimmed(decimal(100 * threshold, 2))) %")
        }
        header.append("steps/s")
        if hasPublished { header += ["published validation, %", "published test, %"] }
        if configuration.published.contains(where: { $0.steps != nil }) {
            header.append("published steps")
        }
        if hasFailures { header.append("failed") }
        return header
    }

    /// The cells of the table as text: the median, and the extremes over the seeds.
    public var cells: [[String]] {
        rows.map { row in
            var cells = row.values
            if hasValidation { cells.append(row.validation?.text(Self.hundredths) ?? "–") }
            cells.append(row.test?.text(Self.hundredths) ?? "–")
            if configuration.threshold != nil {
                let count = row.reached < row.runs ? " (\(row.reached) of \(row.runs))" : ""
                cells.append(
                    row.steps.map { $0.text { thousands($0.rounded()) } + count }
                        ?? (row.runs > 0 ? "never" : "–"))
            }
            cells.append(row.speed.map { thousands($0.median.rounded()) } ?? "–")
            if hasPublished {
                cells.append(row.published?.validation.map(Self.hundredths) ?? "–")
                cells.append(row.published?.test.map(Self.hundredths) ?? "–")
            }
            if configuration.published.contains(where: { $0.steps != nil }) {
                cells.append(row.published?.steps ?? "–")
            }
            if hasFailures { cells.append(row.failure) }
            return cells
        }
    }

    /// The table for the page.
    var table: Table {
        let words = Set(0..<configuration.columns.count)
        let last = hasFailures ? header.count - 1 : header.count
        return Table(header, cells, numbers: Set(0..<last).subtracting(words))
    }

    /// The table in Markdown.
    public var markdown: String {
        func line(_ cells: [String]) -> String {
            "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
        }
        return line(header) + "|" + String(repeating: "---|", count: header.count) + "\n"
            + cells.map(line).joined()
    }

    // MARK: For programs

    /// The table as CSV (RFC 4180), accuracies in 0…1; what is not known is empty.
    public var csv: String {
        var names = configuration.columns + ["runs"]
        for name in [
            "validation_accuracy", "test_accuracy", "steps_to_threshold", "steps_per_second",
        ] {
            names += [name, name + "_min", name + "_max"]
        }
        names += ["reached_threshold", "published_validation", "published_test", "failure"]
        func line(_ cells: [String]) -> String {
            cells.map { cell in
                cell.contains { ",\"\n\r".contains($0) }
                    ? "\"" + cell.replacing("\"", with: "\"\"") + "\"" : cell
            }.joined(separator: ",") + "\r\n"
        }
        func text(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
        return line(names)
            + rows.map { row in
                var cells = row.values + ["\(row.runs)"]
                for spread in [row.validation, row.test, row.steps, row.speed] {
                    cells += [
                        text(spread?.median), text(spread?.range.lowerBound),
                        text(spread?.range.upperBound),
                    ]
                }
                return line(
                    cells + [
                        configuration.threshold == nil ? "" : "\(row.reached)",
                        text(row.published?.validation), text(row.published?.test), row.failure,
                    ])
            }.joined()
    }
}

/// The last part of a key, `kind` for `model.normalization.kind`; two where the last is ambiguous.
func shortKey(_ key: String, among keys: [String]) -> String {
    let parts = key.split(separator: ".")
    for count in 1...max(parts.count, 1) {
        let short = parts.suffix(count).joined(separator: ".")
        if keys.count(where: { ".\($0)".hasSuffix(".\(short)") }) <= 1 { return short }
    }
    return key
}
