import Training

/// `bn-train average FILE…`: the mean of saved models, with BN's statistics of the training samples.
struct AverageCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let arguments = launch.arguments
        let target = arguments.output ?? "average.safetensors"
        try launch.requireNew(target)
        let average = try launch.agree {
            try SafetensorsFile.average(
                try arguments.files.map { try SafetensorsFile(contentsOf: $0) })
        }
        launch.say("average  of \(counted(arguments.files.count, "file"))")
        if average.hasStatistics && !arguments.keepsStatistics {
            // The mean of statistics is not the statistics of the mean.
            try RecalibrateCommand(launch).recalibrate(average, path: target, into: target)
            return 0
        }
        try launch.onRankZero { try average.write(to: target) }
        launch.say("done     digest \(average.parametersDigest.prefix(16))…")
        launch.say("next     bn-train eval \(target)")
        if launch.speaks && arguments.json {
            Console.output(
                JSONValue.object([
                    "command": "average", "files": .int(arguments.files.count),
                    "parameters_digest": .string(average.parametersDigest),
                    "checkpoint": .string(target),
                ]).text + "\n")
        }
        return 0
    }
}

extension SafetensorsFile {
    /// Whether some layer has running statistics.
    fileprivate var hasStatistics: Bool {
        entries.contains { $0.name.hasSuffix(".running_mean") }
    }
}
