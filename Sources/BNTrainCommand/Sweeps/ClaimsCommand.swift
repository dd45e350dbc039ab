import Configuration
import Foundation
import Reports
import Training

/// `bn-train report --claims`: what sweeps say of what textbooks say, as a table.
struct ClaimsCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    /// Where the table stands in a page that has more than it.
    static let markers = ("<!-- claims -->", "<!-- end of claims -->")

    func run(_ file: String) throws -> Int32 {
        try launch.onRankZero { try write(file) }
        return 0
    }

    private func write(_ file: String) throws {
        let arguments = launch.arguments
        let folder = arguments.files.first ?? "runs"
        guard FileManager.default.fileExists(atPath: file) else {
            throw ReportError.missingClaims(file)
        }
        let claims = try ClaimsConfiguration.load(file: file)
        var sweeps: [String: SweepNumbers] = [:]
        for name in Set(claims.claims.compactMap(\.sweep)).sorted() {
            sweeps[name] = try Self.numbers(of: name, in: folder)
        }
        let ledger = ClaimsLedger(claims, sweeps: sweeps)
        if let page = arguments.output {
            try writeAtomically(path: page, text: try Self.page(page, with: ledger.markdown))
        }
        Console.output(ledger.markdown)
        let tested = ledger.rows.count { $0.verdict != .notTested }
        launch.say(
            "claims   \(counted(ledger.rows.count, "claim")), \(tested) of them tested by "
                + "\(counted(sweeps.count, "sweep")) in \(visible(folder))"
                + (arguments.output.map { "; \(visible($0))" } ?? ""))
        if arguments.json { Console.output(ledger.json.text + "\n") }
    }

    /// The page with the table in its place; a new page where there is none, or none with a place.
    static func page(_ path: String, with table: String) throws(ReportError) -> String {
        guard let bytes = FileManager.default.contents(atPath: path) else { return table }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let start = text.range(of: markers.0), let end = text.range(of: markers.1),
            start.upperBound <= end.lowerBound
        else { throw .noPlaceForClaims(path) }
        return text[..<start.upperBound] + "\n" + table + text[end.lowerBound...]
    }

    /// The numbers of a sweep in the folder, of its full form if that was run, else of the quick one;
    /// nil where neither was.
    static func numbers(
        of name: String, in folder: String
    ) throws(ReportError) -> SweepNumbers? {
        for isQuick in [false, true] {
            let path = "\(folder)/\(name)\(isQuick ? "-quick" : "")/table.json"
            guard let bytes = FileManager.default.contents(atPath: path) else { continue }
            do {
                return SweepNumbers(try JSONValue(parsing: [UInt8](bytes)), isQuick: isQuick)
            } catch {
                throw .damagedTable(path: path, reason: error.description)
            }
        }
        return nil
    }
}

extension SweepNumbers {
    /// What `sweep` wrote as `table.json`.
    init(_ table: JSONValue, isQuick: Bool) {
        self.init(
            isQuick: isQuick,
            rows: (table["rows"]?.array ?? []).map { row in
                var values: [String: String] = [:]
                for member in row["values"]?.object?.members ?? [] {
                    values[member.name] = member.value.string
                }
                func median(_ name: String) -> Double? { row[name]?["median"]?.double }
                var medians: [ClaimsConfiguration.Measure: Double] = [:]
                medians[.testAccuracy] = median("test_accuracy")
                medians[.validationAccuracy] = median("validation_accuracy")
                medians[.stepsToThreshold] = median("steps_to_threshold")
                medians[.stepsPerSecond] = median("steps_per_second")
                for measure in ClaimsConfiguration.Measure.allCases {
                    let value = row["measures"]?[measure.rawValue]?["median"]?.double
                    medians[measure] = value ?? medians[measure]
                }
                let runs = row["runs"]?.array ?? []
                return Row(
                    values: values, medians: medians,
                    hasFailed: !runs.isEmpty && runs.allSatisfy { $0["failure"]?.string != nil })
            })
    }
}

extension ClaimsLedger {
    fileprivate var json: JSONValue {
        .object([
            "command": "report",
            "claims": .array(
                rows.map { row in
                    .object([
                        "claim": .string(row.claim), "command": .string(row.command),
                        "measured": .string(row.measured), "verdict": .string(row.verdict.name),
                    ])
                }),
        ])
    }
}

extension ClaimsLedger.Verdict {
    fileprivate var name: String {
        switch self {
        case .confirmed: "confirmed"
        case .refuted: "refuted"
        case .inPart: "in part"
        case .notTested: "not tested"
        }
    }
}
