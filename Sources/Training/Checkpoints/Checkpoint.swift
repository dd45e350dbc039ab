public import Configuration
import Layers
import TensorCore

/// A run at the end of a step, read from a file and found whole.
///
/// A checkpoint is a safetensors file of the model as `final.safetensors` holds it, then of what the
/// optimizer keeps (`optimizer.momentum_buffer.layers.0.weight`; Adam's `exp_avg` and `exp_avg_sq`)
/// in the layout of its parameter. PyTorch's load_state_dict takes what is left without
/// `optimizer.*`. Two SHA-256 in the header cover every byte that has a meaning.
public struct Checkpoint: Sendable {
    /// The tensors.
    public let file: SafetensorsFile

    /// The rest.
    public internal(set) var state: RunState

    /// Reads the file at `path`.
    ///
    /// - Throws: `CheckpointError` for what is no whole checkpoint, `FileError` where the operating
    ///   system cannot read it.
    public init(contentsOf path: String) throws {
        try self.init(SafetensorsFile(contentsOf: path))
    }

    /// Checks `file`.
    public init(_ file: SafetensorsFile) throws(CheckpointError) {
        let path = file.path
        self.file = file
        state = try RunState(file.metadata, path: path)
        func stored(_ field: String) throws(CheckpointError) -> String {
            guard let text = file.metadata[field] else {
                throw .malformedField(path: path, field: field)
            }
            return text
        }
        let header = try stored(RunState.Field.header)
        let payload = try stored(RunState.Field.payload)
        guard header == headerDigest(of: file.metadata, entries: file.entries) else {
            throw .damagedHeader(path: path)
        }
        guard payload == file.payloadDigest else { throw .damagedData(path: path) }
    }

    /// The configuration of the run, with `settings` on top as `--set` has them.
    public func configuration(
        settings: [String] = []
    ) throws(ConfigurationError) -> RunConfiguration {
        try RunConfiguration.load(
            recorded: state.configuration, name: file.path + " (config)", settings: settings)
    }
}

/// SHA-256 of what a checkpoint's header says, without this digest itself.
func headerDigest(
    of metadata: [String: String], entries: [SafetensorsFile.Entry]
) -> String {
    let digest = SHA256()
    for (name, value) in metadata.sorted(by: { $0.key < $1.key })
    where name != RunState.Field.header {
        digest.update("\(name.utf8.count) \(name)\(value.utf8.count) \(value)")
    }
    for entry in entries {
        digest.update(
            "\(entry.name.utf8.count) \(entry.name)\(entry.dataType.rawValue) \(entry.shape) "
                + "\(entry.range)")
    }
    return digest.finish()
}

// MARK: - Continuing

extension OptimizerState {
    /// The names that PyTorch gives to what the rule keeps, in the order of the buffers.
    var bufferNames: [String] {
        bufferCount == 2 ? ["exp_avg", "exp_avg_sq"] : ["momentum_buffer"]
    }

    /// The name in files of a parameter's part of buffer `index`.
    func name(ofBuffer index: Int, _ parameter: Parameter) -> String {
        "\(SafetensorsFile.optimizerPrefix)\(bufferNames[index]).\(parameter.name)"
    }

    /// What a checkpoint must hold for this optimizer.
    func expectations(_ layout: ModelLayout) -> [SafetensorsFile.Expectation] {
        (0..<bufferCount).flatMap { index in
            layout.parameters.map {
                .init(name: name(ofBuffer: index, $0), shape: $0.shape.dimensions)
            }
        }
    }

    /// Takes over what a checkpoint holds, whose tensors are those expected.
    func load(_ file: SafetensorsFile, _ layout: ModelLayout) throws(CheckpointError) {
        for index in 0..<bufferCount {
            for parameter in layout.parameters {
                parameter.set(
                    try file.floats(name(ofBuffer: index, parameter)), in: buffer(index))
            }
        }
    }
}
