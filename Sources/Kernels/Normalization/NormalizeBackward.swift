/// First pass backward: through the activation, and this shard's part of the two sums that the
/// gradient of a normalised batch needs.
///
///     dy = outputGradient + secondGradient
///     dz = dy·activation′(y),  sumGradient = Σdz,  sumProduct = Σdz·(x − μ)
///
/// dz is a function of its row alone; the sums run down the rows in order, in Float64.
///
/// Edge cases: no rows give 0 and 0.
///
/// - Parameters:
///   - input: x, [rows, channels]
///   - output: y, what `normalizeForward` wrote, [rows, channels]; not read for `identity`.
///   - outputGradient: dy, [rows, channels]; holds dz afterwards.
///   - meanHigh: [channels]
///   - meanLow: [channels]
///   - sumGradient: [channels]
///   - sumProduct: [channels]
///   - secondGradient: the other part of dy where two layers read the output, [rows, channels].
///   - gradient: where dz goes instead, [rows, channels]; with `identity` and no second gradient dz
///     is dy, and nothing is written.
///   - forward: what z was made of, for a ReLU without an addend: y is then not read, nor dz written
///     without a second gradient; `normalizeBackward` finds it again.
///   - isFar: whether the rows have to come from main memory, since many others were used since;
///     for speed alone.
public func normalizeBackwardSums(
    input: UnsafePointer<Float>, output: UnsafePointer<Float>,
    outputGradient: UnsafeMutablePointer<Float>, rows: Int, channels: Int,
    meanHigh: UnsafePointer<Float>, meanLow: UnsafePointer<Float>, activation: ActivationKind,
    sumGradient: UnsafeMutablePointer<Double>, sumProduct: UnsafeMutablePointer<Double>,
    secondGradient: UnsafePointer<Float>? = nil, gradient: UnsafeMutablePointer<Float>? = nil,
    forward: RectifiedForward? = nil, isFar: Bool = false
) {
    precondition(forward == nil || activation == .relu, "only ReLU's slope follows from z's sign")
    let shard = BackwardShard(
        input: input, output: output, outputGradient: outputGradient,
        gradient: gradient ?? outputGradient, rows: rows, channels: channels,
        meanHigh: meanHigh, meanLow: meanLow, sumGradient: sumGradient, sumProduct: sumProduct,
        forward: forward, isFar: isFar)
    switch activation {
    case .identity: backwardSums(Identity.self, shard, secondGradient)
    case .sigmoid: backwardSums(Sigmoid.self, shard, secondGradient)
    case .tanh: backwardSums(HyperbolicTangent.self, shard, secondGradient)
    case .relu: backwardSums(Rectifier.self, shard, secondGradient)
    }
}

/// What z = (x − μ)·factor + β was made of: backward finds ReLU's slope from it instead of reading y.
public struct RectifiedForward {
    /// γ / √(σ² + ε), [channels]
    let factor: UnsafePointer<Float>
    /// β, [channels]
    let shift: UnsafePointer<Float>

    /// - Parameters:
    ///   - factor: as `normalizeForward` had it, [channels].
    ///   - shift: as `normalizeForward` had it, [channels].
    public init(factor: UnsafePointer<Float>, shift: UnsafePointer<Float>) {
        self.factor = factor
        self.shift = shift
    }
}

/// The arguments of `normalizeBackwardSums`.
private struct BackwardShard {
    let input: UnsafePointer<Float>
    let output: UnsafePointer<Float>
    let outputGradient: UnsafeMutablePointer<Float>
    let gradient: UnsafeMutablePointer<Float>
    let rows: Int
    let channels: Int
    let meanHigh: UnsafePointer<Float>
    let meanLow: UnsafePointer<Float>
    let sumGradient: UnsafeMutablePointer<Double>
    let sumProduct: UnsafeMutablePointer<Double>
    let forward: RectifiedForward?
    let isFar: Bool
}

private func backwardSums<Activation: VectorActivation>(
    _: Activation.Type, _ shard: BackwardShard, _ second: UnsafePointer<Float>?
) {
    // A loop for each case, so that none branches: the block is inlined with known options.
    @inline(__always)
    func blocks(_ second: UnsafePointer<Float>?, _ forward: RectifiedForward?) {
        let step = rowsAtOnce(shard.rows, channels: shard.channels, isFar: shard.isFar)
        var row = 0
        while row < shard.rows {
            let rows = Range(uncheckedBounds: (row, min(row &+ step, shard.rows)))
            var c = 0
            while c &+ laneCount <= shard.channels {
                backwardSumsBlock(
                    Activation.self, shard, rows, c, laneCount, second, forward)
                c &+= laneCount
            }
            if c < shard.channels {
                backwardSumsBlock(
                    Activation.self, shard, rows, c, shard.channels &- c, second, forward)
            }
            row &+= step
        }
    }
    shard.sumGradient.update(repeating: 0, count: shard.channels)
    shard.sumProduct.update(repeating: 0, count: shard.channels)
    switch (second, shard.forward) {
    case (let second?, let forward?): blocks(second, forward)
    case (let second?, nil): blocks(second, nil)
    case (nil, let forward?): blocks(nil, forward)
    case (nil, nil): blocks(nil, nil)
    }
}

/// Adds channels c ..< c + lanes of some rows.
@inline(__always)
private func backwardSumsBlock<Activation: VectorActivation>(
    _: Activation.Type, _ shard: BackwardShard, _ rows: Range<Int>, _ c: Int, _ lanes: Int,
    _ second: UnsafePointer<Float>?, _ forward: RectifiedForward?
) {
    let meanHigh = loadLanes(shard.meanHigh + c, lanes)
    let meanLow = loadLanes(shard.meanLow + c, lanes)
    let factor = forward.map { loadLanes($0.factor + c, lanes) } ?? .zero
    let shift = forward.map { loadLanes($0.shift + c, lanes) } ?? .zero
    let readsOutput = !Activation.isIdentity && forward == nil
    var sumGradient = loadLanes(shard.sumGradient + c, lanes)
    var sumProduct = loadLanes(shard.sumProduct + c, lanes)
    var offset = rows.lowerBound &* shard.channels &+ c
    var ahead = Ahead(rows, channels: shard.channels, c: c)
    for _ in 0..<rows.count {
        ahead.advance(
            shard.input, UnsafePointer(shard.outputGradient),
            readsOutput ? shard.output : nil)
        let centred = (loadLanes(shard.input + offset, lanes) - meanHigh) - meanLow
        var gradient = loadLanes(shard.outputGradient + offset, lanes)
        if let second { gradient += loadLanes(second + offset, lanes) }
        if !Activation.isIdentity {
            // ReLU's slope is that of z as well as that of y.
            gradient = Activation.gradient(
                gradient,
                output: readsOutput
                    ? loadLanes(shard.output + offset, lanes)
                    : shift.addingProduct(centred, factor))
        }
        if second != nil || readsOutput {
            storeLanes(gradient, shard.gradient + offset, lanes)
        }
        let wide = widen(gradient)
        sumGradient += wide
        sumProduct.addProduct(wide, widen(centred))
        offset &+= shard.channels
    }
    storeLanes(sumGradient, shard.sumGradient + c, lanes)
    storeLanes(sumProduct, shard.sumProduct + c, lanes)
}

/// What `normalizeBackward` needs of every channel, from the sums over the statistics group; here,
/// once, they are divided by its count m:
///
///     meanGradient = Σdz / m,  projection = Σdz·(x − μ) / (m·(σ² + ε))
///
/// Edge cases: where σ² + ε is 0 the projection is 0, as the factor is; so are both where m is 0.
///
/// - Parameters:
///   - sumGradient: Σdz of the group, [channels]
///   - sumProduct: Σdz·(x − μ) of the group, [channels]
///   - count: m, the values of a channel in the group: samples, times positions.
///   - variance: σ² of the group, [channels]
///   - meanGradient: [channels]
///   - projection: [channels]
public func normalizationGradientCoefficients(
    sumGradient: UnsafePointer<Double>, sumProduct: UnsafePointer<Double>, count: Int,
    variance: UnsafePointer<Double>, epsilon: Double, channels: Int,
    meanGradient: UnsafeMutablePointer<Float>, projection: UnsafeMutablePointer<Float>
) {
    let inverseCount = count == 0 ? 0 : 1 / Double(count)
    var c = 0
    while c < channels {
        let lanes = min(laneCount, channels &- c)
        storeLanes(
            narrow(loadLanes(sumGradient + c, lanes) * inverseCount), meanGradient + c, lanes)
        let sum = loadLanes(variance + c, lanes) + epsilon
        let quotient = loadLanes(sumProduct + c, lanes) * inverseCount / sum
        storeLanes(
            narrow(quotient.replacing(with: 0, where: sum .== 0)), projection + c, lanes)
        c &+= laneCount
    }
}

/// Second pass backward, through the normalisation:
///
///     dx = factor·(dz − meanGradient − (x − μ)·projection)
///
/// Each row's result is a function of that row alone, whatever the number of rows in the call.
/// With zeros for `meanGradient` and `projection` it is the backward of statistics that are
/// constants (frozen): dx = factor·dz.
///
/// - Parameters:
///   - input: x, [rows, channels]
///   - gradient: dz, [rows, channels]
///   - meanHigh: [channels]
///   - meanLow: [channels]
///   - factor: γ / √(σ² + ε), [channels]
///   - meanGradient: [channels], as projection from `normalizationGradientCoefficients`.
///   - projection: [channels]
///   - inputGradient: dx, [rows, channels]; may be `gradient`.
///   - shift: β, [channels], where `gradient` is still to go through a ReLU: see `RectifiedForward`.
///   - isFar: whether the rows have to come from main memory, since many others were used since;
///     for speed alone.
public func normalizeBackward(
    input: UnsafePointer<Float>, gradient: UnsafePointer<Float>, rows: Int, channels: Int,
    meanHigh: UnsafePointer<Float>, meanLow: UnsafePointer<Float>, factor: UnsafePointer<Float>,
    meanGradient: UnsafePointer<Float>, projection: UnsafePointer<Float>,
    inputGradient: UnsafeMutablePointer<Float>, shift: UnsafePointer<Float>? = nil,
    isFar: Bool = false
) {
    @inline(__always)
    func block(_ rows: Range<Int>, _ c: Int, _ lanes: Int, _ shift: UnsafePointer<Float>?) {
        let high = loadLanes(meanHigh + c, lanes)
        let low = loadLanes(meanLow + c, lanes)
        let slope = loadLanes(factor + c, lanes)
        let offset = loadLanes(meanGradient + c, lanes)
        let negated = -loadLanes(projection + c, lanes)
        let beta = shift.map { loadLanes($0 + c, lanes) }
        var place = rows.lowerBound &* channels &+ c
        var ahead = Ahead(rows, channels: channels, c: c)
        for _ in 0..<rows.count {
            ahead.advance(input, gradient, inputGradient)
            let centred = (loadLanes(input + place, lanes) - high) - low
            var dz = loadLanes(gradient + place, lanes)
            if let beta {
                dz = Rectifier.gradient(dz, output: beta.addingProduct(centred, slope))
            }
            let remaining = (dz - offset).addingProduct(centred, negated)
            storeLanes(slope * remaining, inputGradient + place, lanes)
            place &+= channels
        }
    }
    @inline(__always)
    func blocks(_ shift: UnsafePointer<Float>?) {
        let step = rowsAtOnce(rows, channels: channels, isFar: isFar)
        var row = 0
        while row < rows {
            let part = Range(uncheckedBounds: (row, min(row &+ step, rows)))
            var c = 0
            while c &+ laneCount <= channels {
                block(part, c, laneCount, shift)
                c &+= laneCount
            }
            if c < channels { block(part, c, channels &- c, shift) }
            row &+= step
        }
    }
    if let shift { blocks(shift) } else { blocks(nil) }
}
