import Configuration
import Foundation
import Testing

@testable import Reports

@Suite("The ledger of claims")
struct ClaimsLedgerTests {
    private typealias Row = SweepNumbers.Row

    /// Claims read from a file as users write it.
    private func claims(_ text: String) throws -> ClaimsConfiguration {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("claims-\(UUID().uuidString).json5").path
        try Data("{ claims: [\(text)] }".utf8).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try ClaimsConfiguration.load(file: path)
    }

    private func ledger(_ compare: String, _ rows: [Row], isQuick: Bool = false) throws
        -> ClaimsLedger
    {
        let claims = try claims(
            "{ claim: 'BN | helps', sweep: 'made-up', compare: \(compare), picture: 'p.svg' }")
        return ClaimsLedger(
            claims, sweeps: ["made-up": SweepNumbers(isQuick: isQuick, rows: rows)])
    }

    private func cell(
        _ activation: String, _ kind: String, _ accuracy: Double?, steps: Double? = nil
    ) -> Row {
        var medians: [ClaimsConfiguration.Measure: Double] = [:]
        medians[.testAccuracy] = accuracy
        medians[.stepsToThreshold] = steps
        return Row(
            values: ["activation": activation, "kind": kind], medians: medians,
            hasFailed: accuracy == nil)
    }

    private static let pair = "of: { kind: 'batch' }, with: { kind: 'none' }"

    @Test("pairs differ in nothing but the two sides, and all of them must agree")
    func verdicts() throws {
        let rows = [
            cell("relu", "batch", 0.98), cell("relu", "none", 0.97), cell("tanh", "none", 0.96),
            cell("tanh", "batch", 0.95), cell("tanh", "layer", 0.1),
        ]
        let higher = "{ \(Self.pair), is: 'higher' }"
        #expect(
            try ledger(higher, rows).markdown == """
                | claim | command | measured | verdict |
                |---|---|---|---|
                | [BN \\| helps](p.svg) | `bn-train sweep configs/experiments/made-up.json5` | \
                test accuracy, batch against none: relu: 98.0 % against 97.0 %; tanh: 95.0 % \
                against 96.0 % | in part: 1 of 2 |

                """)
        #expect(try ledger(higher, Array(rows.prefix(2))).rows[0].verdict == .confirmed)
        #expect(try ledger(higher, Array(rows.suffix(3))).rows[0].verdict == .refuted)
        let wide = "{ \(Self.pair), is: 'higher', by: 0.02 }"
        #expect(try ledger(wide, rows).rows[0].verdict == .refuted)
        let equal = "{ \(Self.pair), is: 'equal', by: 0.02 }"
        #expect(try ledger(equal, rows).rows[0].verdict == .confirmed)
        let relu = "{ where: { activation: ['relu'] }, \(Self.pair), is: 'higher' }"
        #expect(try ledger(relu, rows).rows[0].verdict == .confirmed)
        #expect(
            try ledger(relu, rows, isQuick: true).rows[0].command
                == "bn-train sweep configs/experiments/made-up.json5 --quick")
    }

    @Test("one side may be several, each a pair of its own")
    func several() throws {
        let rows = [
            cell("tanh", "none", 0.96), cell("tanh", "batch", 0.95), cell("tanh", "layer", 0.1),
        ]
        let row = try ledger(
            "{ of: { kind: 'batch' }, with: { kind: ['none', 'layer'] }, is: 'higher' }", rows
        ).rows[0]
        #expect(row.verdict == .inPart(agreeing: 1, of: 2))
        #expect(
            row.measured == "test accuracy, batch against none/layer: none: 95.0 % against 96.0 %; "
                + "layer: 95.0 % against 10.0 %")
    }

    @Test(
        "what diverged counts as guessing, what never got there as worst; both sides tell nothing"
    )
    func failures() throws {
        let rows = [
            cell("relu", "batch", 0.98, steps: 500), cell("relu", "none", nil),
            cell("tanh", "batch", nil), cell("tanh", "none", nil),
        ]
        let guessed = [cell("elu", "batch", 0.103), cell("elu", "none", nil)]
        #expect(
            try ledger("{ \(Self.pair), is: 'higher', by: 0.005 }", guessed).rows[0].verdict
                == .refuted)
        let higher = try ledger("{ \(Self.pair), is: 'higher' }", rows).rows[0]
        #expect(higher.verdict == .confirmed)
        #expect(
            higher.measured
                == "test accuracy, batch against none: relu: 98.0 % against diverged")
        let steps = try ledger(
            "{ measure: 'stepsToThreshold', \(Self.pair), is: 'lower', by: 2 }",
            rows + [cell("elu", "batch", 0.9, steps: 1000), cell("elu", "none", 0.9, steps: 1999)]
        ).rows[0]
        #expect(steps.verdict == .inPart(agreeing: 1, of: 2))
        #expect(
            steps.measured
                == "steps to the threshold, batch against none: relu: 500 against diverged; elu: "
                + "1\u{202F}000 against 1\u{202F}999")
    }

    @Test("what was not run, or has no such cells, says what to do; what is outside says why")
    func notTested() throws {
        let claims = try claims(
            """
            { claim: 'A', sweep: 'depth', compare: { \(Self.pair) } },
            { claim: 'B', outside: 'no such networks here' }
            """)
        #expect(
            ClaimsLedger(claims, sweeps: [:]).markdown == """
                | claim | command | measured | verdict |
                |---|---|---|---|
                | A | `bn-train sweep configs/experiments/depth.json5` | not run here | not tested |
                | B | outside | no such networks here | not tested |

                """)
        let empty = try ledger("{ \(Self.pair) }", [cell("relu", "layer", 0.5)]).rows[0]
        #expect(empty.verdict == .notTested)
        #expect(empty.measured == "the sweep has no such cells, or they failed: run it again")
    }
}
