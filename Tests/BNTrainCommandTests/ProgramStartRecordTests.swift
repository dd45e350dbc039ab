import Foundation
import Testing

@testable import BNTrainCommand

@Suite("What ranks compare before step 1")
struct StartRecordTests {
    private func record(_ changes: [String: Any] = [:]) throws -> StartRecord {
        var values: [String: Any] = [
            "host": "node1", "version": "0.1.0",
            "configuration": #"{"batch": {"size": 60}, "steps": 10}"#, "executable": "e0",
            "threads": 2,
            "content": ["training images": "aa", "training labels": "bb"],
            "files": [
                "training images": ["/d/images", "/d/more"], "training labels": ["/d/labels"],
            ],
            "arithmetic": 2, "builtFor": "AVX-512",
            "inputs": "",
        ]
        values.merge(changes) { $1 }
        return try StartRecord(
            decoding: [UInt8](JSONSerialization.data(withJSONObject: values)))
    }

    @Test("equal records have no differences, and the host's name is none")
    func equal() throws {
        #expect(
            try StartRecord.differences([record(), record(["host": "node2"]), record()]).isEmpty)
        #expect(try StartRecord(decoding: record().encoded) == record())
        #expect(StartRecord.differences([]).isEmpty)
    }

    @Test("builds for other CPUs go together where their arithmetic is the same")
    func builds() throws {
        let neon: [String: Any] = ["builtFor": "NEON", "executable": "e1", "host": "node3"]
        #expect(try StartRecord.differences([record(), record(), record(neon)]).isEmpty)
        let found = try StartRecord.differences([
            record(), record(neon.merging(["arithmetic": 3]) { $1 }),
        ])
        #expect(
            found.map(\.description) == [
                "the program differs: rank 0 has bn-train 0.1.0, arithmetic 2 (node1), rank 1 has "
                    + "bn-train 0.1.0, arithmetic 3 (node3); install the same version on every host"
            ])
    }

    @Test("configuration, executable, threads and data are errors")
    func errors() throws {
        let found = try StartRecord.differences([
            record(),
            record([
                "executable": "e1", "threads": 3, "host": "node2",
                "configuration": #"{"batch": {"size": 61}, "steps": 10}"#,
                "content": ["training images": "cc", "training labels": "dd"],
                "files": ["training images": ["/e/images.gz"]], "inputs": "fedcba9876543210",
            ]),
        ])
        #expect(
            found.map(\.description) == [
                "the configuration's batch.size differs: rank 0 has 60 (node1), rank 1 has 61 "
                    + "(node2); give all ranks the same --config and --set",
                "the program (SHA-256 of the executable) differs: rank 0 has e0 (node1), rank 1 "
                    + "has e1 (node2); install the same build on every host",
                "the number of threads differs: rank 0 has 2 (node1), rank 1 has 3 (node2); give "
                    + "all ranks the same --threads",
                "what was read as training images (SHA-256) differs: rank 0 has aa (node1), rank 1 "
                    + "has cc (node2); copy /d/images, /d/more to every host",
                "what was read as training labels (SHA-256) differs: rank 0 has bb (node1), rank 1 "
                    + "has dd (node2); copy /d/labels to every host",
                "what inputs are scaled by (SHA-256) differs: rank 0 has nothing fitted "
                    + "(node1), rank 1 has fedcba987654 (node2); install the same LAPACK on every host, or train from "
                    + "one file with --init",
            ])
    }

    @Test("files of other names, or packed, are no difference where they hold the same")
    func packed() throws {
        let other = try record(["files": ["training images": ["/e/images.gz"]]])
        #expect(try StartRecord.differences([record(), other]).isEmpty)
    }

    @Test("a key that only one rank has is named too")
    func missingKey() throws {
        let found = try StartRecord.differences([
            record(), record(["configuration": #"{"batch": {"size": 60}}"#]),
        ])
        #expect(found.map(\.what) == ["the configuration's steps"])
        #expect(found.first?.other == "nothing (node1)")
    }
}
