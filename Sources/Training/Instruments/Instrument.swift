/// What stands around the phases of a worker's steps: measures, probes, audits, searches.
///
/// A step does not know who watches it. Instruments stand around each other as
/// `Trainer.makeWorker` orders them: before a phase the outermost comes first, after it last. They
/// live on the thread of their worker, who owns them and whom they do not own.
package protocol Instrument: AnyObject {
    /// Comes right before `phase` of `step`. What it throws ends the run.
    func before(_ phase: StepPhase, of step: TrainingStep) throws

    /// Comes right after `phase` of `step`. What it throws ends the run, but for `SkippedStep`.
    func after(_ phase: StepPhase, of step: TrainingStep) throws
}

extension Instrument {
    /// Does nothing.
    package func before(_ phase: StepPhase, of step: TrainingStep) throws {}

    /// Does nothing.
    package func after(_ phase: StepPhase, of step: TrainingStep) throws {}
}

/// Thrown by an instrument, alike on all workers, where the rest of a step is to be left out: the
/// run goes on behind it.
struct SkippedStep: Error {
    /// Why.
    let found: NonFinite
}

extension TrainingWorker {
    /// Does a phase of `step`, and what the instruments do before and after it.
    func around<Result>(
        _ phase: StepPhase, of step: TrainingStep, _ work: () throws -> Result
    ) throws -> Result {
        for instrument in instruments { try instrument.before(phase, of: step) }
        let result = try work()
        for instrument in instruments.reversed() { try instrument.after(phase, of: step) }
        return result
    }

    /// The instrument of a kind; nil where the worker has none.
    func instrument<Kind>(_ kind: Kind.Type) -> Kind? {
        instruments.lazy.compactMap { $0 as? Kind }.first
    }
}
