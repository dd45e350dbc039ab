import Foundation

/// The marks of an axis, at round numbers, with what is written beside them.
///
/// On a linear axis the step is 1, 2 or 5 times a power of ten; on a logarithmic one the marks are
/// powers of ten, with 2 and 5 times those where there are few.
struct Ticks: Equatable {
    /// Ascending.
    var values: [Double]

    /// One for each value, no two alike.
    var labels: [String]

    /// What the axis shows.
    var domain: ClosedRange<Double>

    /// Marks at these very values, which lie in the domain or are left out.
    init(at values: [Double], domain: ClosedRange<Double>) {
        self.values = Set(values.filter { domain.contains($0) }).sorted()
        labels = self.values.map(Self.plain)
        self.domain = domain
    }

    /// About `count` marks of a linear axis.
    ///
    /// - Parameter widens: whether the domain grows to the next marks.
    init(linear range: ClosedRange<Double>, about count: Int, widens: Bool) {
        let range = Self.opened(range)
        // A hair's breadth, so that 0.3 counts as a multiple of 0.1.
        let slack = 1e-9
        var step = Self.step((range.upperBound - range.lowerBound) / Double(max(count, 1)))
        func multiples() -> ClosedRange<Double> {
            let (low, high) = (range.lowerBound / step, range.upperBound / step)
            return widens
                ? floor(low + slack)...ceil(high - slack)
                : ceil(low - slack)...max(ceil(low - slack), floor(high + slack))
        }
        // One mark alone does not say how long the axis is.
        while multiples().upperBound - multiples().lowerBound < 1 {
            step = Self.step(step / 2.6)
        }
        let first = multiples().lowerBound
        let steps = Int(min(multiples().upperBound - first, 1000))
        values = (0...steps).map { (first + Double($0)) * step }
        labels = Self.linearLabels(values, step: step)
        domain =
            widens
            ? min(range.lowerBound, values[0])...max(range.upperBound, values[steps]) : range
    }

    /// The marks of a logarithmic axis; `range` is above 0.
    init(logarithmic range: ClosedRange<Double>, about count: Int) {
        var range = range
        if range.lowerBound == range.upperBound {
            range = range.lowerBound / 2...range.upperBound * 2
        }
        let low = Int(floor(log10(range.lowerBound) + 1e-9))
        let high = Int(ceil(log10(range.upperBound) - 1e-9))
        let decades = log10(range.upperBound / range.lowerBound)
        if decades < 1 {
            // Less than a decade: the round numbers of a linear axis.
            var ticks = Ticks(linear: range, about: count, widens: false)
            ticks.domain = range
            self = ticks
            return
        }
        let factors = decades <= 3 ? [1.0, 2, 5] : [1]
        let stride = max(1, Int(ceil(decades / Double(max(count, 2)))))
        var values: [Double] = []
        for exponent in Swift.stride(from: low, through: high, by: stride) {
            for factor in factors {
                let value = factor * pow(10, Double(exponent))
                if value >= range.lowerBound * (1 - 1e-9), value <= range.upperBound * (1 + 1e-9) {
                    values.append(value)
                }
            }
        }
        self.values = values
        labels = values.map(Self.plain)
        domain = range
    }

    /// A range that has a length.
    private static func opened(_ range: ClosedRange<Double>) -> ClosedRange<Double> {
        let size = max(abs(range.lowerBound), abs(range.upperBound))
        guard range.upperBound - range.lowerBound <= size * 1e-9 else { return range }
        let half = size > 0 ? size * 0.05 : 0.5
        return range.lowerBound - half...range.upperBound + half
    }

    /// 1, 2 or 5 times a power of ten, the next that is not below `rough`.
    static func step(_ rough: Double) -> Double {
        let power = pow(10, floor(log10(rough)))
        let factor = [1.0, 2, 5].first { $0 * power >= rough * (1 - 1e-9) } ?? 10
        return factor * power
    }

    /// All in one unit with the same number of decimals.
    private static func linearLabels(_ values: [Double], step: Double) -> [String] {
        let largest = values.map(abs).max() ?? 0
        if largest >= 1e9 || largest < 1e-4 {
            let power = Int(floor(log10(max(largest, .leastNormalMagnitude))))
            let unit = pow(10, Double(power))
            let decimals = max(0, power - Int(floor(log10(step) + 1e-9)))
            return values.map { value in
                value == 0 ? "0" : decimal(value / unit, decimals) + "·10" + superscript(power)
            }
        }
        for (unit, name) in [(1e6, "M"), (1e3, "k")] where largest >= 10 * unit {
            let decimals = max(0, -Int(floor(log10(step / unit) + 1e-9)))
            if decimals <= 2 {
                return values.map { $0 == 0 ? "0" : minus(decimal($0 / unit, decimals)) + name }
            }
        }
        let decimals = max(0, -Int(floor(log10(step) + 1e-9)))
        // What rounds to nothing has no sign.
        return values.map { minus(decimal(abs($0) < step / 2 ? 0 : $0, decimals)) }
    }

    /// A single number: 0.01, 500, 20k, 10⁻⁶.
    static func plain(_ value: Double) -> String {
        let size = abs(value)
        if size == 0 { return "0" }
        if size >= 1e5 || size < 1e-3 {
            let power = Int(floor(log10(size) + 1e-9))
            let factor = trimmed(decimal(value / pow(10, Double(power)), 2))
            return (factor == "1" ? "10" : minus(factor) + "·10") + superscript(power)
        }
        if size >= 1e4 { return minus(trimmed(decimal(value / 1e3, 3))) + "k" }
        return minus(trimmed(decimal(value, 6)))
    }

    private static func minus(_ text: String) -> String {
        text.hasPrefix("-") ? "−" + text.dropFirst() : text
    }

    private static func superscript(_ power: Int) -> String {
        let digits = Array("⁰¹²³⁴⁵⁶⁷⁸⁹")
        return (power < 0 ? "⁻" : "")
            + String(String(abs(power)).compactMap { $0.wholeNumberValue }.map { digits[$0] })
    }
}
