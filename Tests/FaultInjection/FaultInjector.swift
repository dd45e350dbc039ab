import Collectives
import Foundation
import Layers
import Models
import TensorCore
package import Training

/// Plants a fault in a worker's steps. Innermost of the instruments: to all others the fault is
/// part of the phase.
final class FaultInjector: Instrument {
    private unowned let worker: TrainingWorker
    private let fault: PlantedFault

    init(_ fault: PlantedFault, in worker: TrainingWorker) {
        self.worker = worker
        self.fault = fault
    }

    func before(_ phase: StepPhase, of step: TrainingStep) throws {
        switch (fault, phase) {
        case (.thrown(worker.communicator.worker, step.number), .load):
            throw PlantedFault.Failure()
        case (.signal(let number, worker.communicator.world.rank, step.number, phase), _)
        where phase != .saving:
            send(number)
        case (_, .backward), (_, .repeatedBackward): plantBetweenPasses(step)
        default: break
        }
    }

    func after(_ phase: StepPhase, of step: TrainingStep) throws {
        switch (fault, phase) {
        case (.notANumber(let shard, step.number, "input"), .load):
            plantInInput(ofShard: shard, step.pass)
        case (
            .replica(worker.communicator.world.rank, step.number, let name, let index, let bit),
            .commit
        ):
            flip(bit, ofValue: index, in: name)
        case (
            .signal(let number, worker.communicator.world.rank, step.number, .saving), .saving
        ):
            send(number)
        default: break
        }
    }

    private func plantInInput(ofShard shard: Int, _ pass: Pass) {
        let loaded = worker.network.inputShards
        guard loaded.contains(shard) else { return }
        let batch = ShardedBatch(samples: pass.samples, shards: worker.shards)
        let samples = batch.samples(ofShard: shard)
        guard !samples.isEmpty else { return }
        let first = batch.samples(ofShards: loaded).lowerBound
        worker.input.row(samples.lowerBound - first).pointee = .nan
    }

    private func plantBetweenPasses(_ step: TrainingStep) {
        let (shard, name, flip): (Int, String, (index: Int, bit: Int)?)
        switch fault {
        case .activation(let of, step.number, let layer, let index, let bit):
            (shard, name, flip) = (of, layer, (index, bit))
        case .notANumber(let of, step.number, let layer) where layer != "input":
            (shard, name, flip) = (of, layer, nil)
        default: return
        }
        let communicator = worker.communicator
        let mine = communicator.world.shards(ofWorker: communicator.worker, of: worker.shards)
        guard mine.contains(shard) else { return }
        let rows = step.pass.shardRows[shard - mine.lowerBound]
        let layers = worker.network.layers
        let node = layers.layers.firstIndex { $0.name == name }
        precondition(node.map(layers.keepsOutput) ?? true, "what is not kept takes no fault")
        let layer = node.map { layers.layers[$0] }
        let columns = layer?.outputs ?? worker.network.specification.classes
        let values = layer?.output ?? worker.network.loss.outputGradient
        guard !rows.isEmpty else { return }
        let first = values.pointer + rows.lowerBound * columns
        guard let flip else {
            first.pointee = .nan
            return
        }
        Self.flip(flip.bit, of: first + flip.index % (rows.count * columns))
    }

    /// The worker who hashes the tensor where replicas are compared does it.
    private func flip(_ bit: Int, ofValue index: Int, in name: String) {
        let communicator = worker.communicator
        let tensors = worker.stateTensors
        guard let number = tensors.firstIndex(where: { $0.name == name }),
            number % communicator.world.threadsPerRank == communicator.thread
        else { return }
        Self.flip(bit, of: tensors[number].values + index % tensors[number].count)
    }

    private static func flip(_ bit: Int, of value: UnsafeMutablePointer<Float>) {
        value.pointee = Float(bitPattern: value.pointee.bitPattern ^ 1 << UInt32(bit))
    }

    /// Returns when the signal has come.
    private func send(_ number: Int32) {
        guard worker.communicator.thread == 0 else { return }
        kill(number == SIGUSR1 ? getppid() : getpid(), number)
        while worker.wantsToStop?() != true { usleep(1000) }
    }
}

extension PlantedFault {
    /// Plants the fault in the steps of a trainer's workers: once, so that a run that goes back to a
    /// checkpoint comes past it.
    package var instruments: @Sendable (TrainingWorker) -> [any Instrument] {
        let workers = Faulty()
        return { worker in
            workers.insert(worker.communicator.worker) ? [FaultInjector(self, in: worker)] : []
        }
    }

    /// The workers that have their injector. No `Mutex`, which ThreadSanitizer does not see.
    private final class Faulty: @unchecked Sendable {
        private let lock = NSLock()
        private var indices: Set<Int> = []

        /// Whether the worker is new here.
        func insert(_ worker: Int) -> Bool { lock.withLock { indices.insert(worker).inserted } }
    }
}
