/// √x of every lane, within 1 ulp, for x of at least 0.
///
/// SIMD16's own `squareRoot()` becomes sixteen scalar roots, each with a test and a call (Swift
/// 6.3.1). This is Newton's iteration y ← y·(1.5 − x·y²/2) for 1/√x, from the guess that halves
/// the exponent (off by at most 3.5 %), then one correction of x·y.
///
/// Edge cases: 0 for 0; NaN for +∞ and for NaN; numbers that are not normal count as 0.
@inline(__always)
func squareRoot(_ x: SIMD16<Float>) -> SIMD16<Float> {
    let bits = unsafeBitCast(x, to: SIMD16<UInt32>.self)
    var y = unsafeBitCast(0x5f37_5a86 &- (bits &>> 1), to: SIMD16<Float>.self)
    let half = x * 0.5
    let threeHalves = SIMD16<Float>(repeating: 1.5)
    // 3.5e-2, 1.8e-3, 4.6e-6, then the last bits.
    y *= threeHalves.addingProduct(half * y, -y)
    y *= threeHalves.addingProduct(half * y, -y)
    y *= threeHalves.addingProduct(half * y, -y)
    let root = x * y
    return root.addingProduct(x.addingProduct(root, -root), y * 0.5)
}
