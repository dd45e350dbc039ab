import Collectives
import Configuration
import Foundation
import Layers
import MPICollectives
import Training

/// `bn-train verify`: trains a few steps in this world and again as one Float64 trainer of whole
/// batches, and compares; with `--worlds` also in other worlds.
struct VerifyCommand {
    let launch: Launch

    /// Steps where `--steps` does not say.
    static let defaultSteps = 20

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let arguments = launch.arguments
        let start = ContinuousClock.now
        let steps = arguments.steps ?? Self.defaultSteps
        let run = try launch.resolve {
            let configuration = try RunConfiguration.load(
                file: arguments.config, settings: arguments.settings + ["steps=\(steps)"])
            // The Float64 trainer trains everything.
            guard configuration.freeze.isEmpty else { throw VerifyError.frozen }
            return configuration
        }
        for line in RunHeader(run, machine: launch.machine, folder: nil).lines { launch.say(line) }

        var trainer = Trainer(run.plan)
        trainer.furtherInstruments = launch.furtherInstruments
        let record = LossRecord()
        let outcome = try trainer.run(
            in: run.world, transport: launch.session.transport, timeout: arguments.timeout,
            spinning: run.spinning, observer: record)
        launch.say(
            "verify   \(counted(steps, "step")) here in \(duration(outcome.seconds)); now again "
                + "in Float64, whole batches")
        let digests = try replicaDigests(trainer)
        let verification = try launch.agree { try ReferenceRun(run.plan) }.compared(
            with: trainer.replica, steps: steps, losses: record.losses, launch)
        let worlds = try arguments.worlds ? otherWorlds(run, digest: digests[0]) : nil
        return try conclude(
            VerifyReport(
                run: run, verification: verification, digests: digests, worlds: worlds,
                seconds: (ContinuousClock.now - start) / .seconds(1)))
    }

    /// The digest of every rank's replica.
    private func replicaDigests(_ trainer: Trainer) throws -> [String] {
        let digest = trainer.replica.digest
        return try launch.session.gather(
            record: Array(digest.utf8), seconds: launch.arguments.timeout
        ).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Prints the result on rank 0; all ranks leave with its verdict.
    private func conclude(_ report: VerifyReport) throws -> Int32 {
        if launch.speaks {
            for line in report.lines { launch.say(line) }
            // A difference is an error: --quiet does not hide it.
            let verdict = report.verdict
            if !report.agrees || !launch.arguments.quiet { Console.error(verdict + "\n") }
            if launch.arguments.json { Console.output(report.json.text + "\n") }
        }
        let code = report.agrees ? ExitCode.done : .different
        let codes = try launch.session.gather(
            record: [UInt8(code.rawValue)], seconds: launch.arguments.timeout)
        return Int32(codes[0].first ?? UInt8(code.rawValue))
    }
}

extension ReferenceRun {
    /// Does `steps` steps on rank 0 and compares. The ranks meet after each step, so that none
    /// waits longer than one of them takes.
    fileprivate func compared(
        with replica: Replica, steps: Int, losses: [Double], _ launch: Launch
    ) throws -> Verification? {
        for _ in 0..<steps {
            try launch.agree { if launch.speaks { step() } }
        }
        return launch.speaks ? Verification(of: replica, losses: losses, against: self) : nil
    }
}

/// What `verify` cannot compare.
enum VerifyError: Error, CustomStringConvertible {
    case frozen

    /// What, what to do; one line.
    var description: String {
        "verify compares runs that train the whole network: leave out freeze"
    }
}
