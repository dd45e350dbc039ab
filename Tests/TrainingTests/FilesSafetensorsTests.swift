import Foundation
import Testing
import Training

/// The bytes of a safetensors file of this header, as it stands, and data.
private func file(_ header: String, data: Int = 0) -> [UInt8] {
    file(Array(header.utf8), length: UInt64(header.utf8.count), data: data)
}

private func file(_ header: [UInt8], length: UInt64, data: Int = 0) -> [UInt8] {
    withUnsafeBytes(of: length.littleEndian) { Array($0) } + header
        + [UInt8](repeating: 0, count: data)
}

private func entry(_ name: String, _ type: String, _ shape: String, _ range: String) -> String {
    #""\#(name)":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(range)}"#
}

private let sample = SafetensorsFile(
    [
        .init(name: "layers.0.weight", shape: [2, 3], [1, -2, 3.5, 0, .infinity, 0x1p-133]),
        .init(name: "layers.0.bias", shape: [3], [7, 8, 9]),
        .init(name: "layers.1.num_batches_tracked", shape: [], integers: [1 << 40]),
        .init(name: "empty", shape: [0, 4], []),
        .init(name: "layers.10.weight", shape: [1, 1], [42]),
    ], metadata: ["version": "1", "config": "{\"a\": \"é\"}"], path: "sample")

@Suite("safetensors files")
struct FilesSafetensorsTests {
    @Test("a file that was written is read back whole, in order")
    func roundTrip() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/m.safetensors"
            try sample.write(to: path)
            let read = try SafetensorsFile(contentsOf: path)
            #expect(read.entries == sample.entries)
            #expect(
                read.entries.map(\.name) == [
                    "layers.0.weight", "layers.0.bias", "layers.1.num_batches_tracked", "empty",
                    "layers.10.weight",
                ])
            #expect(read.metadata == ["version": "1", "config": "{\"a\": \"é\"}"])
            #expect(try read.floats("layers.0.weight") == [1, -2, 3.5, 0, .infinity, 0x1p-133])
            #expect(try read.integers("layers.1.num_batches_tracked") == [1 << 40])
            #expect(try read.floats("layers.10.weight") == [42])
            #expect(try read.floats("empty").isEmpty)
            #expect(read.serialized == sample.serialized)
        }
    }

    @Test("the header is deterministic, ordered, and padded to 64 bytes")
    func header() throws {
        let file = SafetensorsFile(
            [.init(name: "b", shape: [1], [1]), .init(name: "a", shape: [2], [2, 3])],
            metadata: ["z": "1", "y": "2"])
        let text =
            #"{"__metadata__":{"y":"2","z":"1"},"b":{"dtype":"F32","shape":[1],"data_offsets":"#
            + #"[0,4]},"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#
        let padded = (8 + text.utf8.count + 63) / 64 * 64 - 8
        let expected =
            withUnsafeBytes(of: UInt64(padded).littleEndian) { Array($0) } + Array(text.utf8)
            + [UInt8](repeating: 0x20, count: padded - text.utf8.count)
            + [Float(1), 2, 3].withUnsafeBytes { Array($0) }
        #expect(file.serialized == expected)
    }

    @Test("the digest covers the Float32 data in order and nothing else")
    func digest() {
        let digest = SHA256()
        digest.update([1, -2, 3.5, 0, .infinity, 0x1p-133] as [Float])
        digest.update([7, 8, 9, 42] as [Float])
        #expect(sample.parametersDigest == digest.finish())
    }

    private func expect(
        _ bytes: [UInt8], _ expected: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let actual = message { _ = try SafetensorsFile(bytes: bytes, path: "f") }
        #expect(actual == expected, sourceLocation: sourceLocation)
    }

    @Test("a file that is cut off, or whose header's length is wrong, is an error in one line")
    func wrongLength() {
        let again = "; copy or save it again"
        expect([], "'f' is cut off: it should have at least 8 bytes and has 0" + again)
        expect([1, 2, 3], "'f' is cut off: it should have at least 8 bytes and has 3" + again)
        expect(
            file("{\(entry("w", "F32", "[3]", "[0,12]"))}", data: 5),
            "'f' is cut off: it should have at least 75 bytes and has 68" + again)
        expect(
            file([], length: 30, data: 7),
            "'f' is not a whole safetensors file: its header should have 30 bytes and 7 follow"
                + again)
        expect(
            file([], length: .max),
            "'f' is not a safetensors file: its header would have 18446744073709551615 bytes, "
                + "more than the 100000000 allowed; give a .safetensors file")
    }

    @Test("a header that is not a JSON object of sound entries is an error in one line")
    func wrongHeader() {
        let damaged = "'f' has a damaged header"
        let again = "; copy or save it again"
        expect(file([0x7B, 0xFF, 0x7D], length: 3), damaged + ", which is not UTF-8" + again)
        expect(
            file("{\"a\""),
            damaged + ", which is not JSON: a colon is missing at byte 4" + again)
        expect(file("[]"), damaged + ", which is not a JSON object" + again)
        expect(file(" []"), damaged + ", which is not a JSON object" + again)
        let first = entry("w", "F32", "[1]", "[0,4]")
        let second = entry("w", "F32", "[1]", "[4,8]")
        expect(
            file("{\(first),\(second)}", data: 8),
            damaged + ", which is not JSON: the name 'w' occurs twice at byte 54" + again)
        expect(
            file("{\"__metadata__\":{\"a\":1}}"),
            damaged + ": __metadata__ holds something other than strings; save it again")
        expect(
            file("{\"w\":1}"),
            "tensor 'w' in 'f' has no valid 'dtype' in the header; save it again")
        expect(
            file("{\(entry("w", "F32", "[-1]", "[0,4]"))}", data: 4),
            "tensor 'w' in 'f' has no valid 'shape' in the header; save it again")
        expect(
            file("{\(entry("w", "F32", "[1]", "[0,4.0]"))}", data: 4),
            "tensor 'w' in 'f' has no valid 'data_offsets' in the header; save it again")
        expect(
            file("{\(entry("w", "BF16", "[2]", "[0,2]"))}", data: 2),
            "tensor 'w' in 'f' has 2 bytes where its shape needs 4; save it again")
        expect(
            file("{\(entry("w", "F32", "[4611686018427387904,2]", "[0,8]"))}", data: 8),
            "tensor 'w' in 'f' has the impossible shape [4611686018427387904, 2]; save it again")
    }

    @Test("ranges that do not cover the data exactly are an error in one line")
    func wrongRanges() {
        expect(
            file("{\(entry("w", "F32", "[1]", "[4,0]"))}", data: 4),
            "tensor 'w' in 'f' has a range from byte 4 back to 0; save it again")
        expect(
            file("{\(entry("w", "I64", "[2]", "[0,8]"))}", data: 8),
            "tensor 'w' in 'f' has 8 bytes where its shape needs 16; save it again")
        let wide = entry("w", "F32", "[2]", "[0,8]")
        let crossing = entry("v", "F32", "[2]", "[4,12]")
        expect(
            file("{\(wide),\(crossing)}", data: 12),
            "tensor 'w' in 'f' shares bytes with 'v'; save it again")
        let narrow = entry("w", "F32", "[1]", "[0,4]")
        let distant = entry("v", "F32", "[1]", "[8,12]")
        expect(
            file("{\(narrow),\(distant)}", data: 12),
            "'f' has 4 bytes at 4 of its data that belong to no tensor; save it again")
        expect(
            file("{\(narrow)}", data: 9),
            "'f' has 5 bytes at 4 of its data that belong to no tensor; save it again")
    }

    @Test("a range that reaches the end of the address space does not trap")
    func largestRange() {
        let range = "[0,\(Int.max - 3)]"
        let bytes = file("{\(entry("w", "F32", "[\((Int.max - 3) / 4)]", range))}")
        #expect(
            message { _ = try SafetensorsFile(bytes: bytes, path: "f") }
                == "'f' is cut off: it should have at least 9223372036854775807 bytes and has "
                + "\(bytes.count); copy or save it again")
    }

    @Test("a missing file and a folder are errors that name the path")
    func unreadable() throws {
        try withTemporaryFolder { folder in
            #expect(
                message { _ = try SafetensorsFile(contentsOf: folder + "/no") }
                    == "no file '\(folder)/no': give the path of a model, such as "
                    + "runs/NAME-1/final.safetensors")
            #expect(
                message { _ = try SafetensorsFile(contentsOf: folder) }
                    == "cannot read '\(folder)': Is a directory; check the path")
        }
    }

    @Test("every proper prefix of a file is an error")
    func prefixes() {
        for count in 0..<sample.serialized.count {
            #expect(throws: CheckpointError.self) {
                _ = try SafetensorsFile(bytes: Array(sample.serialized[..<count]), path: "f")
            }
        }
    }

    @Test("loading into a model names the tensor that does not fit")
    func loading() throws {
        let model: [SafetensorsFile.Expectation] = [
            .init(name: "layers.0.weight", shape: [2, 3]), .init(name: "layers.0.bias", shape: [3]),
            .init(countOfBatches: "layers.1.num_batches_tracked"),
            .init(name: "empty", shape: [0, 4]), .init(name: "layers.10.weight", shape: [1, 1]),
        ]
        func check(_ change: (inout [SafetensorsFile.Expectation]) -> Void) -> String {
            var changed = model
            change(&changed)
            return message { try sample.match(changed) }
        }
        let start = "'sample' is of another network: "
        let remedy = "; use the config that the file was trained with"
        #expect(check { _ in } == "no error")
        #expect(check { $0.reverse() } == "no error")
        #expect(
            check { $0[1] = .init(name: "layers.2.bias", shape: [3]) }
                == start + "it lacks 'layers.2.bias', and it has beyond the network's "
                + "'layers.0.bias'" + remedy)
        #expect(
            check { $0.append(.init(name: "layers.4.weight", shape: [3])) }
                == start + "it lacks 'layers.4.weight'" + remedy)
        #expect(
            check { $0.remove(at: 4) }
                == start + "it has beyond the network's 'layers.10.weight'" + remedy)
        #expect(
            check { $0.removeSubrange(3...) }
                == start + "it has beyond the network's 'empty', 'layers.10.weight'" + remedy)
        #expect(
            check { $0[0] = .init(name: "layers.0.weight", shape: [3, 2]) }
                == "tensor 'layers.0.weight' in 'sample' has the shape [2, 3] where the model has "
                + "[3, 2]" + remedy)
        #expect(
            check { $0[2] = .init(name: "layers.1.num_batches_tracked", shape: []) }
                == "tensor 'layers.1.num_batches_tracked' in 'sample' has values of type I64 where "
                + "the model has F32: convert it and save again")
        #expect(
            message { _ = try sample.floats("layers.0.wight") }
                == "'sample' has no tensor 'layers.0.wight'; see its tensors with inspect")
    }

    @Test("100 000 mutated files are read or refused, and never trap")
    func mutations() {
        var generator = SeededGenerator(state: 2026)
        let seeds = [
            sample.serialized, file("{\(entry("w", "F32", "[2,1]", "[0,8]"))}", data: 8),
            SafetensorsFile([]).serialized,
        ]
        let words = [
            "9223372036854775807", "-1", "18446744073709551616", "1e9", "null", "[", "{", "\"",
            "\\u", "F32", "I64", "__metadata__", "[0,4]", ",", "\u{FEFF}", "é",
        ].map { Array($0.utf8) }
        var refused = 0
        let started = processorTime()
        for _ in 0..<100_000 {
            var bytes = seeds.randomElement(using: &generator)!
            for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
                // Most mutations hit the header, where the decisions are.
                let position = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<6, using: &generator) {
                case 0: bytes[position] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 2: bytes.removeSubrange(position..<min(bytes.count, position + 5))
                case 3:
                    bytes.insert(contentsOf: words.randomElement(using: &generator)!, at: position)
                case 4: bytes.removeLast(bytes.count - position)
                default: bytes[min(position % 8, bytes.count - 1)] = 0
                }
            }
            // Half of the inputs get a length that fits, so that the header itself is reached.
            if bytes.count > 8, Bool.random(using: &generator) {
                let length = min(sample.serialized.count - 80, bytes.count - 8)
                withUnsafeBytes(of: UInt64(length).littleEndian) {
                    bytes.replaceSubrange(..<8, with: $0)
                }
            }
            do {
                let file = try SafetensorsFile(bytes: bytes, path: "f")
                for entry in file.entries where entry.dataType == .float32 {
                    #expect(try file.floats(entry.name).count == entry.shape.reduce(1, *))
                }
            } catch {
                refused += 1
                #expect(!"\(error)".contains("\n"))
            }
        }
        #expect(refused > 50_000 && refused < 100_000)
        #expect(processorTime() - started < 20)
    }
}
