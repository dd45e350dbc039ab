// e^x and e^x − 1 for sixteen values at once: no calls, no tables, no branches.
//
// x = n·ln 2 + r with |r| ≤ ln 2 / 2, so that e^x = 2ⁿ·(1 + q) with q = e^r − 1, which is a
// polynomial of degree 6 (coefficients of Cephes' expf: Moshier, netlib.org/cephes, accurate to
// 0.1 ulp of 1 + q). The exponent field of a Float makes 2ⁿ.

/// e^x of every lane, within 1 ulp.
///
/// Edge cases:
/// - below about −87.7, where Float32 has no normal number left, the result is 0, also for −∞;
/// - above about 88.4 it is +∞, a third before Float32 ends at 88.72;
/// - NaN stays NaN.
@inline(__always)
func exponential(_ x: SIMD16<Float>) -> SIMD16<Float> {
    // n = −127 and 128 at the ends: their exponent fields are those of 0 and +∞.
    let low = x.replacing(with: -88, where: x .< -88)
    let (n, q) = reduceExponent(low.replacing(with: 89, where: low .> 89))
    return (1 + q) * powerOfTwo(n)
}

/// e^x − 1 of every lane for x in 0 … 80, within 2 ulp of the result however small; NaN stays NaN.
@inline(__always)
func exponentialMinusOne(_ x: SIMD16<Float>) -> SIMD16<Float> {
    let (n, q) = reduceExponent(x)
    let power = powerOfTwo(n)
    return (power - 1).addingProduct(power, q)
}

/// (n, q) with e^x = 2ⁿ·(1 + q), n an integer, for |x| < 100.
@inline(__always)
private func reduceExponent(_ x: SIMD16<Float>) -> (n: SIMD16<Int32>, q: SIMD16<Float>) {
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits of the sum.
    let rounder = SIMD16<Float>(repeating: 12_582_912)
    let shifted = rounder.addingProduct(x, SIMD16(repeating: 1.442_695_04))
    let n = shifted - rounder
    // ln 2 in two parts; the first has 10 bits, so that n times it is exact.
    let r = x.addingProduct(n, SIMD16(repeating: -0.693_359_375))
        .addingProduct(n, SIMD16(repeating: 2.121_944_40e-4))
    var p = SIMD16<Float>(repeating: 1.398_199_950_7e-3)
        .addingProduct(r, SIMD16(repeating: 1.987_569_150_0e-4))
    p = SIMD16(repeating: 8.333_451_907_3e-3).addingProduct(p, r)
    p = SIMD16(repeating: 4.166_579_589_4e-2).addingProduct(p, r)
    p = SIMD16(repeating: 1.666_666_545_9e-1).addingProduct(p, r)
    p = SIMD16(repeating: 5.000_000_120_1e-1).addingProduct(p, r)
    let bits = unsafeBitCast(shifted, to: SIMD16<Int32>.self)
    let integer = bits &- unsafeBitCast(rounder, to: SIMD16<Int32>.self)
    return (integer, r.addingProduct(r * r, p))
}

/// 2ⁿ for n in −126 … 127; 0 for −127 and +∞ for 128.
@inline(__always)
private func powerOfTwo(_ n: SIMD16<Int32>) -> SIMD16<Float> {
    unsafeBitCast((n &+ 127) &<< 23, to: SIMD16<Float>.self)
}
