import Collectives
import Kernels
import Layers
import TensorCore

// The collectives of BN: what each is for, and what is made of it.
extension BatchNormLayer {
    /// Mean and M2 of the block's parts of its shards.
    func observeMoments(_ input: Tensor, _ block: Block, _ pass: Pass) {
        for (position, index) in block.parts {
            let rows = pass.shardRows[position].clamped(to: block.rows)
            let count = rows.count * positions
            let first = input.pointer + rows.lowerBound * outputs
            let part = momentParts[index]
            if isLiteral {
                channelSums(
                    input: first, rows: count, channels: channels, sum: part,
                    squares: part + channels)
            } else {
                channelMoments(
                    input: first, rows: count, channels: channels, mean: part,
                    m2: part + channels)
            }
        }
    }

    /// The mean and M2 of every shard: one that came in several blocks is merged from them in order.
    private func mergeMoments(_ pass: Pass) {
        moments.begin(sharded(pass), positions: positions)
        for block in momentParts.blocks(pass) {
            for (position, index) in block.parts {
                let shard = pass.shardRows[position]
                let rows = shard.clamped(to: block.rows)
                let before = (rows.lowerBound - shard.lowerBound) * positions
                if before == 0 {
                    moments.leaf.update(from: momentParts[index], count: 2 * channels)
                } else {
                    moments.mergeIntoLeaf(
                        momentParts[index], counts: (before, rows.count * positions))
                }
                if rows.upperBound == shard.upperBound { moments.push() }
            }
        }
    }

    /// Mean and variance of every statistics group this worker belongs to.
    ///
    /// The collective: a shard sees only its own samples, and the group's mean and M2 are needed
    /// before anything can be normalised. All workers call it at the same place because layers run
    /// in order; a worker whose shards are empty joins all the same.
    func reduceMoments(_ pass: Pass) throws {
        mergeMoments(pass)
        try moments.finish()
        if let audited {
            coefficients[0].takeForward(audited.layer.coefficients(ofGroup: audited.group))
            return
        }
        for (index, group) in coefficients.enumerated() {
            let number = firstGroup + index
            group.count = moments.count(of: moments.shards(ofGroup: number))
            guard group.count > 0 else { continue }
            // Division by the group's count, the forward one of BN's two.
            let (m, result) = (Double(group.count), moments.result(ofGroup: number))
            for c in 0..<channels {
                if isLiteral {
                    group.mean[c] = result[c] / m
                    group.variance[c] = max(
                        result[channels + c] / m - group.mean[c] * group.mean[c], 0)
                } else {
                    group.mean[c] = result[c]
                    group.variance[c] = result[channels + c] / m
                }
            }
            group.update(epsilon: settings.epsilon, scale: scale)
        }
    }

    /// Σdz and Σdz(x − μ) of every shard: one that came in several blocks is added up in order.
    func addParts(_ pass: Pass) {
        if statistics == .batch { sums.begin(sharded(pass), positions: positions) }
        for block in gradientParts.blocks(pass) {
            for (position, index) in block.parts {
                let shard = pass.shardRows[position]
                let rows = shard.clamped(to: block.rows)
                let total = shardSums.map { $0 + position * 2 * channels } ?? sums.leaf
                if rows.lowerBound == shard.lowerBound {
                    total.update(from: gradientParts[index], count: 2 * channels)
                } else {
                    add(gradientParts[index], into: total, count: 2 * channels)
                }
                if statistics == .batch && rows.upperBound == shard.upperBound { sums.push() }
            }
        }
    }

    private func sharded(_ pass: Pass) -> ShardedBatch {
        // What is computed again is all there is, though divisions are by the batch.
        ShardedBatch(samples: isAudit ? pass.rows : pass.samples, shards: shards)
    }

    /// Σdz and Σdz(x − μ) of every statistics group, and from them the coefficients of dx, and
    /// dγ and dβ.
    ///
    /// The collective: dx of one sample depends on the gradients of all samples of its group. In
    /// scope global the two sums are dβ and, scaled, dγ of the whole batch: every worker knows
    /// them, and they are not reduced again with the gradients. In the other scopes each group's
    /// own dγ and dβ travel with the gradients, as the contribution of the group's first shard.
    func reduceSums() throws {
        try sums.finish()
        if let audited {
            coefficients[0].takeBackward(audited.layer.coefficients(ofGroup: audited.group))
            return
        }
        for (index, group) in coefficients.enumerated() where group.count > 0 {
            let result = sums.result(ofGroup: firstGroup + index)
            // Divides by the group's count, the backward one of BN's two divisions.
            group.update(
                epsilon: settings.epsilon, sumGradient: result, sumProduct: result + channels)
        }
        // dγ and dβ are made of the sums, which an audit compares.
        if !isAudit { addParameterGradients() }
    }

    private func addParameterGradients() {
        guard let scale = placement.scale, let shift = placement.shift else { return }
        if sums.shards(ofGroup: 0).count == shards {
            // One worker of the rank writes what all of them know; the others read it after the
            // meeting that opens the gradient's reduction.
            guard communicator.thread == 0 else { return }
            writeGroup(
                0, scale: replica.gradient + scale.lowerBound,
                shift: replica.gradient + shift.lowerBound)
            return
        }
        contribute(scale) { writeGroup($0, scale: $1, shift: nil) }
        contribute(shift) { writeGroup($0, scale: nil, shift: $1) }
    }

    /// A group's gradient counts as its first shard's; the other shards contribute zeros.
    private func contribute(
        _ range: Range<Int>, write: (_ group: Int, UnsafeMutablePointer<Float>) -> Void
    ) {
        gradients.accumulate(range) { position, destination in
            let shard = sums.shards.lowerBound + position
            let group = sums.group(ofShard: shard)
            let isFirst = sums.shards(ofGroup: group).lowerBound == shard
            if isFirst && coefficients[group - firstGroup].count > 0 {
                write(group, destination)
            } else {
                destination.update(repeating: 0, count: channels)
            }
        }
    }

    private func writeGroup(
        _ number: Int, scale: UnsafeMutablePointer<Float>?, shift: UnsafeMutablePointer<Float>?
    ) {
        let result = sums.result(ofGroup: number)
        let group = coefficients[number - firstGroup]
        for c in 0..<channels {
            scale?[c] = Float(result[channels + c] * group.inverseDeviation[c])
            shift?[c] = Float(result[c])
        }
    }

    /// A frozen layer is an affine map: its sums are per shard and travel with the gradients.
    func addFrozenGradients() {
        let group = coefficients[0]
        group.meanGradient.pointer.update(repeating: 0, count: channels)
        group.projection.pointer.update(repeating: 0, count: channels)
        guard let shardSums else { preconditionFailure("only a frozen layer has sums of shards") }
        guard let scale = placement.scale, let shift = placement.shift else { return }
        gradients.accumulate(scale) { position, destination in
            let product = shardSums + (2 * position + 1) * channels
            for c in 0..<channels {
                destination[c] = Float(product[c] * group.inverseDeviation[c])
            }
        }
        gradients.accumulate(shift) { position, destination in
            let gradient = shardSums + 2 * position * channels
            for c in 0..<channels { destination[c] = Float(gradient[c]) }
        }
    }

    // MARK: running statistics

    /// Float64 values that the step's metrics carry for this layer's running statistics: none in
    /// scope global, where every worker has them, else the count-weighted sums [2·C].
    public var sharedStatisticsLength: Int {
        statistics == .frozen || moments.shards(ofGroup: 0).count == shards ? 0 : 2 * channels
    }

    /// Writes what shard `position` contributes to the count-weighted sums over groups of means
    /// and variances: its group's, if it is the group's first.
    package func shareStatistics(
        position: Int, into sums: UnsafeMutablePointer<Double>
    ) {
        let shard = moments.shards.lowerBound + position
        let number = moments.group(ofShard: shard)
        let group = coefficients[number - firstGroup]
        let isFirst = moments.shards(ofGroup: number).lowerBound == shard
        let weight = isFirst ? Double(group.count) : 0
        let correction = correction(count: group.count)
        for c in 0..<channels {
            sums[c] = weight == 0 ? 0 : weight * group.mean[c]
            sums[channels + c] = weight == 0 ? 0 : weight * group.variance[c] * correction
        }
    }

    /// Moves the running statistics towards the batch's, and counts it; worker 0 of each rank calls
    /// it with the update, so that a skipped step leaves no trace. Those of a frozen layer stay.
    ///
    /// - Parameters:
    ///   - shared: in scopes group and shard, the sums over all groups from the metrics.
    ///   - samples: samples of the global batch.
    package func commit(shared: UnsafePointer<Double>?, samples: Int) {
        guard statistics == .batch else { return }
        let weight = settings.average.weight(
            afterBatches: replica.batchesTracked[placement.index])
        replica.batchesTracked[placement.index] += 1
        let mean = replica.statistics + placement.mean.lowerBound
        let variance = replica.statistics + placement.variance.lowerBound
        let total = Double(samples * positions)
        let group = coefficients[0]
        let correction = correction(count: group.count)
        for c in 0..<channels {
            let newMean = shared.map { $0[c] / total } ?? group.mean[c]
            let newVariance =
                shared.map { $0[channels + c] / total } ?? group.variance[c] * correction
            mean[c] = Float((1 - weight) * Double(mean[c]) + weight * newMean)
            variance[c] = Float((1 - weight) * Double(variance[c]) + weight * newVariance)
        }
    }

    // MARK: population statistics

    /// Values a channel of one sample, H·W.
    package var valuesPerSample: Int { positions }

    /// Channels, C.
    package var channelCount: Int { channels }

    /// Count, mean and biased variance [C] that the last pass took from the whole batch, in scope
    /// global: the same on every worker.
    package var batchStatistics:
        (count: Int, mean: UnsafePointer<Double>, variance: UnsafePointer<Double>)
    {
        let group = coefficients[0]
        return (group.count, UnsafePointer(group.mean), UnsafePointer(group.variance))
    }

    /// Puts other statistics, [C], in place of the running ones; one worker of the rank calls it.
    package func setRunningStatistics(mean: [Double], variance: [Double]) {
        for c in 0..<channels {
            replica.statistics[placement.mean.lowerBound + c] = Float(mean[c])
            replica.statistics[placement.variance.lowerBound + c] = Float(variance[c])
        }
    }

    /// m/(m − 1) where the running variance is to be unbiased.
    private func correction(count: Int) -> Double {
        settings.unbiasedRunningVariance && count > 1 ? Double(count) / Double(count - 1) : 1
    }
}
