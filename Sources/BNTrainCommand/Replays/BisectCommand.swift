import Collectives
import Configuration
import MPICollectives
import Training

/// `bn-train bisect RUN RUN`: the first step and tensor where two runs part.
struct BisectCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    /// A run, computed again from where it is known to be the other's equal.
    private struct Course {
        let past: PastRun
        let configuration: RunConfiguration
        let trainer: Trainer
        let replay: Replay
        /// The first step of the trace.
        let first: Int
    }

    /// What was found.
    private struct Finding {
        /// The steps among which the first different one is; nil where none differs.
        var steps: ClosedRange<Int>?
        var tensor: String?
        /// The run that left the course; nil where the two part when computed again, too.
        var deviant: String?
        var lines: [String]
    }

    func run() throws -> Int32 {
        let pasts = try launch.arguments.files.map { try PastRun(launch, $0) }
        let (a, b) = (pasts[0], pasts[1])
        let common = Set(a.digests.keys).intersection(b.digests.keys).sorted()
        guard let last = common.last else {
            throw ReplayError.nothingInCommon(first: a.path, second: b.path)
        }
        guard let different = common.first(where: { a.digests[$0] != b.digests[$0] }) else {
            return try report(
                Finding(lines: [
                    "no recorded digest differs: \(counted(common.count, "step")) in common, the last "
                        + "is \(last)"
                ]))
        }
        let equal = common.last { $0 < different } ?? 0
        launch.say(
            "bisect   the digests after step \(equal) are equal, those after step \(different) "
                + "differ; computing \(counted(different - equal, "step")) again, twice")
        let courses = try pasts.map { try course($0, equal: equal, different: different) }
        guard courses[0].trainer.stateNames == courses[1].trainer.stateNames else {
            throw ReplayError.otherModels(first: a.path, second: b.path)
        }
        let finding = try launch.onRankZero {
            try partsHere(courses, to: different)
                ?? deviant(courses, equal: equal, different: different)
        }
        return try report(finding)
    }

    private func course(_ past: PastRun, equal: Int, different: Int) throws -> Course {
        let (run, trainer) = try past.start(by: equal)
        guard different <= run.plan.totalSteps else {
            throw ReplayError.noSuchStep(
                path: past.path, step: different, totalSteps: run.plan.totalSteps)
        }
        let replay = try trainer.replay(
            through: different, tracingFrom: equal + 1, in: run.world,
            transport: launch.session.transport, timeout: launch.arguments.timeout,
            spinning: run.spinning)
        return Course(
            past: past, configuration: run.plan.configuration, trainer: trainer, replay: replay,
            first: equal + 1)
    }

    /// The step at which the two part when they are computed again; nil where they do not.
    private func partsHere(_ courses: [Course], to last: Int) -> Finding? {
        let (a, b) = (courses[0], courses[1])
        for (index, (here, there)) in zip(a.replay.trace, b.replay.trace).enumerated()
        where here != there {
            let tensor = zip(here, there).enumerated().first { $1.0 != $1.1 }
            let name = tensor.map { a.trainer.stateNames[$0.offset] } ?? ""
            let step = a.first + index
            let changes = ConfigurationChange.changes(
                from: a.configuration, to: b.configuration)
            return Finding(
                steps: step...step, tensor: name,
                lines: ["the runs part in step \(step), first in \(name)"]
                    + changes.map { "  \($0.key) is \($0.old) and \($0.new)" })
        }
        return nil
    }

    /// Both runs compute the same here: the one whose records are not what is computed again.
    private func deviant(
        _ courses: [Course], equal: Int, different: Int
    ) throws -> Finding {
        let digest = courses[0].replay.digest
        var finding = Finding(
            steps: equal + 1...different,
            lines: [
                "computed again, the runs do not part: the digest after step \(different) is "
                    + "\(digest)"
            ])
        for course in courses where course.past.digests[different] != digest {
            finding.deviant = finding.deviant ?? course.past.path
            var steps = equal + 1...different
            var place = ""
            for checkpoint in try course.past.checkpoints(in: steps) {
                let step = checkpoint.state.step
                let saved = try Trainer(course.trainer.plan, resuming: checkpoint).stateHashes
                let again = course.replay.trace[step - course.first]
                guard let tensor = zip(saved, again).enumerated().first(where: { $1.0 != $1.1 })
                else {
                    // Still on course there.
                    if step < steps.upperBound { steps = step + 1...steps.upperBound }
                    continue
                }
                steps = steps.lowerBound...step
                let name = course.trainer.stateNames[tensor.offset]
                finding.tensor = finding.tensor ?? name
                place = ", first seen in \(name) of its checkpoint after step \(step)"
                break
            }
            if finding.deviant == course.past.path { finding.steps = steps }
            let range =
                steps.count == 1
                ? "step \(steps.lowerBound)" : "steps \(steps.lowerBound) to \(steps.upperBound)"
            finding.lines.append(
                "\(visible(course.past.path)) left the course in \(range)\(place): a host computed "
                    + "wrongly, or another program, library or CPU did")
        }
        return finding
    }

    private func report(_ finding: Finding?) throws -> Int32 {
        if let finding {
            let object: JSONValue = [
                "command": "bisect", "runs": .array(launch.arguments.files.map { .string($0) }),
                "first_step": finding.steps.map { .int($0.lowerBound) } ?? .null,
                "last_step": finding.steps.map { .int($0.upperBound) } ?? .null,
                "tensor": finding.tensor.map { .string($0) } ?? .null,
                "left_the_course": finding.deviant.map { .string($0) } ?? .null,
            ]
            if launch.speaks {
                Console.output(
                    launch.arguments.json
                        ? object.text + "\n" : finding.lines.joined(separator: "\n") + "\n")
            }
        }
        let code = try launch.fromRankZero(finding?.steps == nil ? [0] : [1])
        return code == [1] ? ExitCode.different.rawValue : 0
    }
}
