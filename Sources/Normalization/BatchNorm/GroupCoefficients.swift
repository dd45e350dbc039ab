import Kernels
import TensorCore

/// What one statistics group is normalised by, forward and backward; [C] each.
final class GroupCoefficients {
    /// μ and σ², Float64.
    let mean: UnsafeMutablePointer<Double>
    let variance: UnsafeMutablePointer<Double>
    /// 1/√(σ² + ε), 0 where σ² + ε = 0.
    let inverseDeviation: UnsafeMutablePointer<Double>
    /// μ as two Float32.
    let meanHigh: Tensor
    let meanLow: Tensor
    /// γ/√(σ² + ε), 0 where σ² + ε = 0.
    let factor: Tensor
    /// Σdz/m and Σdz(x − μ)/(m(σ² + ε)).
    let meanGradient: Tensor
    let projection: Tensor
    /// Values a channel, m; 0 for a group of empty shards.
    var count = 0

    /// Which group; 0 for one of running statistics.
    let number: Int
    let channels: Int

    init(_ number: Int = 0, channels: Int) {
        self.number = number
        self.channels = channels
        func zeros() -> UnsafeMutablePointer<Double> {
            let memory = alignedAllocation(of: Double.self, count: channels)
            memory.initialize(repeating: 0, count: channels)
            return memory
        }
        mean = zeros()
        variance = zeros()
        inverseDeviation = zeros()
        meanHigh = Tensor(rows: 1, columns: channels)
        meanLow = Tensor(rows: 1, columns: channels)
        factor = Tensor(rows: 1, columns: channels)
        meanGradient = Tensor(rows: 1, columns: channels)
        projection = Tensor(rows: 1, columns: channels)
    }

    deinit {
        mean.deallocate()
        variance.deallocate()
        inverseDeviation.deallocate()
    }

    /// Sets what the forward pass needs from running statistics, [C] each.
    func update(
        mean: UnsafePointer<Float>, variance: UnsafePointer<Float>, epsilon: Double,
        scale: UnsafePointer<Float>
    ) {
        for c in 0..<channels {
            self.mean[c] = Double(mean[c])
            self.variance[c] = Double(variance[c])
        }
        update(epsilon: epsilon, scale: scale)
    }

    /// Sets what the forward pass needs from `mean` and `variance`.
    func update(epsilon: Double, scale: UnsafePointer<Float>) {
        normalizationCoefficients(
            mean: mean, variance: variance, epsilon: epsilon, scale: scale, channels: channels,
            meanHigh: meanHigh.pointer, meanLow: meanLow.pointer, factor: factor.pointer,
            inverseDeviation: inverseDeviation)
    }

    /// Sets what the backward pass needs from the group's Σdz and Σdz(x − μ).
    func update(
        epsilon: Double, sumGradient: UnsafePointer<Double>, sumProduct: UnsafePointer<Double>
    ) {
        normalizationGradientCoefficients(
            sumGradient: sumGradient, sumProduct: sumProduct, count: count, variance: variance,
            epsilon: epsilon, channels: channels, meanGradient: meanGradient.pointer,
            projection: projection.pointer)
    }
}
