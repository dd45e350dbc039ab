import Kernels
import Layers
import TensorCore

// The running statistics: what they move towards, and when.
extension BatchNormLayer {
    /// Float64 values that the step's metrics carry for this layer's running statistics: none in
    /// scope global, where every worker has them, else the count-weighted sums [2·C].
    public var sharedStatisticsLength: Int {
        moments.isWhole ? 0 : 2 * channels
    }

    /// Writes what shard `shard` contributes to the count-weighted sums over groups of means
    /// and variances: its group's, if it is the group's first.
    package func shareStatistics(
        shard: Int, into sums: UnsafeMutablePointer<Double>
    ) {
        let group = group(moments.group(ofShard: shard))
        let weight = moments.isFirst(shard) ? Double(group.count) : 0
        let correction = correction(count: group.count)
        for c in 0..<channels {
            sums[c] = weight == 0 ? 0 : weight * group.mean[c]
            sums[channels + c] = weight == 0 ? 0 : weight * group.variance[c] * correction
        }
    }

    /// Moves the running statistics towards the batch's, and counts it; worker 0 of each rank calls
    /// it with the update, so that a skipped step leaves no trace.
    ///
    /// - Parameters:
    ///   - shared: in scopes group and shard, the sums over all groups from the metrics.
    ///   - samples: samples of the global batch.
    package func commit(shared: UnsafePointer<Double>?, samples: Int) {
        let weight = settings.average.weight(afterBatches: replica.batchesTracked[running.index])
        replica.batchesTracked[running.index] += 1
        let mean = replica.statistics + running.mean.lowerBound
        let variance = replica.statistics + running.variance.lowerBound
        let total = Double(samples * positions)
        let group = groups[0]
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
        let group = groups[0]
        return (group.count, UnsafePointer(group.mean), UnsafePointer(group.variance))
    }

    /// Puts other statistics, [C], in place of the running ones; one worker of the rank calls it.
    package func setRunningStatistics(mean: [Double], variance: [Double]) {
        for c in 0..<channels {
            replica.statistics[running.mean.lowerBound + c] = Float(mean[c])
            replica.statistics[running.variance.lowerBound + c] = Float(variance[c])
        }
    }

    /// m/(m − 1) where the running variance is to be unbiased.
    private func correction(count: Int) -> Double {
        settings.unbiasedRunningVariance && count > 1 ? Double(count) / Double(count - 1) : 1
    }
}
