import Foundation
import TestSupport
import Testing
import Training

extension ProgramTests {
    @Suite("Where results cannot be written")
    struct Writing {
        @Test("a folder that holds a run is refused, until --overwrite")
        func holdsRun() throws {
            let place = try Workplace()
            let words = Workplace.short + ["--quiet", "--out", "run"]
            try place.run(words).expectSuccess()
            let model = try place.bytes(of: "run/final.safetensors")
            let refusal =
                "'run' already holds a run (config.json): give --resume auto to go on, "
                + "--overwrite to replace it, or another folder with --out"
            try place.run(words + ["--seed", "2"]).expect(64, refusal)
            try place.run(ranks: 2, words + ["--seed", "2"]).expect(64, refusal)
            #expect(try place.bytes(of: "run/final.safetensors") == model)
            try place.run(words + ["--seed", "2", "--overwrite"]).expectSuccess()
            #expect(try place.bytes(of: "run/final.safetensors") != model)
        }

        @Test("a folder that cannot be made is refused before step 1, with the reason")
        func cannotBeMade() throws {
            let place = try Workplace()
            try place.write("text", to: "file")
            let words = Workplace.short + ["--quiet", "--out"]
            try place.run(words + ["file/run"]).expect(
                74, "cannot create 'file/run': Not a directory; check the path")
            try place.run(words + ["file"]).expect(
                74, "cannot create 'file': Not a directory; check the path")
            // The kernel lets nobody, not even root, make folders there.
            try place.run(words + ["/proc/self/run"]).expect(
                74, "cannot create '/proc/self/run': No such file or directory; check the path")
            try place.run(ranks: 2, words + ["file/run"]).expect(
                74, "cannot create 'file/run': Not a directory; check the path")
        }

        /// A limit on the size of files stands in for a full disk: the same failure of the same
        /// call. The model has 53 KB, config.json and metrics.jsonl 2.
        @Test("a disk that fills while the model is written: code 74, the older model stays whole")
        func diskFull() throws {
            let place = try Workplace()
            let words = Workplace.short + ["--quiet", "--out", "run"]
            try place.run(words).expectSuccess()
            let model = try place.bytes(of: "run/final.safetensors")
            let names = try place.names(in: "run")
            let message =
                "cannot write 'run/final.safetensors': File too large; free space there or choose "
                + "another folder"
            let again = words + ["--seed", "2", "--overwrite"]
            try place.run(shell: #"ulimit -f 16; exec "$@""#, again).expect(74, message)
            #expect(try place.bytes(of: "run/final.safetensors") == model)
            // Without a summary, of which config.json no longer is.
            #expect(try place.names(in: "run") == names.filter { $0 != "summary.json" })
            let ranks = try place.run(
                contexts: [
                    ["-n", "3", "bash", "-c", #"ulimit -f 16; exec "$@""#, "bash"]
                        + [Workplace.program] + again
                ])
            ranks.expect(74, message)
            #expect(try place.bytes(of: "run/final.safetensors") == model)
        }

        @Test("a disk that fills during training ends the run at the next evaluation")
        func metricsDiskFull() throws {
            let place = try Workplace()
            // 250 lines of 400 bytes; the limit is 16 KB.
            let words =
                Workplace.short + [
                    "--set", "evaluate.everySteps=1", "--set", "steps=250", "--quiet", "--out",
                    "run",
                ]
            let message =
                "cannot write 'run/metrics.jsonl': File too large; free space there or choose "
                + "another folder"
            try place.run(shell: #"ulimit -f 16; exec "$@""#, words).expect(74, message)
            // The line that did not fit is gone: what is there can be read.
            for line in try place.text(of: "run/metrics.jsonl").split(separator: "\n") {
                _ = try JSONValue(parsing: Array(line.utf8))
            }
        }

        @Test("standard output that is full is an error; closed or unread, it is the reader's wish")
        func standardOutput() throws {
            let place = try Workplace()
            let words = Workplace.short + ["--quiet", "--json", "--out"]
            let full =
                "cannot write to 'standard output': No space left on device; free space there or "
                + "choose another folder"
            try place.run(shell: #""$@" > /dev/full"#, words + ["full"]).expect(74, full)
            try place.run(shell: #""$@" > /dev/full"#, ["--help"]).expect(74, full)
            for (shell, folder) in [(#""$@" >&- 2>&- <&-"#, "closed"), (#""$@" | true"#, "unread")]
            {
                let result = try place.run(shell: shell, words + [folder])
                #expect(result.status == 0 && result.stdout == "" && result.stderr == "")
                // A closed stream's number must not have gone to a file of the run.
                let lines = try place.text(of: folder + "/metrics.jsonl").split(separator: "\n")
                #expect(lines.count == 2 && lines.allSatisfy { $0.hasPrefix(#"{"step":"#) })
                _ = try SafetensorsFile(contentsOf: place.file(folder + "/final.safetensors"))
            }
        }
    }
}
