import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Sweeps")
    struct Sweeps {
        /// Four runs of about 0.1 s each.
        private static let file = """
            { title: "rates", question: "Which?",
              base: { data: { samples: 203, testSamples: 60 }, model: { hidden: [8] }, steps: 40,
                      batch: { size: 24, shards: 2 }, evaluate: { everySteps: 20 } },
              grid: { "optimizer.learningRate": [0.1, 0.5] }, seeds: 2, threshold: 0.05,
              quick: { base: { steps: 20 }, seeds: 1 } }
            """

        @Test("a sweep leaves a table, a page and its runs; the same command runs nothing again")
        func wholeAndAgain() throws {
            let place = try Workplace()
            try place.write(Self.file, to: "rates.json5")
            let first = try place.run(["sweep", "rates.json5", "--json"])
            first.expectSuccess()
            #expect(
                first.stderr.hasPrefix("sweep    rates: 2 cells × 2 seeds = 4 runs, "),
                "\(first.stderr)")
            #expect(first.stderr.contains(" at a time; 0 done before\n"))
            #expect(first.stderr.contains("/4] 0.1, seed 1 · test "))
            #expect(
                try place.names(in: "runs/rates") == [
                    ".lock", "0.1-seed-1", "0.1-seed-2", "0.5-seed-1", "0.5-seed-2", "charts",
                    "report.html", "table.csv", "table.json", "table.md",
                ])
            #expect(
                first.stdout.hasPrefix(
                    "| learningRate | test, % | steps to 5 % | steps/s |\n"))
            let object = try first.lastObject()
            #expect(object["runs"]?.int == 4 && object["failed"]?.int == 0)
            let metrics = try place.bytes(of: "runs/rates/0.5-seed-2/metrics.jsonl")
            let again = try place.run(["sweep", "rates.json5", "--json"])
            again.expectSuccess()
            #expect(again.stderr.contains("; 4 done before\n") && !again.stderr.contains("/4] "))
            #expect(try again.lastObject()["rows"] == object["rows"])
            #expect(try place.bytes(of: "runs/rates/0.5-seed-2/metrics.jsonl") == metrics)
            // Each run is what train makes of the same configuration.
            let alone = try place.run([
                "--config", "runs/rates/0.5-seed-2/config.json", "--out", "alone", "--quiet",
                "--json",
            ])
            let digest = try alone.lastObject()["parameters_digest"]?.string ?? "none"
            #expect(try place.text(of: "runs/rates/0.5-seed-2/summary.json").contains(digest))
        }

        @Test("a run that was ended half-way is run anew, and the finished ones are not")
        func halfWritten() throws {
            let place = try Workplace()
            try place.write(Self.file, to: "rates.json5")
            try place.run(["sweep", "rates.json5", "--quiet"]).expectSuccess()
            let table = try place.text(of: "runs/rates/table.csv")
            let summary = "runs/rates/0.1-seed-2/summary.json"
            let model = try place.bytes(of: "runs/rates/0.1-seed-2/final.safetensors")
            try FileManager.default.removeItem(atPath: place.file(summary))
            try place.write("{\"step\":20,\"tr", to: "runs/rates/0.1-seed-2/metrics.jsonl")
            let again = try place.run(["sweep", "rates.json5"])
            again.expectSuccess()
            #expect(again.stderr.contains("; 3 done before\n"))
            #expect(again.stderr.contains("[4/4] 0.1, seed 2 · "))
            #expect(try place.bytes(of: "runs/rates/0.1-seed-2/final.safetensors") == model)
            // All but the speed is the same.
            #expect(
                try place.text(of: "runs/rates/table.csv").split(separator: ",").count
                    == table.split(separator: ",").count)
        }

        @Test("runs that were finished on other data train again; without the data they stay")
        func otherData() throws {
            let place = try Workplace()
            try place.makeData(in: "data")
            try place.write(
                Self.file.replacing(
                    "data: { samples: 203, testSamples: 60 }",
                    with: #"data: { name: "idx", directory: "data" }"#
                ).replacing("size: 24", with: "size: 8"), to: "rates.json5")
            func sweep() throws -> String {
                let result = try place.run(["sweep", "rates.json5"])
                result.expectSuccess()
                return String(result.stderr.prefix { $0 != "\n" })
            }
            #expect(try sweep().hasSuffix("; 0 done before"))
            #expect(try sweep().hasSuffix("; 4 done before"))
            let labels = "data/t10k-labels-idx1-ubyte"
            var bytes = try place.bytes(of: labels)
            bytes[10] ^= 1
            try place.write(bytes, to: labels)
            #expect(try sweep().hasSuffix("; 0 done before; 4 on other data, which train again"))
            #expect(try sweep().hasSuffix("; 4 done before"))
            try FileManager.default.removeItem(atPath: place.file("data"))
            #expect(try sweep().hasSuffix("; 4 done before"))
        }

        @Test("a sweep that is killed goes on where it was")
        func killed() throws {
            let place = try Workplace()
            try place.write(
                Self.file.replacing("steps: 40,", with: "steps: 4000,"), to: "rates.json5")
            let words = ["sweep", "rates.json5", "--quiet"]
            let running = try RunningProcess(
                ["-C", place.path, "setsid", "--wait", Workplace.program] + words)
            let firstDone = place.file("runs/rates/0.1-seed-1/summary.json")
            let hasBegun = running.waitUntil(seconds: 60) {
                FileManager.default.fileExists(atPath: firstDone)
            }
            try #require(hasBegun, "\(running.stderr)")
            // The whole session, as a machine that goes down would.
            let session = try runProcess(["pgrep", "-P", "\(running.pid)"])
            let leader = try #require(Int32(session.stdout.filter(\.isNumber)), "\(session.stdout)")
            kill(-leader, SIGKILL)
            _ = running.wait(timeout: 20)
            let again = try place.run(["sweep", "rates.json5", "--json"], timeout: 120)
            again.expectSuccess()
            let line = try #require(again.stderr.split(separator: "\n").first)
            #expect(!line.hasSuffix("; 0 done before") && !line.hasSuffix("; 4 done before"))
            #expect(try again.lastObject()["failed"]?.int == 0)
            #expect(try again.lastObject()["runs"]?.int == 4)
        }

        @Test("a signal ends the runs, and says how to go on")
        func stopped() throws {
            let place = try Workplace()
            try place.write(
                Self.file.replacing("steps: 40,", with: "steps: 100000000,"), to: "rates.json5")
            let running = try RunningProcess(
                // A child inherits what a test's thread ignores.
                [
                    "-C", place.path, "--default-signal=INT,TERM", Workplace.program, "sweep",
                    "rates.json5", "--quiet",
                ])
            let metrics = place.file("runs/rates/0.1-seed-1/metrics.jsonl")
            try #require(
                running.waitUntil(seconds: 60) {
                    FileManager.default.fileExists(atPath: metrics)
                })
            kill(running.pid, SIGTERM)
            let result = running.wait(timeout: 30)
            result.expect(
                75, "stopped by a signal after 0 of 4 runs; the same command goes on there")
        }

        @Test("a diverging run is a row, not the end, and is not run again")
        func diverged() throws {
            let place = try Workplace()
            try place.write(
                Self.file.replacing("[0.1, 0.5]", with: "[0.1, 1e38]")
                    .replacing(
                        "hidden: [8]",
                        with: "hidden: [8], activation: \"relu\", normalization: { kind: \"none\" }"
                    ),
                to: "rates.json5")
            let result = try place.run(["sweep", "rates.json5", "--json"])
            result.expectSuccess()
            #expect(result.stderr.contains(" · diverged at step "))
            #expect(result.stdout.contains(" | diverged at step "))
            #expect(try result.lastObject()["failed"]?.int == 2)
            #expect(result.stderr.contains(", 2 of them failed; runs/rates/report.html"))
            let again = try place.run(["sweep", "rates.json5"])
            again.expectSuccess()
            #expect(again.stderr.contains("; 4 done before\n"))
        }

        @Test("other settings make other runs; --quick has a folder of its own")
        func settings() throws {
            let place = try Workplace()
            try place.write(Self.file, to: "rates.json5")
            try place.run(["sweep", "rates.json5", "--quick", "--quiet"]).expectSuccess()
            #expect(
                try place.names(in: "runs/rates-quick").filter { $0.hasSuffix("seed-1") }
                    == ["0.1-seed-1", "0.5-seed-1"])
            let other = try place.run([
                "sweep", "rates.json5", "--quick", "--set", "model.hidden=[9]",
            ])
            other.expectSuccess()
            #expect(other.stderr.contains("; 0 done before\n"))
        }

        @Test("what is no sweep is refused")
        func refusals() throws {
            let place = try Workplace()
            try place.run(["sweep"]).expect(
                64, "sweep takes a sweep file, found nothing; see `bn-train sweep --help`")
            try place.run(["sweep", "none.json5"]).expect(
                66,
                "there is no sweep file \"none.json5\": give one such as "
                    + "configs/experiments/NAME.json5")
            try place.write("{ grid: { \"batch.size\": [] } }", to: "empty.json5")
            try place.run(["sweep", "empty.json5"]).expect(
                64,
                """
                empty.json5:1:25: grid.batch.size: expected a list of at least one value, found an \
                empty list
                    { grid: { "batch.size": [] } }
                                            ^
                """)
            try place.write(Self.file, to: "rates.json5")
            try place.write("", to: "runs/rates-2/.lock")
            let holder = try RunningProcess([
                "-C", place.path, "flock", "runs/rates-2/.lock", "sleep", "60",
            ])
            usleep(300_000)
            try place.run(["sweep", "rates.json5", "--out", "runs/rates-2"]).expect(
                64,
                "another sweep, or a run of one that was ended, works in 'runs/rates-2': wait for "
                    + "it, or give another folder with --out")
            kill(holder.pid, SIGTERM)
        }
    }
}
