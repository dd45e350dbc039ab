import Collectives
import Kernels
import Layers
import Models
import TensorCore

/// A step whose loss or gradient is not finite, and where that began.
public struct NonFinite: Hashable, Sendable {
    /// What is not finite.
    public enum Value: String, Hashable, Sendable {
        /// The loss of the batch, or of an evaluation.
        case loss
        /// The gradient of some parameter, where the loss is finite.
        case gradient
    }

    /// What is not finite.
    public let value: Value
    /// The first layer, in the order of computation, with such an output or, for gradients, with
    /// such a gradient; nil where no layer has one.
    public let layer: String?
    /// The first shard that it has it in; nil where it is not one shard's own.
    public let shard: Int?

    /// What is not finite, and where it began.
    public init(value: Value, layer: String?, shard: Int?) {
        self.value = value
        self.layer = layer
        self.shard = shard
    }

    /// Where it began, in words.
    public var place: String {
        guard let layer else {
            return "the loss of finite logits, or of an evaluation, is not finite"
        }
        let what = value == .loss ? "layer \(layer)" : "the gradient of layer \(layer)"
        return "\(what) was the first \(value == .loss ? "to give" : "with") NaN or Inf"
            + (shard.map { ", in shard \($0)" } ?? "")
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

extension TrainingWorker {
    /// The first layer whose output, of the last forward pass, is not finite on some worker, and the
    /// first shard there. All workers call it for the same step, because all have the same loss.
    func firstNonFiniteOutput(_ pass: Pass) throws -> NonFinite {
        let layers = network.layers.layers
        func isBad(_ index: Int, shard position: Int) throws -> Bool {
            try network.layers.restoreOutput(ofNode: index, shard: position, pass)
            let (layer, rows) = (layers[index], pass.shardRows[position])
            return anyNonFinite(
                values: layer.output.pointer + rows.lowerBound * layer.outputs,
                count: rows.count * layer.outputs)
        }
        let bad = try layers.indices.map { index in
            try pass.shardRows.indices.contains { try isBad(index, shard: $0) }
        }
        let first = try firstFlag(pass) { position, index in
            position == 0 && index < bad.count && bad[index]
        }
        guard let first else { return NonFinite(value: .loss, layer: nil, shard: nil) }
        let mine = firstShard
        let shard = try firstFlag(pass) { position, index in
            try index == mine + position && isBad(first, shard: position)
        }
        return NonFinite(value: .loss, layer: layers[first].name, shard: shard)
    }

    /// The layer whose gradient was the first that is not finite on the way back, and the first shard
    /// that contributes such values. The step is computed again for each shard, whose contribution is
    /// kept: the parameters are still those of the step.
    ///
    /// - Parameters:
    ///   - contribution: memory for what a shard contributes, the rank's.
    ///   - beforeBackward: repeats what a test did to the step.
    func firstNonFiniteGradient(
        _ pass: Pass, contribution: UnsafeMutablePointer<Float>, beforeBackward: () -> Void
    ) throws -> NonFinite {
        let layout = network.replica.layout
        func last(of flat: UnsafePointer<Float>, upTo end: Int) -> Int? {
            layout.parameters.lastIndex {
                $0.range.upperBound <= end
                    && anyNonFinite(values: flat + $0.range.lowerBound, count: $0.range.count)
            }
        }
        // The sum has it in any case; nobody writes it before all have read it.
        let summed = last(of: network.replica.gradient, upTo: layout.length)
        try communicator.teamBarrier()
        var worst: (parameter: Int, shard: Int?) = (summed ?? 0, nil)
        if communicator.world.arithmetic == .tree {
            var latest = 0
            for shard in 0..<shards {
                let found = try lastParameter(of: shard, pass, contribution, beforeBackward) {
                    last(of: contribution, upTo: layout.reduced)
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
        of shard: Int, _ pass: Pass, _ contribution: UnsafeMutablePointer<Float>,
        _ beforeBackward: () -> Void, find: () -> Int?
    ) throws -> Int {
        network.capture(ShardCapture(shard: shard, values: contribution))
        defer { network.capture(nil) }
        try forward(pass)
        beforeBackward()
        try backward(pass)
        try network.gradientReduction.sum { _ in }
        // Team-mates sum up slices of products.
        try communicator.teamBarrier()
        let isMine = (firstShard..<firstShard + pass.shardRows.count).contains(shard)
        return Int(try summed(isMine ? Double(find().map { $0 + 1 } ?? 0) : 0))
    }
}
