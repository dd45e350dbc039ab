import Collectives
import Glibc
import Layers
import Models
import TensorCore

// Faults that tests plant: see `PlantedFault`.
extension Trainer {
    func plant(_ step: Int, _ communicator: Communicator) throws {
        guard case .thrown(communicator.worker, step) = plantedFault else { return }
        throw TrainingError.planted
    }

    /// Before the forward pass.
    func plantInInput(_ step: Int, _ worker: TrainingWorker, _ pass: Pass) {
        guard case .notANumber(let shard, step, "input") = plantedFault,
            worker.network.inputShards.contains(shard)
        else { return }
        let batch = ShardedBatch(samples: pass.samples, shards: plan.shards)
        let samples = batch.samples(ofShard: shard)
        guard !samples.isEmpty else { return }
        let first = batch.samples(ofShards: worker.network.inputShards).lowerBound
        worker.input.row(samples.lowerBound - first).pointee = .nan
    }

    /// Between the forward and the backward pass.
    func plantInShard(_ step: Int, _ worker: TrainingWorker, _ pass: Pass) {
        let (shard, name, flip): (Int, String, (index: Int, bit: Int)?)
        switch plantedFault {
        case .activation(let of, step, let layer, let index, let bit):
            (shard, name, flip) = (of, layer, (index, bit))
        case .notANumber(let of, step, let layer) where layer != "input":
            (shard, name, flip) = (of, layer, nil)
        default: return
        }
        let mine = worker.communicator.world.shards(
            ofWorker: worker.communicator.worker, of: plan.shards)
        guard mine.contains(shard) else { return }
        let rows = pass.shardRows[shard - mine.lowerBound]
        let layers = worker.network.layers
        let node = layers.layers.firstIndex { $0.name == name }
        precondition(node.map(layers.keepsOutput) ?? true, "what is not kept takes no fault")
        let layer = node.map { layers.layers[$0] }
        let columns = layer?.outputs ?? plan.network.classes
        let values = layer?.output ?? worker.network.loss.outputGradient
        guard !rows.isEmpty else { return }
        let first = values.pointer + rows.lowerBound * columns
        guard let flip else {
            first.pointee = .nan
            return
        }
        let value = first + flip.index % (rows.count * columns)
        value.pointee = Float(bitPattern: value.pointee.bitPattern ^ 1 << UInt32(flip.bit))
    }

    /// Returns when the signal has come.
    func plantSignal(_ step: Int, _ part: StepPart, _ worker: TrainingWorker) {
        let communicator = worker.communicator
        guard case .signal(let number, communicator.world.rank, step, part) = plantedFault,
            communicator.thread == 0
        else { return }
        kill(number == SIGUSR1 ? getppid() : getpid(), number)
        while worker.wantsToStop?() != true { usleep(1000) }
    }

    /// After the update, by the worker who hashes the tensor where replicas are compared.
    func plantInReplica(_ step: Int, _ communicator: Communicator) {
        let world = communicator.world
        guard case .replica(world.rank, step, let name, let index, let bit) = plantedFault
        else { return }
        let tensors = StateTensor.all(replica, state)
        guard let number = tensors.firstIndex(where: { $0.name == name }),
            number % world.threadsPerRank == communicator.thread
        else { return }
        let value = tensors[number].values + index % tensors[number].count
        value.pointee = Float(bitPattern: value.pointee.bitPattern ^ 1 << UInt32(bit))
    }
}
