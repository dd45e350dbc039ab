import TensorCore

/// Transposes 16×16 values: row `i` of the result, at `target + i · stride`, is column `i` of `source`,
/// whose rows are `sourceStride` apart.
///
/// A function of its own, and lanes named one by one: where this is inlined, or asks for the halves of a
/// SIMD32, the compiler makes 128 calls of it (Swift 6.3.1).
@inline(never)
func transpose(
    _ source: UnsafePointer<Float>, sourceStride: Int = laneCount,
    into target: UnsafeMutablePointer<Float>, stride: Int
) {
    @inline(__always)
    func row(_ i: Int) -> Lanes { loadLanes(source + i &* sourceStride, laneCount) }
    @inline(__always)
    func store(_ half: EightRows, _ i: Int) {
        storeLanes(half.0, target + i &* stride, laneCount)
        storeLanes(half.1, target + (i &+ 1) &* stride, laneCount)
        storeLanes(half.2, target + (i &+ 2) &* stride, laneCount)
        storeLanes(half.3, target + (i &+ 3) &* stride, laneCount)
        storeLanes(half.4, target + (i &+ 4) &* stride, laneCount)
        storeLanes(half.5, target + (i &+ 5) &* stride, laneCount)
        storeLanes(half.6, target + (i &+ 6) &* stride, laneCount)
        storeLanes(half.7, target + (i &+ 7) &* stride, laneCount)
    }
    // Dealing all values out to two halves, every second one to each, moves the lowest bit of their
    // places to the top: after four times column and row have changed places.
    var halves = deal(
        (row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)),
        (row(8), row(9), row(10), row(11), row(12), row(13), row(14), row(15)))
    for _ in 0..<3 { halves = deal(halves.even, halves.odd) }
    store(halves.even, 0)
    store(halves.odd, 8)
}

private typealias EightRows = (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)

/// The values at even places of `a` and `b` together, and those at odd ones.
@inline(__always)
private func deal(_ a: EightRows, _ b: EightRows) -> (even: EightRows, odd: EightRows) {
    @inline(__always)
    func even(_ x: Lanes, _ y: Lanes) -> Lanes {
        Lanes(
            x[0], x[2], x[4], x[6], x[8], x[10], x[12], x[14],
            y[0], y[2], y[4], y[6], y[8], y[10], y[12], y[14])
    }
    @inline(__always)
    func odd(_ x: Lanes, _ y: Lanes) -> Lanes {
        Lanes(
            x[1], x[3], x[5], x[7], x[9], x[11], x[13], x[15],
            y[1], y[3], y[5], y[7], y[9], y[11], y[13], y[15])
    }
    return (
        (
            even(a.0, a.1), even(a.2, a.3), even(a.4, a.5), even(a.6, a.7),
            even(b.0, b.1), even(b.2, b.3), even(b.4, b.5), even(b.6, b.7)
        ),
        (
            odd(a.0, a.1), odd(a.2, a.3), odd(a.4, a.5), odd(a.6, a.7),
            odd(b.0, b.1), odd(b.2, b.3), odd(b.4, b.5), odd(b.6, b.7)
        )
    )
}
