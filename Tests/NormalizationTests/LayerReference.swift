import Collectives
import KernelReferences
import Kernels
import Layers
import Normalization

/// One channel of one statistics group, in Float64: Ioffe and Szegedy, "Batch normalization",
/// 2015, algorithm 1 and the chain rule of section 3, step by step as printed there.
struct ReferenceChannel {
    var epsilon: Double
    var scale: Double
    var shift: Double
    var activation: ActivationKind

    /// Mean and biased variance.
    static func moments(_ x: [Double]) -> (mean: Double, variance: Double) {
        let m = Double(x.count)
        let mean = x.reduce(0, +) / m
        return (mean, x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / m)
    }

    func output(_ x: [Double], mean: Double, variance: Double) -> [Double] {
        x.map { activateReference(scale * normalized($0, mean, variance) + shift, activation) }
    }

    private func normalized(_ x: Double, _ mean: Double, _ variance: Double) -> Double {
        variance + epsilon == 0 ? 0 : (x - mean) / (variance + epsilon).squareRoot()
    }

    /// dx, dγ and dβ; `frozen` statistics are constants.
    func gradients(
        _ x: [Double], outputGradient: [Double], mean: Double, variance: Double, frozen: Bool
    ) -> (input: [Double], scale: Double, shift: Double) {
        let y = output(x, mean: mean, variance: variance)
        let dz = zip(y, outputGradient).map {
            activateBackwardReference(output: $0, outputGradient: $1, activation)
        }
        let normalizedInput = x.map { normalized($0, mean, variance) }
        let scaleGradient = zip(dz, normalizedInput).reduce(0) { $0 + $1.0 * $1.1 }
        let shiftGradient = dz.reduce(0, +)
        let sum = variance + epsilon
        guard sum > 0 else { return (x.map { _ in 0 }, 0, shiftGradient) }
        let inverse = 1 / sum.squareRoot()
        let normalizedGradient = dz.map { $0 * scale }
        if frozen {
            return (normalizedGradient.map { $0 * inverse }, scaleGradient, shiftGradient)
        }
        let m = Double(x.count)
        let varianceGradient =
            zip(normalizedGradient, x).reduce(0) { $0 + $1.0 * ($1.1 - mean) } * -0.5 * inverse
            / sum
        let meanGradient =
            -inverse * normalizedGradient.reduce(0, +)
            + varianceGradient * x.reduce(0) { $0 - 2 * ($1 - mean) } / m
        let inputGradient = zip(normalizedGradient, x).map {
            $0 * inverse + varianceGradient * 2 * ($1 - mean) / m + meanGradient / m
        }
        return (inputGradient, scaleGradient, shiftGradient)
    }
}

extension LayerCase {
    /// What the layer should give, in Float64.
    struct Reference {
        var output: [Double]
        var inputGradient: [Double]
        var scaleGradient: [Double]
        var shiftGradient: [Double]
        var runningMean: [Double]
        var runningVariance: [Double]
        /// Of each group, [channels].
        var variance: [[Double]]
    }

    private var usesRunning: Bool { isFrozen || mode == .inference }

    /// The rows of every statistics group that has any.
    private var groupRows: [Range<Int>] {
        if usesRunning { return [0..<samples * positions] }
        let batch = ShardedBatch(samples: samples, shards: shards)
        let size = settings.scope.groupSize(shards: shards)
        return stride(from: 0, to: shards, by: size).map {
            let range = batch.samples(ofShards: $0..<$0 + size)
            return range.lowerBound * positions..<range.upperBound * positions
        }.filter { !$0.isEmpty }
    }

    func reference() -> Reference {
        reference(
            input: input.map(Double.init), scale: scale.map(Double.init),
            shift: shift.map(Double.init))
    }

    /// The same of another input, γ and β.
    func reference(input: [Double], scale: [Double], shift: [Double]) -> Reference {
        var result = Reference(
            output: input, inputGradient: input, scaleGradient: scale.map { _ in 0 },
            shiftGradient: scale.map { _ in 0 }, runningMean: runningMean.map(Double.init),
            runningVariance: runningVariance.map(Double.init), variance: [])
        for c in 0..<channels {
            var (meanSum, varianceSum) = (0.0, 0.0)
            for (index, rows) in groupRows.enumerated() {
                let x = rows.map { input[$0 * channels + c] }
                let channel = ReferenceChannel(
                    epsilon: settings.epsilon, scale: settings.affine ? scale[c] : 1,
                    shift: settings.affine ? shift[c] : 0, activation: activation)
                var (mean, variance) = ReferenceChannel.moments(x)
                let m = Double(rows.count)
                meanSum += m * mean
                varianceSum +=
                    m * variance * (settings.unbiasedRunningVariance && m > 1 ? m / (m - 1) : 1)
                if usesRunning {
                    (mean, variance) = (Double(runningMean[c]), Double(runningVariance[c]))
                }
                if c == 0 { result.variance.append([]) }
                result.variance[index].append(variance)
                let y = channel.output(x, mean: mean, variance: variance)
                let gradients = channel.gradients(
                    x, outputGradient: rows.map { Double(outputGradient[$0 * channels + c]) },
                    mean: mean, variance: variance, frozen: usesRunning)
                for (i, row) in rows.enumerated() {
                    result.output[row * channels + c] = y[i]
                    result.inputGradient[row * channels + c] = gradients.input[i]
                }
                result.scaleGradient[c] += gradients.scale
                result.shiftGradient[c] += gradients.shift
            }
            if usesRunning { continue }
            let total = Double(samples * positions)
            let weight: Double
            switch settings.average {
            case .momentum(let momentum): weight = momentum
            case .cumulative: weight = 1 / Double(batchesTracked + 1)
            }
            result.runningMean[c] += weight * (meanSum / total - result.runningMean[c])
            result.runningVariance[c] +=
                weight * (varianceSum / total - result.runningVariance[c])
        }
        return result
    }
}
