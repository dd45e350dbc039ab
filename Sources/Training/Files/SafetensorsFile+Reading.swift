import Glibc

extension SafetensorsFile {
    /// The longest header that is read, in bytes, as in the format's own library.
    static let headerLimit = 100_000_000

    /// Reads and checks the file at `path`.
    ///
    /// - Throws: `CheckpointError` if there is no file or it is not a sound safetensors file,
    ///   `FileError.io` if the operating system cannot read it.
    public init(contentsOf path: String) throws {
        guard access(path, F_OK) == 0 || errno != ENOENT else {
            throw CheckpointError.missingFile(path: path)
        }
        let file = try FileDescriptor(
            opening: path, flags: O_RDONLY | O_NONBLOCK, operation: "open")
        let size = try file.size()
        // The header's length is checked before anything large is read.
        let prefix = try file.read(count: min(size, 8))
        _ = try headerLength(prefix, fileSize: size, path: path)
        try self.init(bytes: prefix + file.read(count: size - prefix.count), path: path)
    }

    /// Checks `bytes`, the content of a file that `path` names in messages.
    public init(bytes: [UInt8], path: String) throws(CheckpointError) {
        let length = try headerLength(bytes, fileSize: bytes.count, path: path)
        let header = Array(bytes[8..<8 + length])
        guard String(validating: header, as: UTF8.self) != nil else {
            throw .headerNotText(path: path)
        }
        let json: JSONValue
        do { json = try JSONValue(parsing: header) } catch {
            throw .headerNotJSON(path: path, cause: error)
        }
        guard let object = json.object else {
            throw .headerNotObject(path: path)
        }
        var entries: [Entry] = []
        var metadata: [String: String] = [:]
        for member in object.members {
            if member.name == "__metadata__" {
                metadata = try readMetadata(member.value, path: path)
            } else {
                entries.append(try readEntry(member, path: path))
            }
        }
        try checkCover(entries, dataStart: 8 + length, fileSize: bytes.count, path: path)
        self.init(
            path: path, entries: entries, metadata: metadata, bytes: bytes, dataStart: 8 + length)
    }
}

/// The length of the header, if it fits the file and the limit.
private func headerLength(
    _ bytes: [UInt8], fileSize: Int, path: String
) throws(CheckpointError) -> Int {
    guard bytes.count >= 8 else { throw .truncated(path: path, expected: 8, actual: bytes.count) }
    let length = bytes[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(SafetensorsFile.headerLimit) else {
        throw .headerTooLong(path: path, length: length, limit: SafetensorsFile.headerLimit)
    }
    guard Int(length) <= fileSize - 8 else {
        throw .headerBeyondFile(path: path, length: length, available: fileSize - 8)
    }
    return Int(length)
}

private func readMetadata(
    _ value: JSONValue, path: String
) throws(CheckpointError) -> [String: String] {
    guard let object = value.object else { throw .metadataNotStrings(path: path) }
    var metadata: [String: String] = [:]
    for member in object.members {
        guard let text = member.value.string else { throw .metadataNotStrings(path: path) }
        metadata[member.name] = text
    }
    return metadata
}

private func readEntry(
    _ member: JSONObject.Member, path: String
) throws(CheckpointError) -> SafetensorsFile.Entry {
    let name = member.name
    guard let typeName = member.value["dtype"]?.string else {
        throw .malformedEntry(path: path, tensor: name, field: "dtype")
    }
    let type = SafetensorsFile.DataType(rawValue: typeName)
    guard let shape = naturals(member.value["shape"]) else {
        throw .malformedEntry(path: path, tensor: name, field: "shape")
    }
    guard let offsets = naturals(member.value["data_offsets"]), offsets.count == 2 else {
        throw .malformedEntry(path: path, tensor: name, field: "data_offsets")
    }
    guard offsets[0] <= offsets[1] else {
        throw .invertedRange(path: path, tensor: name, begin: offsets[0], end: offsets[1])
    }
    // Of a type that packs values into bits only the count can be checked.
    guard let expected = byteCount(of: shape, type.byteCount ?? 1) else {
        throw .shapeTooLarge(path: path, tensor: name, shape: shape)
    }
    let range = offsets[0]..<offsets[1]
    guard range.count == expected || type.byteCount == nil else {
        throw .wrongByteCount(path: path, tensor: name, expected: expected, actual: range.count)
    }
    return SafetensorsFile.Entry(name: name, dataType: type, shape: shape, range: range)
}

/// The list's integers if it has nothing but integers ≥ 0.
private func naturals(_ value: JSONValue?) -> [Int]? {
    guard let array = value?.array else { return nil }
    let numbers = array.compactMap(\.int).filter { $0 >= 0 }
    return numbers.count == array.count ? numbers : nil
}

/// Bytes of a tensor; nil if a product overflows, even where a later extent is zero.
private func byteCount(of shape: [Int], _ bytesOfValue: Int) -> Int? {
    var count = bytesOfValue
    for extent in shape {
        let product = count.multipliedReportingOverflow(by: extent)
        if product.overflow { return nil }
        count = product.partialValue
    }
    return count
}

/// The ranges, in order, cover the data exactly.
private func checkCover(
    _ entries: [SafetensorsFile.Entry], dataStart: Int, fileSize: Int, path: String
) throws(CheckpointError) {
    let ordered = entries.sorted {
        ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    var end = 0
    var previous = ""
    for entry in ordered {
        guard entry.range.lowerBound >= end else {
            throw .overlap(path: path, first: previous, second: entry.name)
        }
        guard entry.range.lowerBound == end else {
            throw .unusedBytes(path: path, begin: end, end: entry.range.lowerBound)
        }
        end = entry.range.upperBound
        previous = entry.name
    }
    // No overflow: at most Int.max + 100 000 008 would be needed, so compare by subtraction.
    guard end <= fileSize - dataStart else {
        throw .truncated(
            path: path,
            expected: end.addingReportingOverflow(dataStart).overflow
                ? Int.max : end + dataStart, actual: fileSize)
    }
    guard end == fileSize - dataStart else {
        throw .unusedBytes(path: path, begin: end, end: fileSize - dataStart)
    }
}
