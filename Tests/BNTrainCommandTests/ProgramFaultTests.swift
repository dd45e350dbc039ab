import Datasets
import Foundation
import TestSupport
import Testing
import Training

#if canImport(Glibc)
    import Glibc
#endif

let hostName: String = {
    let text = FileManager.default.contents(atPath: "/proc/sys/kernel/hostname") ?? Data()
    return String(decoding: text, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
}()

extension ProgramTests {
    @Suite("Faults while a job runs")
    struct Faults {
        /// The result of a job, which must end by itself within 10 s.
        private func endsSoon(_ run: RunningProcess) -> ProcessResult {
            let start = ContinuousClock.now
            let result = run.wait(timeout: 20)
            #expect(ContinuousClock.now - start < .seconds(10))
            return result
        }

        @Test("a worker that throws ends the whole job with one line: where, when, why")
        func throwing() throws {
            let place = try Workplace()
            let words = Workplace.endless + ["--quiet"]
            // Worker 1 has the same place in all these worlds but for its rank.
            for (ranks, threads, worker) in [(1, 3, 1), (3, 1, 1), (2, 2, 3)] {
                let environment = ["BN_TRAIN_PLANT": "throw=\(worker)@30"]
                let threads = ["--threads", "\(threads)"]
                let start = ContinuousClock.now
                let result =
                    try ranks == 1
                    ? place.run(words + threads, environment: environment)
                    : place.run(ranks: ranks, words + threads, environment: environment)
                #expect(ContinuousClock.now - start < .seconds(20))
                result.expect(
                    70,
                    "rank \(ranks == 1 ? 0 : 1), worker \(worker), epoch 4, step 30: internal error: a "
                        + "planted fault; please report it with the output of `bn-train doctor`")
            }
        }

        @Test("a killed rank ends the job by mpirun's notice")
        func killed() throws {
            let place = try Workplace()
            let run = try place.start(ranks: 3, Workplace.endless)
            #expect(run.waitUntil(seconds: 30) { run.stderr.contains("step 20 ·") })
            kill(try #require(run.pid(ofRank: 1)), SIGKILL)
            let result = endsSoon(run)
            #expect(result.status != 0 && !result.timedOut)
            #expect(result.stderr.contains("signal 9"), "\(result.stderr)")
            // mpirun sends the others SIGTERM: nobody saves without the dead rank.
            #expect(result.status != 75 && !result.stderr.contains("stopped after"))
        }

        @Test("a stopped rank is named at the deadline, with the collective that misses it")
        func stopped() throws {
            let place = try Workplace()
            let run = try place.start(ranks: 2, Workplace.endless + ["--timeout", "2"])
            #expect(run.waitUntil(seconds: 30) { run.stderr.contains("step 20 ·") })
            let victim = try #require(run.pid(ofRank: 1))
            kill(victim, SIGSTOP)
            let result = endsSoon(run)
            kill(victim, SIGKILL)
            #expect(result.status == 71)
            let lines = result.ourErrors.split(separator: "\n")
                .filter { $0.hasPrefix("bn-train: ") }
            try #require(lines.count == 1, "\(result.stderr)")
            let line = try Regex(
                "bn-train: error: rank 0 waited 2 s for rank 1 in epoch [0-9]+, step [0-9]+, "
                    + "[a-z0-9' ]+, [0-9]+ values: it is stopped, dead or much slower; see its "
                    + "output, or raise --timeout")
            #expect(lines[0].wholeMatch(of: line) != nil, "\(lines[0])")
        }

        @Test("Ctrl-C saves and ends a run, with no model that looks like a result")
        func interrupted() throws {
            let place = try Workplace()
            let run = try RunningProcess(
                // Threads of a test run block signals, and a child inherits that.
                ["-C", place.path, "--default-signal=INT", Workplace.program]
                    + Workplace.endless + ["--out", "run"])
            #expect(run.waitUntil(seconds: 30) { run.stderr.contains("step 20 ·") })
            kill(run.pid, SIGINT)
            let result = endsSoon(run)
            #expect(result.status == 75 && !result.stderr.contains("error"))
            #expect(
                try place.names(in: "run") == ["checkpoints", "config.json", "metrics.jsonl"])
        }

        @Test(
            "a step whose loss is no number is skipped, and the run goes on, alike in every world")
        func skipped() throws {
            let place = try Workplace()
            let words =
                Workplace.short + [
                    "--quiet", "--json", "--set", "watch.nonFinite=skip", "--out", "run",
                    "--overwrite",
                ]
            let environment = ["BN_TRAIN_PLANT": "nan=3@25@input"]
            var digests: Set<String> = []
            for (ranks, threads) in [(0, 1), (0, 3), (3, 1)] {
                let more = words + ["--threads", "\(threads)"]
                let result =
                    try ranks == 0
                    ? place.run(more, environment: environment)
                    : place.run(ranks: ranks, more, environment: environment)
                #expect(result.status == 0)
                #expect(
                    result.ourErrors
                        == "bn-train: warning: step 25 is skipped: layer layers.0 was the first to "
                        + "give NaN or Inf, in shard 3")
                digests.insert(try #require(try result.lastObject()["parameters_digest"]?.string))
                let lines = try place.text(of: "run/metrics.jsonl").split(separator: "\n")
                #expect(
                    lines.filter { $0.contains("event") } == [
                        #"{"event":"skipped","step":25,"not_finite":"loss","layer":"layers.0","#
                            + #""shard":3,"learning_rate":0.5}"#
                    ])
            }
            #expect(digests.count == 1)
            let whole = try place.run(words)
            #expect(try whole.lastObject()["parameters_digest"]?.string != digests.first)
            // The report knows such lines.
            try place.run(["report", "run", "-o", "r.html", "--quiet"]).expectSuccess()
        }

        @Test(
            "a run goes back to its last checkpoint with a smaller rate, and on from later ones with it"
        )
        func rollback() throws {
            let place = try Workplace()
            let words =
                Workplace.short + [
                    "--quiet", "--json", "--set", "watch.nonFinite=rollback", "--set",
                    "watch.rollbackFactor=0.25", "--set", "checkpoint.everySteps=10", "--out",
                    "run",
                    "--overwrite",
                ]
            let environment = ["BN_TRAIN_PLANT": "nan=6@25@loss"]
            var digests: Set<String> = []
            for (ranks, threads) in [(0, 2), (2, 1)] {
                let more = words + ["--threads", "\(threads)"]
                let result =
                    try ranks == 0
                    ? place.run(more, environment: environment)
                    : place.run(ranks: ranks, more, environment: environment)
                #expect(result.status == 0)
                #expect(
                    result.ourErrors
                        == "bn-train: warning: step 25 is not finite (the gradient of layer layers.6 "
                        + "was the first with NaN or Inf, in shard 6): the run goes on from step 20 "
                        + "with 0.25 of the learning rate")
                digests.insert(try #require(try result.lastObject()["parameters_digest"]?.string))
                let lines = try place.text(of: "run/metrics.jsonl").split(separator: "\n")
                    .map { try JSONValue(parsing: Array($0.utf8)) }
                #expect(lines.map { $0["step"]?.int } == [20, 21, 40])
                #expect(lines[1]["event"]?.string == "rollback")
                #expect(lines[1]["from_step"]?.int == 25)
                #expect(lines[1]["learning_rate_scale"]?.double == 0.25)
                #expect(lines[2]["learning_rate"]?.double == 0.125)
            }
            #expect(digests.count == 1)
            // The smaller rate is in the checkpoints after it.
            for step in [40, 30] {
                try? FileManager.default.removeItem(atPath: place.file("run/final.safetensors"))
                let resumed = try place.run([
                    "--resume", "run/checkpoints/step-30.safetensors", "--quiet", "--json",
                    "--threads", "\(step / 10 - 1)",
                ])
                #expect(
                    try resumed.lastObject()["parameters_digest"]?.string == digests.first,
                    "\(resumed.stderr)")
            }
        }

        @Test("without a checkpoint there is nothing to go back to: code 73")
        func noRollback() throws {
            let place = try Workplace()
            let words = Workplace.short + ["--quiet", "--set", "watch.nonFinite=rollback"]
            let environment = ["BN_TRAIN_PLANT": "nan=0@5@input"]
            let message =
                "training diverged at step 5 (epoch 1): layer layers.0 was the first to give NaN or "
                + "Inf, in shard 0; there is no whole checkpoint to go back to: set "
                + "checkpoint.everySteps, or lower optimizer.learningRate (now 0.5)"
            try place.run(words, environment: environment).expect(73, message)
            try place.run(ranks: 3, words, environment: environment).expect(73, message)
        }

        @Test("a bit that flips in a replica ends the job with the rank, its host and code 72")
        func replicas() throws {
            let place = try Workplace()
            let words =
                Workplace.short + [
                    "--quiet", "--out", "run", "--set", "watch.checkReplicas=4",
                    "--set", "checkpoint.everySteps=5",
                ]
            let environment = ["BN_TRAIN_PLANT": "flip=1@11@layers.0.weight"]
            let end =
                "; the step is not saved: test memory and processor of "
                + "%@, or another MPI library, and go on from the last checkpoint with "
                + "--resume auto"
            try place.run(ranks: 3, words, environment: environment).expect(
                72,
                "the replicas are not equal after step 12 (epoch 2): in layers.0.weight rank 1 "
                    + "(\(hostName)) differs from the 2 others"
                    + end.replacing("%@", with: "its host"))
            #expect(
                try place.names(in: "run/checkpoints") == [
                    "latest", "step-10.safetensors", "step-5.safetensors",
                ])
            #expect(!(try place.names(in: "run").contains("final.safetensors")))
            try place.run(ranks: 2, words + ["--overwrite"], environment: environment).expect(
                72,
                "the replicas are not equal after step 12 (epoch 2): in layers.0.weight ranks 0 "
                    + "(\(hostName)) and 1 (\(hostName)) differ, and no majority says who is right"
                    + end.replacing("%@", with: "their hosts"))
            // What was saved before goes on to the end of a run without a fault.
            let resumed = try place.run([
                "--resume", "auto", "--out", "run", "--threads", "3", "--quiet", "--json",
            ])
            resumed.expectSuccess()
            let whole = try place.run(Workplace.short + ["--quiet", "--json"])
            #expect(
                try resumed.lastObject()["parameters_digest"]
                    == whole.lastObject()["parameters_digest"])
        }

        @Test("a loss that is no number: one line with the step and the first layer, code 73")
        func diverged() throws {
            let place = try Workplace()
            let words =
                Workplace.short + [
                    "--set", "optimizer.learningRate=1e30", "--set", "model.activation=relu",
                    "--set", "model.normalization.kind=none", "--quiet",
                ]
            let message =
                "training diverged at step 2 (epoch 1): layer layers.2 was the first to give NaN "
                + "or Inf, in shard 0; lower optimizer.learningRate (now 1e+30), add "
                + "schedule.warmupSteps, or check the data's scaling"
            try place.run(words).expect(73, message)
            try place.run(words + ["--threads", "3"]).expect(73, message)
            try place.run(ranks: 2, words).expect(73, message)
        }
    }

    @Suite("Ranks that do not fit together")
    struct Ranks {
        private let place: Workplace

        init() throws { place = try Workplace() }

        /// Two ranks with command lines and programs of their own.
        private func run(
            _ first: [String], _ second: [String], program: String = Workplace.program
        ) throws -> ProcessResult {
            try place.run(contexts: [
                ["-n", "1", Workplace.program] + first, ["-n", "1", program] + second,
            ])
        }

        /// Rank 0 in the folder "a", rank 1 in "b".
        private func runInFolders(_ words: [String]) throws -> ProcessResult {
            try place.run(
                contexts: ["a", "b"].map {
                    ["-n", "1", "env", "-C", place.file($0), Workplace.program] + words
                })
        }

        @Test("another value of a key, other threads, another command, a mistake on one rank")
        func words() throws {
            let words = Workplace.short + ["--quiet"]
            try run(words, words + ["--set", "seed=2"]).expect(
                64,
                "the configuration's seed differs: rank 0 has 1 (\(hostName)), rank 1 has 2 "
                    + "(\(hostName)); give all ranks the same --config and --set")
            try run(words, words + ["--threads", "2"]).expect(
                64,
                "the number of threads differs: rank 0 has 1 (\(hostName)), rank 1 has 2 "
                    + "(\(hostName)); give all ranks the same --threads")
            try run(words, ["eval", "x"]).expect(
                64,
                "the command line differs: rank 0 has train, rank 1 has eval x; give all ranks "
                    + "the same")
            try run(words, words + ["--treads"]).expect(
                64,
                "rank 1 (\(hostName)): unknown option '--treads': did you mean '--threads'?; see "
                    + "`bn-train --help`")
            #expect(try place.names(in: ".").isEmpty)
        }

        @Test("another build of the program")
        func executable() throws {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: Workplace.program))
            try place.write([UInt8](bytes) + [0], to: "other")
            #expect(chmod(place.file("other"), 0o755) == 0)
            let words = Workplace.short + ["--quiet"]
            let digests = try [Workplace.program, place.file("other")].map {
                try SHA256.digest(ofFile: $0).prefix(12)
            }
            try run(words, words, program: place.file("other")).expect(
                64,
                "the program (SHA-256 of the executable) differs: rank 0 has \(digests[0]) "
                    + "(\(hostName)), rank 1 has \(digests[1]) (\(hostName)); install the same "
                    + "build on every host")
        }

        private func digest(_ rank: String, _ part: DatasetPair.Part) throws -> Substring {
            DataContent(try DatasetPair.idx(directory: place.file("\(rank)/data"))).digest(of: part)
                .prefix(12)
        }

        @Test("data that is missing on one rank, of another size there, or of other pixels")
        func data() throws {
            let words = [
                "--set", "data.name=idx", "--set", "batch.size=8", "--set", "batch.shards=2",
                "--set", "model.hidden=[4]", "--set", "steps=3", "--quiet",
            ]
            try place.makeData(in: "a/data")
            try place.write("", to: "b/empty")
            let missing = try runInFolders(words + ["--set", "data.directory=data"])
            #expect(missing.status == 66)
            #expect(
                missing.ourErrors.hasPrefix(
                    "bn-train: error: rank 1 (\(hostName)): there is no data directory "
                        + "\(place.path)/b/data: get it with `bn-train get-data mnist "
                        + "\(place.path)/b/data`, or set data.directory to the folder that holds "
                ))

            try place.makeData(in: "b/data")
            try place.write(
                idx([20, 6, 5], [UInt8](repeating: 1, count: 600)),
                to: "b/data/train-images-idx3-ubyte")
            try place.write(
                idx([20], (0..<20).map { $0 % 10 }), to: "b/data/train-labels-idx1-ubyte")
            // The same path on both ranks, and yet other files, as on two hosts.
            let path = "/proc/self/cwd/data"
            try runInFolders(words + ["--set", "data.directory=\(path)"]).expect(
                64,
                "what was read as training images (SHA-256) differs: rank 0 has "
                    + "\(try digest("a", .trainingImages)) (\(hostName)), rank 1 has "
                    + "\(try digest("b", .trainingImages)) (\(hostName)); copy "
                    + "\(path)/train-images-idx3-ubyte to every host")

            // As many images, of other pixels, on one; on the other one label changed.
            try place.makeData(in: "b/data")
            var images = try place.bytes(of: "b/data/t10k-images-idx3-ubyte")
            images[16] ^= 1
            try place.write(images, to: "b/data/t10k-images-idx3-ubyte")
            try runInFolders(words + ["--set", "data.directory=\(path)"]).expect(
                64,
                "what was read as test images (SHA-256) differs: rank 0 has "
                    + "\(try digest("a", .testImages)) (\(hostName)), rank 1 has "
                    + "\(try digest("b", .testImages)) (\(hostName)); copy "
                    + "\(path)/t10k-images-idx3-ubyte to every host")
        }

        @Test(
            "the launcher of another MPI: an error that names both, from one process",
            .enabled(if: mpirunIsInstalled, "without MPI the program says that instead"))
        func foreignLauncher() throws {
            let words = Workplace.short + ["--quiet"]
            let first = try place.run(words, environment: ["PMI_SIZE": "4", "PMI_RANK": "0"])
            #expect(first.status == 64)
            let line = try Regex(
                "bn-train: error: started by MPICH's or Intel MPI's mpiexec with 4 processes, but "
                    + "Open MPI v[0-9.a-z]+ sees 1: they would train 4 separate models; use Open "
                    + "MPI's mpirun, or srun --mpi=pmix\n")
            #expect(first.stderr.wholeMatch(of: line) != nil, "\(first.stderr)")
            let third = try place.run(words, environment: ["PMI_SIZE": "4", "PMI_RANK": "2"])
            #expect(third.status == 64 && third.stderr == "")
            let slurm = [
                "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0",
            ]
            try place.run(words, environment: slurm).expect(
                64,
                "started by srun with 4 processes, but without PMIx, so that they cannot find one "
                    + "another; use Open MPI's mpirun, or srun --mpi=pmix")
        }
    }
}
