package import Collectives
import Configuration
import Layers
import Models

/// Steps of a run, computed again.
package struct Replay: Sendable {
    /// The last of them.
    package let report: StepReport
    /// SHA-256 of parameters and running statistics after it.
    package let digest: String
    /// What it looked like inside; nil where it was skipped, and on ranks that do not speak.
    package let probes: ProbeReport?
    /// Hashes of all tensors after each step, from the first that was asked for; on rank 0.
    package let trace: [[UInt64]]
}

extension Trainer {
    /// Steps done where the trainer begins.
    package var startStep: Int { start.step }

    /// The tensors of a trace, in its order.
    package var stateNames: [String] { StateTensor.all(replica, state).map(\.name) }

    /// Hashes of all tensors as they are now.
    package var stateHashes: [UInt64] { StateTensor.all(replica, state).map(\.hash) }

    /// Computes the steps behind `startStep` again, as far as `last`, and probes that one: bit for bit
    /// what the run did, in whatever world. Nothing is evaluated, saved or written.
    ///
    /// - Parameters:
    ///   - last: the last step, after `startStep`.
    ///   - first: the first step that is traced; nil for none.
    /// - Precondition: the plan's configuration has probes.
    package func replay(
        through last: Int, tracingFrom first: Int? = nil, in world: World,
        transport: (any RankTransport)? = nil, timeout: Double = 300, spinning: Bool = true
    ) throws(WorkerFailure) -> Replay {
        precondition(last > startStep && last <= plan.totalSteps, "the step lies before the start")
        let trainer = self
        return try Team.run(world, transport: transport, timeout: timeout, spinning: spinning) {
            communicator in
            let worker = try trainer.makeWorker(communicator, probing: .only(last))
            guard let probing = worker.instrument(Probing.self) else {
                preconditionFailure("a replay probes its last step")
            }
            let tensors = StateTensor.all(trainer.replica, trainer.state)
            var trace: [[UInt64]] = []
            try communicator.barrier()
            for step in trainer.startStep + 1...last {
                let report = try worker.take(trainer.step(step, of: worker))
                if communicator.isSpeaker, let first, step >= first {
                    // Team-mates only read until this worker joins the next step's collectives.
                    trace.append(tensors.map(\.hash))
                }
                guard step == last else { continue }
                // All slices of the update are written, and nobody goes on.
                try communicator.barrier()
                return Replay(
                    report: report, digest: communicator.isSpeaker ? trainer.replica.digest : "",
                    probes: probing.report, trace: trace)
            }
            preconditionFailure("the last step returns")
        }
    }
}
