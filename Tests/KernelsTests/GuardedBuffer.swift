import TensorCore

/// Memory at a chosen distance from an aligned address, between guard values, so that a kernel
/// that writes outside its shape is found out.
///
/// Freed with the object: give it a name, since a temporary's pointer outlives it.
final class GuardedBuffer<Scalar: BinaryFloatingPoint & BitwiseCopyable> {
    let pointer: UnsafeMutablePointer<Scalar>
    private let storage: UnsafeMutablePointer<Scalar>
    private let count: Int
    private let offset: Int
    private let margin = 32
    private let guardValue: Scalar = -12345.5

    /// Starts `offset` scalars behind a 64-byte boundary.
    init(_ values: [Scalar], offset: Int = 0) {
        count = values.count
        self.offset = margin + offset
        storage = UnsafeMutableRawPointer.allocate(
            byteCount: (count + 2 * margin + offset) * MemoryLayout<Scalar>.stride, alignment: 64
        ).bindMemory(to: Scalar.self, capacity: count + 2 * margin + offset)
        storage.initialize(repeating: guardValue, count: count + 2 * margin + offset)
        pointer = storage + self.offset
        for (i, value) in values.enumerated() { pointer[i] = value }
    }

    convenience init(count: Int, offset: Int = 0) {
        self.init(Array(repeating: 77, count: count), offset: offset)
    }

    deinit { storage.deallocate() }

    var values: [Scalar] { Array(UnsafeBufferPointer(start: pointer, count: count)) }

    /// Whether nothing was written before or behind the values.
    var isIntact: Bool {
        (0..<offset).allSatisfy { storage[$0] == guardValue }
            && (0..<margin).allSatisfy { pointer[count + $0] == guardValue }
    }
}

/// `count` values of nearly the normal distribution.
func normals(_ count: Int, mean: Double = 0, deviation: Double = 1, index: UInt64) -> [Float] {
    let random = CounterRandom(seed: 3, purpose: .benchmark, index: index)
    return (0..<count).map { i in
        // The sum of twelve uniform numbers, less six: near enough, and without a logarithm.
        let sum = (0..<12).reduce(0.0) { $0 + random.uniform(at: 12 * i + $1) }
        return Float(mean + deviation * (sum - 6))
    }
}

/// max|a − b| / max|b|, or over a `magnitude` larger than that: of the terms that cancelled.
///
/// 0 for nothing at all. NaN anywhere gives infinity.
func largestDifference(
    _ a: [some BinaryFloatingPoint], _ b: [Double], magnitude: Double = 0
) -> Double {
    guard a.count == b.count else { return .infinity }
    var difference = 0.0
    var magnitude = magnitude
    for (x, y) in zip(a, b) {
        let d = abs(Double(x) - y)
        if d.isNaN { return .infinity }
        difference = max(difference, d)
        magnitude = max(magnitude, abs(y))
    }
    return difference == 0 ? 0 : difference / magnitude
}

func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

func bits(_ values: [Double]) -> [UInt64] { values.map(\.bitPattern) }

func doubles(_ values: [Float]) -> [Double] { values.map(Double.init) }

/// The shapes every per-channel kernel is tested with: around the width of a vector, and none.
let channelShapes: [(rows: Int, channels: Int)] = [0, 1, 2, 7, 8, 15, 30, 33].flatMap { rows in
    [1, 2, 3, 10, 15, 16, 17, 31, 64, 100, 128].map { (rows, $0) }
}
