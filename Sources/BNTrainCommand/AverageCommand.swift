import Glibc
import Training

/// `bn-train average FILE…`: the mean of saved models.
struct AverageCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let arguments = launch.arguments
        let target = arguments.output ?? "average.safetensors"
        try launch.onRankZero {
            if !arguments.overwrite, access(target, F_OK) == 0 {
                throw FileError.fileExists(path: target)
            }
            let files = try arguments.files.map { try SafetensorsFile(contentsOf: $0) }
            let average = try SafetensorsFile.average(files)
            try average.write(to: target)
            launch.say(
                "average  of \(counted(files.count, "file")) in \(target); digest "
                    + "\(average.parametersDigest.prefix(16))…")
            launch.say(
                "next     BN's statistics are averaged, too, and are not those of the averaged "
                    + "weights: bn-train recalibrate \(target)")
            if arguments.json {
                Console.output(
                    JSONValue.object([
                        "command": "average", "files": .int(files.count),
                        "parameters_digest": .string(average.parametersDigest),
                        "checkpoint": .string(target),
                    ]).text + "\n")
            }
        }
        return 0
    }
}
