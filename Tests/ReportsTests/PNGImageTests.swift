import CZlib
import Testing

@testable import Reports

/// A reader of the PNG files that this project writes.
private struct ReadImage {
    var width = 0
    var height = 0
    var channels = 0
    var bytes: [UInt8] = []

    init(_ file: [UInt8]) throws {
        try #require(file.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]))
        func word(_ place: Int) -> Int { file[place..<place + 4].reduce(0) { $0 << 8 | Int($1) } }
        var place = 8
        var packed: [UInt8] = []
        var types: [String] = []
        while place < file.count {
            let length = word(place)
            let body = Array(file[place + 4..<place + 8 + length])
            #expect(word(place + 8 + length) == Int(crc32(0, body, uInt(body.count))))
            types.append(String(decoding: body[..<4], as: UTF8.self))
            if types.last == "IHDR" {
                (width, height) = (word(place + 8), word(place + 12))
                #expect(body[12] == 8)
                channels = [0: 1, 2: 3, 6: 4][body[13]] ?? 0
            }
            if types.last == "IDAT" { packed += body.dropFirst(4) }
            place += 12 + length
        }
        #expect(types == ["IHDR", "IDAT", "IEND"])
        var rows = [UInt8](repeating: 0, count: (width * channels + 1) * height)
        var size = uLong(rows.count)
        #expect(uncompress(&rows, &size, packed, uLong(packed.count)) == Z_OK)
        #expect(size == rows.count)
        for y in 0..<height {
            let start = y * (width * channels + 1)
            #expect(rows[start] == 0)
            bytes += rows[start + 1..<start + 1 + width * channels]
        }
    }
}

struct PNGImageTests {
    @Test("a picture is read back as it was", arguments: [1, 3, 4])
    func roundTrip(channels: Int) throws {
        for (width, height) in [(1, 1), (28, 28), (7, 31), (300, 2)] {
            let bytes = (0..<width * height * channels).map { UInt8(truncatingIfNeeded: $0 * 37) }
            let image = PNGImage(width: width, height: height, channels: channels, bytes: bytes)
            let read = try ReadImage(image.file)
            #expect(read.width == width && read.height == height && read.channels == channels)
            #expect(read.bytes == bytes)
        }
    }

    @Test("a data URI is Base64 with padding")
    func dataURI() {
        for width in 1...3 {
            let image = PNGImage(width: width, height: 1, channels: 1)
            let text = image.dataURI.replacing("data:image/png;base64,", with: "")
            #expect(text.hasPrefix("iVBORw0KGgo") && text.count % 4 == 0)
            #expect(text.count == (image.file.count + 2) / 3 * 4)
        }
    }

    @Test("filters are tiles: blue below 0, white at 0, red above, each scaled by its own largest")
    func filters() throws {
        // Two units of one channel, 2 × 2.
        let sheet = try #require(
            FilterSheet(
                weights: [-2, 0, 1, 2, 0.25, 0, 0, 0], units: 2, channels: 1, height: 2, width: 2))
        let image = sheet.image
        func pixel(_ x: Int, _ y: Int) -> [UInt8] {
            let start = (y * image.width + x) * 4
            return Array(image.bytes[start..<start + 4])
        }
        #expect(image.width == 84 && image.height == 40)
        #expect(pixel(0, 0) == [0, 114, 178, 255])
        #expect(pixel(30, 0) == [255, 255, 255, 255])
        #expect(pixel(30, 30) == [213, 94, 0, 255])
        #expect(pixel(41, 5) == [0, 0, 0, 0])
        #expect(pixel(44, 0) == [213, 94, 0, 255])
    }

    @Test("weights of single pixels, and of the wrong number, are no filters")
    func noFilters() {
        #expect(FilterSheet(weights: [1, 2], units: 2, channels: 1, height: 1, width: 1) == nil)
        #expect(FilterSheet(weights: [1, 2], units: 2, channels: 1, height: 2, width: 2) == nil)
        #expect(FilterSheet(weights: [], units: 0, channels: 1, height: 2, width: 2) == nil)
    }
}
