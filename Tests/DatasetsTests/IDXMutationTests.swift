import TensorCore
import Testing

@testable import Datasets

@Suite struct IDXMutationTests {
    /// Files to start from: plain and packed, images and labels, one and two members.
    private static let originals: [[UInt8]] = {
        let images = idx(
            extents: [5, 4, 3], elements: (0..<60).map { UInt8(truncatingIfNeeded: $0 * 29) })
        let labels = idx(extents: [40], elements: (0..<40).map { UInt8($0 % 10) })
        var records = idx(extents: [5, 8], elements: (0..<160).map { UInt8($0) })
        records[2] = 0x0c
        return [
            images, labels, records, gzip(records), gzip(images), gzip(labels, fileName: "labels"),
            gzip(Array(images[..<30]), level: 9) + gzip(Array(images[30...]), level: 0),
        ]
    }()

    @Test("100 000 mutated files are read, or refused with an error of their own")
    func mutations() throws {
        var outcomes: [String: Int] = [:]
        for round in 0..<100_000 {
            var dice = MutationDice(
                random: CounterRandom(seed: 2, purpose: .benchmark, index: UInt64(round)))
            let original = Self.originals[dice.below(Self.originals.count)]
            let content = mutated(original, &dice)
            let dimensions = dice.below(4) == 0 ? 1 : 3
            do throws(DatasetError) {
                let array = try IDXArray.parse(
                    content, file: "f",
                    forms: dimensions == 1 ? [.labels, .integerLabels, .records] : [.images])
                let isWhole =
                    (array.extents.count == dimensions || dimensions == 1 && array.form == .records)
                    && array.elements.count
                        == array.extents.reduce(array.form.elementBytes, *)
                if !isWhole { Issue.record("round \(round) read \(array)") }
                outcomes["read", default: 0] += 1
            } catch {
                let text = "\(error)"
                if error.category != .badData || !text.hasPrefix("f ") || text.contains("\n") {
                    Issue.record("round \(round) gave \(text)")
                }
                let name = "\(Mirror(reflecting: error).children.first?.label ?? "")"
                outcomes[name, default: 0] += 1
            }
        }
        // Each way out is taken: the mutations reach every check of the reader.
        let expected: Set = [
            "read", "notIDX", "wrongElementType", "wrongDimensionCount", "emptyExtent", "tooLarge",
            "truncated", "oversized", "corruptGzip",
        ]
        #expect(Set(outcomes.keys) == expected, "\(outcomes)")
    }

    /// One to four changes.
    private func mutated(_ original: [UInt8], _ dice: inout MutationDice) -> [UInt8] {
        var bytes = original
        for _ in 0...dice.below(4) {
            guard !bytes.isEmpty else { break }
            let place = dice.below(bytes.count)
            switch dice.below(8) {
            case 0: bytes[place] ^= 1 << UInt8(dice.below(8))
            case 1: bytes[place] = UInt8(dice.below(256))
            case 2: bytes.removeLast(dice.below(bytes.count + 1))
            case 3: bytes.insert(UInt8(dice.below(256)), at: place)
            case 4: bytes.remove(at: place)
            case 5: bytes += bytes[place..<min(place + 40, bytes.count)]
            case 6:
                // The header's fields, and gzip's, with values that hurt.
                let field = dice.below(min(bytes.count, 20))
                bytes[field] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)]
            default:
                // A whole extent.
                let extent = 4 + 4 * dice.below(3)
                guard bytes.count >= extent + 4 else { break }
                let value = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff][dice.below(5)]
                for (shift, index) in zip([24, 16, 8, 0], extent..<extent + 4) {
                    bytes[index] = UInt8(truncatingIfNeeded: value >> shift)
                }
            }
        }
        return bytes
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
