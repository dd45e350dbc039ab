import Foundation
import KernelReferences
import TestSupport
import Testing

@testable import Kernels

@Suite("activations")
struct ActivationTests {
    static func activated(_ input: [Float], _ kind: ActivationKind, offset: Int = 0) -> [Float] {
        let input = GuardedBuffer(input, offset: offset)
        let output = GuardedBuffer<Float>(count: input.values.count, offset: offset)
        activate(
            input: input.pointer, count: input.values.count, activation: kind,
            output: output.pointer)
        #expect(output.isIntact && input.isIntact)
        return output.values
    }

    /// Floats of both signs, evenly over all exponents, below `limit` in magnitude.
    static func sweep(from smallest: Float, to limit: Float) -> [Float] {
        stride(from: smallest.bitPattern, through: limit.bitPattern, by: 4001).flatMap {
            [Float(bitPattern: $0), -Float(bitPattern: $0)]
        }
    }

    /// The largest error of `values`, in units in the last place of the exact value.
    static func worstUlp(_ inputs: [Float], _ values: [Float], exact: (Double) -> Double) -> Double
    {
        zip(inputs, values).map { x, y in
            let exact = exact(Double(x))
            return abs(Double(y) - exact) / Double(Float(exact).ulp)
        }.max() ?? 0
    }

    @Test(
        "sigmoid and tanh are within 2.5 units in the last place",
        arguments: [ActivationKind.sigmoid, .tanh])
    func accuracy(kind: ActivationKind) {
        // Below −87.3 a sigmoid is no normal number.
        let inputs = Self.sweep(from: 1e-30, to: 87)
        let worst = Self.worstUlp(inputs, Self.activated(inputs, kind)) {
            activateReference($0, kind)
        }
        #expect(worst < 2.5, "\(kind): \(worst) ulp")
    }

    @Test("the exponential is within 1 unit in the last place")
    func exponentialAccuracy() {
        let inputs = Self.sweep(from: 1e-30, to: 87)
        let values = inputs.map { exponential(SIMD16(repeating: $0))[5] }
        let worst = Self.worstUlp(inputs, values, exact: { exp($0) })
        #expect(worst < 1, "\(worst) ulp")
    }

    @Test("the exponential of extremes has the right limit")
    func exponentialExtremes() {
        func value(_ x: Float) -> Float { exponential(SIMD16(repeating: x))[0] }
        #expect(value(0) == 1)
        #expect(value(-0.0) == 1)
        #expect(value(1) == 2.718_281_8)
        #expect([-88, -104, -1e30, -.infinity].map(value) == [0, 0, 0, 0])
        #expect([89, 1e30, .infinity].allSatisfy { value($0) == .infinity })
        #expect(value(.nan).isNaN)
    }

    @Test("extremes give the limits and NaN stays NaN")
    func extremes() {
        let inputs: [Float] = [100, -100, 1e30, -1e30, .infinity, -.infinity, 0, -0.0, .nan]
        let sigmoid = Self.activated(inputs, .sigmoid)
        #expect(Array(sigmoid[..<8]) == [1, 0, 1, 0, 1, 0, 0.5, 0.5])
        let tanh = Self.activated(inputs, .tanh)
        #expect(Array(tanh[..<8]) == [1, -1, 1, -1, 1, -1, 0, 0])
        #expect(tanh[7].sign == .minus)
        let relu = Self.activated(inputs, .relu)
        #expect(Array(relu[..<8]) == [100, 0, 1e30, 0, .infinity, 0, 0, 0])
        #expect([sigmoid, tanh, relu].allSatisfy { $0[8].isNaN })
    }

    @Test("worked values")
    func workedValues() {
        // Python: [1/(1+math.exp(-x)) for x in (1, -2, 10)], math.tanh for (0.5, 1e-10, -3).
        let sigmoid = Self.activated([1, -2, 10], .sigmoid).map(Double.init)
        let tanh = Self.activated([0.5, 1e-10, -3], .tanh).map(Double.init)
        let expectedSigmoid = [0.7310585786300049, 0.11920292202211755, 0.9999546021312976]
        let expectedTanh = [0.46211715726000973, 1e-10, -0.9950547536867305]
        for (a, b) in zip(sigmoid + tanh, expectedSigmoid + expectedTanh) {
            #expect(abs(a - b) <= 2.5e-7 * abs(b))
        }
    }

    @Test(
        "neither position nor alignment nor length changes a bit",
        arguments: ActivationKind.allCases)
    func position(kind: ActivationKind) {
        let input = normals(67, deviation: 3, index: 1)
        let whole = bits(Self.activated(input, kind))
        for offset in [1, 3, 15] {
            #expect(bits(Self.activated(input, kind, offset: offset)) == whole)
        }
        for count in 0...input.count {
            let part = Self.activated(Array(input.suffix(count)), kind, offset: count % 5)
            #expect(bits(part) == Array(whole.suffix(count)))
        }
    }

    @Test("backward follows the reference, also in place", arguments: ActivationKind.allCases)
    func backward(kind: ActivationKind) {
        for count in [0, 1, 2, 15, 16, 17, 31, 100] {
            let output = GuardedBuffer(
                Self.activated(normals(count, index: 1), kind), offset: count % 3)
            let gradient = GuardedBuffer(normals(count, index: 2), offset: 1)
            let result = GuardedBuffer<Float>(count: count)
            let expected = zip(output.values, gradient.values).map {
                activateBackwardReference(output: Double($0), outputGradient: Double($1), kind)
            }
            activateBackward(
                output: output.pointer, outputGradient: gradient.pointer, count: count,
                activation: kind, inputGradient: result.pointer)
            #expect(largestDifference(result.values, expected) < 5e-7)
            activateBackward(
                output: output.pointer, outputGradient: gradient.pointer, count: count,
                activation: kind, inputGradient: gradient.pointer)
            #expect(bits(gradient.values) == bits(result.values))
            #expect(result.isIntact && gradient.isIntact && output.isIntact)
        }
    }

    @Test("the reference's derivative is that of its value", arguments: ActivationKind.allCases)
    func gradientCheck(kind: ActivationKind) {
        let step = 1e-5
        for z in [-3.1, -0.7, 0.01, 0.4, 2.2] {
            let slope =
                (activateReference(z + step, kind) - activateReference(z - step, kind)) / (2 * step)
            let derivative = activateBackwardReference(
                output: activateReference(z, kind), outputGradient: 1.5, kind)
            #expect(abs(derivative - 1.5 * slope) < 1e-8)
        }
    }
}
