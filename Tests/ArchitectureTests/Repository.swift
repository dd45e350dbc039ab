import Foundation
import TestSupport

/// The repository as files, for tests of its layout.
enum Repository {
    /// Found from this file.
    static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The paths of the files under version control and of new ones that are not ignored; nil
    /// outside a clone, where nothing tells a new file from a product.
    static let files: [String]? = {
        let git = try? runProcess(
            [
                "git", "-C", folder.path, "ls-files", "--cached", "--others", "--exclude-standard",
            ])
        guard let git, git.status == 0 else { return nil }
        return git.stdout.split(separator: "\n").map(String.init).filter {
            FileManager.default.fileExists(atPath: folder.appending(path: $0).path)
        }
    }()

    /// The Swift files below a folder, as paths from the repository's.
    static func swiftFiles(in path: String) -> [String] {
        let all = FileManager.default.enumerator(atPath: folder.appending(path: path).path)
        return (all?.compactMap { $0 as? String } ?? [])
            .filter { $0.hasSuffix(".swift") }.map { "\(path)/\($0)" }.sorted()
    }

    static func text(_ path: String) throws -> String {
        try String(contentsOf: folder.appending(path: path), encoding: .utf8)
    }

    /// The modules that a file imports, in the order of its lines.
    static func imports(_ path: String) throws -> [String] {
        try text(path).split(separator: "\n").compactMap { line in
            line.firstMatch(
                of: /^\s*(?:@\w+ )?(?:(?:public|package|internal|private) )?import (\w+)/
            )
            .map { String($0.1) }
        }
    }
}

/// The targets of Package.swift, read from its text, each with what it may import.
struct PackageTable {
    /// Swift rooms: below Sources, and what test targets share.
    var rooms: [String: Set<String>] = [:]

    /// Where a room lies that does not lie below Sources.
    private var paths: [String: String] = [:]

    /// The folder of a room.
    func folder(of room: String) -> String { paths[room] ?? "Sources/\(room)" }

    /// The rooms that products are made of.
    var ownRooms: [String] { rooms.keys.filter { paths[$0] == nil } }

    /// Test targets.
    var tests: [String: Set<String>] = [:]

    init() throws {
        let text = try Repository.text("Package.swift")
        // room("Name"), room("Name", ["A", mpi("B")]) or tests("Name", [...]), over several lines.
        let targets = /\b(room|tests)\(\s*"(\w+)"(?:,\s*\[([^\]]*)\])?\s*\)/
        for match in text.matches(of: targets) {
            let names = (match.3 ?? "").matches(of: /"(\w+)"/).map { String($0.1) }
            if match.1 == "room" {
                rooms[String(match.2)] = Set(names)
            } else {
                tests[String(match.2)] = Set(names + ["TestSupport"])
            }
        }
        let others =
            /arget\(\s*name: "([\w-]+)",\s*dependencies: \[([^\]]*)\],\s*(?:path: "([^"]*)",)?/
        for match in text.matches(of: others) where match.3 != nil || match.1 == "bn-train" {
            let names = match.2.matches(of: /"(\w+)"/).map { String($0.1) }
            rooms[String(match.1)] = Set(names)
            paths[String(match.1)] = match.3.map(String.init)
        }
    }

    /// C targets and system libraries: what a room may import and is no room itself.
    static let cModules: Set<String> = [
        "COpenMPI", "CMPI", "CPlatform", "CZlib", "CCrypto", "CLAPACK",
    ]

    /// What comes with the toolchain.
    static let toolchain: Set<String> = [
        "Foundation", "FoundationXML", "Glibc", "Musl", "Dispatch", "Synchronization", "Testing",
    ]
}
