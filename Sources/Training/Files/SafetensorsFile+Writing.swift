extension SafetensorsFile {
    /// A tensor to be written.
    public struct Content: Sendable {
        /// The values, in row-major order.
        public enum Values: Sendable {
            /// `F32`.
            case float32([Float])
            /// `I64`.
            case int64([Int64])
        }

        /// The name, such as `layers.0.weight`.
        public let name: String
        /// The extents; none for a single value.
        public let shape: [Int]
        /// The values, in row-major order.
        public let values: Values

        /// A Float32 tensor.
        public init(name: String, shape: [Int], _ values: [Float]) {
            precondition(values.count == shape.reduce(1, *), "a tensor's shape and values differ")
            self.name = name
            self.shape = shape
            self.values = .float32(values)
        }

        /// An Int64 tensor.
        public init(name: String, shape: [Int], integers values: [Int64]) {
            precondition(values.count == shape.reduce(1, *), "a tensor's shape and values differ")
            self.name = name
            self.shape = shape
            self.values = .int64(values)
        }

        fileprivate var dataType: DataType {
            switch values {
            case .float32: .float32
            case .int64: .int64
            }
        }

        /// Bytes of the values.
        private var byteCount: Int {
            switch values {
            case .float32(let values): 4 * values.count
            case .int64(let values): 8 * values.count
            }
        }

        /// The tensor's place behind `previous`.
        func entry(at previous: Entry?) -> Entry {
            let start = previous?.range.upperBound ?? 0
            return Entry(
                name: name, dataType: dataType, shape: shape, range: start..<start + byteCount)
        }

        func append(to bytes: inout [UInt8]) {
            switch values {
            case .float32(let values): values.withUnsafeBytes { bytes.append(contentsOf: $0) }
            case .int64(let values): values.withUnsafeBytes { bytes.append(contentsOf: $0) }
            }
        }
    }

    /// A new file of `contents`, in this order.
    ///
    /// The header holds `__metadata__` with its names sorted, then the tensors in order, and is
    /// padded with spaces so that the data starts at a multiple of 64 bytes.
    ///
    /// - Precondition: names are unique and none is `__metadata__`.
    public init(_ contents: [Content], metadata: [String: String] = [:], path: String = "") {
        var entries: [Entry] = []
        for content in contents { entries.append(content.entry(at: entries.last)) }
        var bytes = Self.head(of: entries, metadata: metadata)
        let dataStart = bytes.count
        bytes.reserveCapacity(dataStart + (entries.last?.range.upperBound ?? 0))
        for content in contents { content.append(to: &bytes) }
        self.init(
            path: path, entries: entries, metadata: metadata, bytes: bytes, dataStart: dataStart)
    }

    /// What stands before the data of a file of these tensors: the header's length and the header.
    static func head(of entries: [Entry], metadata: [String: String]) -> [UInt8] {
        var header = JSONObject()
        if !metadata.isEmpty {
            header["__metadata__"] = .object(
                JSONObject(
                    metadata.sorted { $0.key < $1.key }.map {
                        JSONObject.Member(name: $0.key, value: .string($0.value))
                    }))
        }
        header.members += entries.map { entry in
            JSONObject.Member(
                name: entry.name,
                value: [
                    "dtype": .string(entry.dataType.rawValue),
                    "shape": .array(entry.shape.map { .int($0) }),
                    "data_offsets": [.int(entry.range.lowerBound), .int(entry.range.upperBound)],
                ])
        }
        let names = Set(entries.map(\.name))
        precondition(names.count == entries.count, "two tensors have one name")
        precondition(!names.contains("__metadata__"), "__metadata__ is not a tensor's name")
        var text = Array(JSONValue.object(header).text.utf8)
        text += [UInt8](repeating: UInt8(ascii: " "), count: (64 - (8 + text.count) % 64) % 64)
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
    }

    /// Writes the file to `path`, whole or not at all.
    ///
    /// - Throws: `FileError.io`; an older file at `path` then stays as it was.
    public func write(to path: String) throws {
        let bytes = serialized
        try writeAtomically(path: path) { writer in try writer.write(bytes) }
    }
}
