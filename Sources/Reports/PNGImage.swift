import CZlib

/// A picture of 8 bits a channel, which can be written as PNG (ISO/IEC 15948).
public struct PNGImage: Sendable, Equatable {
    /// Pixels across.
    public let width: Int
    /// Pixels down.
    public let height: Int
    /// 1 (grey), 3 (red, green, blue) or 4 (and opacity).
    public let channels: Int
    /// [height, width, channels]
    public var bytes: [UInt8]

    /// A picture of these pixels, or of zeros.
    ///
    /// - Precondition: 1, 3 or 4 channels, at least one pixel, and as many bytes as that makes.
    public init(width: Int, height: Int, channels: Int, bytes: [UInt8]? = nil) {
        precondition([1, 3, 4].contains(channels), "a picture has 1, 3 or 4 channels")
        precondition(width > 0 && height > 0, "a picture has pixels")
        let count = width * height * channels
        precondition(bytes == nil || bytes?.count == count, "the pixels do not fill the picture")
        self.width = width
        self.height = height
        self.channels = channels
        self.bytes = bytes ?? [UInt8](repeating: 0, count: count)
    }

    /// The file's bytes.
    public var file: [UInt8] {
        var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        let type: UInt8 = channels == 1 ? 0 : channels == 3 ? 2 : 6
        Self.append(
            "IHDR", Self.word(UInt32(width)) + Self.word(UInt32(height)) + [8, type, 0, 0, 0],
            to: &file)
        // Each row is led by its filter: 0, none.
        let row = width * channels
        var rows: [UInt8] = []
        rows.reserveCapacity((row + 1) * height)
        for y in 0..<height {
            rows.append(0)
            rows += bytes[y * row..<(y + 1) * row]
        }
        Self.append("IDAT", Self.deflated(rows), to: &file)
        Self.append("IEND", [], to: &file)
        return file
    }

    /// The file as a URI that holds it, for the source of an image element.
    public var dataURI: String { "data:image/png;base64," + base64(file) }

    private static func word(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
    }

    private static func append(_ type: String, _ content: [UInt8], to file: inout [UInt8]) {
        let body = Array(type.utf8) + content
        let sum = body.withUnsafeBufferPointer {
            crc32(0, $0.baseAddress, uInt($0.count))
        }
        file += word(UInt32(content.count)) + body + word(UInt32(truncatingIfNeeded: sum))
    }

    private static func deflated(_ bytes: [UInt8]) -> [UInt8] {
        var size = compressBound(uLong(bytes.count))
        var result = [UInt8](repeating: 0, count: Int(size))
        let code = compress2(&result, &size, bytes, uLong(bytes.count), 9)
        // The buffer is large enough by zlib's own bound; what is left is a lack of memory.
        precondition(code == Z_OK, "zlib cannot compress")
        return Array(result[..<Int(size)])
    }
}

/// Base64 with padding (RFC 4648).
private func base64(_ bytes: [UInt8]) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        var bits = group.reduce(0) { $0 << 8 | Int($1) }
        bits <<= 8 * (3 - group.count)
        for position in 0..<4 {
            text.append(
                position <= group.count
                    ? digits[bits >> (18 - 6 * position) & 63] : UInt8(ascii: "="))
        }
    }
    return String(decoding: text, as: UTF8.self)
}
