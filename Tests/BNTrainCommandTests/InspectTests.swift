import Foundation
import Testing
import Training

@testable import BNTrainCommand

private typealias Content = SafetensorsFile.Content

private let config = "{\n  \"seed\": 1\n}\n"

/// A small model; its digest is that of the values.
private func model(
    weight: [Float] = [1, -2, 3.5, 0], extra: [Content] = [], metadata: [String: String] = [:]
) throws -> SafetensorsFile {
    let contents =
        [
            Content(name: "layers.0.weight", shape: [2, 2], weight),
            Content(name: "layers.1.running_mean", shape: [2], [0.5, 0.25]),
            Content(name: "layers.1.num_batches_tracked", shape: [], integers: [7]),
        ] + extra
    let digest = SafetensorsFile(contents, metadata: [:]).parametersDigest
    let all = ["config": config, "program": "bn-train 0.1.0", "parameters_digest": digest]
        .merging(metadata) { $1 }
    return SafetensorsFile(contents, metadata: all)
}

@Suite struct InspectTests {
    @Test("one file: tensors with their range, parameters without running statistics, the digest")
    func one() throws {
        let summary = try FileSummary(model())
        #expect(summary.digestAgrees == true)
        #expect(summary.parameters == 4)
        #expect(summary.rows.map(\.smallest) == [-2, 0.25, 7])
        #expect(summary.rows.map(\.largest) == [3.5, 0.5, 7])
        #expect(summary.rows.map(\.mean) == [0.625, 0.375, 7])
        let lines = summary.text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.contains("program  bn-train 0.1.0"))
        #expect(lines.contains("digest   \(summary.digest) (as stored)"))
        #expect(lines.contains("    \"seed\": 1"))
        #expect(
            lines.contains(
                "layers.0.weight               F32   2 x 2           -2   3.5000  0.62500"))
        #expect(
            lines.contains(
                "layers.1.num_batches_tracked  I64   one value        7        7        7"))
        #expect(lines.contains("3 tensors, 4 parameters"))
    }

    @Test("one file as JSON")
    func oneJSON() throws {
        let json = try JSONValue(parsing: FileSummary(model()).json.text)
        #expect(json["command"]?.string == "inspect")
        #expect(json["config"]?["seed"]?.int == 1)
        #expect(json["digest_agrees"]?.bool == true)
        #expect(json["parameters_digest"] == json["stored_digest"])
        #expect(json["tensors"]?.array?.count == 3)
        #expect(json["tensors"]?.array?[0]["shape"] == [2, 2])
        #expect(json["tensors"]?.array?[0]["mean"]?.double == 0.625)
    }

    @Test("a file of another program has no config and no digest to compare with")
    func foreign() throws {
        let file = SafetensorsFile([Content(name: "w", shape: [0], [])], metadata: [:])
        let summary = try FileSummary(file)
        #expect(summary.digestAgrees == nil)
        #expect(summary.text.contains("config   none in the header\n"))
        #expect(summary.text.contains(" (none stored)\n"))
        #expect(summary.json["program"] == .null)
        #expect(summary.json["tensors"]?.array?[0]["min"] == .null)
    }

    @Test("NaN has no range, and control characters of a header do not reach the terminal")
    func hostile() throws {
        let summary = try FileSummary(
            model(weight: [.nan, 1, 2, 3], metadata: ["note": "a\u{1B}[2Jb", "config": "\u{7}"]))
        #expect(summary.rows[0].mean == nil)
        #expect(summary.text.contains("note: a?[2Jb\n"))
        #expect(summary.text.unicodeScalars.allSatisfy { $0 == "\n" || $0.value >= 32 })
        #expect(summary.json["config"] == .null)
    }

    @Test("values that are not those of the stored digest are told, with exit code 65")
    func changed() throws {
        let file = try model(metadata: ["parameters_digest": String(repeating: "0", count: 64)])
        let summary = try FileSummary(file)
        #expect(summary.digestAgrees == false)
        #expect(summary.text.contains("\nWARNING  the header has 0000"))
        #expect(try run([file]) == 65)
    }

    @Test("equal files: exit code 0, whatever their headers say")
    func equal() throws {
        let (a, b) = (try model(), try model(metadata: ["program": "other"]))
        let comparison = try FileComparison(a, b)
        #expect(comparison.isEqual)
        #expect(comparison.text.hasSuffix("equal: all 3 tensors have the same bits\n"))
        #expect(comparison.json["max_absolute"]?.double == 0)
        #expect(try run([a, b]) == 0)
    }

    @Test("different values: how many, how far apart, and over the largest of the second file")
    func values() throws {
        let (a, b) = (try model(weight: [1, -2, 3.5, 0]), try model(weight: [1, -2.5, 4, 0]))
        let comparison = try FileComparison(a, b)
        #expect(
            comparison.rows[0].difference
                == .values(2, of: 4, absolute: 0.5, relative: 0.125))
        #expect(comparison.rows[1].difference == nil)
        #expect(
            comparison.text.contains("layers.0.weight               2 of 4 values      0.50000"))
        #expect(comparison.text.hasSuffix("different: 1 of 3 tensors\n"))
        let json = try JSONValue(parsing: comparison.json.text)
        #expect(json["equal"]?.bool == false)
        #expect(json["max_relative"]?.double == 0.125)
        #expect(json["differences"]?.array?.count == 1)
        #expect(json["differences"]?.array?[0]["differing"]?.int == 2)
        #expect(try run([a, b]) == 1)
    }

    @Test("bits count, not values: -0 differs from 0, a NaN equals its own bits")
    func bits() throws {
        let zero = try FileComparison(model(weight: [0, 1, 1, 1]), model(weight: [-0.0, 1, 1, 1]))
        #expect(zero.rows[0].difference == .values(1, of: 4, absolute: 0, relative: 0))
        let nan = try FileComparison(
            model(weight: [.nan, 1, 1, 1]), model(weight: [.nan, 1, 1, 1]))
        #expect(nan.isEqual)
        let one = try FileComparison(model(weight: [.nan, 1, 1, 1]), model(weight: [1, 1, 1, 1]))
        #expect(one.rows[0].difference == .values(1, of: 4, absolute: nil, relative: nil))
        #expect(one.json["max_absolute"] == .null)
    }

    @Test("missing and extra tensors, other shapes and types are differences")
    func structure() throws {
        let scalar = Content(name: "x", shape: [1], [1])
        let row = Content(name: "x", shape: [1, 1], [1])
        let integer = Content(name: "x", shape: [1], integers: [1])
        let cases: [([Content], [Content], FileComparison.Difference)] = [
            ([scalar], [], .missing(file: 2)), ([], [scalar], .missing(file: 1)),
            ([scalar], [row], .shapes([1], [1, 1])), ([scalar], [integer], .types("F32", "I64")),
        ]
        for (first, second, difference) in cases {
            let (a, b) = (try model(extra: first), try model(extra: second))
            let comparison = try FileComparison(a, b)
            #expect(comparison.rows[3].difference == difference)
            #expect(comparison.rows[3].name == "x")
            #expect(try run([a, b]) == 1)
            #expect(try JSONValue(parsing: comparison.json.text)["equal"]?.bool == false)
        }
    }

    @Test("an integer that differs is compared as one, and left out of the largest difference")
    func integers() throws {
        let (a, b) = (
            try model(extra: [Content(name: "x", shape: [2], integers: [8, 1])]),
            try model(extra: [Content(name: "x", shape: [2], integers: [10, 1])])
        )
        let comparison = try FileComparison(a, b)
        #expect(
            comparison.rows[3].difference == .values(1, of: 2, absolute: 2, relative: 0.2))
        #expect(comparison.json["max_absolute"]?.double == 0)
        #expect(comparison.json["equal"]?.bool == false)
    }

    @Test("a missing file is an error, not a difference")
    func missing() {
        #expect(throws: CheckpointError.missingFile(path: "no/such.safetensors")) {
            try InspectCommand.run(["no/such.safetensors"], json: true)
        }
    }

    /// The exit code of the command on these files, with and without JSON.
    private func run(_ files: [SafetensorsFile]) throws -> Int32 {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("bn-train-inspect-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let paths = try files.enumerated().map { index, file in
            let url = folder.appendingPathComponent("\(index).safetensors")
            try Data(file.serialized).write(to: url)
            return url.path
        }
        let code = try InspectCommand.run(paths, json: true)
        #expect(try InspectCommand.run(paths, json: false) == code)
        return code
    }
}
