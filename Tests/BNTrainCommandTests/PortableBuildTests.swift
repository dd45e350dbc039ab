import Foundation
import TestSupport
import Testing

@testable import BNTrainCommand

@Suite("builds for several CPUs beside each other")
struct PortableBuildTests {
    @Test(
        "the fastest build that the CPU runs is found",
        arguments: [
            (4, ["x86-64-v3", "x86-64-v4"], "x86-64-v4"),
            (3, ["x86-64-v3", "x86-64-v4"], "x86-64-v3"),
            (2, ["x86-64-v3", "x86-64-v4"], nil),
            (4, ["x86-64-v3"], "x86-64-v3"),
            (4, [], nil),
            (0, ["x86-64-v3", "x86-64-v4"], nil),
        ] as [(Int, [String], String?)])
    func fastest(level: Int, builds: [String], expected: String?) throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("portable-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        func place(_ build: String) -> URL {
            folder.appendingPathComponent("libexec/bn-train/\(build)/bn-train")
        }
        for build in builds {
            let file = place(build)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data().write(to: file)
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o755], ofItemAtPath: file.path)
        }
        let program = folder.appendingPathComponent("bin/bn-train").path
        let found = PortableBuild.fastest(beside: program, level: level)
        #expect(found == expected.map { place($0).path })
    }

    @Test("a file that cannot be run is none")
    func notExecutable() throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("portable-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("libexec/bn-train/x86-64-v4/bn-train")
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data().write(to: file)
        let program = folder.appendingPathComponent("bin/bn-train").path
        #expect(PortableBuild.fastest(beside: program, level: 4) == nil)
    }
}
