import TensorCore
import Testing

@testable import Datasets

@Suite struct CIFARMutationTests {
    private static let records = cifarRecords(.hundred, count: 2)

    /// Archives to start from, plain and packed; one without the zeros at its end.
    private static let archives: [[UInt8]] = {
        let plain =
            tarMember("x/", [], type: 0x35) + tarMember("x/test.bin", records)
            + tarMember("x/readme", [1, 2, 3]) + tarMember("x/train.bin", records)
        return [plain + tarEnd, plain, gzip(plain + tarEnd), gzip(plain + tarEnd, level: 0)]
    }()

    private static let files: [[UInt8]] = [records, gzip(records), gzip(records, level: 0)]

    /// Reads `rounds` mutated files; what comes out, and how often.
    private func outcomes(
        rounds: Int, seed: UInt64, of originals: [[UInt8]],
        _ read: ([UInt8]) throws(DatasetError) -> Void
    ) -> [String: Int] {
        var outcomes: [String: Int] = [:]
        for round in 0..<rounds {
            var dice = MutationDice(
                random: CounterRandom(seed: seed, purpose: .benchmark, index: UInt64(round)))
            let content = mutated(originals[dice.below(originals.count)], &dice)
            do throws(DatasetError) {
                try read(content)
                outcomes["read", default: 0] += 1
            } catch {
                let text = "\(error)"
                if error.category != .badData || !text.hasPrefix("f ") || text.contains("\n") {
                    Issue.record("round \(round) gave \(text)")
                }
                outcomes[Mirror(reflecting: error).children.first?.label ?? "", default: 0] += 1
            }
        }
        return outcomes
    }

    @Test("100 000 mutated archives are read, or refused with an error of their own")
    func archives() {
        let outcomes = outcomes(rounds: 100_000, seed: 3, of: Self.archives) {
            (content) throws(DatasetError) in
            let parts = try DatasetPair.cifarParts(
                .hundred, archive: MemoryStream(content), file: "f")
            for part in parts {
                if part?.images.count != (part?.labels.count ?? 0) * CIFAR.pixelBytes {
                    Issue.record("a part is not whole")
                }
            }
        }
        let expected: Set = [
            "read", "corruptTar", "corruptGzip", "memberMissing", "wrongRecordSize",
            "labelOutOfRange",
        ]
        #expect(expected.isSubset(of: outcomes.keys), "\(outcomes)")
    }

    @Test("100 000 mutated files of records are read, or refused with an error of their own")
    func files() {
        let outcomes = outcomes(rounds: 100_000, seed: 4, of: Self.files) {
            (content) throws(DatasetError) in
            _ = try CIFARRecords(
                .hundred, from: MemoryStream(content), file: "f", memoryLimit: 1 << 20)
        }
        let expected: Set = ["read", "corruptGzip", "wrongRecordSize", "labelOutOfRange"]
        #expect(expected.isSubset(of: outcomes.keys), "\(outcomes)")
    }

    /// One to three changes, most of them where headers and labels are.
    private func mutated(_ original: [UInt8], _ dice: inout MutationDice) -> [UInt8] {
        var bytes = original
        for _ in 0...dice.below(3) {
            guard !bytes.isEmpty else { break }
            let block = dice.below(bytes.count / 512 + 1) * 512
            let place =
                dice.below(2) == 0
                ? min(block + dice.below(160), bytes.count - 1) : dice.below(bytes.count)
            switch dice.below(8) {
            case 0: bytes[place] ^= 1 << UInt8(dice.below(8))
            case 1: bytes[place] = UInt8(dice.below(256))
            case 2: bytes.removeLast(dice.below(bytes.count + 1))
            case 3: bytes.insert(UInt8(dice.below(256)), at: place)
            case 4: bytes.remove(at: place)
            case 5: bytes += bytes[place..<min(place + 600, bytes.count)]
            case 6:
                // A whole block goes, or comes again.
                let end = min(block + 512, bytes.count)
                let copy = Array(bytes[min(block, end)..<end])
                if dice.below(2) == 0 {
                    bytes.removeSubrange(min(block, end)..<end)
                } else {
                    bytes.insert(contentsOf: copy, at: end)
                }
            default: sign(&bytes, block, &dice)
            }
        }
        return bytes
    }

    /// Puts a hurtful size or type into what may be a header, and makes its checksum right.
    private func sign(_ bytes: inout [UInt8], _ block: Int, _ dice: inout MutationDice) {
        guard block + 512 <= bytes.count else { return }
        let sizes = ["00000000000", "77777777777", "00000006002", "00000000001", "8", "-1"]
        let size = Array(sizes[dice.below(sizes.count)].utf8)
        bytes.replaceSubrange(block + 124..<block + 124 + size.count, with: size)
        bytes[block + 156] = [0x30, 0x35, 0x4c, 0][dice.below(4)]
        bytes.replaceSubrange(block + 148..<block + 156, with: Array("        ".utf8))
        let text = String(bytes[block..<block + 512].reduce(0) { $0 + Int($1) }, radix: 8)
        let digits = Array((String(repeating: "0", count: 6 - text.count) + text + "\0 ").utf8)
        bytes.replaceSubrange(block + 148..<block + 156, with: digits)
    }
}

/// Random choices in turn.
private struct MutationDice {
    let random: CounterRandom
    var position = 0

    mutating func below(_ bound: Int) -> Int {
        defer { position += 1 }
        return random.integer(below: bound, at: position)
    }
}
