import Foundation
import Testing

@testable import Reports

struct TicksTests {
    /// Ranges of every size and place.
    static let ranges: [ClosedRange<Double>] = {
        var ranges: [ClosedRange<Double>] = [0...1, -1...1, 0.97...0.98, 0...50_000, -3...1e9]
        for power in stride(from: -12, through: 12, by: 3) {
            let unit = pow(10, Double(power))
            for (low, high) in [(0, 1), (0.1, 0.7), (-2.3, 4.1), (3, 3.0001), (7, 93)] {
                ranges.append(low * unit...high * unit)
            }
        }
        return ranges
    }()

    @Test("marks of a linear axis are evenly spaced multiples of 1, 2 or 5", arguments: ranges)
    func linear(range: ClosedRange<Double>) throws {
        for count in [3, 6, 10] {
            for widens in [false, true] {
                let ticks = Ticks(linear: range, about: count, widens: widens)
                #expect(ticks.values.count >= 2 && ticks.values.count <= count + 3)
                #expect(Set(ticks.labels).count == ticks.labels.count, "\(ticks.labels)")
                #expect(ticks.labels.count == ticks.values.count)
                let step = ticks.values[1] - ticks.values[0]
                let digit = step / pow(10, floor(log10(step) + 1e-6))
                #expect([1, 2, 5].contains { abs(digit - $0) < 1e-3 }, "step \(step)")
                for (a, b) in zip(ticks.values, ticks.values.dropFirst()) {
                    #expect(abs(b - a - step) <= step * 1e-3)
                }
                let slack = step * 1e-6
                #expect(ticks.domain.lowerBound <= range.lowerBound + slack)
                #expect(ticks.domain.upperBound >= range.upperBound - slack)
                for value in ticks.values {
                    #expect(value >= ticks.domain.lowerBound - slack)
                    #expect(value <= ticks.domain.upperBound + slack)
                }
                if widens {
                    #expect(abs(ticks.domain.lowerBound - ticks.values[0]) <= slack)
                } else if range.upperBound > range.lowerBound {
                    #expect(ticks.domain == range)
                }
            }
        }
    }

    @Test("an axis of one value has a length", arguments: [0, 1, -7, 1e-9, 3e12])
    func oneValue(value: Double) {
        for widens in [false, true] {
            let ticks = Ticks(linear: value...value, about: 5, widens: widens)
            #expect(ticks.domain.lowerBound < value && value < ticks.domain.upperBound)
            #expect(!ticks.values.isEmpty)
        }
        guard value > 0 else { return }
        let ticks = Ticks(logarithmic: value...value, about: 5)
        #expect(ticks.domain.lowerBound < value && value < ticks.domain.upperBound)
        #expect(!ticks.values.isEmpty)
    }

    @Test("marks of a logarithmic axis ascend inside its domain, and no two are alike")
    func logarithmic() {
        for low in [1e-9, 2e-4, 0.3, 1, 7, 1e5] {
            for factor in [1.5, 4, 10, 37, 1e3, 1e6, 1e14] {
                let ticks = Ticks(logarithmic: low...low * factor, about: 6)
                #expect(ticks.domain == low...low * factor)
                #expect(ticks.values.count >= 2 && ticks.values.count <= 12, "\(ticks)")
                #expect(Set(ticks.labels).count == ticks.labels.count, "\(ticks.labels)")
                for (a, b) in zip(ticks.values, ticks.values.dropFirst()) { #expect(a < b) }
                for value in ticks.values {
                    #expect(value >= low * (1 - 1e-6) && value <= low * factor * (1 + 1e-6))
                }
            }
        }
    }

    @Test("labels are what people write")
    func labels() {
        #expect(
            Ticks(linear: 0...50_000, about: 5, widens: false).labels
                == ["0", "10k", "20k", "30k", "40k", "50k"])
        #expect(
            Ticks(linear: -0.1...0.1, about: 4, widens: true).labels
                == ["−0.10", "−0.05", "0.00", "0.05", "0.10"])
        #expect(
            Ticks(linear: 0...3e-6, about: 3, widens: true).labels
                == ["0", "1·10⁻⁶", "2·10⁻⁶", "3·10⁻⁶"])
        #expect(
            Ticks(logarithmic: 1e-6...1, about: 3).labels == ["10⁻⁶", "10⁻⁴", "0.01", "1"])
        #expect(Ticks(at: [16, 1, 2, 99], domain: 1...32).labels == ["1", "2", "16"])
    }
}
