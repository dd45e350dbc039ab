extension SafetensorsFile {
    /// The mean of several models of one network, value by value, in Float64: of checkpoints of one
    /// run (Polyak averaging, stochastic weight averaging). What optimizers keep is left out, and
    /// counts of batches are the largest.
    ///
    /// Running statistics are averaged, too; those of the averaged parameters are others.
    ///
    /// - Throws: `CheckpointError` where a file is of another network than the first.
    /// - Precondition: there is a file.
    public static func average(
        _ files: [SafetensorsFile]
    ) throws(CheckpointError) -> SafetensorsFile {
        precondition(!files.isEmpty, "there is nothing to average")
        let first = files[0]
        let entries = first.entries.filter { !$0.isOptimizers }
        let expectations = entries.map { entry in
            entry.dataType.isInteger
                ? Expectation(countOfBatches: entry.name)
                : Expectation(name: entry.name, shape: entry.shape)
        }
        for file in files { try file.match(expectations, ignoringOptimizer: true) }
        let digest = SHA256()
        var contents: [Content] = []
        for entry in entries {
            if entry.dataType.isInteger {
                let largest = try files.map { file throws(CheckpointError) in
                    try file.count(entry.name) ?? 0
                }.max()
                contents.append(
                    Content(name: entry.name, shape: [], integers: [Int64(largest ?? 0)]))
                continue
            }
            var sums = [Double](repeating: 0, count: entry.count)
            for file in files {
                for (index, value) in try file.floats(entry.name).enumerated() {
                    sums[index] += Double(value)
                }
            }
            let means = sums.map { Float($0 / Double(files.count)) }
            if !entry.isInputs { digest.update(means) }
            contents.append(Content(name: entry.name, shape: entry.shape, means))
        }
        var metadata = [
            "format": "pt", "program": "bn-train \(programVersion)",
            "parameters_digest": digest.finish(), "averaged_files": "\(files.count)",
        ]
        metadata["config"] = first.metadata["config"]
        metadata[inputKind] = first.metadata[inputKind]
        return SafetensorsFile(contents, metadata: metadata)
    }
}
