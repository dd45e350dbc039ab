import Glibc

/// An array of unsigned bytes, as an IDX file holds it.
///
/// The format (Y. LeCun, "The MNIST database"): two zero bytes, the element type (08: unsigned
/// bytes), the number of dimensions, each extent as a big-endian 32-bit integer, then the
/// elements, the last dimension fastest. The whole may be packed with gzip, which is recognised
/// by its first bytes, not by the file's name.
public struct IDXArray: Hashable, Sendable {
    /// Outermost dimension first; none is zero.
    public let extents: [Int]

    /// The elements: as many as the product of the extents.
    public let elements: [UInt8]

    /// Reads the file at `path`.
    ///
    /// Nothing is allocated for what the header merely promises: not more than the file can hold,
    /// and of gzip data never more than the promise and one byte is unpacked.
    ///
    /// - Parameters:
    ///   - dimensions: how many the array must have.
    ///   - memoryLimit: the most elements to keep.
    /// - Throws: `unreadable`; what `parse` throws.
    public static func read(
        path: String, dimensions: Int, memoryLimit: Int = physicalMemory
    ) throws(DatasetError) -> IDXArray {
        try read(
            FileStream(path: path), file: path, dimensions: dimensions, memoryLimit: memoryLimit)
    }

    /// Reads the content of a file; `file` is what errors name.
    ///
    /// - Throws: `notIDX`, `wrongElementType`, `wrongDimensionCount`, `emptyExtent`, `tooLarge`,
    ///   `truncated`, `oversized`, `corruptGzip`.
    public static func parse(
        _ content: [UInt8], file: String, dimensions: Int, memoryLimit: Int = physicalMemory
    ) throws(DatasetError) -> IDXArray {
        try read(
            MemoryStream(content), file: file, dimensions: dimensions, memoryLimit: memoryLimit)
    }

    /// Bytes of memory in this machine.
    public static var physicalMemory: Int {
        sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    }

    private static func read(
        _ source: some RewindableStream, file: String, dimensions: Int, memoryLimit: Int
    ) throws(DatasetError) -> IDXArray {
        let isPacked = try firstBytes(2, of: source) == [0x1f, 0x8b]
        try source.rewind()
        let stream: any ByteStream = isPacked ? GzipStream(source, file: file) : source
        let extents = try readHeader(stream, file: file, dimensions: dimensions)
        guard !extents.contains(0) else { throw .emptyExtent(file: file, extents: extents) }

        let (count, isCounted) = product(of: extents)
        guard isCounted && count <= memoryLimit else {
            throw .tooLarge(file: file, extents: extents, limit: memoryLimit)
        }
        let header = 4 + 4 * dimensions
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
        return IDXArray(extents: extents, elements: elements)
    }

    private static func readHeader(
        _ stream: any ByteStream, file: String, dimensions: Int
    ) throws(DatasetError) -> [Int] {
        let expected = 4 + 4 * dimensions
        let magic = try firstBytes(4, of: stream)
        // A file cut within the magic number is truncated, unless it is something else already.
        guard magic.prefix(2).allSatisfy({ $0 == 0 }) else {
            throw .notIDX(file: file, firstBytes: magic)
        }
        guard magic.count == 4 else {
            throw .truncated(file: file, expected: expected, actual: magic.count)
        }
        guard magic[2] == 0x08 else { throw .wrongElementType(file: file, code: magic[2]) }
        guard Int(magic[3]) == dimensions else {
            throw .wrongDimensionCount(file: file, expected: dimensions, actual: Int(magic[3]))
        }
        let rest = try firstBytes(4 * dimensions, of: stream)
        guard rest.count == 4 * dimensions else {
            throw .truncated(file: file, expected: expected, actual: 4 + rest.count)
        }
        return (0..<dimensions).map { dimension in
            rest[4 * dimension..<4 * dimension + 4].reduce(0) { $0 << 8 | Int($1) }
        }
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
