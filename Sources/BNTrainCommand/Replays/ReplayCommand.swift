import Collectives
import Configuration
import MPICollectives
import Training

/// `bn-train replay RUN --step S`: a step of a run, computed again.
struct ReplayCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        guard let step = launch.arguments.step else { throw ReplayError.noStep }
        let past = try PastRun(launch, launch.arguments.files[0])
        let (run, trainer) = try past.start(by: step - 1)
        guard step <= run.plan.totalSteps else {
            throw ReplayError.noSuchStep(
                path: past.path, step: step, totalSteps: run.plan.totalSteps)
        }
        launch.say(
            "replay   step \(grouped(step)) of \(visible(past.path)), from "
                + (trainer.startStep == 0
                    ? "the beginning" : "the checkpoint after step \(grouped(trainer.startStep))")
                + ": \(counted(step - trainer.startStep, "step"))")
        let replay = try trainer.replay(
            through: step, in: run.world, transport: launch.session.transport,
            timeout: launch.arguments.timeout, spinning: run.spinning)
        let recorded = past.digests[step]
        if launch.speaks {
            Console.output(
                launch.arguments.json
                    ? json(past, replay, from: trainer.startStep).text + "\n"
                    : text(replay, recorded: recorded))
        }
        // Every rank has the recorded one; rank 0 the new one, and the others leave with it.
        let isOther = launch.speaks && recorded.map { $0 != replay.digest } == true
        let code = try launch.fromRankZero(isOther ? [1] : [0])
        return code == [1] ? ExitCode.different.rawValue : 0
    }

    private func text(_ replay: Replay, recorded: String?) -> String {
        let report = replay.report
        var lines = [
            "step \(report.step) (epoch \(report.epoch)): loss \(report.loss), accuracy "
                + "\(fixed(report.accuracy, digits: 4)), learning rate \(report.learningRate)"
        ]
        if let found = report.skipped { lines.append("skipped: \(found.place)") }
        let agreement =
            recorded.map { $0 == replay.digest ? "as recorded" : "the run recorded \($0)" }
            ?? "the run recorded none"
        lines.append("digest after it: \(replay.digest) (\(agreement))")
        for line in replay.probes?.lines ?? [] {
            lines.append(line["probe"]?.string ?? "")
            for member in line.members where !["probe", "step", "epoch"].contains(member.name) {
                lines.append("  \(member.name)  \(member.value.text)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func json(_ past: PastRun, _ replay: Replay, from start: Int) -> JSONValue {
        let report = replay.report
        return [
            "command": "replay", "run": .string(past.path), "step": .int(report.step),
            "epoch": .int(report.epoch), "from_step": .int(start),
            "train_loss": .double(report.loss), "train_accuracy": .double(report.accuracy),
            "learning_rate": .double(report.learningRate),
            "skipped": report.skipped.map { .string($0.place) } ?? .null,
            "parameters_digest": .string(replay.digest),
            "recorded_digest": past.digests[report.step].map { .string($0) } ?? .null,
            "probes": .array(replay.probes?.lines.map { .object($0) } ?? []),
        ]
    }
}
