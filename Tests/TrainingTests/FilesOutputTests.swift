import Foundation
import Glibc
import Synchronization
import Testing
import Training

@Suite("files that are written")
struct FilesOutputTests {
    @Test("a whole file takes the place of the old one and leaves no temporary")
    func replaces() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/result"
            for text in ["first", "the second, longer", ""] {
                try writeAtomically(path: path, text: text)
                #expect(try contents(path) == text)
                #expect(try names(in: folder) == ["result"])
            }
        }
    }

    @Test("a body that throws leaves the old file and no temporary")
    func throwing() throws {
        struct Stop: Error {}
        try withTemporaryFolder { folder in
            let path = folder + "/result"
            try writeAtomically(path: path, text: "old")
            #expect(throws: Stop.self) {
                try writeAtomically(path: path) { writer in
                    try writer.write("half")
                    throw Stop()
                }
            }
            #expect(try contents(path) == "old")
            #expect(try names(in: folder) == ["result"])
        }
    }

    @Test("a disk that fills up is an error, and the old file stays whole")
    func fullDisk() async {
        // A limit on file sizes works without privileges, and holds for a whole process: a child.
        await #expect(processExitsWith: .success) {
            try withTemporaryFolder { folder in
                let path = folder + "/final.safetensors"
                let old = SafetensorsFile([.init(name: "w", shape: [2], [1, 2])])
                try old.write(to: path)
                signal(SIGXFSZ, SIG_IGN)
                var limit = rlimit(rlim_cur: 10_000, rlim_max: 10_000)
                #expect(setrlimit(__rlimit_resource_t(1), &limit) == 0)
                let new = SafetensorsFile([
                    .init(name: "w", shape: [5000], [Float](repeating: 1, count: 5000))
                ])
                let text = message { try new.write(to: path) }
                #expect(
                    text == "cannot write '\(path)': File too large; "
                        + "free space there or choose another folder")
                #expect(try SafetensorsFile(contentsOf: path).serialized == old.serialized)
                #expect(try names(in: folder) == ["final.safetensors"])

                let log = try MetricsLog(path: folder + "/metrics.jsonl")
                try log.append(["step": 1])
                let long: JSONObject = ["text": .string(String(repeating: "x", count: 10_000))]
                #expect(throws: FileError.self) { try log.append(long) }
                try log.append(["step": 2])
                #expect(
                    try contents(folder + "/metrics.jsonl") == "{\"step\":1}\n{\"step\":2}\n")
            }
        }
    }

    @Test("a folder that is missing, a file or the target being a folder are errors")
    func badPlaces() throws {
        try withTemporaryFolder { folder in
            #expect(
                message { try writeAtomically(path: folder + "/no/result", text: "x") }
                    == "cannot create '\(folder)/no/result': No such file or directory; "
                    + "check the path")
            try writeAtomically(path: folder + "/file", text: "x")
            #expect(
                message { try writeAtomically(path: folder + "/file/result", text: "x") }
                    == "cannot create '\(folder)/file/result': Not a directory; check the path")
            try FileManager.default.createDirectory(
                atPath: folder + "/target", withIntermediateDirectories: false)
            #expect(
                message { try writeAtomically(path: folder + "/target", text: "x") }
                    == "cannot replace '\(folder)/target': Is a directory; check the path")
            #expect(try names(in: folder) == ["file", "target"])
        }
    }

    @Test("metrics are one object a line, appended or started anew")
    func metrics() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/metrics.jsonl"
            let log = try MetricsLog(path: path)
            try log.append(["step": 1, "loss": .double(.nan)])
            #expect(try contents(path) == "{\"step\":1,\"loss\":null}\n")
            try MetricsLog(path: path, keepingLines: true).append(["step": 2])
            #expect(try contents(path) == "{\"step\":1,\"loss\":null}\n{\"step\":2}\n")
            try MetricsLog(path: path).append(["step": 3])
            #expect(try contents(path) == "{\"step\":3}\n")
        }
    }

    @Test(
        "metrics on a full device are an error",
        .enabled(if: access("/dev/full", W_OK) == 0, "there is no /dev/full here"))
    func fullDevice() {
        #expect(
            message { try MetricsLog(path: "/dev/full").append(["step": 1]) }
                == "cannot write '/dev/full': No space left on device; "
                + "free space there or choose another folder")
    }
}

@Suite("run folders")
struct FilesRunFolderTests {
    @Test("a folder is made with those above it, and names its files")
    func creates() throws {
        try withTemporaryFolder { folder in
            let run = try RunFolder(creating: folder + "/a/b/c/")
            #expect(run.path == folder + "/a/b/c")
            #expect(run.config == folder + "/a/b/c/config.json")
            #expect(run.metrics == folder + "/a/b/c/metrics.jsonl")
            #expect(run.finalModel == folder + "/a/b/c/final.safetensors")
            #expect(run.initialModel == folder + "/a/b/c/initial.safetensors")
            #expect(try names(in: run.path) == [])
            #expect(try RunFolder(creating: run.path) == run)
        }
    }

    @Test(
        "a folder that holds a run is refused unless it may be overwritten",
        arguments: ["config.json", "metrics.jsonl", "final.safetensors", "initial.safetensors"])
    func holdsRun(file: String) throws {
        try withTemporaryFolder { folder in
            try writeAtomically(path: folder + "/" + file, text: "old")
            #expect(
                message { _ = try RunFolder(creating: folder) }
                    == "'\(folder)' already holds a run (\(file)): give --resume auto to go on, "
                    + "--overwrite to replace it, or another folder with --out")
            _ = try RunFolder(creating: folder, overwrite: true)
            #expect(try contents(folder + "/" + file) == "old")
        }
    }

    @Test("a folder that cannot be made or written to is an error")
    func unwritable() throws {
        try withTemporaryFolder { folder in
            try writeAtomically(path: folder + "/file", text: "x")
            #expect(
                message { _ = try RunFolder(creating: folder + "/file") }
                    == "cannot create '\(folder)/file': Not a directory; check the path")
            #expect(
                message { _ = try RunFolder(creating: folder + "/file/run") }
                    == "cannot create '\(folder)/file/run': Not a directory; check the path")
        }
    }

    @Test(
        "a folder without permission is an error",
        .enabled(if: getuid() != 0, "root may write anywhere"))
    func forbidden() throws {
        try withTemporaryFolder { folder in
            chmod(folder, 0o555)
            defer { chmod(folder, 0o755) }
            #expect(
                message { _ = try RunFolder(creating: folder) }
                    == "cannot write to '\(folder)': Permission denied; "
                    + "change its permissions or choose another path")
        }
    }

    @Test("the next number follows the largest, whatever else is there")
    func nextNumber() throws {
        try withTemporaryFolder { folder in
            let runs = folder + "/runs"
            func next() throws -> String {
                try RunFolder(creatingNextNamed: "mlp", in: runs).path
            }
            #expect(try next() == runs + "/mlp-1")
            #expect(try next() == runs + "/mlp-2")
            for name in ["mlp-9", "mlp-x", "mlp-40-5", "other-77"] {
                try FileManager.default.createDirectory(
                    atPath: runs + "/" + name, withIntermediateDirectories: false)
            }
            #expect(try next() == runs + "/mlp-10")
        }
    }

    @Test("programs that race for the next number all get their own")
    func race() throws {
        try withTemporaryFolder { folder in
            let paths = Mutex<Set<String>>([])
            DispatchQueue.concurrentPerform(iterations: 40) { _ in
                let run = try? RunFolder(creatingNextNamed: "race", in: folder)
                paths.withLock { _ = $0.insert(run?.path ?? "failed") }
            }
            #expect(
                paths.withLock { $0 } == Set((1...40).map { "\(folder)/race-\($0)" }))
        }
    }
}

@Suite("SHA-256")
struct FilesSHA256Tests {
    @Test("the digests of FIPS 180-4's examples come out")
    func examples() {
        #expect(
            SHA256.digest(of: "abc")
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            SHA256.digest(of: "")
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    @Test("pieces give the digest of the whole, and so does a file")
    func pieces() throws {
        let whole = String(repeating: "0123456789", count: 250_000)
        let digest = SHA256()
        digest.update(String(whole.prefix(77)))
        digest.update(String(whole.dropFirst(77)))
        let expected = SHA256.digest(of: whole)
        #expect(digest.finish() == expected)
        try withTemporaryFolder { folder in
            try writeAtomically(path: folder + "/f", text: whole)
            #expect(try SHA256.digest(ofFile: folder + "/f") == expected)
            #expect(
                message { _ = try SHA256.digest(ofFile: folder + "/no") }
                    == "cannot open '\(folder)/no': No such file or directory; check the path")
        }
    }
}
