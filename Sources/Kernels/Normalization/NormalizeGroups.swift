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
public func normalizeGroupsReference(
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
public func normalizeGroupsBackwardReference(
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
