import Configuration
import Datasets
import Foundation
import Layers
import Training

/// `bn-train predict FILE INDEX…`: class probabilities of single test samples.
struct PredictCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let arguments = launch.arguments
        let file = try launch.agree { try SafetensorsFile(contentsOf: arguments.files[0]) }
        let run = try launch.resolve(scaledAsIn: file) { try file.configuration(arguments) }
        let trainer = Trainer(run.plan)
        let notes = try launch.agree { try trainer.replica.load(file) }
        let available = run.plan.split.test.count
        let indices = try launch.agree {
            try arguments.files.dropFirst().map { word throws(PredictError) -> Int in
                guard let index = Int(word) else { throw .notAnIndex(word) }
                guard (0..<available).contains(index) else {
                    throw .outOfRange(index: index, samples: available)
                }
                return index
            }
        }
        guard launch.speaks else { return 0 }
        let header = RunHeader(
            run, machine: launch.machine, folder: nil,
            statistics: file.statistics(run.plan.configuration))
        launch.say(header.normalization)
        launch.tell(notes)
        let predictions = try trainer.predict(indices)
        for prediction in predictions {
            let shares = prediction.probabilities.map { fixed($0, digits: 3) }
            launch.say(
                "sample \(prediction.index): class \(prediction.predicted) "
                    + "(label \(prediction.label)); probabilities \(shares.joined(separator: " "))")
        }
        if arguments.json {
            Console.output(
                JSONValue.object([
                    "command": "predict", "checkpoint": .string(file.path),
                    "predictions": .array(
                        predictions.map {
                            .object([
                                "index": .int($0.index), "label": .int($0.label),
                                "probabilities": .array($0.probabilities.map { .double($0) }),
                            ])
                        }),
                ]).text + "\n")
        }
        return 0
    }
}

/// An input of `predict` that is none.
enum PredictError: Error, Equatable, CustomStringConvertible {
    case notAnIndex(String)
    case outOfRange(index: Int, samples: Int)

    /// What, where, what to do; one line.
    var description: String {
        switch self {
        case .notAnIndex(let word):
            "'\(word)' is no index of a test sample: give numbers from 0"
        case .outOfRange(let index, let samples):
            "there is no test sample \(index): the set has \(samples), numbered from 0 to "
                + "\(samples - 1)"
        }
    }
}
