import Testing

@testable import Datasets

@Suite struct IDXArrayTests {
    static let images = idx(extents: [3, 2, 5], elements: (0..<30).map { UInt8($0 * 8) })

    private func parse(_ content: [UInt8], dimensions: Int = 3) throws -> IDXArray {
        try IDXArray.parse(content, file: "d/images", forms: [dimensions == 1 ? .labels : .images])
    }

    @Test(
        "extents and elements come back as they were written",
        arguments: [[1, 1, 1], [3, 2, 5], [70, 28, 28], [2, 300, 1], [1, 7, 260]])
    func roundTrip(extents: [Int]) throws {
        let count = extents.reduce(1, *)
        let elements = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 97 >> 3) }
        let content = idx(extents: extents, elements: elements)
        let array = try parse(content)
        #expect(array.extents == extents && array.elements == elements)
        for level in [0, 1, 9] as [Int32] {
            #expect(try parse(gzip(content, level: level)) == array)
        }
    }

    @Test("a name in the gzip header changes nothing")
    func namedMember() throws {
        let packed = gzip(Self.images, fileName: "train-images.idx3-ubyte")
        #expect(packed.count > gzip(Self.images).count)
        #expect(try parse(packed) == parse(Self.images))
    }

    @Test("gzip members may follow each other, wherever the content is cut")
    func concatenatedMembers() throws {
        let expected = try parse(Self.images)
        for cut in 0...Self.images.count {
            let members = gzip(Array(Self.images[..<cut])) + gzip(Array(Self.images[cut...]))
            #expect(try parse(members) == expected)
        }
    }

    @Test("zeros may fill up the end of gzip data")
    func padding() throws {
        let packed = gzip(Self.images) + [UInt8](repeating: 0, count: 70_000)
        #expect(try parse(packed) == parse(Self.images))
    }

    @Test("other data after the end of gzip data is an error")
    func trailingGarbage() {
        for garbage in [[0x41], [0, 0, 0x41], [0x1e, 0x8b, 8]] as [[UInt8]] {
            expectError(
                "d/images is damaged gzip data (other data follows its end): " + downloadAgain
            ) { _ = try parse(gzip(Self.images) + garbage) }
        }
    }

    @Test("plain content cut anywhere is truncated, and the message counts")
    func truncated() {
        for length in 0..<Self.images.count {
            let expected = length < 16 ? 16 : 46
            expectError(
                "d/images is truncated: it should have \(expected) bytes but ends after \(length); "
                    + downloadAgain
            ) { _ = try parse(Array(Self.images[..<length])) }
        }
    }

    @Test("gzip data cut anywhere is an error")
    func truncatedGzip() {
        let packed = gzip(Self.images, level: 9)
        for length in 2..<packed.count {
            expectError(
                "d/images is damaged gzip data (it ends in the middle): " + downloadAgain
            ) { _ = try parse(Array(packed[..<length])) }
        }
    }

    @Test("gzip data that holds less than its header declares is truncated")
    func shortGzip() {
        let content = idx(extents: [1000, 28, 28], elements: [1, 2, 3])
        expectError(
            "d/images is truncated: it should have 784016 bytes but ends after 19; " + downloadAgain
        ) { _ = try parse(gzip(content)) }
    }

    @Test("a byte too many is oversized, plain or packed")
    func oversized() {
        for content in [Self.images + [0], gzip(Self.images + [0])] {
            expectError(
                "d/images goes on after the 46 bytes that its header declares: " + downloadAgain
            ) { _ = try parse(content) }
        }
    }

    @Test("a gzip bomb is not unpacked beyond one byte more than declared")
    func bomb() throws {
        // The end is broken: who reads on meets the damage instead.
        let zeros = [UInt8](repeating: 0, count: 1 << 26)
        var packed = gzip(Self.images + zeros, level: 9)
        #expect(packed.count < zeros.count / 900)
        packed.removeLast(packed.count / 2)
        expectError(
            "d/images goes on after the 46 bytes that its header declares: " + downloadAgain
        ) { _ = try parse(packed) }
    }

    @Test("a wrong checksum is found")
    func checksum() {
        var packed = gzip(Self.images)
        packed[packed.count - 5] ^= 1
        expectError(
            "d/images is damaged gzip data (incorrect data check): " + downloadAgain
        ) { _ = try parse(packed) }
        packed = gzip(Self.images)
        packed[packed.count - 1] ^= 1
        expectError(
            "d/images is damaged gzip data (incorrect length check): " + downloadAgain
        ) { _ = try parse(packed) }
    }

    @Test("other content is not IDX")
    func notIDX() {
        expectError(
            "d/images is not an IDX file: it begins with 3c 21 44 4f, not with 00 00 08; "
                + downloadAgain
        ) { _ = try parse(Array("<!DOCTYPE html>".utf8)) }
        expectError(
            "d/images is not an IDX file: it begins with 50, not with 00 00 08; " + downloadAgain
        ) { _ = try parse([0x50]) }
    }

    @Test(
        "other elements than unsigned bytes are named",
        arguments: [
            (0x09, "signed bytes (type 09)"), (0x0b, "16-bit integers (type 0b)"),
            (0x0c, "32-bit integers (type 0c)"), (0x0d, "32-bit floats (type 0d)"),
            (0x0e, "64-bit floats (type 0e)"), (0x2a, "elements of unknown type 2a"),
        ] as [(UInt8, String)])
    func elementType(code: UInt8, name: String) {
        expectError(
            "d/images holds \(name), but images are unsigned bytes (type 08), and labels these or "
                + "32-bit integers (type 0c): convert it"
        ) { _ = try parse(idx(extents: [1, 1, 1], elements: [0], elementType: code)) }
    }

    @Test("images and labels in each other's place are told by their dimensions")
    func dimensions() {
        expectError(
            "d/images has 1 dimension, but 3 are needed, as images have: check that images and "
                + "labels are not swapped"
        ) { _ = try parse(idx(extents: [3], elements: [1, 2, 3])) }
        expectError(
            "d/images has 3 dimensions, but 1 is needed, as labels have: check that images and "
                + "labels are not swapped"
        ) { _ = try parse(Self.images, dimensions: 1) }
    }

    @Test("an extent of zero is an error", arguments: [[0, 28, 28], [5, 0, 28], [5, 28, 0]])
    func emptyExtent(extents: [Int]) {
        let text = extents.map { "\($0)" }.joined(separator: " × ")
        expectError("d/images is empty: its header says \(text); " + downloadAgain) {
            _ = try parse(idx(extents: extents, elements: []))
        }
    }

    @Test("extents beyond any memory are refused before anything is allocated")
    func tooLarge() {
        for content in [idx(extents: [0xffff_ffff, 0xffff_ffff, 0xffff_ffff], elements: [])] {
            for content in [content, gzip(content)] {
                expectError(
                    "d/images cannot be kept in memory: its header says 4294967295 × 4294967295 × "
                        + "4294967295 bytes, the limit is 1000; if the file is not meant to be so "
                        + "large, " + downloadAgain
                ) {
                    _ = try IDXArray.parse(
                        content, file: "d/images", forms: [.images], memoryLimit: 1000)
                }
            }
        }
        expectError(
            "d/images cannot be kept in memory: its header says 3 × 2 × 5 bytes, the limit is 29; "
                + "if the file is not meant to be so large, " + downloadAgain
        ) {
            _ = try IDXArray.parse(Self.images, file: "d/images", forms: [.images], memoryLimit: 29)
        }
        #expect(throws: Never.self) {
            try IDXArray.parse(Self.images, file: "d/images", forms: [.images], memoryLimit: 30)
        }
        #expect(IDXArray.physicalMemory > 1 << 28)
    }

    @Test("a huge promise within memory's limit costs no more than the file can hold")
    func promise() {
        let content = idx(extents: [1 << 20, 1 << 12, 1 << 12], elements: [1, 2])
        for content in [content, gzip(content)] {
            expectError(
                "d/images is truncated: it should have 17592186044432 bytes but ends after 18; "
                    + downloadAgain
            ) {
                _ = try IDXArray.parse(
                    content, file: "d/images", forms: [.images], memoryLimit: .max)
            }
        }
    }
}
