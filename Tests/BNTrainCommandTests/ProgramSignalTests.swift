import Foundation
import Glibc
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Signals that end a run")
    struct Signals {
        /// A run of about a second or more, with many evaluations to be caught in.
        private let words =
            Workplace.short + [
                "--set", "steps=3000", "--set", "data.testSamples=600",
                "--set", "optimizer.momentum=0.9", "--set", "checkpoint.everySteps=50",
            ]

        /// The program in `place` on threads; a child inherits what a test's thread ignores.
        private func start(
            _ place: Workplace, _ words: [String], by launcher: [String] = []
        ) throws -> RunningProcess {
            try RunningProcess(
                ["-C", place.path, "--default-signal=INT,TERM,USR1,HUP"] + launcher
                    + [Workplace.program] + words)
        }

        private func digest(_ result: ProcessResult) throws -> JSONValue? {
            result.expectSuccess()
            return try result.lastObject()["parameters_digest"]
        }

        /// Code 75, one line, one whole checkpoint of the step that it names, which is returned.
        @discardableResult
        private func expectStopped(
            _ result: ProcessResult, _ place: Workplace,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> Int {
            #expect(result.status == 75, "\(result.stderr)", sourceLocation: sourceLocation)
            // mpirun says that it hands a signal on.
            let lines = result.ourErrors.split(separator: "\n").filter {
                !$0.hasPrefix("mpirun: ")
            }
            try #require(lines.count == 1, "\(result.stderr)", sourceLocation: sourceLocation)
            let line = try Regex(
                "bn-train: stopped after step ([0-9]+) of [0-9]+, saved as "
                    + "run/checkpoints/step-([0-9]+).safetensors; go on with: bn-train --resume auto "
                    + "--out run")
            let match = try #require(try line.wholeMatch(in: lines[0]), "\(lines[0])")
            #expect(match[1].substring == match[2].substring)
            let step = try #require(match[1].substring.flatMap { Int($0) })
            let checkpoint = try Checkpoint(
                contentsOf: place.file("run/checkpoints/step-\(step).safetensors"))
            #expect(checkpoint.state.step == step)
            #expect(
                try place.text(of: "run/checkpoints/latest") == "step-\(step).safetensors\n")
            let steps = try place.names(in: "run/checkpoints").compactMap {
                $0.hasSuffix(".safetensors")
                    ? Int($0.dropFirst("step-".count).dropLast(".safetensors".count)) : nil
            }
            #expect(steps.max() == step)
            #expect(
                try place.names(in: "run") == ["checkpoints", "config.json", "metrics.jsonl"])
            return step
        }

        @Test("USR1, TERM, INT and HUP to a run of threads save it; it goes on to the same bits")
        func threads() throws {
            let place = try Workplace()
            let expected = try digest(place.run(words + ["--json", "--quiet", "--out", "whole"]))
            for (number, threads) in [(SIGUSR1, 1), (SIGTERM, 2), (SIGINT, 3), (SIGHUP, 2)] {
                try? FileManager.default.removeItem(atPath: place.file("run"))
                let run = try start(
                    place, words + ["--quiet", "--out", "run", "--threads", "\(threads)"])
                #expect(run.waitUntil(seconds: 30) { hasMetrics(place) })
                kill(run.pid, number)
                try expectStopped(run.wait(timeout: 20), place)
                let result = try place.run(
                    ["--resume", "auto", "--out", "run", "--json", "--quiet", "--threads", "2"])
                #expect(try digest(result) == expected)
            }
        }

        @Test("under nohup a HUP, of a terminal that was closed, ends nothing")
        func nohup() throws {
            let place = try Workplace()
            let run = try start(place, words + ["--quiet", "--out", "run"], by: ["nohup"])
            #expect(run.waitUntil(seconds: 30) { hasMetrics(place) })
            let before = try place.text(of: "run/metrics.jsonl").count
            kill(run.pid, SIGHUP)
            #expect(
                run.waitUntil(seconds: 30) {
                    ((try? place.text(of: "run/metrics.jsonl").count) ?? 0) > before
                })
            kill(run.pid, SIGTERM)
            try expectStopped(run.wait(timeout: 20), place)
        }

        @Test("USR1 to mpirun, TERM and INT to one rank of several: all ranks stop at one step")
        func ranks() throws {
            let place = try Workplace()
            let expected = try digest(place.run(words + ["--json", "--quiet", "--out", "whole"]))
            for (number, ranks, rank) in [(SIGUSR1, 3, nil), (SIGTERM, 4, 2), (SIGINT, 2, 0)] {
                try? FileManager.default.removeItem(atPath: place.file("run"))
                let run = try place.start(ranks: ranks, words + ["--quiet", "--out", "run"])
                #expect(run.waitUntil(seconds: 30) { hasMetrics(place) })
                if let rank {
                    kill(try #require(run.pid(ofRank: rank)), number)
                } else {
                    kill(run.pid, number)
                }
                try expectStopped(run.wait(timeout: 20), place)
                let result = try place.run(
                    ["--resume", "auto", "--out", "run", "--json", "--quiet", "--threads", "2"])
                #expect(try digest(result) == expected)
            }
        }

        @Test(
            "TERM to one rank of four and USR1 to mpirun, in every part of a step: one stop, same bits",
            arguments: ["TERM", "USR1"])
        func parts(signal: String) throws {
            let place = try Workplace()
            let words =
                Workplace.short + [
                    "--set", "steps=200", "--set", "evaluate.everySteps=60", "--set",
                    "checkpoint.everySteps=50", "--quiet",
                ]
            let expected = try digest(place.run(words + ["--json", "--out", "whole"]))
            // The wish travels with the forward pass: what comes later ends the run a step later.
            for (part, planted, stop) in [
                ("forward", 90, 90), ("backward", 90, 91), ("evaluation", 120, 121),
                ("saving", 150, 151),
            ] {
                try? FileManager.default.removeItem(atPath: place.file("run"))
                let result = try place.run(
                    ranks: 4, words + ["--out", "run"],
                    environment: ["BN_TRAIN_PLANT": "\(signal)=2@\(planted)@\(part)"])
                #expect(try expectStopped(result, place) == stop, "\(part)")
                let resumed = try place.run(
                    ["--resume", "auto", "--out", "run", "--json", "--quiet", "--threads", "3"])
                #expect(try digest(resumed) == expected, "\(part)")
            }
        }

        /// The run has begun and been evaluated.
        private func hasMetrics(_ place: Workplace) -> Bool {
            ((try? place.bytes(of: "run/metrics.jsonl").count) ?? 0) > 0
        }

        @Test("--max-minutes stops a run, on threads and ranks; the object says where it is saved")
        func minutes() throws {
            let place = try Workplace()
            let words = Workplace.endless + ["--max-minutes", "0.01", "--quiet", "--json"]
            let result = try place.run(words + ["--out", "run"])
            try expectStopped(result, place)
            let object = try result.lastObject()
            let step = try #require(object["steps"]?.int)
            #expect(object["checkpoint"] == .string("run/checkpoints/step-\(step).safetensors"))
            #expect(object["test_loss"] == .null)
            #expect(object["parameters_digest"]?.string?.count == 64)
            let ranks = try place.run(ranks: 2, words + ["--out", "run", "--overwrite"])
            try expectStopped(ranks, place)
        }

        @Test("a second Ctrl-C ends a run at once, in the midst of a step")
        func twice() throws {
            let place = try Workplace()
            let run = try start(
                place,
                [
                    "--set", "data.samples=2000", "--set", "data.testSamples=10",
                    "--set", "batch.size=2000", "--set", "model.hidden=[4096,4096,4096]",
                    "--threads", "1", "--out", "run",
                ])
            #expect(run.waitUntil(seconds: 30) { run.stderr.contains("output   run") })
            usleep(200_000)
            kill(run.pid, SIGINT)
            usleep(50_000)
            kill(run.pid, SIGINT)
            let result = run.wait(timeout: 20)
            #expect(result.status == 128 + SIGINT)
            #expect(try place.names(in: "run").filter { $0 == "checkpoints" } == [])
        }

        @Test("where the last checkpoint cannot be written the code is not 75")
        func unsaved() throws {
            let place = try Workplace()
            let run = try start(place, Workplace.endless + ["--quiet", "--out", "run"])
            #expect(run.waitUntil(seconds: 30) { hasMetrics(place) })
            // A file where the folder should be.
            try place.write("", to: "run/checkpoints")
            kill(run.pid, SIGTERM)
            run.wait(timeout: 20).expect(
                74,
                "cannot create 'run/checkpoints': Not a directory; check the path")
        }
    }
}
