import Collectives
import TensorCore

// What a shard contributes to statistics, kept and computed again: see `ShardAudit` in Training.
extension BatchNormLayer {
    /// Float64 values that a shard contributes: mean and M2, then Σdz and Σdz(x − μ); 0 for a frozen
    /// layer, whose sums travel with the gradients.
    package var contributionLength: Int { statistics == .batch ? 4 * channels : 0 }

    /// From here on keeps what the shard at `position` among this worker's contributes in `values`,
    /// [contributionLength]; nil: no longer.
    package func capture(_ position: Int?, into values: UnsafeMutablePointer<Double>) {
        moments.captured = position.map { ($0, values) }
        sums.captured = position.map { ($0, values + 2 * channels) }
    }

    /// Whether this worker knows the statistics of group `group`: it has a shard of it.
    package func knows(group: Int) -> Bool {
        coefficients.indices.contains(group - firstGroup)
    }

    /// The statistics group of shard `shard` of the batch.
    package func group(ofBatchShard shard: Int) -> Int { moments.group(ofShard: shard) }

    /// What group `group` is normalised by.
    func coefficients(ofGroup group: Int) -> GroupCoefficients {
        precondition(knows(group: group), "a worker audits shards of groups that it knows")
        return coefficients[group - firstGroup]
    }
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
