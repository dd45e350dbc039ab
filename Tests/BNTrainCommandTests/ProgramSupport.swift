import FaultInjection
import Foundation
import TestSupport
import Testing
import Training

/// The built program, as its users meet it: started with words, in a folder of its own, judged by
/// what it writes and by its exit code.
///
/// One suite, one run at a time: each starts threads or ranks of its own on the same cores.
@Suite(
    "The built program", .serialized,
    .enabled(if: rankTestRanks == nil, "this is a rank of another test"))
enum ProgramTests {}

/// A folder for a test's files, in which the program runs; removed with the object.
final class Workplace {
    let path: String

    init() throws {
        let name = "bn-train-program-\(UUID().uuidString)"
        let url = FileManager.default.temporaryDirectory.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.resolvingSymlinksInPath().path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    // MARK: runs

    /// `bn-train words`, in this folder, with the fault planted that the environment may name.
    func run(
        _ words: [String], environment: [String: String] = [:], timeout: Double = 60
    ) throws -> ProcessResult {
        try runProcess(
            ["-C", path, Self.program(in: environment)] + words, environment: environment,
            timeout: timeout)
    }

    /// The same from a bash command in which "$@" stands for the program and its words.
    func run(shell: String, _ words: [String]) throws -> ProcessResult {
        try runProcess(["-C", path, "bash", "-c", shell, "bash", Self.program] + words)
    }

    /// `mpirun -n ranks bn-train words`.
    func run(
        ranks: Int, _ words: [String], environment: [String: String] = [:], timeout: Double = 60
    ) throws -> ProcessResult {
        try start(ranks: ranks, words, environment: environment).wait(timeout: timeout)
    }

    /// The same, under way.
    func start(
        ranks: Int, _ words: [String], environment: [String: String] = [:]
    ) throws -> RunningProcess {
        try start(
            contexts: [["-n", "\(ranks)", Self.program(in: environment)] + words],
            environment: environment)
    }

    /// `mpirun` of several programs or command lines, as one world.
    func run(contexts: [[String]], environment: [String: String] = [:]) throws -> ProcessResult {
        try start(contexts: contexts, environment: environment).wait(timeout: 60)
    }

    private func start(
        contexts: [[String]], environment: [String: String]
    ) throws -> RunningProcess {
        // Many tests go from threads on to ranks: without MPI they end here, as far as they got.
        guard mpirunIsInstalled else { try Test.cancel("the rest needs mpirun") }
        // What `startMPIRun` sets, for machines of any size and for root.
        var variables = [
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "PRTE_ALLOW_RUN_AS_ROOT": "1", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        ]
        variables.merge(environment) { $1 }
        return try RunningProcess(
            // Threads of a test run ignore signals, and a child inherits that.
            ["-C", path, "--default-signal=INT,TERM,USR1", "mpirun", "--oversubscribe"]
                + contexts.joined(separator: [":"]),
            environment: variables)
    }

    /// The program, built beside the tests.
    static let program = builtProgram("bn-train")

    /// The same, which plants the fault that `PlantedFault.variable` names: no user has it.
    static let faultyProgram = builtProgram("bn-train-with-faults")

    private static func program(in environment: [String: String]) -> String {
        environment[PlantedFault.variable] == nil ? program : faultyProgram
    }

    // MARK: files

    /// The path of a file in this folder.
    func file(_ name: String) -> String { path + "/" + name }

    func write(_ bytes: [UInt8], to name: String) throws {
        let url = URL(fileURLWithPath: file(name))
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
    }

    func write(_ text: String, to name: String) throws { try write(Array(text.utf8), to: name) }

    func bytes(of name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: file(name))))
    }

    func text(of name: String) throws -> String {
        String(decoding: try bytes(of: name), as: UTF8.self)
    }

    /// The names in a folder, in order.
    func names(in folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: file(folder)).sorted()
    }

    /// A whole data set in IDX files: 40 training and 20 test images of 6 × 5 pixels, 10 classes.
    func makeData(in folder: String) throws {
        for (prefix, count) in [("train", 40), ("t10k", 20)] {
            try write(
                idx(
                    [count, 6, 5],
                    (0..<count * 30).map { UInt8(truncatingIfNeeded: $0 * 37 + $0 / 30) }),
                to: "\(folder)/\(prefix)-images-idx3-ubyte")
            try write(
                idx([count], (0..<count).map { UInt8($0 % 10) }),
                to: "\(folder)/\(prefix)-labels-idx1-ubyte")
        }
    }

    /// A short run, about 0.1 s: 40 steps, 8 shards, batches of 24, the last of each epoch of 11.
    static let short = [
        "--set", "data.samples=203", "--set", "data.testSamples=60", "--set", "batch.size=24",
        "--set", "batch.shards=8", "--set", "model.hidden=[16,12]", "--set", "steps=40",
        "--set", "evaluate.everySteps=20",
    ]

    /// A run that lasts until it is ended.
    static let endless = [
        "--set", "data.samples=203", "--set", "data.testSamples=60", "--set", "batch.size=24",
        "--set", "batch.shards=8", "--set", "model.hidden=[16,12]", "--set", "steps=1000000000",
        "--set", "evaluate.everySteps=20",
    ]
}

/// The bytes of an IDX file of unsigned bytes.
func idx(_ extents: [Int], _ elements: [UInt8]) -> [UInt8] {
    let sizes = extents.flatMap { extent in (0..<4).map { UInt8(extent >> (24 - 8 * $0) & 0xff) } }
    return [0, 0, 8, UInt8(extents.count)] + sizes + elements
}

/// `bytes`, fewer than 64 KiB, as a gzip file that stores them as they are (RFC 1951 and 1952).
func gzipStored(_ bytes: [UInt8]) -> [UInt8] {
    var crc = UInt32.max
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    func little(_ value: UInt32, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
    }
    let size = UInt32(bytes.count)
    return [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1] + little(size, 2) + little(~size, 2) + bytes
        + little(~crc, 4) + little(size, 4)
}

extension ProcessResult {
    /// Standard error without what mpirun itself says: its boxes between dashes, its lines that
    /// open with [host:process], and blank lines.
    var ourErrors: String {
        var isBox = false
        var lines: [Substring] = []
        for line in stderr.split(separator: "\n") {
            if line.count > 20, line.allSatisfy({ $0 == "-" }) {
                isBox.toggle()
            } else if !isBox, !line.hasPrefix("[") {
                lines.append(line)
            }
        }
        return lines.joined(separator: "\n")
    }

    /// The object on the last line of standard output.
    func lastObject() throws -> JSONObject {
        let line = try #require(stdout.split(separator: "\n").last, "\(stderr)")
        let object = try JSONValue(parsing: Array(line.utf8)).object
        return try #require(object)
    }

    /// The whole of what was said is one error, and the exit code is its.
    func expect(
        _ code: Int32, _ message: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(ourErrors == "bn-train: error: " + message, sourceLocation: sourceLocation)
        #expect(status == code, sourceLocation: sourceLocation)
        #expect(stdout == "", sourceLocation: sourceLocation)
        #expect(!timedOut, sourceLocation: sourceLocation)
    }

    /// The run ended well.
    func expectSuccess(sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(status == 0 && !timedOut, "\(stderr)", sourceLocation: sourceLocation)
    }
}
