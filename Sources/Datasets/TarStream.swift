/// The files in a tar archive (POSIX.1-1988 ustar; names in GNU and pax records are not needed
/// here), read once from front to back.
///
/// Every header's checksum is compared. The archive ends with a block of zeros or where its bytes
/// end between two files; `next` then reads on to the last byte, so that gzip compares its own.
final class TarStream {
    /// A regular file in the archive.
    struct Member {
        /// The last component of its path.
        let name: String
        /// Bytes of its content.
        let size: Int
    }

    private static let blockSize = 512

    private let source: any ByteStream
    private let file: String
    private var block = [UInt8](repeating: 0, count: TarStream.blockSize)

    /// Bytes of the present file that were not read, and of the block that it ends in.
    private var rest = 0
    private var padding = 0

    /// Reads `source`; `file` is what errors name.
    init(_ source: any ByteStream, file: String) {
        self.source = source
        self.file = file
    }

    /// The next regular file, nil at the end of the archive; what is left of the present one is
    /// passed over.
    ///
    /// - Throws: `corruptTar`, and what the source throws.
    func next() throws(DatasetError) -> Member? {
        while true {
            try skip(rest + padding)
            rest = 0
            padding = 0
            guard try readBlock(), block.contains(where: { $0 != 0 }) else {
                try readToEnd()
                return nil
            }
            guard number(148..<156) == checksum else {
                throw .corruptTar(file: file, reason: "a header has the wrong checksum")
            }
            guard let size = number(124..<136) else {
                throw .corruptTar(file: file, reason: "a header has no readable size")
            }
            rest = size
            padding = (Self.blockSize - size % Self.blockSize) % Self.blockSize
            // Types '0', NUL (before POSIX) and '7' are files; the rest, links, folders and
            // extended headers among them, is passed over.
            if [0x30, 0, 0x37].contains(block[156]) { return Member(name: memberName, size: size) }
        }
    }

    /// Fills `buffer`, which is not larger than what is left of the present file.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(DatasetError) {
        precondition(buffer.count <= rest, "the member ends before")
        guard try source.read(into: buffer) == buffer.count else { throw endsInTheMiddle }
        rest -= buffer.count
    }

    // MARK: headers

    /// Reads a header; false where the archive ends.
    private func readBlock() throws(DatasetError) -> Bool {
        let count = try fill(Self.blockSize)
        guard count == 0 || count == Self.blockSize else { throw endsInTheMiddle }
        return count > 0
    }

    /// An octal number, ended by a blank, NUL or the field's end; nil if it is something else.
    private func number(_ field: Range<Int>) -> Int? {
        var value = 0
        var digits = 0
        for byte in block[field] {
            if byte == 0x20 && digits == 0 { continue }
            if byte == 0x20 || byte == 0 { break }
            guard (0x30...0x37).contains(byte) else { return nil }
            // Twelve digits of three bits: no overflow.
            value = value << 3 | Int(byte - 0x30)
            digits += 1
        }
        return digits > 0 ? value : nil
    }

    /// The sum of the header's bytes, its own field taken as blanks.
    private var checksum: Int {
        block.enumerated().reduce(0) { sum, byte in
            sum + ((148..<156).contains(byte.offset) ? 0x20 : Int(byte.element))
        }
    }

    private var memberName: String {
        let path = String(decoding: block[..<100].prefix { $0 != 0 }, as: UTF8.self)
        return path.split(separator: "/").last.map(String.init) ?? ""
    }

    // MARK: bytes

    private var endsInTheMiddle: DatasetError {
        .corruptTar(file: file, reason: "it ends in the middle")
    }

    private func skip(_ count: Int) throws(DatasetError) {
        var left = count
        while left > 0 {
            let part = min(left, Self.blockSize)
            guard try fill(part) == part else { throw endsInTheMiddle }
            left -= part
        }
    }

    private func readToEnd() throws(DatasetError) {
        while try fill(Self.blockSize) > 0 {}
    }

    /// Reads up to `count` bytes into the front of the block.
    private func fill(_ count: Int) throws(DatasetError) -> Int {
        var failure: DatasetError?
        var filled = 0
        block.withUnsafeMutableBytes { bytes in
            do throws(DatasetError) {
                filled = try source.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]))
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return filled
    }
}
