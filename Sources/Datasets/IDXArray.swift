import Glibc

/// An array of unsigned bytes or of 32-bit integers, as an IDX file holds it.
///
/// The format (Y. LeCun, "The MNIST database"): two zero bytes, the element type (08: unsigned
/// bytes, 0c: 32-bit integers, big-endian), the number of dimensions, each extent as a big-endian 32-bit integer, then the
/// elements, the last dimension fastest. The whole may be packed with gzip, which is recognised
/// by its first bytes, not by the file's name.
public struct IDXArray: Hashable, Sendable {
    /// What an array may be.
    public struct Form: Hashable, Sendable {
        /// The third byte of the file.
        let elementType: UInt8
        /// The fourth.
        let dimensions: Int

        /// Bytes of an element.
        var elementBytes: Int { elementType == 0x0c ? 4 : 1 }

        /// Grey images: bytes [n, height, width].
        public static let images = Form(elementType: 0x08, dimensions: 3)
        /// Labels: bytes [n].
        public static let labels = Form(elementType: 0x08, dimensions: 1)
        /// Labels: integers [n].
        public static let integerLabels = Form(elementType: 0x0c, dimensions: 1)
        /// QMNIST's records: integers [n, 8], the class first (C. Yadav, L. Bottou 2019).
        public static let records = Form(elementType: 0x0c, dimensions: 2)
    }

    /// Which it is.
    public let form: Form

    /// Outermost dimension first; none is zero.
    public let extents: [Int]

    /// The elements' bytes, in the order of the file: of unsigned bytes the elements themselves.
    public let elements: [UInt8]

    /// The first integer of each record, or the integers of an array of one dimension.
    var leadingIntegers: [Int] {
        let stride = elements.count / extents[0]
        return (0..<extents[0]).map { row in
            let bytes = elements[row * stride..<row * stride + 4]
            return Int(Int32(bitPattern: bytes.reduce(0) { $0 << 8 | UInt32($1) }))
        }
    }

    /// Reads the file at `path`.
    ///
    /// Nothing is allocated for what the header merely promises: not more than the file can hold,
    /// and of gzip data never more than the promise and one byte is unpacked.
    ///
    /// - Parameters:
    ///   - forms: what the array may be; errors speak of the first.
    ///   - memoryLimit: the most bytes to keep.
    /// - Throws: `unreadable`; what `parse` throws.
    public static func read(
        path: String, forms: [Form], memoryLimit: Int = physicalMemory
    ) throws(DatasetError) -> IDXArray {
        try read(FileStream(path: path), file: path, forms: forms, memoryLimit: memoryLimit)
    }

    /// Reads the content of a file; `file` is what errors name.
    ///
    /// - Throws: `notIDX`, `wrongElementType`, `wrongDimensionCount`, `emptyExtent`, `tooLarge`,
    ///   `truncated`, `oversized`, `corruptGzip`.
    public static func parse(
        _ content: [UInt8], file: String, forms: [Form], memoryLimit: Int = physicalMemory
    ) throws(DatasetError) -> IDXArray {
        try read(MemoryStream(content), file: file, forms: forms, memoryLimit: memoryLimit)
    }

    /// Bytes of memory in this machine.
    public static var physicalMemory: Int {
        sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    }

    private static func read(
        _ source: some RewindableStream, file: String, forms: [Form], memoryLimit: Int
    ) throws(DatasetError) -> IDXArray {
        let isPacked = try firstBytes(2, of: source) == [0x1f, 0x8b]
        try source.rewind()
        let stream: any ByteStream = isPacked ? GzipStream(source, file: file) : source
        let (form, extents) = try readHeader(stream, file: file, forms: forms)
        guard !extents.contains(0) else { throw .emptyExtent(file: file, extents: extents) }

        let (count, isCounted) = product(of: extents + [form.elementBytes])
        guard isCounted && count <= memoryLimit else {
            throw .tooLarge(file: file, extents: extents, limit: memoryLimit)
        }
        let header = 4 + 4 * form.dimensions
        let (bound, overflow) = source.size.multipliedReportingOverflow(
            by: isPacked ? GzipStream.greatestRatio : 1)
        let (elements, filled) = try readElements(
            stream, capacity: overflow ? count : min(count, bound))
        guard filled == count else {
            throw .truncated(file: file, expected: header + count, actual: header + filled)
        }
        // Reading on also makes gzip compare its checksum.
        guard try firstBytes(1, of: stream).isEmpty else {
            throw .oversized(file: file, expected: header + count)
        }
        return IDXArray(form: form, extents: extents, elements: elements)
    }

    private static func readHeader(
        _ stream: any ByteStream, file: String, forms: [Form]
    ) throws(DatasetError) -> (form: Form, extents: [Int]) {
        let expected = 4 + 4 * forms[0].dimensions
        let magic = try firstBytes(4, of: stream)
        // A file cut within the magic number is truncated, unless it is something else already.
        guard magic.prefix(2).allSatisfy({ $0 == 0 }) else {
            throw .notIDX(file: file, firstBytes: magic)
        }
        guard magic.count == 4 else {
            throw .truncated(file: file, expected: expected, actual: magic.count)
        }
        let sameType = forms.filter { $0.elementType == magic[2] }
        guard !sameType.isEmpty else { throw .wrongElementType(file: file, code: magic[2]) }
        guard let form = sameType.first(where: { $0.dimensions == Int(magic[3]) }) else {
            throw .wrongDimensionCount(
                file: file, expected: sameType[0].dimensions, actual: Int(magic[3]))
        }
        let rest = try firstBytes(4 * form.dimensions, of: stream)
        guard rest.count == 4 * form.dimensions else {
            throw .truncated(
                file: file, expected: 4 + 4 * form.dimensions, actual: 4 + rest.count)
        }
        let extents = (0..<form.dimensions).map { dimension in
            rest[4 * dimension..<4 * dimension + 4].reduce(0) { $0 << 8 | Int($1) }
        }
        return (form, extents)
    }
}

/// Up to `count` bytes; fewer where the stream ends.
private func firstBytes(
    _ count: Int, of stream: any ByteStream
) throws(DatasetError) -> [UInt8] {
    try readElements(stream, capacity: count).elements
}

/// Up to `capacity` bytes, and how many there were.
private func readElements(
    _ stream: any ByteStream, capacity: Int
) throws(DatasetError) -> (elements: [UInt8], filled: Int) {
    var failure: DatasetError?
    var filled = 0
    let elements = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, used in
        do throws(DatasetError) {
            filled = try stream.read(into: UnsafeMutableRawBufferPointer(buffer))
        } catch {
            failure = error
        }
        used = filled
    }
    if let failure { throw failure }
    return (elements, filled)
}

/// The product, and whether it fits an Int.
private func product(of extents: [Int]) -> (count: Int, fits: Bool) {
    extents.reduce((1, true)) { result, extent in
        let (count, overflow) = result.0.multipliedReportingOverflow(by: extent)
        return (count, result.1 && !overflow)
    }
}
