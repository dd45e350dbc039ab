import Collectives
import TensorCore

// What a shard contributes to statistics, kept and computed again: see `ShardAudit` in Training.
extension BatchNormLayer {
    /// Float64 values that a shard contributes: mean and M2, then Σdz and Σdz(x − μ).
    package var contributionLength: Int { 4 * channels }

    /// From here on keeps what shard `shard` of this worker contributes in `values`,
    /// [contributionLength]; nil: no longer.
    package func capture(_ shard: Int?, into values: UnsafeMutablePointer<Double>) {
        moments.capture(shard, into: values)
        sums.capture(shard, into: values + 2 * channels)
    }

    /// The statistics group of shard `shard` of the batch.
    package func group(ofBatchShard shard: Int) -> Int { moments.group(ofBatchShard: shard) }
}

extension GroupCoefficients {
    /// Takes over what the forward pass needs.
    func takeForward(_ other: GroupCoefficients) {
        count = other.count
        mean.update(from: other.mean, count: channels)
        variance.update(from: other.variance, count: channels)
        inverseDeviation.update(from: other.inverseDeviation, count: channels)
        meanHigh.pointer.update(from: other.meanHigh.pointer, count: channels)
        meanLow.pointer.update(from: other.meanLow.pointer, count: channels)
        factor.pointer.update(from: other.factor.pointer, count: channels)
    }

    /// Takes over what the backward pass needs.
    func takeBackward(_ other: GroupCoefficients) {
        meanGradient.pointer.update(from: other.meanGradient.pointer, count: channels)
        projection.pointer.update(from: other.projection.pointer, count: channels)
    }
}
