import Foundation

/// `count` values in −1 ..< 1, as good as random and exact in Float32: the formula that
/// `Fixtures/make_network_fixtures.py` makes everything of that goes into PyTorch.
package func formula(_ count: Int, key: Int) -> [Double] {
    (0..<UInt64(count)).map { i in
        var h = UInt32(truncatingIfNeeded: i &* 2_654_435_761 &+ UInt64(key) &* 2_246_822_519)
        h ^= h >> 15
        h &*= 2_246_822_519
        h ^= h >> 13
        h &*= 3_266_489_917
        h ^= h >> 16
        return Double(h >> 8) * 0x1p-23 - 1
    }
}

/// What PyTorch made of a layer or network, tensor by tensor in summaries; written by
/// `Fixtures/make_network_fixtures.py`.
package struct TensorSummaries: Sendable {
    /// Where the formula starts.
    package private(set) var key = 0

    /// How far PyTorch's own Float32 is from the Float64 of the summaries, the worst of all.
    package private(set) var conditioning = 0.0

    /// By name: largest magnitude, norm, product with `formula(count, key: 77)`, 16 values.
    private var summaries: [String: [Double]] = [:]

    /// By case.
    package static func read(_ file: String) -> [String: TensorSummaries] {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/\(file).txt").path
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        var found: [String: TensorSummaries] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            let numbers = words.dropFirst(2).compactMap { Double($0) }
            var one = found[String(words[0])] ?? TensorSummaries()
            switch words[1] {
            case "key": one.key = Int(numbers[0])
            case "conditioning": one.conditioning = numbers.max() ?? 0
            default: one.summaries[String(words[1])] = numbers
            }
            found[String(words[0])] = one
        }
        return found
    }

    /// Names that begin with `prefix` and a dot, without that.
    package func names(under prefix: String) -> Set<String> {
        Set(
            summaries.keys.filter { $0.hasPrefix(prefix + ".") }.map {
                String($0.dropFirst(prefix.count + 1))
            })
    }

    /// The largest magnitude of all tensors under `prefix`.
    private func magnitude(under prefix: Substring) -> Double {
        summaries.filter { $0.key.prefix { $0 != "." } == prefix }.map(\.value[0]).max() ?? 0
    }

    /// How far `values` are from the tensor `name`, relative to its largest magnitude, and norm and
    /// product relative to its norm; infinite for another tensor.
    ///
    /// Gradients of biases before BN are nothing but rounding: a thousandth of the largest
    /// magnitude of the same kind counts as theirs.
    package func difference(_ name: String, _ values: [Double]) -> Double {
        guard let expected = summaries[name], !values.isEmpty, values.allSatisfy(\.isFinite) else {
            return .infinity
        }
        let least = 1e-3 * magnitude(under: name.prefix { $0 != "." })
        let largest = max(expected[0], least)
        let norm = max(expected[1], least)
        var worst = abs(values.map(abs).max()! - expected[0]) / largest
        let sum = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
        worst = max(worst, abs(sum - expected[1]) / norm)
        let product = zip(values, formula(values.count, key: 77)).reduce(0) { $0 + $1.0 * $1.1 }
        worst = max(worst, abs(product - expected[2]) / norm)
        for (place, value) in zip(formula(16, key: 78), expected.dropFirst(3)) {
            let index = Int((place + 1) / 2 * Double(values.count))
            worst = max(worst, abs(values[index] - value) / largest)
        }
        return worst
    }
}
