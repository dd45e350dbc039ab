/// What `normalizeForward` needs of every channel, from its Float64 statistics:
///
///     meanHigh + meanLow = μ,  inverseDeviation = 1 / √(σ² + ε),  factor = γ·inverseDeviation
///
/// The mean travels as two Float32, because one would put an error of |μ|·2⁻²⁴ on every output
/// before the division by σ.
///
/// Edge cases: where σ² + ε is 0 both are 0, so that a constant channel at ε = 0 gives
/// exactly β.
///
/// - Parameters:
///   - mean: μ, [channels]
///   - variance: σ², the biased one, [channels]
///   - scale: γ, [channels]; without it γ = 1.
///   - meanHigh: [channels]
///   - meanLow: [channels]
///   - factor: [channels]
///   - inverseDeviation: [channels], in Float64, for who wants it: dγ is Σdz·(x − μ) times this.
public func normalizationCoefficients(
    mean: UnsafePointer<Double>, variance: UnsafePointer<Double>, epsilon: Double,
    scale: UnsafePointer<Float>?, channels: Int, meanHigh: UnsafeMutablePointer<Float>,
    meanLow: UnsafeMutablePointer<Float>, factor: UnsafeMutablePointer<Float>,
    inverseDeviation: UnsafeMutablePointer<Double>? = nil
) {
    var c = 0
    while c < channels {
        let lanes = min(laneCount, channels &- c)
        let mu = loadLanes(mean + c, lanes)
        let high = narrow(mu)
        storeLanes(high, meanHigh + c, lanes)
        storeLanes(narrow(mu - widen(high)), meanLow + c, lanes)
        let sum = loadLanes(variance + c, lanes) + epsilon
        let inverse = reciprocalSquareRoot(sum).replacing(with: 0, where: sum .== 0)
        let gamma = scale.map { widen(loadLanes($0 + c, lanes)) } ?? SIMD16(repeating: 1)
        storeLanes(narrow(gamma * inverse), factor + c, lanes)
        if let inverseDeviation { storeLanes(inverse, inverseDeviation + c, lanes) }
        c &+= laneCount
    }
}

/// 1 / √x of every lane, within 2 units of Float64's last place; NaN for NaN and +∞.
///
/// Four steps of Newton's method from an estimate good to 3.5 % (Lomont, "Fast inverse square
/// root", 2003): six times as fast as `1 / squareRoot()`, which visits each lane alone because C's
/// sqrt must set errno. Like that, it is exact under scaling by powers of 4.
@inline(__always)
func reciprocalSquareRoot(_ x: SIMD16<Double>) -> SIMD16<Double> {
    let bits = unsafeBitCast(x, to: SIMD16<UInt64>.self)
    let estimate = SIMD16<UInt64>(repeating: 0x5FE6_EB50_C7B5_37A9) &- (bits &>> 1)
    var y = unsafeBitCast(estimate, to: SIMD16<Double>.self)
    let half = x * 0.5
    for _ in 0..<4 {
        let error = SIMD16(repeating: 0.5).addingProduct(-half * y, y)
        y.addProduct(y, error)
    }
    return y
}

/// Normalises, scales, shifts and activates every channel in one pass:
///
///     output = activation(((x − meanHigh) − meanLow)·factor + shift + addend)
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
///   - output: [rows, channels]; may be `input` or `addend`.
///   - addend: what a residual block adds before the activation, [rows, channels], or nil.
///   - isFar: whether the rows have to come from main memory, since many others were used since;
///     for speed alone.
public func normalizeForward(
    input: UnsafePointer<Float>, rows: Int, channels: Int, meanHigh: UnsafePointer<Float>,
    meanLow: UnsafePointer<Float>, factor: UnsafePointer<Float>, shift: UnsafePointer<Float>,
    activation: ActivationKind, output: UnsafeMutablePointer<Float>,
    addend: UnsafePointer<Float>? = nil, isFar: Bool = false
) {
    let shard = ForwardShard(
        input: input, rows: rows, channels: channels, meanHigh: meanHigh, meanLow: meanLow,
        factor: factor, shift: shift, output: output, isFar: isFar)
    switch activation {
    case .identity: normalize(Identity.self, shard, addend)
    case .sigmoid: normalize(Sigmoid.self, shard, addend)
    case .tanh: normalize(HyperbolicTangent.self, shard, addend)
    case .relu: normalize(Rectifier.self, shard, addend)
    }
}

/// The arguments of `normalizeForward`.
private struct ForwardShard {
    let input: UnsafePointer<Float>
    let rows: Int
    let channels: Int
    let meanHigh: UnsafePointer<Float>
    let meanLow: UnsafePointer<Float>
    let factor: UnsafePointer<Float>
    let shift: UnsafePointer<Float>
    let output: UnsafeMutablePointer<Float>
    let isFar: Bool
}

private func normalize<Activation: VectorActivation>(
    _: Activation.Type, _ shard: ForwardShard, _ addend: UnsafePointer<Float>?
) {
    // A loop for each case, so that none branches: the block is inlined with a known addend.
    @inline(__always)
    func blocks(_ addend: UnsafePointer<Float>?) {
        let step = rowsAtOnce(shard.rows, channels: shard.channels, isFar: shard.isFar)
        var row = 0
        while row < shard.rows {
            let rows = Range(uncheckedBounds: (row, min(row &+ step, shard.rows)))
            var c = 0
            while c &+ laneCount <= shard.channels {
                normalizeBlock(Activation.self, shard, rows, c, laneCount, addend)
                c &+= laneCount
            }
            if c < shard.channels {
                normalizeBlock(Activation.self, shard, rows, c, shard.channels &- c, addend)
            }
            row &+= step
        }
    }
    if let addend { blocks(addend) } else { blocks(nil) }
}

/// Channels c ..< c + lanes of some rows.
@inline(__always)
private func normalizeBlock<Activation: VectorActivation>(
    _: Activation.Type, _ shard: ForwardShard, _ rows: Range<Int>, _ c: Int, _ lanes: Int,
    _ addend: UnsafePointer<Float>?
) {
    let meanHigh = loadLanes(shard.meanHigh + c, lanes)
    let meanLow = loadLanes(shard.meanLow + c, lanes)
    let factor = loadLanes(shard.factor + c, lanes)
    let shift = loadLanes(shard.shift + c, lanes)
    var offset = rows.lowerBound &* shard.channels &+ c
    var ahead = Ahead(rows, channels: shard.channels, c: c)
    for _ in 0..<rows.count {
        ahead.advance(shard.input, UnsafePointer(shard.output), addend)
        let centred = (loadLanes(shard.input + offset, lanes) - meanHigh) - meanLow
        var z = shift.addingProduct(centred, factor)
        if let addend { z += loadLanes(addend + offset, lanes) }
        storeLanes(Activation.value(z), shard.output + offset, lanes)
        offset &+= shard.channels
    }
}
