import TensorCore

/// The product that whitens samples: output = W·(byte / 255 − μ) = (W / 255)·byte − W·μ.
///
/// Each output is summed over the features in order, in Float32 with fused products, from −W·μ on:
/// its bits depend on its sample alone, not on its neighbours in a batch.
///
/// - Kessy, Lewin, Strimmer: Optimal Whitening and Decorrelation. The American Statistician, 2018
public final class Whitening: Sendable {
    /// Which of the matrices with WᵀW = C⁻¹.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Onto the principal components: outputs are no pixels any more.
        case pca
        /// Back from there: outputs stay near the pixels they were.
        case zca
    }

    /// The ε beside each variance where none is given: that of a deviation of a tenth of the unit
    /// scale. Of images most components have less, and are noise that 1/√λ would blow up.
    public static let defaultEpsilon = 0.01

    /// Values of a sample, in and out.
    let features: Int

    /// W / 255 in panels of 32 outputs, zeros beyond the last. [panels][features][2][16]
    private let weights: [SIMD16<Float>]

    /// −W·μ. [panels][2][16]
    private let offsets: [SIMD16<Float>]

    /// Samples that share each read of a weight.
    private static let together = 4

    /// - Parameters:
    ///   - mean: μ. [features]
    ///   - matrix: W. [features, features]
    init(mean: [Float], matrix: [Float]) {
        let n = mean.count
        features = n
        let panels = (n + 31) / 32
        var weights = [SIMD16<Float>](repeating: .zero, count: panels * n * 2)
        var offsets = [SIMD16<Float>](repeating: .zero, count: panels * 2)
        for output in 0..<n {
            let (panel, half, lane) = (output / 32, output / 16 % 2, output % 16)
            var sum = 0.0
            for feature in 0..<n {
                let weight = Double(matrix[output * n + feature])
                weights[(panel * n + feature) * 2 + half][lane] = Float(weight / 255)
                sum -= weight * Double(mean[feature])
            }
            offsets[panel * 2 + half][lane] = Float(sum)
        }
        self.weights = weights
        self.offsets = offsets
    }

    /// Writes `count` samples, one after the other, into `batch`. Allocates nothing.
    func fill(
        _ batch: Tensor, from samples: SampleView, count: Int, sample: (_ position: Int) -> Int
    ) {
        samples.dataset.images.withUnsafeBufferPointer { images in
            guard let base = images.baseAddress else { return }
            func source(_ position: Int) -> UnsafePointer<UInt8> {
                base + samples.place(of: sample(position)) * features
            }
            for first in stride(from: 0, to: count, by: Self.together) {
                // The last ones are computed more than once, to the same bits, where a few are left.
                let last = count - 1
                let rows = (first, min(first + 1, last), min(first + 2, last), min(first + 3, last))
                whiten(
                    (source(rows.0), source(rows.1), source(rows.2), source(rows.3)),
                    into: (
                        batch.pointer + rows.0 * features, batch.pointer + rows.1 * features,
                        batch.pointer + rows.2 * features, batch.pointer + rows.3 * features
                    ))
            }
        }
    }

    private typealias Bytes = UnsafePointer<UInt8>
    private typealias Floats = UnsafeMutablePointer<Float>

    /// Four samples at a time: each read of a weight serves all of them.
    private func whiten(
        _ source: (Bytes, Bytes, Bytes, Bytes), into target: (Floats, Floats, Floats, Floats)
    ) {
        weights.withUnsafeBufferPointer { weights in
            for panel in 0..<offsets.count / 2 {
                var (a0, a1) = (offsets[2 * panel], offsets[2 * panel + 1])
                var (b0, b1) = (a0, a1)
                var (c0, c1) = (a0, a1)
                var (d0, d1) = (a0, a1)
                var place = panel * features * 2
                for feature in 0..<features {
                    let (w0, w1) = (weights[place], weights[place + 1])
                    place += 2
                    let a = SIMD16<Float>(repeating: Float(source.0[feature]))
                    let b = SIMD16<Float>(repeating: Float(source.1[feature]))
                    let c = SIMD16<Float>(repeating: Float(source.2[feature]))
                    let d = SIMD16<Float>(repeating: Float(source.3[feature]))
                    a0 = a0.addingProduct(w0, a)
                    a1 = a1.addingProduct(w1, a)
                    b0 = b0.addingProduct(w0, b)
                    b1 = b1.addingProduct(w1, b)
                    c0 = c0.addingProduct(w0, c)
                    c1 = c1.addingProduct(w1, c)
                    d0 = d0.addingProduct(w0, d)
                    d1 = d1.addingProduct(w1, d)
                }
                write(a0, a1, panel, to: target.0)
                write(b0, b1, panel, to: target.1)
                write(c0, c1, panel, to: target.2)
                write(d0, d1, panel, to: target.3)
            }
        }
    }

    private func write(
        _ low: SIMD16<Float>, _ high: SIMD16<Float>, _ panel: Int, to target: Floats
    ) {
        let start = panel * 32
        if start + 32 <= features {
            let values = UnsafeMutableRawPointer(target + start)
            values.storeBytes(of: low, as: SIMD16<Float>.self)
            values.storeBytes(of: high, toByteOffset: 64, as: SIMD16<Float>.self)
            return
        }
        for output in start..<features {
            target[output] = output < start + 16 ? low[output - start] : high[output - start - 16]
        }
    }
}
