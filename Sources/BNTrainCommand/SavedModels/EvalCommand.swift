import Collectives
import Configuration
import Foundation
import Layers
import MPICollectives
import Training

/// `bn-train eval FILE`: loss and accuracy of a saved model on its test samples.
struct EvalCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let path = launch.arguments.files[0]
        let file = try launch.agree { try SafetensorsFile(contentsOf: path) }
        let run = try launch.resolve(scaledAsIn: file) { try file.configuration(launch.arguments) }
        let trainer = Trainer(run.plan)
        let notes = try launch.agree { try trainer.replica.load(file) }
        let statistics = try launch.agree {
            try launch.arguments.statistics.map { try $0.statistics(run, of: file) }
                ?? file.statistics(run.plan.configuration)
        }
        let header = RunHeader(
            run, machine: launch.machine, folder: nil, statistics: statistics)
        for line in header.lines { launch.say(line) }
        launch.tell(notes)
        let start = ContinuousClock.now
        if case .population(let method) = statistics, launch.arguments.statistics != nil {
            _ = try trainer.recalibrate(method, launch, run)
        }
        let test = try trainer.evaluate(
            byBatches: statistics == .batch, in: run.world, transport: launch.session.transport,
            timeout: launch.arguments.timeout, spinning: run.spinning)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        launch.say(
            "test     accuracy \(fixed(test.accuracy, digits: 4)), "
                + "loss \(fixed(test.loss, digits: 4))")
        if launch.speaks && launch.arguments.json {
            Console.output(
                RunSummary(
                    command: "eval", run: run, seconds: seconds, test: test,
                    digest: trainer.replica.digest, checkpoint: path
                ).json.text + "\n")
        }
        return 0
    }
}

extension SafetensorsFile {
    /// The configuration of the run that wrote this model, with `--set` on top.
    ///
    /// - Throws: `CheckpointError` where the header holds none; `--config` then stands in.
    func configuration(_ arguments: Arguments) throws -> RunConfiguration {
        if let config = arguments.config {
            return try RunConfiguration.load(file: config, settings: arguments.settings)
        }
        guard let text = metadata["config"] else {
            throw CheckpointError.missingConfiguration(path: path)
        }
        return try RunConfiguration.load(
            recorded: text, name: path + " (config)", settings: arguments.settings)
    }
}
