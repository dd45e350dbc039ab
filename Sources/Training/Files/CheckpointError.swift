/// Why a model file cannot be used.
public enum CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is no file.
    case missingFile(path: String)
    /// The header of a model holds no configuration of a run.
    case missingConfiguration(path: String)
    /// The file ends before what its header promises; sizes in bytes.
    case truncated(path: String, expected: Int, actual: Int)
    /// The header would not fit into the file; bytes.
    case headerBeyondFile(path: String, length: UInt64, available: Int)
    /// The header is longer than any sensible one; bytes.
    case headerTooLong(path: String, length: UInt64, limit: Int)
    /// The header is not UTF-8 text.
    case headerNotText(path: String)
    /// The header is not JSON, or names something twice.
    case headerNotJSON(path: String, cause: JSONSyntaxError)
    /// The header is JSON, but not an object.
    case headerNotObject(path: String)
    /// `__metadata__` is not an object of strings.
    case metadataNotStrings(path: String)
    /// A tensor's entry lacks a field or has one of the wrong type.
    case malformedEntry(path: String, tensor: String, field: String)
    /// A tensor's shape has more values than can be counted.
    case shapeTooLarge(path: String, tensor: String, shape: [Int])
    /// A tensor's range ends before it begins; bytes of the data.
    case invertedRange(path: String, tensor: String, begin: Int, end: Int)
    /// A tensor's range has another size than its shape and type give; bytes.
    case wrongByteCount(path: String, tensor: String, expected: Int, actual: Int)
    /// Two tensors share bytes.
    case overlap(path: String, first: String, second: String)
    /// Bytes that belong to no tensor; offsets in the data.
    case unusedBytes(path: String, begin: Int, end: Int)

    /// The file has no tensor of this name.
    case missingTensor(path: String, tensor: String)
    /// The file lacks tensors of the model, or has some that the model lacks; `isOurs` says whether
    /// it has the configuration of its run.
    case otherTensors(path: String, missing: [String], leftOver: [String], isOurs: Bool)
    /// A tensor has another shape than in the model.
    case wrongShape(path: String, tensor: String, expected: [Int], actual: [Int], isOurs: Bool)
    /// A tensor has another type than in the model.
    case wrongDataType(path: String, tensor: String, expected: String, actual: String)
    /// A tensor of F64 has a finite value that Float32 has not.
    case beyondFloat32(path: String, tensor: String, value: Double)
    /// A number of batches is negative, or no integer.
    case notCount(path: String, tensor: String, value: Double)

    /// A file without the header of a checkpoint: a model alone.
    case notCheckpoint(path: String)
    /// The checkpoint is of a format that this program does not know.
    case unknownFormat(path: String, found: String, known: String)
    /// A field of a checkpoint's header is missing or has no possible value.
    case malformedField(path: String, field: String)
    /// A checkpoint's header is not the one that was written.
    case damagedHeader(path: String)
    /// A checkpoint's tensors are not those that were written.
    case damagedData(path: String)

    /// What, where, what to do; one line.
    public var description: String {
        switch self {
        case .missingFile(let path):
            return "no file '\(oneLine(path))': give the path of a model, "
                + "such as runs/NAME-1/final.safetensors"
        case .missingConfiguration(let path):
            return "'\(oneLine(path))' has no configuration of its run in its header: give it with "
                + "--config FILE"
        case .truncated(let path, let expected, let actual):
            return "'\(oneLine(path))' is cut off: it should have at least \(expected) bytes and "
                + "has \(actual); \(copyAgain)"
        case .headerBeyondFile(let path, let length, let available):
            return "'\(oneLine(path))' is not a whole safetensors file: its header should have "
                + "\(length) bytes and \(available) follow; \(copyAgain)"
        case .headerTooLong(let path, let length, let limit):
            return "'\(oneLine(path))' is not a safetensors file: its header would have \(length) "
                + "bytes, more than the \(limit) allowed; give a .safetensors file"
        case .headerNotText(let path):
            return "'\(oneLine(path))' has a damaged header, which is not UTF-8; \(copyAgain)"
        case .headerNotJSON(let path, let cause):
            return "'\(oneLine(path))' has a damaged header, which is not JSON: \(cause); "
                + copyAgain
        case .headerNotObject(let path):
            return "'\(oneLine(path))' has a damaged header, which is not a JSON object; "
                + copyAgain
        case .metadataNotStrings(let path):
            return "'\(oneLine(path))' has a damaged header: __metadata__ holds something other "
                + "than strings; \(saveAgain)"
        case .malformedEntry(let path, let tensor, let field):
            return "\(place(tensor, path)) has no valid '\(field)' in the header; \(saveAgain)"
        case .shapeTooLarge(let path, let tensor, let shape):
            return "\(place(tensor, path)) has the impossible shape \(shape); \(saveAgain)"
        case .invertedRange(let path, let tensor, let begin, let end):
            return "\(place(tensor, path)) has a range from byte \(begin) back to \(end); "
                + saveAgain
        case .wrongByteCount(let path, let tensor, let expected, let actual):
            return "\(place(tensor, path)) has \(actual) bytes where its shape needs \(expected); "
                + saveAgain
        case .overlap(let path, let first, let second):
            return "\(place(first, path)) shares bytes with '\(oneLine(second))'; \(saveAgain)"
        case .unusedBytes(let path, let begin, let end):
            return "'\(oneLine(path))' has \(end - begin) bytes at \(begin) of its data that "
                + "belong to no tensor; \(saveAgain)"
        case .missingTensor(let path, let tensor):
            return "'\(oneLine(path))' has no tensor '\(oneLine(tensor))'; "
                + "see its tensors with inspect"
        case .otherTensors(let path, let missing, let leftOver, let isOurs):
            return "'\(oneLine(path))' is of another network: "
                + [("it lacks", missing), ("it has beyond the network's", leftOver)]
                .filter { !$0.1.isEmpty }
                .map { "\($0) \(list($1.map { "'\(oneLine($0))'" }))" }.joined(separator: ", and ")
                + "; \(rightNetwork(isOurs))"
        case .wrongShape(let path, let tensor, let expected, let actual, let isOurs):
            return "\(place(tensor, path)) has the shape \(actual) where the model has "
                + "\(expected); \(rightNetwork(isOurs))"
        case .beyondFloat32(let path, let tensor, let value):
            return "\(place(tensor, path)) has the value \(value), which is beyond Float32; "
                + "bring its values into that range and save again"
        case .notCount(let path, let tensor, let value):
            return "\(place(tensor, path)) is \(value), which is no number of batches; \(saveAgain)"
        case .notCheckpoint(let path):
            return "'\(oneLine(path))' is no checkpoint of a run: its header says nothing of a "
                + "step; give a file such as runs/NAME-1/checkpoints/step-1000.safetensors"
        case .unknownFormat(let path, let found, let known):
            return "'\(oneLine(path))' is a checkpoint of format \(oneLine(found)), and this "
                + "program knows \(known): use the program that wrote it"
        case .malformedField(let path, let field):
            return "'\(oneLine(path))' has no valid '\(field)' in its header; \(otherCheckpoint)"
        case .damagedHeader(let path):
            return "'\(oneLine(path))' is damaged: its header is not the one that was written "
                + "(SHA-256); \(otherCheckpoint)"
        case .damagedData(let path):
            return "'\(oneLine(path))' is damaged: its tensors are not those that were written "
                + "(SHA-256); \(otherCheckpoint)"
        case .wrongDataType(let path, let tensor, let expected, let actual):
            return "\(place(tensor, path)) has values of type \(oneLine(actual)) where the model "
                + "has \(expected): convert it and save again"
        }
    }

    private func place(_ tensor: String, _ path: String) -> String {
        "tensor '\(oneLine(tensor))' in '\(oneLine(path))'"
    }

    private var otherCheckpoint: String { "take an earlier checkpoint" }
    private var copyAgain: String { "copy or save it again" }
    private var saveAgain: String { "save it again" }
    /// What to do where network and file differ: a file of another program never had a config.
    private func rightNetwork(_ isOurs: Bool) -> String {
        isOurs
            ? "use the config that the file was trained with"
            : "choose the network that its tensors are of, or rename them"
    }
}
