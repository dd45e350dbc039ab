import Configuration
import Foundation
import Testing

struct LayoutTests {
    private static let ownWords = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]

    @Test(
        "only what the layout names stands at the top level",
        .enabled(if: Repository.files != nil, "this is not a git clone"))
    func topLevel() {
        let named: Set<Substring> = [
            "Package.swift", "Package.resolved", "Sources", "Tests", "launch", "configs",
            "README.md", "CHANGELOG.md", "LICENSE",
        ]
        let found = Set((Repository.files ?? []).compactMap { $0.split(separator: "/").first })
        #expect(found.subtracting(named).filter { !$0.hasPrefix(".") } == [])
    }

    @Test("no source file has more than 450 lines")
    func fileLengths() throws {
        for file in Repository.swiftFiles(in: "Sources") + Repository.swiftFiles(in: "Tests") {
            let lines = try Repository.text(file).split(
                separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.count <= 450, "\(file)")
        }
    }

    @Test("no source file admits unfinished work")
    func nothingUnfinished() throws {
        for file in Repository.swiftFiles(in: "Sources") + Repository.swiftFiles(in: "Tests") {
            let text = try Repository.text(file)
            for word in Self.ownWords { #expect(!text.contains(word), "\(file): \(word)") }
        }
    }

    @Test("a module has at most one type whose sendability the compiler takes on trust")
    func uncheckedSendability() throws {
        for room in try PackageTable().ownRooms {
            let types = try Repository.swiftFiles(in: "Sources/\(room)").flatMap { file in
                try Repository.text(file).split(separator: "\n")
                    .filter { $0.contains("@unchecked Sendable") && !$0.contains("//") }
                    .map { "\(file): \($0)" }
            }
            #expect(types.count <= 1, "\(types)")
        }
    }

    @Test("no unsafe flag keeps the package from being a dependency")
    func noUnsafeFlags() throws {
        let text = try Repository.text("Package.swift")
        #expect(!text.contains("unsafe" + "Flags"))
        #expect(!text.contains(".package("), "no package from outside")
    }

    @Test("every file of configs/ is a valid configuration")
    func configurations() throws {
        let folder = Repository.folder.appending(path: "configs")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        #expect(files.contains("default.json5"))
        for file in files where file.hasSuffix(".json5") {
            #expect(throws: Never.self, "\(file)") {
                try RunConfiguration.load(file: folder.appending(path: file).path, settings: [])
            }
        }
    }

    @Test("every file of configs/experiments/ is a sweep with a quick form, and has its paragraph")
    func experiments() throws {
        let folder = Repository.folder.appending(path: "configs/experiments")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        let text = try Repository.text("configs/experiments/README.md")
        for file in files where file.hasSuffix(".json5") && file != "claims.json5" {
            #expect(throws: Never.self, "\(file)") {
                let path = folder.appending(path: file).path
                let whole = try SweepConfiguration.load(file: path)
                let quick = try SweepConfiguration.load(file: path, isQuick: true)
                #expect(quick.runCount <= whole.runCount)
                #expect(!whole.question.isEmpty)
            }
            #expect(text.contains("bn-train sweep configs/experiments/\(file)"), "\(file)")
        }
    }

    @Test("claims name sweeps that there are, and pictures")
    func claims() throws {
        let folder = Repository.folder.appending(path: "configs/experiments")
        let claims = try ClaimsConfiguration.load(
            file: folder.appending(path: "claims.json5").path)
        #expect(claims.claims.count > 10)
        for claim in claims.claims {
            let paths = [claim.sweep.map { "\($0).json5" }, claim.picture].compactMap { $0 }
            for path in paths where !path.isEmpty {
                #expect(
                    FileManager.default.fileExists(atPath: folder.appending(path: path).path),
                    "\(path)")
            }
        }
    }

    @Test("scripts can be run, stop at errors, and say how they are used")
    func scripts() throws {
        let names = try FileManager.default.contentsOfDirectory(
            atPath: Repository.folder.appending(path: "launch").path
        ).filter { $0 != "peers" }
        #expect(names.contains("train") && names.contains("test") && names.contains("setup"))
        for name in names where try Repository.text("launch/\(name)").hasPrefix("#!") {
            let path = Repository.folder.appending(path: "launch/\(name)").path
            #expect(FileManager.default.isExecutableFile(atPath: path), "launch/\(name)")
            let text = try Repository.text("launch/\(name)")
            #expect(text.contains("\n# usage: launch/\(name) "), "launch/\(name)")
            #expect(text.contains("/common\"\n") || text.contains("set -euo pipefail"), "\(name)")
        }
    }
}
