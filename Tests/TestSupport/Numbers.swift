import Foundation
import TensorCore

/// `count` values of nearly the normal distribution: a pure function of `index`.
package func normals(
    _ count: Int, mean: Double = 0, deviation: Double = 1, index: UInt64
) -> [Float] {
    let random = CounterRandom(seed: 3, purpose: .benchmark, index: index)
    return (0..<count).map { i in
        // The sum of twelve uniform numbers, less six: near enough, and without a logarithm.
        let sum = (0..<12).reduce(0.0) { $0 + random.uniform(at: 12 * i + $1) }
        return Float(mean + deviation * (sum - 6))
    }
}

/// max|a − b| / max|b|, or over a `magnitude` larger than that: of the terms that cancelled.
///
/// 0 for nothing at all. NaN anywhere, or arrays of different lengths, give infinity.
package func largestDifference(
    _ a: [some BinaryFloatingPoint], _ b: [some BinaryFloatingPoint], magnitude: Double = 0
) -> Double {
    guard a.count == b.count else { return .infinity }
    var difference = 0.0
    var magnitude = magnitude
    for (x, y) in zip(a, b) {
        let d = abs(Double(x) - Double(y))
        if d.isNaN { return .infinity }
        difference = max(difference, d)
        magnitude = max(magnitude, abs(Double(y)))
    }
    return difference == 0 ? 0 : difference / magnitude
}

/// The values' bits, in which 0 and −0 differ.
package func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

/// The values' bits, in which 0 and −0 differ.
package func bits(_ values: [Double]) -> [UInt64] { values.map(\.bitPattern) }

/// The same values in Float64.
package func doubles(_ values: [Float]) -> [Double] { values.map(Double.init) }

/// The gradient of `function` at `point` by central differences.
///
/// - Parameter step: about the third root of the rounding error, times the values' size.
package func centralDifferences(
    at point: [Double], step: Double = 1e-5, _ function: ([Double]) -> Double
) -> [Double] {
    var moved = point
    return point.indices.map { i in
        moved[i] = point[i] + step
        let above = function(moved)
        moved[i] = point[i] - step
        let below = function(moved)
        moved[i] = point[i]
        return (above - below) / (2 * step)
    }
}

/// What several threads hand in, in no order.
package final class Collected<Value: Sendable>: Sendable {
    private let lock = NSLock()
    nonisolated(unsafe) private var handedIn: [Value] = []

    package init() {}

    package func append(_ value: Value) { lock.withLock { handedIn.append(value) } }

    package var values: [Value] { lock.withLock { handedIn } }
}
