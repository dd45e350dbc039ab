public import Configuration

/// The numbers of a sweep's cells, as `table.json` has them.
public struct SweepNumbers: Sendable {
    /// Whether it is the quick form.
    public var isQuick: Bool
    /// The rows of the table.
    public var rows: [Row]

    /// Numbers of a sweep.
    public init(isQuick: Bool, rows: [Row]) {
        self.isQuick = isQuick
        self.rows = rows
    }

    /// A cell.
    public struct Row: Sendable {
        /// By column, its value.
        public var values: [String: String]
        /// Medians over the seeds; a measure without a number is left out.
        public var medians: [ClaimsConfiguration.Measure: Double]
        /// Whether all of its runs failed.
        public var hasFailed: Bool

        /// A cell.
        public init(
            values: [String: String], medians: [ClaimsConfiguration.Measure: Double],
            hasFailed: Bool = false
        ) {
            self.values = values
            self.medians = medians
            self.hasFailed = hasFailed
        }
    }
}

/// What sweeps say of claims: a row for each, with what was measured and a verdict.
public struct ClaimsLedger: Sendable {
    /// What became of a claim.
    public enum Verdict: Sendable, Equatable {
        /// Every pair of cells agrees with it.
        case confirmed
        /// No pair does.
        case refuted
        /// Some do.
        case inPart(agreeing: Int, of: Int)
        /// Nobody measured it here.
        case notTested

        /// For the table.
        var words: String {
            switch self {
            case .confirmed: "confirmed"
            case .refuted: "refuted"
            case .inPart(let agreeing, let pairs): "in part: \(agreeing) of \(pairs)"
            case .notTested: "not tested"
            }
        }
    }

    /// A claim with what became of it.
    public struct Row: Sendable, Equatable {
        /// What textbooks say.
        public var claim: String
        /// What to run; empty where it is outside.
        public var command: String
        /// What was measured, or why nothing was.
        public var measured: String
        /// What follows.
        public var verdict: Verdict
        /// The picture's path; empty without one.
        public var picture: String
    }

    /// A row a claim.
    public let rows: [Row]

    /// - Parameter sweeps: by name, those that were run.
    public init(_ claims: ClaimsConfiguration, sweeps: [String: SweepNumbers]) {
        rows = claims.claims.map { claim in
            var row = Row(
                claim: claim.claim, command: "", measured: claim.outside, verdict: .notTested,
                picture: claim.picture)
            guard let name = claim.sweep, let comparison = claim.comparison else { return row }
            let file = "configs/experiments/\(name).json5"
            guard let sweep = sweeps[name] else {
                row.command = "bn-train sweep \(file)"
                row.measured = "not run here"
                return row
            }
            row.command = "bn-train sweep \(file)" + (sweep.isQuick ? " --quick" : "")
            (row.measured, row.verdict) = Judgement(comparison, sweep).result
            return row
        }
    }

    /// The table.
    public var markdown: String {
        func cell(_ text: String) -> String { text.replacing("|", with: "\\|") }
        var lines = ["| claim | command | measured | verdict |", "|---|---|---|---|"]
        for row in rows {
            let claim =
                row.picture.isEmpty ? cell(row.claim) : "[\(cell(row.claim))](\(row.picture))"
            let command = row.command.isEmpty ? "outside" : "`\(row.command)`"
            lines.append("| \(claim) | \(command) | \(cell(row.measured)) | \(row.verdict.words) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

/// A comparison over the cells of a sweep.
private struct Judgement {
    private let comparison: ClaimsConfiguration.Comparison
    private let pairs: [(name: String, first: SweepNumbers.Row, second: SweepNumbers.Row)]

    init(_ comparison: ClaimsConfiguration.Comparison, _ sweep: SweepNumbers) {
        self.comparison = comparison
        let rows = sweep.rows.filter { row in
            comparison.where.allSatisfy { $0.value.contains(row.values[$0.key] ?? "") }
        }
        func matches(_ row: SweepNumbers.Row, _ side: [String: [String]]) -> Bool {
            side.allSatisfy { $0.value.contains(row.values[$0.key] ?? "") }
        }
        func others(_ row: SweepNumbers.Row) -> [String: String] {
            row.values.filter { comparison.of[$0.key] == nil }
        }
        pairs = rows.filter { matches($0, comparison.of) }.flatMap { first in
            rows.filter { matches($0, comparison.with) && others($0) == others(first) }
                .map { second in
                    // What tells the pairs apart: columns in which the cells in question differ, and
                    // of several on the other side the one.
                    let name = others(first).filter { column, _ in
                        Set(rows.map { $0.values[column] ?? "" }).count > 1
                    }.sorted { $0.key < $1.key }.map(\.value)
                    let several = comparison.with.filter { $0.value.count > 1 }
                        .sorted { $0.key < $1.key }.map { second.values[$0.key] ?? "" }
                    return (
                        (name + several).filter { !$0.isEmpty }.joined(separator: ", "), first,
                        second
                    )
                }
        }
    }

    var result: (measured: String, verdict: ClaimsLedger.Verdict) {
        var texts: [String] = []
        var agreeing = 0
        for pair in pairs {
            guard let agrees = agrees(pair.first, pair.second) else { continue }
            if agrees { agreeing += 1 }
            texts.append(
                (pair.name.isEmpty ? "" : "\(pair.name): ")
                    + "\(text(pair.first)) against \(text(pair.second))")
        }
        guard !texts.isEmpty else {
            return ("the sweep has no such cells, or they failed: run it again", .notTested)
        }
        let sides = [comparison.of, comparison.with].map { side in
            side.sorted { $0.key < $1.key }
                .map { $0.value.filter { !$0.isEmpty }.joined(separator: "/") }
                .filter { !$0.isEmpty }.joined(separator: ", ")
        }
        let measured =
            "\(words), \(sides[0]) against \(sides[1]): " + texts.joined(separator: "; ")
        return (
            measured,
            agreeing == texts.count
                ? .confirmed
                : agreeing == 0 ? .refuted : .inPart(agreeing: agreeing, of: texts.count)
        )
    }

    /// Nil where there is nothing to compare.
    private func agrees(_ first: SweepNumbers.Row, _ second: SweepNumbers.Row) -> Bool? {
        // What failed on both sides, or was never reached on both, tells nothing.
        let measure = comparison.measure
        guard first.medians[measure] != nil || second.medians[measure] != nil else { return nil }
        let (a, b) = (number(first), number(second))
        let isLarger: Bool
        let isSmaller: Bool
        if comparison.measure.isShare {
            (isLarger, isSmaller) = (a > b + comparison.margin, a < b - comparison.margin)
        } else {
            let factor = max(comparison.margin, 1)
            (isLarger, isSmaller) = (a > b * factor, a * factor < b)
        }
        switch comparison.expected {
        case .higher: return isLarger
        case .lower: return isSmaller
        case .equal: return !isLarger && !isSmaller
        }
    }

    /// What a cell that diverged counts as: guessing among ten classes, as the experiments have.
    private static let guessing = 0.1

    /// The cell's number; where it has none, as bad as can be.
    private func number(_ row: SweepNumbers.Row) -> Double {
        if let value = row.medians[comparison.measure] { return value }
        if comparison.measure.isShare { return Self.guessing }
        return comparison.measure == .stepsToThreshold ? .infinity : -.infinity
    }

    private func text(_ row: SweepNumbers.Row) -> String {
        guard let value = row.medians[comparison.measure] else {
            return row.hasFailed
                ? "diverged" : comparison.measure == .stepsToThreshold ? "never" : "nothing"
        }
        if comparison.measure.isShare { return decimal(value * 100, 1) + " %" }
        switch comparison.measure {
        case .stepsToThreshold, .stepsPerSecond: return thousands(value.rounded())
        default: return measure(value)
        }
    }

    private var words: String {
        switch comparison.measure {
        case .testAccuracy: "test accuracy"
        case .validationAccuracy: "validation accuracy"
        case .trainAccuracy: "train accuracy"
        case .generalizationGap: "train minus test accuracy"
        case .stepsToThreshold: "steps to the threshold"
        case .stepsPerSecond: "steps a second"
        case .smoothness: "effective smoothness along the gradient"
        case .inputShift: "shift of layers' inputs in deviations"
        case .contourRatio: "length of contours over their width"
        case .excessLoss: "loss in the end above the lowest"
        }
    }
}
