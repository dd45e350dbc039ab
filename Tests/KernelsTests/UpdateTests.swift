import KernelReferences
import TestSupport
import Testing

@testable import Kernels

@Suite("updates of parameters")
struct UpdateTests {
    static let counts = [0, 1, 2, 15, 16, 17, 31, 64, 100]

    @Test(
        "Adam and AdamW follow the reference at any length", arguments: [false, true],
        [(beta1: 0.0, epsilon: 1e-8), (0.9, 1e-8), (0.9, 1e-2)])
    func adam(decoupled: Bool, settings: (beta1: Double, epsilon: Double)) {
        let (beta1, epsilon) = settings
        for count in Self.counts {
            let parameters = GuardedBuffer(normals(count, index: 1), offset: 1)
            let first = GuardedBuffer<Float>(Array(repeating: 0, count: count), offset: 2)
            let second = GuardedBuffer<Float>(Array(repeating: 0, count: count), offset: 3)
            var expected = doubles(parameters.values)
            var m = Array(repeating: 0.0, count: count)
            var v = m
            for step in 1...20 {
                let gradient = normals(count, index: UInt64(step))
                adamUpdate(
                    parameters: parameters.pointer, gradient: gradient,
                    firstMoment: first.pointer, secondMoment: second.pointer, count: count,
                    AdamFactors(
                        step: step, learningRate: 0.01, beta1: beta1, beta2: 0.99,
                        epsilon: epsilon, weightDecay: 0.1, decoupled: decoupled))
                adamUpdateReference(
                    parameters: &expected, gradient: doubles(gradient), firstMoment: &m,
                    secondMoment: &v, step: step, learningRate: 0.01, beta1: beta1, beta2: 0.99,
                    epsilon: epsilon, weightDecay: 0.1, decoupled: decoupled)
            }
            // Values of order 1, rounded by 2⁻²⁴ in each of twenty steps.
            #expect(largestDifference(parameters.values, expected) < 2e-6)
            #expect(largestDifference(first.values, m) < 1e-6)
            #expect(largestDifference(second.values, v) < 1e-6)
            #expect(parameters.isIntact && first.isIntact && second.isIntact)
        }
    }

    @Test("what decays without a gradient ends at zero, not among the subnormals")
    func decay() {
        let values = [Float](repeating: 1e-30, count: 21)
        func buffer() -> GuardedBuffer<Float> { GuardedBuffer(values) }
        let zeros = [Float](repeating: 0, count: 21)
        var (w, v) = (buffer(), buffer())
        for _ in 1...400 {
            sgdUpdate(
                parameters: w.pointer, gradient: zeros, velocity: v.pointer, count: 21,
                learningRate: 0.5, momentum: 0.9, nesterov: false, weightDecay: 0.1,
                isFirstStep: false)
            #expect((w.values + v.values).allSatisfy { $0 == 0 || $0.isNormal })
        }
        #expect(v.values.allSatisfy { $0 == 0 } && w.values.allSatisfy { $0 == 0 })
        (w, v) = (buffer(), buffer())
        let m = buffer()
        for step in 1...400 {
            adamUpdate(
                parameters: w.pointer, gradient: zeros, firstMoment: m.pointer,
                secondMoment: v.pointer, count: 21,
                AdamFactors(
                    step: step, learningRate: 0.1, beta1: 0.9, beta2: 0.9, epsilon: 1,
                    weightDecay: 1, decoupled: true))
            #expect((w.values + m.values + v.values).allSatisfy { $0 == 0 || $0.isNormal })
        }
        #expect((m.values + v.values).allSatisfy { $0 == 0 })
        (w, v) = (buffer(), buffer())
        for _ in 1...400 {
            larsUpdate(
                parameters: w.pointer, gradient: zeros, velocity: v.pointer, count: 21, rate: 0.1,
                momentum: 0.9, weightDecay: 0.1)
            #expect((w.values + v.values).allSatisfy { $0 == 0 || $0.isNormal })
        }
        #expect(v.values.allSatisfy { $0 == 0 })
    }

    @Test("Adam's bias correction holds after many steps, and zeros stay zeros")
    func adamEdges() {
        let late = AdamFactors(
            step: 1_000_000_000_000, learningRate: 0.5, beta1: 0.9, beta2: 0.999, epsilon: 1e-8,
            weightDecay: 0, decoupled: false)
        #expect(late.stepSize == 0.5 && late.rootCorrection == 1)
        let zeros = (0..<4).map { _ in
            GuardedBuffer<Float>(Array(repeating: 0, count: 21))
        }
        adamUpdate(
            parameters: zeros[0].pointer, gradient: zeros[1].pointer,
            firstMoment: zeros[2].pointer, secondMoment: zeros[3].pointer, count: 21,
            AdamFactors(
                step: 1, learningRate: 1, beta1: 0.9, beta2: 0.999, epsilon: 1e-30,
                weightDecay: 0.1, decoupled: true))
        #expect(zeros.allSatisfy { $0.values.allSatisfy { $0 == 0 } })
    }

    @Test("a gradient of NaN or infinity is not lost in Adam", arguments: [Float.nan, .infinity])
    func adamDiverges(bad: Float) {
        let buffers = (0..<4).map { _ in GuardedBuffer<Float>([0, 0, 0]) }
        buffers[1].pointer[1] = bad
        adamUpdate(
            parameters: buffers[0].pointer, gradient: buffers[1].pointer,
            firstMoment: buffers[2].pointer, secondMoment: buffers[3].pointer, count: 3,
            AdamFactors(
                step: 1, learningRate: 1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8,
                weightDecay: 0, decoupled: false))
        #expect(buffers[0].values[0] == 0 && buffers[0].values[1].isNaN)
    }

    @Test("the square root is right within one unit of the last place")
    func root() {
        var values: [Float] = [0, 1, 4, 2, 3, .leastNormalMagnitude, .greatestFiniteMagnitude]
        values += normals(4000, deviation: 10, index: 4).map { $0 * $0 }
        for exponent in -120...120 {
            values += [1, 1.3, 1.999999].map {
                Float(sign: .plus, exponent: exponent, significand: $0)
            }
        }
        for value in values {
            let root = squareRoot(SIMD16(repeating: value))[0]
            let exact = value.squareRoot()
            #expect(abs(root - exact) <= exact.ulp && (value != 0 || root == 0), "\(value)")
        }
        #expect(squareRoot(SIMD16(repeating: Float.nan))[3].isNaN)
        #expect(squareRoot(SIMD16(repeating: Float.infinity))[3].isNaN)
    }

    @Test("LARS follows the reference at any length", arguments: [0.0, 0.9], [0.0, 0.01])
    func lars(momentum: Double, weightDecay: Double) {
        for count in Self.counts {
            let parameters = GuardedBuffer(normals(count, index: 1), offset: 1)
            let velocity = GuardedBuffer<Float>(Array(repeating: 0, count: count), offset: 2)
            var expected = doubles(parameters.values)
            var v = Array(repeating: 0.0, count: count)
            for step in 1...20 {
                let gradient = normals(count, index: UInt64(step))
                let local = larsLocalRate(
                    parameterNorm: sumOfSquares(parameters.pointer, count: count).squareRoot(),
                    gradientNorm: sumOfSquares(gradient, count: count).squareRoot(),
                    trustCoefficient: 0.02, weightDecay: weightDecay, epsilon: 1e-8)
                larsUpdate(
                    parameters: parameters.pointer, gradient: gradient,
                    velocity: momentum == 0 ? nil : velocity.pointer, count: count,
                    rate: Float(2 * local), momentum: Float(momentum),
                    weightDecay: Float(weightDecay))
                larsUpdateReference(
                    parameters: &expected, gradient: doubles(gradient), velocity: &v,
                    learningRate: 2, momentum: momentum, trustCoefficient: 0.02,
                    weightDecay: weightDecay, epsilon: 1e-8)
            }
            #expect(largestDifference(parameters.values, expected) < 2e-6)
            #expect(parameters.isIntact && velocity.isIntact)
        }
    }

    @Test("LARS's rate is 1 where a norm is 0")
    func larsEdges() {
        func rate(_ w: Double, _ g: Double) -> Double {
            larsLocalRate(
                parameterNorm: w, gradientNorm: g, trustCoefficient: 0.001, weightDecay: 0.1,
                epsilon: 0)
        }
        #expect(rate(0, 1) == 1 && rate(1, 0) == 1 && rate(0, 0) == 1)
        #expect(rate(2, 0.8) == 0.002)
    }

    @Test("sums of squares are those of Float64, whatever the alignment")
    func squares() {
        for count in Self.counts + [4096, 4097] {
            let values = normals(count, deviation: 3, index: 9)
            let sums = (0..<4).map { offset in
                let buffer = GuardedBuffer(values, offset: offset)
                return withExtendedLifetime(buffer) {
                    sumOfSquares(buffer.pointer, count: count)
                }
            }
            let expected = sumOfSquaresReference(values)
            #expect(abs(sums[0] - expected) <= 1e-14 * expected)
            #expect(Set(sums.map(\.bitPattern)).count == 1)
        }
        #expect(
            sumOfSquares([1e30, 1e30], count: 2) == 2 * Double(Float(1e30)) * Double(Float(1e30)))
        #expect(sumOfSquares([1, .nan], count: 2).isNaN)
        #expect(sumOfSquares([1, -.infinity], count: 2) == .infinity)
    }

    @Test("scaling multiplies every value once, and nothing else")
    func scaling() {
        for count in Self.counts {
            let values = normals(count, index: 2)
            let buffer = GuardedBuffer(values, offset: 3)
            scale(buffer.pointer, by: 0.3, count: count)
            #expect(buffer.values == values.map { $0 * 0.3 } && buffer.isIntact)
        }
    }
}
