import Foundation
import TensorCore
import Testing

@Suite("Functions of Float64 with the same bits everywhere")
struct PortableTests {
    /// A value that MPFR has rounded correctly; Fixtures/make_portable_fixtures.py made them.
    private struct Case {
        let function: Substring
        let argument: Double
        let exponent: Int
        let value: Double

        init?(_ line: Substring) {
            let words = line.split(separator: " ")
            guard words.count >= 3, let argument = UInt64(words[1], radix: 16),
                let value = UInt64(words[words.count - 1], radix: 16)
            else { return nil }
            function = words[0]
            self.argument = Double(bitPattern: argument)
            exponent = words.count == 4 ? Int(words[2]) ?? 0 : 0
            self.value = Double(bitPattern: value)
        }

        var computed: Double {
            switch function {
            case "log": Portable.log(argument)
            case "sinPi": Portable.sinPi(argument)
            case "cosPi": Portable.cosPi(argument)
            default: Portable.pown(argument, exponent)
            }
        }
    }

    private static func cases() throws -> [Case] {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/portable.txt").path
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        return try lines.map { try #require(Case($0)) }
    }

    @Test("within 1 unit in the last place of the correctly rounded value, and mostly on it")
    func accuracy() throws {
        var counts: [Substring: (all: Int, exact: Int)] = [:]
        for each in try Self.cases() {
            let computed = each.computed
            let distance = abs(computed - each.value)
            #expect(
                distance <= each.value.ulp,
                "\(each.function) \(each.argument): \(computed), not \(each.value)")
            counts[each.function, default: (0, 0)].all += 1
            if computed == each.value { counts[each.function]?.exact += 1 }
        }
        #expect(counts.keys.sorted() == ["cosPi", "log", "pown", "sinPi"])
        for (function, count) in counts {
            #expect(count.all > 200)
            #expect(Double(count.exact) > 0.8 * Double(count.all), "\(function): \(count)")
        }
    }

    @Test("zeros, infinities, NaN, integers and halves")
    func edges() {
        #expect(Portable.log(1) == 0)
        #expect(Portable.log(0) == -.infinity && Portable.log(-0.0) == -.infinity)
        #expect(Portable.log(.infinity) == .infinity)
        #expect(Portable.log(-1).isNaN && Portable.log(.nan).isNaN)
        for n in -9...9 {
            #expect(Portable.sinPi(Double(n)) == 0)
            #expect(Portable.cosPi(Double(n)) == (n % 2 == 0 ? 1 : -1))
            #expect(Portable.cosPi(Double(n) + 0.5) == 0)
            #expect(abs(Portable.sinPi(Double(n) + 0.5)) == 1)
        }
        for x in [Double.infinity, -.infinity, .nan] {
            #expect(Portable.sinPi(x).isNaN && Portable.cosPi(x).isNaN)
        }
        #expect(Portable.pown(.nan, 0) == 1 && Portable.pown(0, 3) == 0)
        #expect(Portable.pown(10, 308) == 1e308 && Portable.pown(10, 309) == .infinity)
        #expect(Portable.pown(-2, 3) == -8 && Portable.pown(0.1, 1) == 0.1)
    }

    @Test("sine and cosine are odd and even, and shift into each other")
    func symmetry() throws {
        for each in try Self.cases() where each.function == "sinPi" {
            let x = each.argument
            #expect(Portable.sinPi(-x) == -Portable.sinPi(x))
            #expect(Portable.cosPi(-x) == Portable.cosPi(x))
        }
    }

    @Test("the bits of a thousand values, which no machine may change")
    func bits() throws {
        var hash: UInt64 = 14_695_981_039_346_656_037
        for each in try Self.cases() {
            hash = (hash ^ each.computed.bitPattern) &* 1_099_511_628_211
        }
        #expect(hash == 16_150_215_915_717_634_713)
    }
}
