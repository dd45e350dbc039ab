/// Mean and variance of every group of channels of one sample, in Float64, for normalisations that
/// take each sample by itself (layer, instance and group normalisation):
///
///     d = x − pivot,  mean = pivot + Σd / m,  variance = (Σd² − (Σd)² / m) / m,  m = rows·channels / groups
///
/// The pivot is the group's first value, so that a mean far from zero cancels before anything is
/// rounded. Sums run down the rows in order, channel by channel; then over the group's channels.
///
/// Edge cases:
/// - variance ≥ 0, and NaN where the input has NaN or ±∞;
/// - a constant group gives exactly its value and 0;
/// - error: as that of `channelMoments`, with m for its rows.
///
/// - Parameters:
///   - input: one sample, [rows, channels]; rows are its positions.
///   - groups: divides channels; group g has channels g·channels/groups and following.
///   - mean: [groups]
///   - variance: the biased one, [groups]
///   - pivots: scratch, [channels]
///   - sums: scratch, [2·channels]
public func groupMoments(
    input: UnsafePointer<Float>, rows: Int, channels: Int, groups: Int,
    mean: UnsafeMutablePointer<Double>, variance: UnsafeMutablePointer<Double>,
    pivots: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Double>
) {
    let size = channels / groups
    for group in 0..<groups {
        (pivots + group &* size).update(repeating: input[group &* size], count: size)
    }
    let squares = sums + channels
    sums.update(repeating: 0, count: 2 &* channels)
    let step = rowsAtOnce(rows, channels: channels, most: 64)
    var row = 0
    while row < rows {
        let part = min(step, rows &- row)
        let x = input + row &* channels
        var c = 0
        while c &+ laneCount <= channels {
            addMoments(pivots + c, x + c, part, channels, laneCount, sums + c, squares + c)
            c &+= laneCount
        }
        if c < channels {
            addMoments(pivots + c, x + c, part, channels, channels &- c, sums + c, squares + c)
        }
        row &+= step
    }
    let count = Double(rows &* size)
    for group in 0..<groups {
        let first = group &* size
        let sum = groupSum(sums + first, size)
        let shift = sum / count
        let centred = groupSum(squares + first, size) - sum * shift
        mean[group] = Double(pivots[first]) + shift
        variance[group] = centred < 0 ? 0 : centred / count
    }
}

/// The sum of `count` values: sixteen sums of every sixteenth, then these, then what is left.
@inline(__always)
func groupSum(_ values: UnsafePointer<Double>, _ count: Int) -> Double {
    var total = 0.0
    var i = 0
    if count >= laneCount {
        var lanes = SIMD16<Double>()
        while i &+ laneCount <= count {
            lanes += loadLanes(values + i, laneCount)
            i &+= laneCount
        }
        total = laneSum(lanes)
    }
    while i < count {
        total += values[i]
        i &+= 1
    }
    return total
}

/// What `normalizeForward` needs of every channel of one sample, from the statistics of its groups:
///
///     meanHigh + meanLow = μ,  factor = γ·inverseDeviation
///
/// - Parameters:
///   - mean: μ, [groups]
///   - inverseDeviation: 1 / √(σ² + ε), [groups]; see `inverseDeviations`.
///   - scale: γ, [channels]
///   - meanHigh: [channels]
///   - meanLow: [channels]
///   - factor: [channels]
public func groupCoefficients(
    mean: UnsafePointer<Double>, inverseDeviation: UnsafePointer<Double>,
    scale: UnsafePointer<Float>, channels: Int, groups: Int,
    meanHigh: UnsafeMutablePointer<Float>, meanLow: UnsafeMutablePointer<Float>,
    factor: UnsafeMutablePointer<Float>
) {
    let size = channels / groups
    for group in 0..<groups {
        let first = group &* size
        let high = Float(mean[group])
        (meanHigh + first).update(repeating: high, count: size)
        (meanLow + first).update(repeating: Float(mean[group] - Double(high)), count: size)
        let inverse = SIMD16(repeating: inverseDeviation[group])
        var c = first
        while c < first &+ size {
            let lanes = min(laneCount, first &+ size &- c)
            storeLanes(narrow(widen(loadLanes(scale + c, lanes)) * inverse), factor + c, lanes)
            c &+= laneCount
        }
    }
}

/// 1 / √(σ² + ε) in place of σ², and 0 where σ² + ε is 0.
///
/// - Parameter values: σ², [count]
public func inverseDeviations(
    _ values: UnsafeMutablePointer<Double>, count: Int, epsilon: Double
) {
    for i in 0..<count {
        let sum = values[i] + epsilon
        values[i] = sum == 0 ? 0 : 1 / sum.squareRoot()
    }
}
