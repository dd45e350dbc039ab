package import Kernels

/// `normalizationCoefficients` and `normalizeForward` in their readable form:
///
///     y = activation(γ·(x − μ) / √(σ² + ε) + β),  and activation(β) where σ² + ε is 0
///
/// - Parameters:
///   - input: [rows, channels]
///   - mean: μ, [channels]
///   - variance: σ², [channels]
///   - scale: γ, [channels]
///   - shift: β, [channels]
/// - Returns: y, [rows, channels]
package func normalizeForwardReference(
    input: [Double], channels: Int, mean: [Double], variance: [Double], epsilon: Double,
    scale: [Double], shift: [Double], activation: ActivationKind
) -> [Double] {
    input.enumerated().map { i, x in
        let c = i % channels
        let sum = variance[c] + epsilon
        let normalized = sum == 0 ? 0 : (x - mean[c]) / sum.squareRoot()
        return activateReference(scale[c] * normalized + shift[c], activation)
    }
}

/// The whole backward of a normalised batch in its readable form, for one statistics group:
///
///     dz = dy·activation′(y),  x̂ = (x − μ) / √(σ² + ε),  dβ = Σdz,  dγ = Σdz·x̂
///     dx = γ / √(σ² + ε) · (dz − dβ/m − x̂·dγ/m)
///
/// Ioffe and Szegedy, "Batch normalization", 2015, section 3, collected; zeros instead of dγ and
/// dx where σ² + ε is 0.
///
/// - Parameters:
///   - input: x, [rows, channels]
///   - output: y, [rows, channels]
///   - outputGradient: dy, [rows, channels]
///   - mean: μ, [channels]
///   - variance: σ², [channels]
///   - scale: γ, [channels]
/// - Returns: dx [rows, channels], dγ and dβ [channels].
package func normalizeBackwardReference(
    input: [Double], output: [Double], outputGradient: [Double], channels: Int, mean: [Double],
    variance: [Double], epsilon: Double, scale: [Double], activation: ActivationKind
) -> (inputGradient: [Double], scaleGradient: [Double], shiftGradient: [Double]) {
    let rows = Double(input.count / channels)
    let inverse = variance.map { $0 + epsilon == 0 ? 0 : 1 / ($0 + epsilon).squareRoot() }
    var normalized = input
    var gradient = outputGradient
    var scaleGradient = [Double](repeating: 0, count: channels)
    var shiftGradient = scaleGradient
    for i in input.indices {
        let c = i % channels
        normalized[i] = (input[i] - mean[c]) * inverse[c]
        gradient[i] = activateBackwardReference(
            output: output[i], outputGradient: outputGradient[i], activation)
        shiftGradient[c] += gradient[i]
        scaleGradient[c] += gradient[i] * normalized[i]
    }
    let inputGradient = input.indices.map { i in
        let c = i % channels
        let mean = (shiftGradient[c] + normalized[i] * scaleGradient[c]) / rows
        return scale[c] * inverse[c] * (gradient[i] - mean)
    }
    return (inputGradient, scaleGradient, shiftGradient)
}
