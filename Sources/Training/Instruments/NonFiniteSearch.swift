import Collectives
import Configuration
import Kernels
import Layers
import Models
import TensorCore

/// Looks at every step's loss and gradient. Where one is not finite it finds out where that began,
/// and leaves the step out or ends this course of the run, as `watch.nonFinite` says.
///
/// All workers have the same loss and the same norm of the gradient, and search alike.
final class NonFiniteSearch: Instrument {
    private unowned let worker: TrainingWorker
    private let plan: RunPlan
    /// The rank's.
    private let contribution: Contribution
    /// One flag for each layer, or each shard: who gave a value that is not finite.
    private let flags: StatisticsReduction

    init(_ worker: TrainingWorker, _ plan: RunPlan, _ contribution: Contribution) {
        self.worker = worker
        self.plan = plan
        self.contribution = contribution
        flags = StatisticsReduction(
            worker.communicator, shards: plan.shards, group: plan.shards,
            length: max(worker.network.layers.layers.count, plan.shards), moments: false,
            kind: .metrics, layer: -1)
    }

    func after(_ phase: StepPhase, of step: TrainingStep) throws {
        switch phase {
        case .loss where !worker.loss.isFinite:
            try end(step, because: firstOutput(step.pass))
        case .update where !worker.gradientIsFinite:
            try end(step, because: firstGradient(step))
        default: break
        }
    }

    private func end(_ step: TrainingStep, because found: NonFinite) throws {
        let policy = plan.configuration.watch.nonFinite
        if policy == .skip { throw SkippedStep(found: found) }
        throw found.ending(
            policy, step: step.number, epoch: step.epoch,
            learningRate: step.learningRate)
    }

    // MARK: outputs

    /// The first layer whose output, of the last forward pass, is not finite on some worker, and the
    /// first shard there.
    private func firstOutput(_ pass: Pass) throws -> NonFinite {
        let layers = worker.network.layers.layers
        let bad = try layers.indices.map { index in
            try pass.shardRows.indices.contains { try isBad(index, shard: $0, pass) }
        }
        let first = try firstFlag(pass) { position, index in
            position == 0 && index < bad.count && bad[index]
        }
        guard let first else { return NonFinite(value: .loss, layer: nil, shard: nil) }
        let mine = worker.firstShard
        let shard = try firstFlag(pass) { position, index in
            try index == mine + position && isBad(first, shard: position, pass)
        }
        return NonFinite(value: .loss, layer: layers[first].name, shard: shard)
    }

    private func isBad(_ index: Int, shard position: Int, _ pass: Pass) throws -> Bool {
        let layers = worker.network.layers
        try layers.restoreOutput(ofNode: index, shard: position, pass)
        let (layer, rows) = (layers.layers[index], pass.shardRows[position])
        return anyNonFinite(
            values: layer.output.pointer + rows.lowerBound * layer.outputs,
            count: rows.count * layer.outputs)
    }

    /// The first index for which some worker's `isSet` says true, for one of its shards by position;
    /// alike on all workers.
    private func firstFlag(
        _ pass: Pass, isSet: (_ position: Int, _ index: Int) throws -> Bool
    ) throws -> Int? {
        flags.begin(ShardedBatch(samples: pass.samples, shards: plan.shards))
        for position in pass.shardRows.indices {
            for index in 0..<flags.length { flags.leaf[index] = try isSet(position, index) ? 1 : 0 }
            flags.push()
        }
        try flags.finish()
        let result = flags.result(ofGroup: 0)
        return (0..<flags.length).first { result[$0] > 0 }
    }

    // MARK: gradients

    /// The layer whose gradient was the first that is not finite on the way back, and the first shard
    /// that contributes such values. The step is computed again for each shard, whose contribution is
    /// kept: the parameters are still those of the step.
    private func firstGradient(_ step: TrainingStep) throws -> NonFinite {
        let network = worker.network
        let layout = network.replica.layout
        func last(of flat: UnsafePointer<Float>, upTo end: Int) -> Int? {
            layout.parameters.lastIndex {
                $0.range.upperBound <= end
                    && anyNonFinite(values: flat + $0.range.lowerBound, count: $0.range.count)
            }
        }
        // The sum has it in any case; nobody writes it before all have read it.
        let summed = last(of: network.replica.gradient, upTo: layout.length)
        try worker.communicator.teamBarrier()
        var worst: (parameter: Int, shard: Int?) = (summed ?? 0, nil)
        if worker.communicator.world.arithmetic == .tree {
            var latest = 0
            for shard in 0..<plan.shards {
                let found = try lastParameter(of: shard, step) {
                    last(of: contribution.pointer, upTo: layout.reduced)
                }
                if found > latest {
                    latest = found
                    worst = (found - 1, shard)
                }
            }
            // γ and β of whole-batch normalisation come from all shards; layers behind them count.
            if let summed, summed > worst.parameter { worst = (summed, nil) }
        }
        let name = layout.parameters[worst.parameter].name
        return NonFinite(
            value: .gradient, layer: String(name[..<(name.lastIndex(of: ".") ?? name.endIndex)]),
            shard: worst.shard)
    }

    /// Computes the step again and keeps shard `shard`: 1 + the index of its last parameter with a
    /// bad gradient, 0 for none; alike on all workers.
    private func lastParameter(
        of shard: Int, _ step: TrainingStep, find: () -> Int?
    ) throws -> Int {
        let (network, pass) = (worker.network, step.pass)
        network.capture(ShardCapture(shard: shard, values: contribution.pointer))
        defer { network.capture(nil) }
        try worker.computeLoss(of: try worker.forward(pass), pass)
        try worker.around(.repeatedBackward, of: step) { try worker.backward(pass) }
        try network.sumGradients { _ in }
        // Team-mates sum up slices of products.
        try worker.communicator.teamBarrier()
        let mine = worker.firstShard..<worker.firstShard + pass.shardRows.count
        return Int(try worker.summed(mine.contains(shard) ? Double(find().map { $0 + 1 } ?? 0) : 0))
    }
}

/// Memory for what one shard contributes to the gradient; a rank's, whose workers each write their
/// slices of products between two meetings.
final class Contribution: Sendable {
    nonisolated(unsafe) let pointer: UnsafeMutablePointer<Float>

    init(count: Int) {
        pointer = alignedAllocation(of: Float.self, count: count)
        pointer.initialize(repeating: 0, count: max(count, 1))
    }

    deinit { pointer.deallocate() }
}
