import Collectives
import Configuration
import Datasets
import Foundation
import Kernels
import Training

/// What every rank says of itself before step 1.
///
/// The same bits are promised for the same binary, configuration and data, on the same CPU type.
struct StartRecord: Codable, Equatable {
    var host: String
    var version: String
    var configuration: String
    var executable: String
    var threads: Int
    /// SHA-256 of what was read, by part: "training images".
    var content: [String: String]
    /// The data files that hold each part.
    var files: [String: [String]]
    /// SHA-256 of what inputs are scaled by; empty where nothing was fitted.
    var inputs: String
    var arithmetic: Int
    /// The instruction set that the program was compiled for: builds for other CPUs compute the same.
    var builtFor: String

    init(_ run: Launch.Run, machine: Machine, host: String) throws {
        self.host = host
        version = programVersion
        configuration = run.plan.configuration.canonicalJSON
        executable = try SHA256.digest(ofFile: "/proc/self/exe")
        threads = run.world.computingThreadsPerRank
        (content, files) = ([:], [:])
        for part in DatasetPair.Part.allCases {
            content[part.rawValue] = run.plan.content.digest(of: part)
            files[part.rawValue] = run.files.filter { $0.parts.contains(part) }.map(\.path)
        }
        inputs = run.plan.inputDigest
        arithmetic = arithmeticVersion
        builtFor = machine.compiledInstructionSet
    }

    init(decoding bytes: [UInt8]) throws {
        self = try JSONDecoder().decode(StartRecord.self, from: Data(bytes))
    }

    var encoded: [UInt8] {
        get throws { Array(try JSONEncoder().encode(self)) }
    }

    /// A way in which a rank differs from rank 0.
    struct Difference: Error, Equatable, CustomStringConvertible {
        let what: String
        let rank: Int
        let first: String
        let other: String
        let remedy: String

        /// What, where, what to do; one line.
        var description: String {
            "\(what) differs: rank 0 has \(first), rank \(rank) has \(other); \(remedy)"
        }
    }

    /// The ways in which ranks differ from rank 0.
    static func differences(_ records: [StartRecord]) -> [Difference] {
        guard let first = records.first else { return [] }
        var found: [Difference] = []
        for (rank, record) in records.enumerated().dropFirst() {
            found += first.differences(from: record, rank: rank)
        }
        return found
    }

    private func differences(from other: StartRecord, rank: Int) -> [Difference] {
        var found: [Difference] = []
        func compare(_ what: String, _ mine: String, _ theirs: String, _ remedy: String) {
            guard mine != theirs else { return }
            found.append(
                Difference(
                    what: what, rank: rank, first: "\(mine) (\(host))",
                    other: "\(theirs) (\(other.host))", remedy: remedy))
        }
        if configuration != other.configuration {
            let (key, mine, theirs) = Self.firstDifference(configuration, other.configuration)
            compare(
                "the configuration's \(key)", mine, theirs,
                "give all ranks the same --config and --set")
        }
        if builtFor == other.builtFor {
            compare(
                "the program (SHA-256 of the executable)", String(executable.prefix(12)),
                String(other.executable.prefix(12)), "install the same build on every host")
        } else {
            compare(
                "the program", "bn-train \(version), arithmetic \(arithmetic)",
                "bn-train \(other.version), arithmetic \(other.arithmetic)",
                "install the same version on every host")
        }
        compare(
            "the number of threads", "\(threads)", "\(other.threads)",
            "give all ranks the same --threads")
        for part in DatasetPair.Part.allCases.map(\.rawValue) {
            func digest(_ content: [String: String]) -> String {
                content[part].map { String($0.prefix(12)) } ?? "none"
            }
            let paths = files[part] ?? []
            compare(
                "what was read as \(part) (SHA-256)", digest(content), digest(other.content),
                paths.isEmpty
                    ? "install the same build on every host"
                    : "copy \(paths.joined(separator: ", ")) to every host")
        }
        func shortened(_ digest: String) -> String {
            digest.isEmpty ? "nothing fitted" : String(digest.prefix(12))
        }
        compare(
            "what inputs are scaled by (SHA-256)", shortened(inputs), shortened(other.inputs),
            "install the same LAPACK on every host, or train from one file with --init")
        return found
    }

    /// The first key, in dotted form, whose values differ.
    private static func firstDifference(
        _ left: String, _ right: String
    ) -> (key: String, left: String, right: String) {
        func leaves(_ text: String) -> [String: String] {
            let found = (try? JSONValue(parsing: text))?.leaves() ?? []
            return Dictionary(
                found.map { ($0.path, $0.value.string ?? $0.value.text) }, uniquingKeysWith: { $1 })
        }
        let (mine, theirs) = (leaves(left), leaves(right))
        for key in Set(mine.keys).union(theirs.keys).sorted() where mine[key] != theirs[key] {
            return (key, mine[key] ?? "nothing", theirs[key] ?? "nothing")
        }
        return ("text", "one", "another")
    }
}
