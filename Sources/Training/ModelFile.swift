import Configuration
public import Layers
import TensorCore

/// The program's version, as headers of files and `--help` give it.
public let programVersion = "0.1.0"

extension ModelLayout.Entry {
    /// A module's tensors as files hold them, out of flat buffers.
    func contents(
        parameters: UnsafePointer<Float>, statistics: UnsafePointer<Float>, batchesTracked: Int
    ) -> [SafetensorsFile.Content] {
        switch self {
        case .parameter(let parameter):
            return [
                SafetensorsFile.Content(
                    name: parameter.name, shape: parameter.shape.dimensions,
                    parameter.inFileLayout(from: parameters))
            ]
        case .statistics(let running):
            func content(_ suffix: String, _ range: Range<Int>) -> SafetensorsFile.Content {
                SafetensorsFile.Content(
                    name: "\(running.name).\(suffix)", shape: [running.channels],
                    Array(
                        UnsafeBufferPointer(
                            start: statistics + range.lowerBound, count: range.count)))
            }
            return [
                content("running_mean", running.mean),
                content("running_var", running.variance),
                SafetensorsFile.Content(
                    name: "\(running.name).num_batches_tracked", shape: [],
                    integers: [Int64(batchesTracked)]),
            ]
        }
    }
}

extension Replica {
    /// The tensors as files hold them: PyTorch's names, layouts and order.
    public var fileContents: [SafetensorsFile.Content] {
        layout.entries.flatMap {
            $0.contents(
                parameters: parameters, statistics: statistics, batchesTracked: batchesTracked)
        }
    }

    /// `parameters_digest`: SHA-256 of parameters and running statistics as files hold them.
    public var digest: String {
        let hash = SHA256()
        for content in fileContents {
            if case .float32(let values) = content.values { hash.update(values) }
        }
        return hash.finish()
    }

    /// The model as a file, with the run's configuration, the digest, the program's version and the
    /// name of BN's statistics in its header.
    ///
    /// - Parameters:
    ///   - statistics: nil for those that training leaves.
    ///   - content: what it was trained on.
    ///   - input: what inputs are scaled by; see `Trainer.file`.
    func file(
        configuration: RunConfiguration, content: DataContent? = nil,
        statistics: InferenceStatistics? = nil,
        input: [SafetensorsFile.Content] = []
    ) -> SafetensorsFile {
        var metadata = [
            "config": configuration.canonicalJSON, "parameters_digest": digest,
            "program": "bn-train \(programVersion)", "format": "pt",
        ]
        if !layout.statistics.isEmpty {
            metadata["statistics"] =
                (statistics ?? InferenceStatistics(configuration))?.description
        }
        metadata[DataContent.field] = content?.text
        if !input.isEmpty {
            metadata[SafetensorsFile.inputKind] = configuration.data.scaling.fittedKind
        }
        return SafetensorsFile(fileContents + input, metadata: metadata)
    }

    /// What a file must hold to be this model.
    public var expectations: [SafetensorsFile.Expectation] {
        layout.entries.flatMap { entry -> [SafetensorsFile.Expectation] in
            switch entry {
            case .parameter(let parameter):
                return [
                    .init(name: parameter.name, shape: parameter.shape.dimensions)
                ]
            case .statistics(let running):
                return [
                    .init(name: "\(running.name).running_mean", shape: [running.channels]),
                    .init(name: "\(running.name).running_var", shape: [running.channels]),
                    .init(
                        name: "\(running.name).num_batches_tracked", dataType: .int64, shape: []),
                ]
            }
        }
    }

    /// Takes over parameters and running statistics from a file of this very model; what an
    /// optimizer keeps may stand there, too.
    ///
    /// - Throws: `CheckpointError` where a tensor is missing, unexpected or of another shape; the
    ///   replica is then unchanged.
    public func load(_ file: SafetensorsFile) throws(CheckpointError) {
        try file.requireTensors(of: expectations, ignoringOptimizer: true)
        try take(file, without: [])
    }

    /// Takes over a file of this model, or of one for other classes: what of the last layer has
    /// another shape there stays as it is.
    ///
    /// - Returns: the names of those tensors.
    func initialize(from file: SafetensorsFile) throws(CheckpointError) -> [String] {
        var expected = expectations
        var fresh: [String] = []
        let last = layout.parameters.last?.name.split(separator: ".").dropLast() ?? []
        for index in expected.indices
        where expected[index].name.split(separator: ".").dropLast() == last {
            guard let entry = file[expected[index].name] else { continue }
            let (there, here) = (entry.shape, expected[index].shape)
            if there != here, there.dropFirst() == here.dropFirst() {
                fresh.append(entry.name)
                expected[index] = .init(name: entry.name, shape: there)
            }
        }
        try file.requireTensors(of: expected, ignoringOptimizer: true)
        try take(file, without: fresh)
        return fresh
    }

    private func take(
        _ file: SafetensorsFile, without left: [String]
    ) throws(CheckpointError) {
        for entry in layout.entries {
            switch entry {
            case .parameter(let parameter):
                if left.contains(parameter.name) { continue }
                setValues(try file.floats(parameter.name), of: parameter)
            case .statistics(let running):
                let mean = try file.floats("\(running.name).running_mean")
                let variance = try file.floats("\(running.name).running_var")
                (statistics + running.mean.lowerBound).update(from: mean, count: mean.count)
                (statistics + running.variance.lowerBound).update(
                    from: variance, count: variance.count)
                batchesTracked = Int(
                    try file.integers("\(running.name).num_batches_tracked").first ?? 0)
            }
        }
    }
}
