import Collectives
import Layers

/// Starts to sum gradients over the ranks while earlier layers still run backward: the parts of the
/// flat vector that are there, from its end on, in buckets.
final class GradientBuckets: BackwardFollower {
    private let reduction: GradientReduction
    /// By stage of the backward pass, the bucket that is there after it.
    private let due: [Int?]

    /// Values of a bucket at least, 256 KiB: some 200 µs of a network of 10 Gbit/s, and ten times the
    /// latency of its messages.
    static let values = 1 << 16

    /// Divides the vector of `reduction` into buckets; nil where there is but one, or one rank.
    ///
    /// - Parameter most: buckets at most.
    init?(
        _ reduction: GradientReduction, layout: ModelLayout, layers: LayerGraph,
        values: Int = GradientBuckets.values, most: Int = 32
    ) {
        /// The last stage in which each layer works.
        var last: [String: Int] = [:]
        let stages = layers.backwardStages
        for (stage, layers) in stages.enumerated() {
            for layer in layers { last[layer.name] = stage }
        }
        let travelling = reduction.complete..<reduction.length
        let ranges = layout.parameters.filter { travelling.overlaps($0.range) }.map { parameter in
            (end: parameter.range.upperBound, stage: last[parameter.layer] ?? stages.count)
        }
        let size = max(values, travelling.count / most)
        var starts: [Int] = []
        due = stages.indices.map { stage in
            let missing = ranges.filter { $0.stage > stage }.map(\.end).max() ?? 0
            let start = max((missing + 15) / 16 * 16, travelling.lowerBound)
            guard (starts.last ?? reduction.length) - start >= size else { return nil }
            starts.append(start)
            return starts.count - 1
        }
        self.reduction = reduction
        reduction.divide(intoBuckets: starts)
        if reduction.buckets.isEmpty { return nil }
    }

    func worked() throws { try reduction.progress() }

    func finished(stage: Int) throws {
        if let bucket = due[stage] { try reduction.sum(bucket: bucket) }
    }
}

extension Parameter {
    /// The name of its layer: all but the last part of its own.
    fileprivate var layer: String {
        name.split(separator: ".").dropLast().joined(separator: ".")
    }
}
