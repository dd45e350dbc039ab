extension SafetensorsFile {
    /// A type of values, by the format's name. Training reads and writes `F32` and `I64`; files of
    /// other programs hold more.
    public struct DataType: RawRepresentable, Hashable, Sendable {
        /// The format's name: `F32`.
        public let rawValue: String

        /// The type of this name, which may be one that only its writer knows.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// Float32.
        public static let float32 = DataType(rawValue: "F32")
        /// Int64.
        public static let int64 = DataType(rawValue: "I64")
        /// Float64.
        public static let float64 = DataType(rawValue: "F64")
        /// Float16, IEEE's.
        public static let float16 = DataType(rawValue: "F16")
        /// The upper half of a Float32.
        public static let bfloat16 = DataType(rawValue: "BF16")

        /// Bytes of one value; nil for types that are packed into bits, and for unknown ones.
        public var byteCount: Int? {
            switch rawValue {
            case "BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0": 1
            case "I16", "U16", "F16", "BF16": 2
            case "I32", "U32", "F32": 4
            case "I64", "U64", "F64", "C64": 8
            default: nil
            }
        }

        /// Whether parameters can be read from it.
        public var isFloatingPoint: Bool {
            [.float32, .float64, .float16, .bfloat16].contains(self)
        }

        /// Whether its values are integers.
        public var isInteger: Bool {
            ["I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64"].contains(rawValue)
        }
    }

    /// The values of the tensor `name`, in row-major order: F32, and F16 and BF16, whose values
    /// Float32 has, too. Those of F64 are rounded to the nearest.
    ///
    /// - Throws: `CheckpointError.missingTensor`, `.wrongDataType`, or `.beyondFloat32` for a value
    ///   of F64 that only rounds to infinity.
    public func floats(_ name: String) throws(CheckpointError) -> [Float] {
        let entry = try entry(name)
        switch entry.dataType {
        case .float32: return values(of: entry, as: Float.self)
        case .float16: return values(of: entry, as: Float16.self).map { Float($0) }
        case .bfloat16:
            return values(of: entry, as: UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        case .float64:
            let exact = values(of: entry, as: Double.self)
            if let value = exact.first(where: { $0.isFinite && !Float($0).isFinite }) {
                throw .beyondFloat32(path: path, tensor: name, value: value)
            }
            return exact.map { Float($0) }
        default:
            throw .wrongDataType(
                path: path, tensor: name, expected: DataType.float32.rawValue,
                actual: entry.dataType.rawValue)
        }
    }

    /// The values of the tensor `name` of any integer type, in row-major order.
    ///
    /// - Throws: `CheckpointError.missingTensor` or `.wrongDataType`.
    public func integers(_ name: String) throws(CheckpointError) -> [Int64] {
        let entry = try entry(name)
        func read<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type) -> [Int64] {
            values(of: entry, as: Value.self).map { Int64(clamping: $0) }
        }
        switch entry.dataType.rawValue {
        case "I64": return read(Int64.self)
        case "I32": return read(Int32.self)
        case "I16": return read(Int16.self)
        case "I8": return read(Int8.self)
        case "U64": return read(UInt64.self)
        case "U32": return read(UInt32.self)
        case "U16": return read(UInt16.self)
        case "U8": return read(UInt8.self)
        default:
            throw .wrongDataType(
                path: path, tensor: name, expected: DataType.int64.rawValue,
                actual: entry.dataType.rawValue)
        }
    }

    /// A number of batches: one value of an integer type, or of a floating-point one that is an
    /// integer, as older files have it; nil where there is no such tensor.
    ///
    /// - Throws: `CheckpointError.notCount` where it is none, or `.wrongDataType`.
    public func count(_ name: String) throws(CheckpointError) -> Int? {
        guard let entry = self[name] else { return nil }
        let value: Double
        if entry.dataType.isFloatingPoint {
            value = try floats(name).first.map { Double($0) } ?? -1
        } else {
            let count = try integers(name).first ?? -1
            if count >= 0 { return Int(count) }
            value = Double(count)
        }
        guard let count = Int(exactly: value), count >= 0 else {
            throw .notCount(path: path, tensor: name, value: value)
        }
        return count
    }

    /// The values of a tensor of this file in Float64, for showing them; nil where its type is
    /// none of plain numbers.
    public func numbers(_ entry: Entry) throws(CheckpointError) -> [Double]? {
        switch entry.dataType {
        case .float64: return values(of: entry, as: Double.self)
        case let type where type.isFloatingPoint: return try floats(entry.name).map { Double($0) }
        case let type where type.isInteger: return try integers(entry.name).map { Double($0) }
        case DataType(rawValue: "BOOL"): return values(of: entry, as: UInt8.self).map { Double($0) }
        default: return nil
        }
    }

    /// How many values of a tensor of F64 Float32 does not have; 0 for other types.
    func roundedValues(_ entry: Entry) -> Int {
        guard entry.dataType == .float64 else { return 0 }
        return values(of: entry, as: Double.self).count { !$0.isNaN && Double(Float($0)) != $0 }
    }

    private func entry(_ name: String) throws(CheckpointError) -> Entry {
        guard let entry = self[name] else { throw .missingTensor(path: path, tensor: name) }
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
}
