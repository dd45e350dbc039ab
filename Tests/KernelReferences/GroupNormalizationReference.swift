package import Kernels

/// The normalisation of one sample by groups of channels in its readable form:
///
///     y = activation(γ·(x − μ) / √(σ² + ε) + β + addend),   μ, σ² of the sample's group
///
/// Wu and He, "Group normalization", 2018; activation(β + addend) where σ² + ε is 0.
///
/// - Parameters:
///   - input: x, [rows, channels]; rows are positions.
///   - scale: γ, [channels]
///   - shift: β, [channels]
///   - addend: [rows, channels]; empty for none.
/// - Returns: y [rows, channels], and x̂, the same before γ and β.
package func normalizeGroupsReference(
    input: [Double], channels: Int, groups: Int, epsilon: Double, scale: [Double],
    shift: [Double], addend: [Double] = [], activation: ActivationKind
) -> (output: [Double], normalized: [Double], inverseDeviation: [Double]) {
    let size = channels / groups
    var normalized = input
    var inverses: [Double] = []
    for group in 0..<groups {
        let members = input.indices.filter { $0 % channels / size == group }
        let m = Double(members.count)
        let mean = members.reduce(0) { $0 + input[$1] } / m
        let variance = members.reduce(0) { $0 + (input[$1] - mean) * (input[$1] - mean) } / m
        let inverse = variance + epsilon == 0 ? 0 : 1 / (variance + epsilon).squareRoot()
        for i in members { normalized[i] = (input[i] - mean) * inverse }
        inverses.append(inverse)
    }
    let output = input.indices.map { i in
        let c = i % channels
        let z = scale[c] * normalized[i] + shift[c] + (addend.isEmpty ? 0 : addend[i])
        return activateReference(z, activation)
    }
    return (output, normalized, inverses)
}

/// The backward of `normalizeGroupsReference` in its readable form; means are over a group:
///
///     dz = dy·activation′(y),  dβ = Σdz,  dγ = Σdz·x̂                      sums over positions
///     dx = (γ·dz − mean(γ·dz) − x̂·mean(γ·dz·x̂)) / √(σ² + ε)
///
/// - Parameters:
///   - normalized: x̂, [rows, channels]
///   - inverseDeviation: [groups]
///   - output: y, [rows, channels]
///   - outputGradient: dy, [rows, channels]
/// - Returns: dx and dz [rows, channels], dγ and dβ [channels].
package func normalizeGroupsBackwardReference(
    normalized: [Double], inverseDeviation: [Double], output: [Double], outputGradient: [Double],
    channels: Int, scale: [Double], activation: ActivationKind
) -> (
    inputGradient: [Double], gradient: [Double], scaleGradient: [Double], shiftGradient: [Double]
) {
    let size = channels / inverseDeviation.count
    let gradient = zip(output, outputGradient).map {
        activateBackwardReference(output: $0, outputGradient: $1, activation)
    }
    var scaleGradient = [Double](repeating: 0, count: channels)
    var shiftGradient = scaleGradient
    for i in gradient.indices {
        scaleGradient[i % channels] += gradient[i] * normalized[i]
        shiftGradient[i % channels] += gradient[i]
    }
    var inputGradient = gradient
    for (group, inverse) in inverseDeviation.enumerated() {
        let members = gradient.indices.filter { $0 % channels / size == group }
        let m = Double(members.count)
        func scaled(_ i: Int) -> Double { scale[i % channels] * gradient[i] }
        let mean = members.reduce(0) { $0 + scaled($1) } / m
        let product = members.reduce(0) { $0 + scaled($1) * normalized[$1] } / m
        for i in members {
            inputGradient[i] = (scaled(i) - mean - normalized[i] * product) * inverse
        }
    }
    return (inputGradient, gradient, scaleGradient, shiftGradient)
}
