/// Named arrays in one file: the safetensors format, which PyTorch, JAX and others read.
///
/// Layout: 8 bytes, the header's length N, little-endian; N bytes, the header, a JSON object; the
/// data. The header gives each tensor's type, shape and range of the data, and under
/// `__metadata__` strings of any use. The ranges cover the data without gap or overlap.
///
/// Tensors keep the order in which they were given: for models, modules in order, and within one
/// weight, bias, running_mean, running_var, num_batches_tracked. The same tensors and metadata
/// always give the same bytes.
public struct SafetensorsFile: Sendable {
    /// A tensor's place in the file.
    public struct Entry: Equatable, Sendable {
        /// The name, such as `layers.0.weight`.
        public let name: String
        /// The type of the values.
        public let dataType: DataType
        /// The extents; none for a single value.
        public let shape: [Int]
        /// The bytes, counted from the start of the data.
        public let range: Range<Int>

        /// Values in the tensor.
        public var count: Int { shape.reduce(1, *) }

        /// Whether it is an optimizer's, and no part of the model.
        public var isOptimizers: Bool { name.hasPrefix(SafetensorsFile.optimizerPrefix) }

        /// Whether it scales the model's inputs, and is no part of the model.
        public var isInputs: Bool { name.hasPrefix(SafetensorsFile.inputPrefix) }
    }

    /// Where the file was read from, for messages; for a new file, where it is meant to go.
    public let path: String
    /// The tensors, in the order of the header.
    public let entries: [Entry]
    /// Strings of any use: config, digest, version.
    public let metadata: [String: String]

    /// The whole file, header and data.
    public let serialized: [UInt8]

    private let dataStart: Int
    private let indices: [String: Int]

    init(
        path: String, entries: [Entry], metadata: [String: String], bytes: [UInt8], dataStart: Int
    ) {
        self.path = path
        self.entries = entries
        self.metadata = metadata
        serialized = bytes
        self.dataStart = dataStart
        indices = Dictionary(
            uniqueKeysWithValues: entries.enumerated().map { ($1.name, $0) })
    }

    /// The tensor `name`, or nil.
    public subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }

    /// The bytes of a tensor of this file.
    public func bytes(of entry: Entry) -> ArraySlice<UInt8> {
        serialized[dataStart + entry.range.lowerBound..<dataStart + entry.range.upperBound]
    }

    /// SHA-256 of all data.
    var payloadDigest: String {
        let digest = SHA256()
        digest.update(serialized[dataStart...])
        return digest.finish()
    }

    /// What the names of an optimizer's tensors begin with.
    public static let optimizerPrefix = "optimizer."

    /// SHA-256 of the data of all Float32 tensors of the model in their order in the file:
    /// parameters, running_mean and running_var, without num_batches_tracked, what an optimizer
    /// keeps and what inputs are scaled by. 64 hexadecimal digits.
    public var parametersDigest: String {
        let digest = SHA256()
        for entry in entries.sorted(by: { $0.range.lowerBound < $1.range.lowerBound })
        where entry.dataType == .float32 && !entry.isOptimizers && !entry.isInputs {
            digest.update(bytes(of: entry))
        }
        return digest.finish()
    }
}
