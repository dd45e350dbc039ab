import Configuration
import Datasets
import Kernels
import MPICollectives
import Testing
import Training

@testable import BNTrainCommand
@testable import Collectives

private struct Surprise: Error, CustomStringConvertible {
    var description: String { "two\nlines" }
}

@Suite struct MessagesTests {
    private let fingerprint = Fingerprint(step: 12, layer: 0, kind: .moments, length: 256)

    /// The message behind its prefix, the code, and whether it is one worker's own.
    private func expect(
        _ error: any Error, in world: World = World(), _ text: String, _ code: Int32,
        own: Bool = false, _ location: SourceLocation = #_sourceLocation
    ) {
        let ending = Ending(error, in: world)
        #expect(ending.message == "bn-train: error: " + text, sourceLocation: location)
        #expect(ending.code == code, sourceLocation: location)
        #expect(ending.isOneWorkers == own, sourceLocation: location)
    }

    private func configurationError(_ settings: String...) throws -> ConfigurationError {
        do {
            _ = try RunConfiguration.load(file: nil, settings: settings)
        } catch {
            return error
        }
        throw Surprise()
    }

    @Test("a setting's error keeps its source line and caret, and ends with 64")
    func configuration() throws {
        let error = try configurationError("batch.size=zero")
        let ending = Ending(error)
        #expect(ending.code == 64)
        #expect(!ending.isOneWorkers)
        #expect(
            ending.message == """
                bn-train: error: --set: batch.size: expected a whole number of at least 1, found \
                the string "zero"
                    --set batch.size=zero
                                     ^
                """)
    }

    @Test("a missing configuration file ends with 66")
    func missingConfiguration() {
        do {
            _ = try RunConfiguration.load(file: "no/such.json5", settings: [])
            Issue.record("a file that is not there was loaded")
        } catch {
            expect(
                error,
                "there is no configuration file \"no/such.json5\": correct --config, or leave it "
                    + "out for the embedded default", 66)
        }
    }

    @Test("data's errors end by their category, and all ranks find them alike")
    func data() {
        let directory = Ending(DatasetError.directoryMissing(path: "no/such", .idx))
        #expect(directory.code == 66)
        #expect(
            directory.message.hasPrefix("bn-train: error: there is no data directory no/such: "))
        expect(
            DatasetError.noFullBatch(batch: 60, samples: 40),
            "batch.size is 60, but there are 40 training samples, and data.dropLast leaves no "
                + "batch: give at most 40, or dropLast: false", 64)
        expect(
            DatasetError.truncated(file: "f", expected: 100, actual: 7),
            "f is truncated: it should have 100 bytes but ends after 7; download it again "
                + "(`bn-train get-data` knows the usual data sets)", 65)
        #expect(Ending(DatasetError.unreadable(path: "f", reason: "denied")).code == 74)
    }

    @Test("model files' errors end with 65, a missing one with 66")
    func checkpoints() {
        expect(
            CheckpointError.missingFile(path: "m"),
            "no file 'm': give the path of a model, such as runs/NAME-1/final.safetensors", 66)
        expect(
            CheckpointError.wrongShape(
                path: "m", tensor: "layers.0.weight", expected: [10, 4], actual: [4, 10],
                isOurs: true),
            "tensor 'layers.0.weight' in 'm' has the shape [4, 10] where the model has [10, 4]; "
                + "use the config that the file was trained with", 65)
    }

    @Test("the operating system's refusals end with 74, a folder that holds a run with 64")
    func files() {
        expect(
            FileError.io(path: "runs/a/final.safetensors", operation: "write", code: 28),
            "cannot write 'runs/a/final.safetensors': No space left on device; free space there "
                + "or choose another folder", 74)
        expect(
            FileError.folderHoldsRun(path: "runs/a", file: "config.json"),
            "'runs/a' already holds a run (config.json): give --resume auto to go on, "
                + "--overwrite to replace it, or another folder with --out", 64)
        expect(
            FileError.folderLocked(path: "runs/a", holder: "process 7 on host", seconds: 30),
            "'runs/a' is still in use by process 7 on host after 30 s of waiting: end it, or give "
                + "another folder with --out", 71)
        expect(
            ResumeError.nothingLeft(path: "a/step-9.safetensors", step: 9, totalSteps: 9),
            "'a/step-9.safetensors' was saved after step 9 of a run of 9: nothing is left to "
                + "train; set steps or epochs to more, or start a new run", 64)
    }

    @Test("an MPI that cannot start ends with 64")
    func session() {
        expect(
            MPISessionError.threadsNotAllowed(library: "Open MPI v4.1.4"),
            "Open MPI v4.1.4 does not grant MPI_THREAD_FUNNELED, which workers beside the MPI "
                + "thread need; install an Open MPI built with threads (Debian's is)", 64)
    }

    @Test("a rank that does not answer is named, with what it was waited for, and the code is 71")
    func timeout() {
        let world = World(ranks: 4, threadsPerRank: 2, rank: 0)
        let late = CollectiveError.timeout(waitingFor: [2], seconds: 300, at: fingerprint)
        let text =
            "step 12, layer 1's forward statistics, 256 values: it is stopped, dead or much "
            + "slower; see its output, or raise --timeout"
        expect(late, in: world, "rank 0 waited 300 s for rank 2 in " + text, 71, own: true)
        expect(
            WorkerFailure(
                worker: 0, error: TrainingError.failed(step: 12, epoch: 1, cause: late)),
            in: world, "rank 0 waited 300 s for rank 2 in epoch 1, " + text, 71, own: true)
        expect(
            CollectiveError.timeout(waitingFor: [1, 3], seconds: 2.5, at: nil), in: world,
            "rank 0 waited 2.5 s for ranks 1 and 3 in the start or end of the run: they are "
                + "stopped, dead or much slower; see their output, or raise --timeout", 71,
            own: true)
        let many = CollectiveError.timeout(
            waitingFor: Array(1...16), seconds: 1,
            at: Fingerprint(step: 0, layer: -1, kind: .start, length: 1))
        expect(
            many, in: World(ranks: 17, rank: 0),
            "rank 0 waited 1 s for ranks 1, 2, 3, 4 and 12 more in before step 1, records of the "
                + "start, 1 value: they are stopped, dead or much slower; see their output, or "
                + "raise --timeout", 71, own: true)
    }

    @Test("two workers in different collectives are named, and the code is 70")
    func mismatch() {
        let other = Fingerprint(step: 13, layer: -1, kind: .gradients, length: 1000)
        let tail =
            "; this is an internal error: please report it with the command and its configuration"
        let ranks = CollectiveError.mismatch(
            here: 1, mine: fingerprint, there: 0, theirs: other)
        expect(
            WorkerFailure(
                worker: 2, error: TrainingError.failed(step: 12, epoch: 1, cause: ranks)),
            in: World(ranks: 2, threadsPerRank: 2, rank: 1),
            "rank 1, worker 2, epoch 1: rank 1 came to step 12, layer 1's forward statistics, "
                + "256 values, but rank 0 to step 13, gradients, 1000 values" + tail, 70, own: true)
        let team = CollectiveError.mismatch(
            here: 3, mine: fingerprint, there: 2,
            theirs: Fingerprint(step: 12, layer: -1, kind: .barrier, length: 0))
        expect(
            WorkerFailure(worker: 3, error: team),
            in: World(ranks: 2, threadsPerRank: 2, rank: 1),
            "rank 1, worker 3: worker 3 came to step 12, layer 1's forward statistics, 256 "
                + "values, but worker 2 to step 12, a barrier" + tail, 70, own: true)
    }

    @Test("a message that the library could not bring, and an echo, end with 71")
    func transport() {
        expect(
            WorkerFailure(worker: 0, error: CollectiveError.transport("MPI_ERR_OTHER")),
            in: World(ranks: 2, rank: 0),
            "rank 0, worker 0: a message between ranks failed: MPI_ERR_OTHER; see the other "
                + "ranks' output, then start again", 71, own: true)
        expect(
            WorkerFailure(worker: 1, error: CollectiveError.peerFailed),
            in: World(threadsPerRank: 2),
            "rank 0, worker 1: another worker failed first; see its message", 71, own: true)
    }

    @Test("all ranks diverge alike: no worker is named, and the code is 73, wrapped or not")
    func diverged() {
        let error = TrainingError.diverged(
            step: 7, epoch: 2, found: NonFinite(value: .loss, layer: "layers.3", shard: 5),
            learningRate: 0.5)
        let text =
            "training diverged at step 7 (epoch 2): layer layers.3 was the first to give NaN or "
            + "Inf, in shard 5; lower optimizer.learningRate (now 0.5), add "
            + "schedule.warmupSteps, or check the data's scaling"
        expect(error, text, 73)
        let wrapped = TrainingError.failed(step: 7, epoch: 2, cause: error)
        expect(WorkerFailure(worker: 1, error: error), text, 73)
        expect(WorkerFailure(worker: 1, error: wrapped), text, 73)
    }

    @Test("a worker's own failure names rank, worker, epoch and step")
    func own() {
        let world = World(ranks: 2, threadsPerRank: 2, rank: 1)
        let text =
            "internal error: two?lines; please report it with the output of `bn-train doctor`"
        expect(Surprise(), in: world, text, 70, own: true)
        expect(
            WorkerFailure(worker: 3, error: Surprise()), in: world, "rank 1, worker 3: " + text, 70,
            own: true)
        expect(
            WorkerFailure(
                worker: 3, error: TrainingError.failed(step: 5, epoch: 2, cause: Surprise())),
            in: world, "rank 1, worker 3, epoch 2, step 5: " + text, 70, own: true)
    }

    @Test("a file's error inside a worker is said as it is")
    func fileInWorker() {
        expect(
            WorkerFailure(
                worker: 0, error: FileError.io(path: "m", operation: "write", code: 28)),
            "cannot write 'm': No space left on device; free space there or choose another folder",
            74)
    }

    @Test("what nobody expected is an internal error in one line")
    func unexpected() {
        expect(
            WorkerFailure(worker: 0, error: Surprise()),
            "rank 0, worker 0: internal error: two?lines; please report it with the output of "
                + "`bn-train doctor`", 70, own: true)
    }

    @Test("every kind of collective has words", arguments: Fingerprint.Kind.allCases)
    func words(kind: Fingerprint.Kind) {
        let words = Fingerprint(step: 3, layer: 1, kind: kind, length: 2).words
        #expect(words.hasPrefix("step 3, layer 2's "))
        #expect(words.contains("2 values") == (kind != .barrier))
    }
}
