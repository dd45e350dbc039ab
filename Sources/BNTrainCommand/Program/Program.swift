import CPlatform
import Collectives
import Foundation
import MPICollectives
package import Training

/// Runs the program with the words behind its name, and leaves with its exit code.
///
/// - Parameter instruments: stand around the steps of training, beside the trainer's own.
package func runBNTrain(
    _ words: [String], environment: [String: String],
    instruments: @escaping @Sendable (TrainingWorker) -> [any Instrument] = { _ in [] }
) -> Never {
    // Before anything else may use an instruction that this CPU does not have.
    PortableBuild.becomeFastest()
    guard bn_cpu_runs_this_binary() == 1 else {
        Console.error(
            "bn-train: error: built for \(String(cString: bn_compiled_instruction_set())), and this "
                + "CPU lacks some of its instructions; rebuild here with launch/setup, or anywhere "
                + "with launch/setup --portable\n")
        exit(ExitCode.internalError.rawValue)
    }
    // A reader of stdout that went away, or a limit on a file's size, is an error of writing, not a
    // death.
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    Console.openClosedStreams()
    let session: MPISession
    do {
        session = try MPISession.start(environment: environment)
    } catch {
        let rank = error.speakingRank(environment: environment)
        leave(Ending(error), speaks: rank == 0)
    }
    let speaks = session.rank == 0
    do {
        let launch = try Launch.agreed(on: words, session: session, environment: environment)
        launch.furtherInstruments = instruments
        let code = try run(launch, environment: environment)
        // What rank 0 could not say, all ranks leave for.
        try launch.onRankZero { try Console.requireOutputWritten() }
        try session.finish()
        bn_restore_stop_signals()
        exit(code)
    } catch let failure as AgreedFailure {
        finish(session, failure.ending, speaks: speaks)
    } catch {
        let ending = Ending(error, in: World(ranks: session.ranks, rank: session.rank))
        if !isKnownToAll(error, ending) {
            // The others wait for this rank: it says what happened and takes them along.
            Console.error(ending.message + "\n")
            session.abort(code: ending.code)
        }
        finish(session, ending, speaks: speaks)
    }
}

/// Whether every rank ended with this error. What comes out of a team is one rank's own, but for
/// decisions that depend only on values summed over the tree.
private func isKnownToAll(_ error: any Error, _ ending: Ending) -> Bool {
    guard let failure = error as? WorkerFailure else { return !ending.isOneWorkers }
    switch failure.error as? TrainingError {
    case .diverged, .rollback, .replicasDiffer, .shardDiffers: return true
    case .failed, nil: return false
    }
}

private func run(_ launch: Launch, environment: [String: String]) throws -> Int32 {
    let arguments = launch.arguments
    switch arguments.command {
    case .train: return try TrainCommand(launch).run()
    case .eval: return try EvalCommand(launch).run()
    case .predict: return try PredictCommand(launch).run()
    case .recalibrate: return try RecalibrateCommand(launch).run()
    case .average: return try AverageCommand(launch).run()
    case .bench: return try BenchCommand(launch).run()
    case .inspect:
        return try InspectCommand.run(
            arguments.files, json: arguments.json, speaks: launch.speaks)
    case .sweep: return try SweepCommand(launch).run()
    case .report:
        if let claims = arguments.claims { return try ClaimsCommand(launch).run(claims) }
        return try ReportCommand(launch).run()
    case .doctor:
        return try DoctorCommand.run(
            arguments, session: launch.session, environment: environment)
    case .replay: return try ReplayCommand(launch).run()
    case .bisect: return try BisectCommand(launch).run()
    case .verify: return try VerifyCommand(launch).run()
    case .getData: return try GetDataCommand(launch: launch, environment: environment).run()
    case .help(let topic):
        if launch.speaks { Console.output(Help.text(on: topic)) }
        return 0
    case .version:
        if launch.speaks { Console.output("bn-train \(programVersion)\n") }
        return 0
    }
}

private func finish(_ session: MPISession, _ ending: Ending, speaks: Bool) -> Never {
    if speaks { Console.error(ending.message + "\n") }
    // mpirun ends all ranks as soon as one leaves with an error: not before all have met.
    guard (try? session.finish()) != nil else { session.abort(code: ending.code) }
    exit(ending.code)
}

private func leave(_ ending: Ending, speaks: Bool) -> Never {
    if speaks { Console.error(ending.message + "\n") }
    exit(ending.code)
}

extension MPISessionError {
    /// The rank that the launcher gave this process; 0 where it did not say.
    fileprivate func speakingRank(environment: [String: String]) -> Int {
        LauncherEnvironment.detect(environment: environment).rank ?? 0
    }
}
