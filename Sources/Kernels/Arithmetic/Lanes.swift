import CPlatform

// Sixteen channels at a time: how kernels read and write memory.
//
// A SIMD16<Float> is one AVX-512 register, two of AVX2, four of NEON. Memory is only as aligned as
// a Float, because rows of odd length start anywhere; results never depend on where.
// A block of fewer than 16 values passes through the same instructions as a whole one, in the
// first lanes of a padded vector: bits do not depend on a value's position either.

/// The number of values in a full vector.
let laneCount = 16

/// Rows that a pass over [rows, channels] takes at a time, all of their channels, before it goes on.
///
/// In a single block of channels all rows are neighbours. With more, one block of all rows jumps
/// from page to page, and rows a multiple of 4 KiB apart fall on the same lines of the cache:
/// measured on Zen 4 with 512 channels, a fifth of the speed. Half as many rows cost a tenth, since
/// each time what belongs to the channels is loaded again. From main memory (`isFar`) rows come
/// faster the more they look like one stream: 4 at a time take 0.7 of the time of 16 with 64
/// channels, and 1.2 of it where they are near.
@inline(__always)
func rowsAtOnce(_ rows: Int, channels: Int, most: Int = 16, isFar: Bool = false) -> Int {
    if channels <= laneCount { return max(rows, 1) }
    return isFar ? 4 : max(4, min(most, 128 &* most / channels))
}

/// What a pass over blocks of rows will read next, line after line.
///
/// Within a block of more than 16 channels addresses jump from row to row, for one vector of
/// channels after the other, and the core's own prefetching does not follow: measured on Zen 4 from
/// main memory, 256 channels, backward and forward take 0.6 of the time with this.
struct Ahead {
    private var offset: Int
    private let isNeeded: Bool

    /// Ahead of vector `c` of the channels of some rows.
    @inline(__always)
    init(_ rows: Range<Int>, channels: Int, c: Int) {
        // A page at least: some 100 ns.
        let distance = max(rows.count &* channels, 1024)
        offset = rows.lowerBound &* channels &+ distance &+ c &* rows.count
        isNeeded = channels > laneCount
    }

    /// Brings one line of each of up to three streams near, and goes on by a line.
    @inline(__always)
    mutating func advance(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>? = nil,
        _ c: UnsafePointer<Float>? = nil
    ) {
        guard isNeeded else { return }
        bn_prefetch_line_nearby(a + offset)
        if let b { bn_prefetch_line_nearby(b + offset) }
        if let c { bn_prefetch_line_nearby(c + offset) }
        offset &+= laneCount
    }
}

/// `lanes` values (1…16) from `pointer` on; the other lanes hold `padding`. Reads nothing else.
///
/// A count of 13 is read as 8 + 4 + 1: no loop, and no trip through the stack.
@inline(__always)
func loadLanes<Scalar: SIMDScalar & ExpressibleByIntegerLiteral>(
    _ pointer: UnsafePointer<Scalar>, _ lanes: Int, padding: Scalar = 0
) -> SIMD16<Scalar> {
    if lanes == laneCount { return load(pointer, as: SIMD16<Scalar>.self) }
    var v2 = SIMD2(repeating: padding)
    if lanes & 1 != 0 { v2[0] = pointer[lanes & 14] }
    let v4 =
        lanes & 2 != 0
        ? SIMD4(lowHalf: load(pointer + (lanes & 12), as: SIMD2<Scalar>.self), highHalf: v2)
        : SIMD4(lowHalf: v2, highHalf: SIMD2(repeating: padding))
    let v8 =
        lanes & 4 != 0
        ? SIMD8(lowHalf: load(pointer + (lanes & 8), as: SIMD4<Scalar>.self), highHalf: v4)
        : SIMD8(lowHalf: v4, highHalf: SIMD4(repeating: padding))
    return lanes & 8 != 0
        ? SIMD16(lowHalf: load(pointer, as: SIMD8<Scalar>.self), highHalf: v8)
        : SIMD16(lowHalf: v8, highHalf: SIMD8(repeating: padding))
}

/// Writes the first `lanes` values (1…16) of `vector` to `pointer` on, and nothing else.
@inline(__always)
func storeLanes<Scalar: SIMDScalar>(
    _ vector: SIMD16<Scalar>, _ pointer: UnsafeMutablePointer<Scalar>, _ lanes: Int
) {
    if lanes == laneCount { return store(vector, pointer) }
    if lanes & 8 != 0 { store(vector.lowHalf, pointer) }
    let v8 = lanes & 8 != 0 ? vector.highHalf : vector.lowHalf
    if lanes & 4 != 0 { store(v8.lowHalf, pointer + (lanes & 8)) }
    let v4 = lanes & 4 != 0 ? v8.highHalf : v8.lowHalf
    if lanes & 2 != 0 { store(v4.lowHalf, pointer + (lanes & 12)) }
    let v2 = lanes & 2 != 0 ? v4.highHalf : v4.lowHalf
    if lanes & 1 != 0 { pointer[lanes & 14] = v2[0] }
}

@inline(__always)
private func load<Scalar, Vector>(
    _ pointer: UnsafePointer<Scalar>, as type: Vector.Type
) -> Vector {
    UnsafeRawPointer(pointer).loadUnaligned(as: type)
}

@inline(__always)
private func store<Scalar, Vector>(
    _ vector: Vector, _ pointer: UnsafeMutablePointer<Scalar>
) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: vector, as: Vector.self)
}

/// The same values as Float64.
///
/// Written out by lane, since the generic initializer is a call that passes every lane through
/// the stack (Swift 6.3.1); this becomes two conversion instructions.
@inline(__always)
func widen(_ vector: SIMD16<Float>) -> SIMD16<Double> {
    SIMD16(lowHalf: widen(vector.lowHalf), highHalf: widen(vector.highHalf))
}

@inline(__always)
private func widen(_ v: SIMD8<Float>) -> SIMD8<Double> {
    SIMD8(
        Double(v[0]), Double(v[1]), Double(v[2]), Double(v[3]),
        Double(v[4]), Double(v[5]), Double(v[6]), Double(v[7]))
}

/// The nearest Float32 values.
@inline(__always)
func narrow(_ vector: SIMD16<Double>) -> SIMD16<Float> {
    SIMD16(lowHalf: narrow(vector.lowHalf), highHalf: narrow(vector.highHalf))
}

@inline(__always)
private func narrow(_ v: SIMD8<Double>) -> SIMD8<Float> {
    SIMD8(
        Float(v[0]), Float(v[1]), Float(v[2]), Float(v[3]),
        Float(v[4]), Float(v[5]), Float(v[6]), Float(v[7]))
}

/// The sum of all lanes, in a fixed order: halves upon halves.
@inline(__always)
func laneSum(_ vector: SIMD16<Double>) -> Double {
    let v8 = vector.lowHalf + vector.highHalf
    let v4 = v8.lowHalf + v8.highHalf
    let v2 = v4.lowHalf + v4.highHalf
    return v2[0] + v2[1]
}

/// The values, with 0 for subnormal ones.
///
/// For what decays from step to step, and would stay among the subnormals for ever: 0.9 times the
/// least of them is the least of them again. On many CPUs an operation with one costs over 100 cycles.
@inline(__always)
func flushed(_ vector: SIMD16<Float>) -> SIMD16<Float> {
    let least = SIMD16<Float>(repeating: .leastNormalMagnitude)
    return vector.replacing(with: 0, where: (vector .< least) .& (vector .> -least))
}

/// The larger of each pair of lanes; where `candidate` is NaN, `vector`.
@inline(__always)
func larger(_ vector: SIMD16<Float>, _ candidate: SIMD16<Float>) -> SIMD16<Float> {
    vector.replacing(with: candidate, where: candidate .> vector)
}

/// The largest lane of a vector without NaN.
@inline(__always)
func laneMaximum(_ vector: SIMD16<Float>) -> Float {
    let (a, b) = (vector.lowHalf, vector.highHalf)
    let v8 = a.replacing(with: b, where: b .> a)
    let (c, d) = (v8.lowHalf, v8.highHalf)
    let v4 = c.replacing(with: d, where: d .> c)
    let (e, f) = (v4.lowHalf, v4.highHalf)
    let v2 = e.replacing(with: f, where: f .> e)
    return v2[1] > v2[0] ? v2[1] : v2[0]
}
