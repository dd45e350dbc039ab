import TensorCore

/// The squared distance of every pixel's centre to the nearest stroke, from which ink is made.
struct DigitCanvas {
    /// Lanes of a row; those from `SyntheticDigits.side` on are not used.
    private static let stride = 32

    /// Farther than any pen reaches.
    private static let far: Float = 1e6

    /// Two vectors a row. [side][2]
    private var distances: [SIMD16<Float>]

    /// Flattened curve points, kept to save allocations.
    private var flat: [GlyphPoint] = []

    init() {
        distances = Array(
            repeating: SIMD16(repeating: Self.far),
            count: SyntheticDigits.side * Self.stride / 16)
    }

    mutating func clear() {
        for index in distances.indices { distances[index] = SIMD16(repeating: Self.far) }
    }

    /// Straight from point to point.
    mutating func addLines(_ points: [GlyphPoint], radius: Float) {
        for index in 1..<points.count {
            addSegment(from: points[index - 1], to: points[index], radius: radius)
        }
    }

    /// A Catmull–Rom curve through the points, as four segments a span.
    mutating func addCurve(_ points: [GlyphPoint], radius: Float) {
        flat.removeAll(keepingCapacity: true)
        for index in 0..<points.count - 1 {
            let p0 = points[max(index - 1, 0)]
            let p1 = points[index]
            let p2 = points[index + 1]
            let p3 = points[min(index + 2, points.count - 1)]
            for quarter in 0..<4 {
                let t = Float(quarter) * 0.25
                flat.append(
                    GlyphPoint(
                        x: catmullRom(p0.x, p1.x, p2.x, p3.x, t),
                        y: catmullRom(p0.y, p1.y, p2.y, p3.y, t)))
            }
        }
        flat.append(points[points.count - 1])
        for index in 1..<flat.count {
            addSegment(from: flat[index - 1], to: flat[index], radius: radius)
        }
    }

    /// Lowers the distances of the pixels within the pen's reach of a segment.
    private mutating func addSegment(from a: GlyphPoint, to b: GlyphPoint, radius: Float) {
        let reach = radius + 1
        let first = max(Int(min(a.y, b.y) - reach), 0)
        let last = min(Int(max(a.y, b.y) + reach), SyntheticDigits.side - 1)
        guard first <= last else { return }
        let (dx, dy) = (b.x - a.x, b.y - a.y)
        let length = dx * dx + dy * dy
        let inverse = length > 0 ? 1 / length : 0
        for half in 0..<2 {
            let offset = Float(half * 16)
            guard min(a.x, b.x) - reach < offset + 16 && max(a.x, b.x) + reach > offset else {
                continue
            }
            let x = laneCenters + (offset - a.x)
            distances.withUnsafeMutableBufferPointer { distances in
                for row in first...last {
                    let y = Float(row) + 0.5 - a.y
                    // Where along the segment the nearest point lies, 0…1.
                    let along = limit((x * dx + y * dy) * inverse, to: 1)
                    let (ex, ey) = (x - along * dx, y - along * dy)
                    let squared = ex * ex + ey * ey
                    let old = distances[row * 2 + half]
                    distances[row * 2 + half] = old.replacing(with: squared, where: squared .< old)
                }
            }
        }
    }

    /// Writes the image: ink within `radius` of a stroke, fading over one pixel, and noise.
    func develop(
        into pixels: UnsafeMutableBufferPointer<UInt8>, radius: Float, ink: Float,
        random: CounterRandom
    ) {
        let side = SyntheticDigits.side
        for row in 0..<side {
            for column in Swift.stride(from: 0, to: side, by: 4) {
                let vector = distances[row * 2 + column / 16]
                let start = column % 16
                let squared = SIMD4(
                    vector[start], vector[start + 1], vector[start + 2], vector[start + 3])
                let cover = limit(radius + 0.5 - squared.squareRoot(), to: 1)
                // The stream's blocks from 64 on; a digit's parameters use fewer before them.
                let block = 64 + UInt32(row * side + column) / 4
                let value = limit(cover * ink + noise(random.words(block: block)), to: 255)
                // At 2²³ the last place of a Float is 1: the sum is the nearest integer.
                let bits = unsafeBitCast(value + 0x1p23, to: SIMD4<UInt32>.self)
                for lane in 0..<4 {
                    pixels[row * side + column + lane] = UInt8(truncatingIfNeeded: bits[lane])
                }
            }
        }
    }
}

/// The values between 0 and `upper`. Written with `replacing`, which becomes two instructions;
/// `clamped` becomes a loop of calls.
private func limit<Vector: SIMD>(_ values: Vector, to upper: Float) -> Vector
where Vector.Scalar == Float {
    let positive = values.replacing(with: 0, where: values .< 0)
    return positive.replacing(with: upper, where: positive .> upper)
}

private let laneCenters = SIMD16<Float>(
    0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5, 11.5, 12.5, 13.5, 14.5, 15.5)

/// Nearly normal noise, of deviation 25 grey levels: the sum of a word's four bytes has mean 510
/// and deviation 147.8.
private func noise(_ words: SIMD4<UInt32>) -> SIMD4<Float> {
    let mask = SIMD4<UInt32>(repeating: 0x00ff_00ff)
    let pairs = (words & mask) &+ ((words &>> 8) & mask)
    let sums = (pairs & 0xffff) &+ (pairs &>> 16)
    return (SIMD4<Float>(sums) - 510) * (25 / 147.8)
}

private func catmullRom(_ a: Float, _ b: Float, _ c: Float, _ d: Float, _ t: Float) -> Float {
    let linear = c - a
    let square = 2 * a - 5 * b + 4 * c - d
    let cube = 3 * (b - c) + d - a
    return b + 0.5 * t * (linear + t * (square + t * cube))
}
