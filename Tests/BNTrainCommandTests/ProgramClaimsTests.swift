import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("The ledger of claims")
    struct Claims {
        private static let claims = """
            { claims: [
              { claim: "BN helps", sweep: "made-up",
                compare: { of: { kind: "batch" }, with: { kind: "none" }, is: "higher" } },
              { claim: "BN sings", sweep: "unheard",
                compare: { of: { kind: "batch" }, with: { kind: "none" }, is: "higher" } } ] }
            """

        private func workplace() throws -> Workplace {
            let place = try Workplace()
            try place.write(Self.claims, to: "claims.json5")
            func row(_ kind: String, _ accuracy: Double) -> String {
                """
                {"values":{"kind":"\(kind)"},"test_accuracy":{"median":\(accuracy)},
                "runs":[{"failure":null}]}
                """
            }
            try place.write(
                "{\"rows\":[\(row("none", 0.5)),\(row("batch", 0.75))]}",
                to: "runs/made-up-quick/table.json")
            return place
        }

        private static let table = """
            | claim | command | measured | verdict |
            |---|---|---|---|
            | BN helps | `bn-train sweep configs/experiments/made-up.json5 --quick` | test accuracy, \
            batch against none: 75.0 % against 50.0 % | confirmed |
            | BN sings | `bn-train sweep configs/experiments/unheard.json5` | not run here | \
            not tested |

            """

        @Test("the table goes to stdout, and to its place in a page")
        func page() throws {
            let place = try workplace()
            let markers = ("<!-- claims -->", "<!-- end of claims -->")
            try place.write("before\n\(markers.0)\nold\n\(markers.1)\nafter\n", to: "page.md")
            let result = try place.run(["report", "--claims", "claims.json5", "-o", "page.md"])
            result.expectSuccess()
            #expect(result.stdout == Self.table)
            #expect(
                result.stderr
                    == "claims   2 claims, 1 of them tested by 1 sweep in runs; page.md\n")
            #expect(
                try place.text(of: "page.md")
                    == "before\n\(markers.0)\n\(Self.table)\(markers.1)\nafter\n")
            // Another folder of sweeps, in which nothing was run.
            let elsewhere = try place.run(["report", "--claims", "claims.json5", "empty", "--json"])
            elsewhere.expectSuccess()
            let claims = try #require(try elsewhere.lastObject()["claims"]?.array)
            #expect(claims.map { $0["verdict"]?.string } == ["not tested", "not tested"])
        }

        @Test("what is missing or damaged is named")
        func refusals() throws {
            let place = try workplace()
            try place.write("no place\n", to: "page.md")
            try place.run(["report", "--claims", "claims.json5", "-o", "page.md"]).expect(
                64,
                "'page.md' has no lines <!-- claims --> and <!-- end of claims -->: "
                    + "add them where the table belongs, or give another file with -o")
            try place.run(["report", "--claims", "clams.json5"]).expect(
                66,
                "there is no file of claims 'clams.json5': give one such as "
                    + "configs/experiments/claims.json5")
            try place.write("{", to: "runs/made-up/table.json")
            let damaged = try place.run(["report", "--claims", "claims.json5"])
            #expect(damaged.status == 65)
            #expect(
                damaged.stderr.hasPrefix("bn-train: error: 'runs/made-up/table.json' is damaged: "))
            #expect(
                damaged.stderr.hasSuffix("; run the sweep again, which finds its finished runs\n"))
        }
    }
}
