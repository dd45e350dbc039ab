import TensorCore

@testable import Datasets

/// Records of made-up pixels; label i is i modulo the classes.
func cifarRecords(_ variant: CIFAR, count: Int, seed: Int = 0) -> [UInt8] {
    var bytes: [UInt8] = []
    for record in 0..<count {
        // A coarse label, of CIFAR-100 alone, which does not count.
        if variant.labelBytes == 2 { bytes.append(19) }
        bytes.append(UInt8((record + seed) % variant.classes))
        for pixel in 0..<CIFAR.pixelBytes {
            let value = (record * 7 + seed * 13 + pixel) &* 2_654_435_761
            bytes.append(UInt8(truncatingIfNeeded: value >> 11))
        }
    }
    return bytes
}

/// The pixels of a file of records, from planes to pixels, one by one.
func interleaved(_ variant: CIFAR, _ content: [UInt8]) -> [UInt8] {
    var pixels: [UInt8] = []
    for start in stride(from: 0, to: content.count, by: variant.recordBytes) {
        for pixel in 0..<1024 {
            for plane in 0..<3 {
                pixels.append(content[start + variant.labelBytes + plane * 1024 + pixel])
            }
        }
    }
    return pixels
}

/// A member of a tar archive: header, content, padding.
func tarMember(
    _ name: String, _ content: [UInt8], type: UInt8 = 0x30, size: String? = nil
) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, at offset: Int) {
        header.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
    }
    func octal(_ number: Int, digits: Int) -> String {
        let text = String(number, radix: 8)
        return String(repeating: "0", count: digits - text.count) + text
    }
    put(name, at: 0)
    put("0000644\0", at: 100)
    put(size ?? octal(content.count, digits: 11), at: 124)
    put("ustar\u{0}00", at: 257)
    header[156] = type
    put("        ", at: 148)
    put(octal(header.reduce(0) { $0 + Int($1) }, digits: 6) + "\0 ", at: 148)
    let padding = (512 - content.count % 512) % 512
    return header + content + [UInt8](repeating: 0, count: padding)
}

/// The two blocks of zeros that end an archive.
let tarEnd = [UInt8](repeating: 0, count: 1024)
