import Collectives
import Configuration
import Foundation

extension Trainer {
    /// Trains to the end on threads of this process. The bits are those of any other world.
    ///
    /// - Parameters:
    ///   - threads: that compute; a worker each, as far as there are shards.
    ///   - observer: watches, on the thread of worker 0.
    ///   - checkpoints: where the run is saved, as often as the configuration says.
    ///   - wantsToStop: asked once a step; yes saves the run and ends it.
    /// - Throws: `ConfigurationError` for values that do not go together, and what a worker threw:
    ///   `TrainingError`, or what `observer` threw.
    public func run(
        threads: Int, observer: (any TrainingObserver)? = nil, checkpoints: Checkpointing? = nil,
        wantsToStop: (@Sendable () -> Bool)? = nil
    ) throws -> TrainingOutcome {
        try plan.configuration.validate(ranks: 1)
        let world = World(
            threads: threads, sharing: plan.shards,
            arithmetic: plan.configuration.collectives == .mpi ? .mpi : .tree)
        do {
            return try run(
                in: world, spinning: threads <= ProcessInfo.processInfo.activeProcessorCount,
                observer: observer, checkpoints: checkpoints, wantsToStop: wantsToStop)
        } catch {
            throw error.error
        }
    }
}
