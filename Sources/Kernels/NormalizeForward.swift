/// What `normalizeForward` needs of every channel, from its Float64 statistics:
///
///     meanHigh + meanLow = μ,  factor = γ / √(σ² + ε)
///
/// The mean travels as two Float32, because one would put an error of |μ|·2⁻²⁴ on every output
/// before the division by σ.
///
/// Edge cases: where σ² + ε is 0 the factor is 0, so that a constant channel at ε = 0 gives
/// exactly β.
///
/// - Parameters:
///   - mean: μ, [channels]
///   - variance: σ², the biased one, [channels]
///   - scale: γ, [channels]; without it γ = 1.
///   - meanHigh: [channels]
///   - meanLow: [channels]
///   - factor: [channels]
public func normalizationCoefficients(
    mean: UnsafePointer<Double>, variance: UnsafePointer<Double>, epsilon: Double,
    scale: UnsafePointer<Float>?, channels: Int, meanHigh: UnsafeMutablePointer<Float>,
    meanLow: UnsafeMutablePointer<Float>, factor: UnsafeMutablePointer<Float>
) {
    var c = 0
    while c < channels {
        let lanes = min(laneCount, channels &- c)
        let mu = loadLanes(mean + c, lanes)
        let high = narrow(mu)
        storeLanes(high, meanHigh + c, lanes)
        storeLanes(narrow(mu - widen(high)), meanLow + c, lanes)
        let sum = loadLanes(variance + c, lanes) + epsilon
        let inverse = (1 / sum.squareRoot()).replacing(with: 0, where: sum .== 0)
        let gamma = scale.map { widen(loadLanes($0 + c, lanes)) } ?? SIMD16(repeating: 1)
        storeLanes(narrow(gamma * inverse), factor + c, lanes)
        c &+= laneCount
    }
}

/// Normalises, scales, shifts and activates every channel in one pass:
///
///     output = activation(((x − meanHigh) − meanLow)·factor + shift)
///
/// Never in the form x·a + b, which cancels when the mean is far from zero. Each row's result is a
/// function of that row alone, whatever the number of rows in the call.
///
/// - Parameters:
///   - input: [rows, channels]
///   - meanHigh: [channels], as meanLow and factor from `normalizationCoefficients`.
///   - meanLow: [channels]
///   - factor: γ / √(σ² + ε), [channels]
///   - shift: β, [channels]
///   - output: [rows, channels]; may be `input`.
public func normalizeForward(
    input: UnsafePointer<Float>, rows: Int, channels: Int, meanHigh: UnsafePointer<Float>,
    meanLow: UnsafePointer<Float>, factor: UnsafePointer<Float>, shift: UnsafePointer<Float>,
    activation: ActivationKind, output: UnsafeMutablePointer<Float>
) {
    let channelValues = ForwardChannels(
        meanHigh: meanHigh, meanLow: meanLow, factor: factor, shift: shift)
    switch activation {
    case .identity: normalize(Identity.self, input, rows, channels, channelValues, output)
    case .sigmoid: normalize(Sigmoid.self, input, rows, channels, channelValues, output)
    case .tanh: normalize(HyperbolicTangent.self, input, rows, channels, channelValues, output)
    case .relu: normalize(Rectifier.self, input, rows, channels, channelValues, output)
    }
}

/// The per-channel arguments of `normalizeForward`, [channels] each.
private struct ForwardChannels {
    let meanHigh: UnsafePointer<Float>
    let meanLow: UnsafePointer<Float>
    let factor: UnsafePointer<Float>
    let shift: UnsafePointer<Float>
}

private func normalize<Activation: VectorActivation>(
    _: Activation.Type, _ input: UnsafePointer<Float>, _ rows: Int, _ channels: Int,
    _ values: ForwardChannels, _ output: UnsafeMutablePointer<Float>
) {
    var c = 0
    while c &+ laneCount <= channels {
        normalizeBlock(Activation.self, input, rows, channels, c, laneCount, values, output)
        c &+= laneCount
    }
    if c < channels {
        normalizeBlock(Activation.self, input, rows, channels, c, channels - c, values, output)
    }
}

/// Channels c ..< c + lanes of all rows.
@inline(__always)
private func normalizeBlock<Activation: VectorActivation>(
    _: Activation.Type, _ input: UnsafePointer<Float>, _ rows: Int, _ stride: Int, _ c: Int,
    _ lanes: Int, _ values: ForwardChannels, _ output: UnsafeMutablePointer<Float>
) {
    let meanHigh = loadLanes(values.meanHigh + c, lanes)
    let meanLow = loadLanes(values.meanLow + c, lanes)
    let factor = loadLanes(values.factor + c, lanes)
    let shift = loadLanes(values.shift + c, lanes)
    var x = input + c
    var y = output + c
    for _ in 0..<rows {
        let centred = (loadLanes(x, lanes) - meanHigh) - meanLow
        storeLanes(Activation.value(shift.addingProduct(centred, factor)), y, lanes)
        x += stride
        y += stride
    }
}

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
public func normalizeForwardReference(
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
