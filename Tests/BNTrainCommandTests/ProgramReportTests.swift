import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Reports")
    struct Reports {
        private func trained(_ place: Workplace, _ name: String, _ words: [String] = []) throws {
            try place.run(Workplace.short + words + ["--out", name, "--quiet"]).expectSuccess()
        }

        @Test("a run's page stands in its folder, with its charts, mistakes and facts")
        func oneRun() throws {
            let place = try Workplace()
            try trained(place, "runs/one")
            let result = try place.run(["report", "runs/one", "--svg", "charts", "--json"])
            result.expectSuccess()
            #expect(
                result.stderr.hasPrefix("report   runs/one/report.html: 1 run, 2 charts, "))
            let object = try result.lastObject()
            #expect(object["report"]?.string == "runs/one/report.html")
            #expect(object["notes"]?.array == [])
            #expect(try place.names(in: "charts") == ["accuracy.svg", "loss.svg"])
            let page = try place.text(of: "runs/one/report.html")
            for text in [
                "the 60 test samples", "taken for", "data:image/png;base64,", "trained on",
                "this report made on", "First layer", "products",
            ] {
                #expect(page.contains(text), "\(text)")
            }
            #expect(!page.contains("class=\"note\""))
        }

        @Test("several runs share a page that says in which keys they differ")
        func severalRuns() throws {
            let place = try Workplace()
            try trained(place, "a/run")
            try trained(place, "b/run", ["--set", "optimizer.learningRate=0.125"])
            let result = try place.run(["report", "a/run", "b/run/", "-o", "both.html"])
            result.expectSuccess()
            let page = try place.text(of: "both.html")
            #expect(page.contains("optimizer.learningRate") && page.contains(">0.125<"))
            // Folders of one name are told apart by their paths.
            #expect(page.contains("a/run, train") && page.contains("b/run/, train"))
        }

        @Test("what holds no run is refused, each time with what to do")
        func refusals() throws {
            let place = try Workplace()
            try place.write("", to: "empty/.keep")
            try place.run(["report", "nowhere"]).expect(
                66, "no folder 'nowhere': give the folder of a run, such as runs/NAME-1")
            try place.run(["report", "empty/.keep"]).expect(
                64, "'empty/.keep' is a file: give the folder of a run, such as runs/NAME-1")
            try place.run(["report", "empty"]).expect(
                66,
                "'empty' holds no run (no config.json): give the folder that `bn-train train` "
                    + "printed as its output, such as runs/NAME-1")
            try place.write("{", to: "damaged/config.json")
            try place.run(["report", "damaged"]).expect(
                65,
                "'damaged/config.json' is damaged: a name in quotes is missing at byte 1; copy the "
                    + "run again, or train it again")
            try place.run(["report"]).expect(
                64,
                "report takes folders of runs, such as runs/NAME-1, found nothing; see "
                    + "`bn-train report --help`")
        }

        @Test("a damaged line before the last is an error, a cut last line a note")
        func damagedMetrics() throws {
            let place = try Workplace()
            try trained(place, "run")
            let whole = try place.text(of: "run/metrics.jsonl")
            let lines = whole.split(separator: "\n")
            try #require(lines.count == 2)
            try place.write("\(lines[0])\n\(lines[1].prefix(50))", to: "run/metrics.jsonl")
            let result = try place.run(["report", "run", "--json"])
            result.expectSuccess()
            let notes = try result.lastObject()["notes"]?.array?.compactMap(\.string) ?? []
            #expect(
                notes == [
                    "The last line of metrics.jsonl is cut off, and left out here.",
                    "final.safetensors is not the model of the last line of metrics.jsonl: a run is "
                        + "under way in this folder, or was ended in it.",
                ])
            try place.write("\(lines[0].prefix(9))\n\(lines[1])\n", to: "run/metrics.jsonl")
            let refused = try place.run(["report", "run"])
            #expect(refused.status == 65)
            #expect(
                refused.ourErrors.hasPrefix(
                    "bn-train: error: line 1 of 'run/metrics.jsonl' is damaged: "))
            #expect(refused.ourErrors.hasSuffix("; copy the run again, or delete the line"))
        }

        @Test("a run that was ended is shown as far as it came")
        func halfWritten() throws {
            let place = try Workplace()
            try trained(place, "run")
            for name in ["final.safetensors", "summary.json"] {
                try FileManager.default.removeItem(atPath: place.file("run/\(name)"))
            }
            let result = try place.run(["report", "run", "-o", "page.html"])
            result.expectSuccess()
            let page = try place.text(of: "page.html")
            #expect(page.contains("The run is not finished: there is no final.safetensors."))
            #expect(page.contains("test accuracy") && !page.contains("taken for"))
            try place.write("", to: "run/metrics.jsonl")
            try place.run(["report", "run", "-o", "page.html"]).expectSuccess()
            #expect(
                try place.text(of: "page.html").contains(
                    "There is no evaluation yet: metrics.jsonl has no whole line."))
        }

        @Test("data that are gone are a note, and may be named anew")
        func missingData() throws {
            let place = try Workplace()
            try place.makeData(in: "data")
            try place.run([
                "--set", "data.name=idx", "--set", "data.directory=data", "--set", "steps=5",
                "--set", "batch.size=8", "--set", "model.hidden=[6]", "--out", "run", "--quiet",
            ]).expectSuccess()
            try FileManager.default.moveItem(
                atPath: place.file("data"), toPath: place.file("moved"))
            let result = try place.run(["report", "run", "--json"])
            result.expectSuccess()
            let notes = try result.lastObject()["notes"]?.array?.compactMap(\.string) ?? []
            #expect(notes.count == 1)
            #expect(notes.first?.hasPrefix("No confusion matrix and no images: ") == true)
            let found = try place.run([
                "report", "run", "--set", "data.directory=moved", "--json",
            ])
            found.expectSuccess()
            #expect(try found.lastObject()["notes"]?.array == [])
        }

        @Test("what probes measured has charts: percentiles as bands, a line for each layer")
        func probes() throws {
            let place = try Workplace()
            try trained(
                place, "run", ["--set", "probes.everySteps=10", "--set", "probes.landscape=true"])
            let result = try place.run(["report", "run", "--json"])
            result.expectSuccess()
            let charts = try result.lastObject()["charts"]?.array ?? []
            #expect(charts.contains(.string("probe-1")))
            let page = try place.text(of: "run/report.html")
            for text in [
                ">activations<", ">pre-activations: mean<", ">gradient norms<",
                ">landscape: smoothness<", "class=\"band f0\"",
            ] {
                #expect(page.contains(text), "\(text)")
            }
        }

        @Test("a page that cannot be written is an error of writing")
        func unwritable() throws {
            let place = try Workplace()
            try trained(place, "run")
            try place.run(["report", "run", "-o", "no/such/page.html"]).expect(
                74,
                "cannot create 'no/such/page.html': No such file or directory; check the path")
        }
    }
}
