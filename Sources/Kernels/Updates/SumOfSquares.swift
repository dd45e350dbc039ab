/// Σ values², in Float64, in an order that depends on the count alone.
///
/// Edge cases: NaN or ∞ among the values give NaN or ∞.
///
/// - Parameter values: [count]
public func sumOfSquares(_ values: UnsafePointer<Float>, count: Int) -> Double {
    // Squares of Float32 are exact in Float64; two sums hide the latency of the addition.
    var even = SIMD16<Double>()
    var odd = even
    var i = 0
    while i &+ 2 &* laneCount <= count {
        let a = widen(loadLanes(values + i, laneCount))
        let b = widen(loadLanes(values + i + laneCount, laneCount))
        even.addProduct(a, a)
        odd.addProduct(b, b)
        i &+= 2 &* laneCount
    }
    while i < count {
        let a = widen(loadLanes(values + i, min(laneCount, count &- i)))
        even.addProduct(a, a)
        i &+= laneCount
    }
    return laneSum(even + odd)
}

/// values ← values·factor, element by element.
///
/// - Parameter values: [count]
public func scale(_ values: UnsafeMutablePointer<Float>, by factor: Float, count: Int) {
    var i = 0
    while i < count {
        let lanes = min(laneCount, count &- i)
        storeLanes(loadLanes(values + i, lanes) * factor, values + i, lanes)
        i &+= laneCount
    }
}
