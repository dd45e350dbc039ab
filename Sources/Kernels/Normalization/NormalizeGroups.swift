/// What `normalizeGroupsBackward` needs of every channel of one sample, from the sums that
/// `normalizeBackwardSums` took over its positions; with m = rows·channels / groups:
///
///     offset = inverse·Σγdz / m,  slope = inverse³·Σγdz·(x − μ) / m        sums over the group
///
/// and this sample's part of dγ and dβ, which are sums over samples:
///
///     scaleGradient += Σdz·(x − μ)·inverse,  shiftGradient += Σdz          sums over positions
///
/// - Parameters:
///   - sumGradient: Σdz over the sample's positions, [channels]
///   - sumProduct: Σdz·(x − μ) over the sample's positions, [channels]
///   - scale: γ, [channels]
///   - inverseDeviation: 1 / √(σ² + ε) of the sample's groups, [groups]
///   - rows: positions of the sample.
///   - offset: [channels]
///   - slope: [channels]
///   - scaleGradient: [channels]
///   - shiftGradient: [channels]
public func groupGradientCoefficients(
    sumGradient: UnsafePointer<Double>, sumProduct: UnsafePointer<Double>,
    scale: UnsafePointer<Float>, inverseDeviation: UnsafePointer<Double>, rows: Int,
    channels: Int, groups: Int, offset: UnsafeMutablePointer<Float>,
    slope: UnsafeMutablePointer<Float>, scaleGradient: UnsafeMutablePointer<Double>,
    shiftGradient: UnsafeMutablePointer<Double>
) {
    let size = channels / groups
    let inverseCount = 1 / Double(rows &* size)
    for group in 0..<groups {
        let first = group &* size
        let inverse = inverseDeviation[group]
        // Lanes beyond the group's channels hold 0.
        var gradients = SIMD16<Double>()
        var products = SIMD16<Double>()
        var c = first
        while c < first &+ size {
            let lanes = min(laneCount, first &+ size &- c)
            let gamma = widen(loadLanes(scale + c, lanes))
            let gradient = loadLanes(sumGradient + c, lanes)
            let product = loadLanes(sumProduct + c, lanes)
            gradients.addProduct(gamma, gradient)
            products.addProduct(gamma, product)
            storeLanes(
                loadLanes(scaleGradient + c, lanes).addingProduct(
                    product, SIMD16(repeating: inverse)), scaleGradient + c, lanes)
            storeLanes(loadLanes(shiftGradient + c, lanes) + gradient, shiftGradient + c, lanes)
            c &+= laneCount
        }
        let share = inverse * inverseCount
        (offset + first).update(repeating: Float(laneSum(gradients) * share), count: size)
        (slope + first).update(
            repeating: Float(laneSum(products) * share * inverse * inverse), count: size)
    }
}

/// Second pass backward through a normalisation whose statistics are those of groups of channels:
///
///     dx = factor·dz − offset − (x − μ)·slope
///
/// Each row's result is a function of that row alone. With γ outside the bracket, as in
/// `normalizeBackward`, a γ of 0 would divide by 0: here channels of one group share the sums.
///
/// - Parameters:
///   - input: x, [rows, channels]
///   - gradient: dz, [rows, channels]
///   - meanHigh: [channels], as meanLow and factor from `groupCoefficients`.
///   - meanLow: [channels]
///   - factor: γ / √(σ² + ε), [channels]
///   - offset: [channels], as slope from `groupGradientCoefficients`.
///   - slope: [channels]
///   - inputGradient: dx, [rows, channels]; may be `gradient`.
public func normalizeGroupsBackward(
    input: UnsafePointer<Float>, gradient: UnsafePointer<Float>, rows: Int, channels: Int,
    meanHigh: UnsafePointer<Float>, meanLow: UnsafePointer<Float>, factor: UnsafePointer<Float>,
    offset: UnsafePointer<Float>, slope: UnsafePointer<Float>,
    inputGradient: UnsafeMutablePointer<Float>
) {
    @inline(__always)
    func block(_ rows: Range<Int>, _ c: Int, _ lanes: Int) {
        let high = loadLanes(meanHigh + c, lanes)
        let low = loadLanes(meanLow + c, lanes)
        let gain = loadLanes(factor + c, lanes)
        let constant = -loadLanes(offset + c, lanes)
        let negated = -loadLanes(slope + c, lanes)
        var place = rows.lowerBound &* channels &+ c
        for _ in 0..<rows.count {
            let centred = (loadLanes(input + place, lanes) - high) - low
            let common = constant.addingProduct(centred, negated)
            storeLanes(
                common.addingProduct(gain, loadLanes(gradient + place, lanes)),
                inputGradient + place, lanes)
            place &+= channels
        }
    }
    let step = rowsAtOnce(rows, channels: channels)
    var row = 0
    while row < rows {
        let part = Range(uncheckedBounds: (row, min(row &+ step, rows)))
        var c = 0
        while c &+ laneCount <= channels {
            block(part, c, laneCount)
            c &+= laneCount
        }
        if c < channels { block(part, c, channels &- c) }
        row &+= step
    }
}
