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
    /// The types of values that this reader and writer know, by the format's names.
    public enum DataType: String, Sendable {
        /// Float32.
        case float32 = "F32"
        /// Int64.
        case int64 = "I64"

        /// Bytes of one value.
        public var byteCount: Int { self == .float32 ? 4 : 8 }
    }

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
        public var count: Int { range.count / dataType.byteCount }

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

    /// The values of the Float32 tensor `name`, in row-major order.
    ///
    /// - Throws: `CheckpointError.missingTensor` or `.wrongDataType`.
    public func floats(_ name: String) throws(CheckpointError) -> [Float] {
        values(of: try entry(name, .float32), as: Float.self)
    }

    /// The values of the Int64 tensor `name`, in row-major order.
    ///
    /// - Throws: `CheckpointError.missingTensor` or `.wrongDataType`.
    public func integers(_ name: String) throws(CheckpointError) -> [Int64] {
        values(of: try entry(name, .int64), as: Int64.self)
    }

    private func entry(_ name: String, _ type: DataType) throws(CheckpointError) -> Entry {
        guard let entry = self[name] else {
            throw .missingTensor(
                path: path, tensor: name, nearest: nearestName(to: name, among: entries.map(\.name))
            )
        }
        guard entry.dataType == type else {
            throw .wrongDataType(
                path: path, tensor: name, expected: type.rawValue, actual: entry.dataType.rawValue)
        }
        return entry
    }

    /// The data need not be aligned: an I64 may follow an odd number of F32.
    private func values<Value: BitwiseCopyable>(of entry: Entry, as: Value.Type) -> [Value] {
        [Value](unsafeUninitializedCapacity: entry.count) { buffer, filled in
            bytes(of: entry).withUnsafeBytes {
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: $0)
            }
            filled = entry.count
        }
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

// MARK: - Loading into a model

extension SafetensorsFile {
    /// A tensor that a model expects.
    public struct Expectation: Equatable, Sendable {
        /// The name.
        public let name: String
        /// The type of the values.
        public let dataType: DataType
        /// The extents.
        public let shape: [Int]

        /// A tensor that a model expects.
        public init(name: String, dataType: DataType = .float32, shape: [Int]) {
            self.name = name
            self.dataType = dataType
            self.shape = shape
        }
    }

    /// Checks that the file holds exactly the tensors of `model`, in any order, and perhaps what
    /// its inputs are scaled by.
    ///
    /// - Parameters:
    ///   - ignoringOptimizer: whether what an optimizer keeps may stand there, too.
    ///   - ignoringOthers: whether anything may.
    /// - Throws: the first of `CheckpointError.missingTensor`, `.wrongDataType`, `.wrongShape` in
    ///   the model's order, then `.unexpectedTensor` in the file's.
    public func requireTensors(
        of model: [Expectation], ignoringOptimizer: Bool = false, ignoringOthers: Bool = false
    ) throws(CheckpointError) {
        let known = Set(model.map(\.name))
        let unknown = entries.filter { !known.contains($0.name) && !$0.isInputs }
            .filter { !(ignoringOptimizer && $0.isOptimizers) }.map(\.name)
        for expected in model {
            guard let entry = self[expected.name] else {
                throw .missingTensor(
                    path: path, tensor: expected.name,
                    nearest: nearestName(to: expected.name, among: unknown))
            }
            guard entry.dataType == expected.dataType else {
                throw .wrongDataType(
                    path: path, tensor: entry.name, expected: expected.dataType.rawValue,
                    actual: entry.dataType.rawValue)
            }
            guard entry.shape == expected.shape else {
                throw .wrongShape(
                    path: path, tensor: entry.name, expected: expected.shape, actual: entry.shape)
            }
        }
        if let name = unknown.first, !ignoringOthers {
            throw .unexpectedTensor(
                path: path, tensor: name,
                nearest: nearestName(to: name, among: model.map(\.name)))
        }
    }
}

/// The candidate with the fewest insertions, deletions and replacements of a character from
/// `name`; nil if none is nearer than a third of its length (at least 2).
private func nearestName(to name: String, among candidates: [String]) -> String? {
    let target = Array(name.prefix(100))
    var best: (name: String, distance: Int)?
    for candidate in candidates {
        let other = Array(candidate.prefix(100))
        var row = Array(0...other.count)
        for (i, a) in target.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in other.enumerated() {
                let replaced = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
            }
        }
        let distance = row[other.count]
        if distance <= max(2, target.count / 3), distance < best?.distance ?? Int.max {
            best = (candidate, distance)
        }
    }
    return best?.name
}
