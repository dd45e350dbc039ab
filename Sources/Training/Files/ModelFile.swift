import Configuration
public import Layers
import TensorCore

/// The program's version, as headers of files and `--help` give it.
public let programVersion = "0.1.0"

/// The number of the arithmetic: raised with every change after which the same configuration, data and
/// seed end in other bits. 1 was oneDNN's on each CPU.
public let arithmeticVersion = 2

extension ModelLayout.Entry {
    /// A module's tensors as files hold them, out of flat buffers.
    func contents(
        parameters: UnsafePointer<Float>, statistics: UnsafePointer<Float>, batchesTracked: [Int]
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
                    integers: [Int64(batchesTracked[running.index])]),
            ]
        }
    }
}

extension Replica {
    /// The tensors as files hold them: PyTorch's names, layouts and order.
    public var fileContents: [SafetensorsFile.Content] {
        layout.entries.flatMap {
            $0.contents(
                parameters: parameters, statistics: statistics,
                batchesTracked: Array(batchesTracked))
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
                    .init(countOfBatches: "\(running.name).num_batches_tracked"),
                ]
            }
        }
    }

    /// Takes over parameters and running statistics from a file of this very model; what an
    /// optimizer keeps may stand there, too.
    ///
    /// - Returns: what a reader should know of how it was read; see `SafetensorsFile.Match`.
    /// - Throws: `CheckpointError` where a tensor is missing, left over or of another shape; the
    ///   replica is then unchanged.
    @discardableResult
    public func load(_ file: SafetensorsFile) throws(CheckpointError) -> [String] {
        let match = try file.match(expectations, ignoringOptimizer: true)
        try take(file, match, without: [])
        return match.notes
    }

    /// Takes over a file of this model, or of one for other classes: what of the last layer has
    /// another shape there stays as it is.
    ///
    /// - Returns: the names of those tensors, and what `load` returns.
    func initialize(
        from file: SafetensorsFile
    ) throws(CheckpointError) -> (fresh: [String], notes: [String]) {
        var expected = expectations
        let prefix = file.prefix(of: expected)
        var fresh: [String] = []
        let last = layout.parameters.last?.name.split(separator: ".").dropLast() ?? []
        for index in expected.indices
        where expected[index].name.split(separator: ".").dropLast() == last {
            let name = expected[index].name
            guard let there = file[prefix + name]?.shape else { continue }
            let here = expected[index].shape
            if there != here, there.dropFirst() == here.dropFirst() {
                fresh.append(name)
                expected[index] = .init(name: name, shape: there)
            }
        }
        let match = try file.match(expected, ignoringOptimizer: true)
        try take(file, match, without: fresh)
        return (fresh, match.notes)
    }

    private func take(
        _ file: SafetensorsFile, _ match: SafetensorsFile.Match, without left: [String]
    ) throws(CheckpointError) {
        // All is read before anything is changed.
        var values: [(Parameter, [Float])] = []
        var running: [(RunningStatistics, mean: [Float], variance: [Float], batches: Int)] = []
        for entry in layout.entries {
            switch entry {
            case .parameter(let parameter):
                if left.contains(parameter.name) { continue }
                values.append((parameter, try file.floats(match.prefix + parameter.name)))
            case .statistics(let entry):
                let name = match.prefix + entry.name
                running.append(
                    (
                        entry, try file.floats("\(name).running_mean"),
                        try file.floats("\(name).running_var"),
                        try file.count("\(name).num_batches_tracked") ?? 0
                    ))
            }
        }
        for (parameter, values) in values { setValues(values, of: parameter) }
        for (entry, mean, variance, batches) in running {
            (statistics + entry.mean.lowerBound).update(from: mean, count: mean.count)
            (statistics + entry.variance.lowerBound).update(from: variance, count: variance.count)
            batchesTracked[entry.index] = batches
        }
    }
}
