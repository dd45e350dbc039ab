import KernelReferences
import TestSupport
import Testing

@testable import Kernels

@Suite("vector arithmetic and updates")
struct VectorArithmeticTests {
    static let counts = Array(0...70) + [127, 128, 129, 1000]

    @Test("sums are those of the reference, anywhere in memory", arguments: counts)
    func sums(count: Int) {
        let (a, b) = (normals(count, index: 1), normals(count, index: 2))
        let target = GuardedBuffer<Float>(count: count, offset: 3)
        sum(
            a, b, into: target.pointer,
            count: count)
        #expect(target.values == zip(a, b).map { $0 + $1 })
        let other = GuardedBuffer(a, offset: 2)
        add(b, into: other.pointer, count: count)
        #expect(bits(other.values) == bits(target.values))
        #expect(target.isIntact && other.isIntact)
    }

    @Test("so are those of Float64", arguments: counts)
    func doubleSums(count: Int) {
        let (a, b) = (doubles(normals(count, index: 1)), doubles(normals(count, index: 2)))
        let target = GuardedBuffer<Double>(count: count, offset: 3)
        sum(
            a, b, into: target.pointer,
            count: count)
        #expect(target.values == sumReference(a, b))
        let other = GuardedBuffer(a, offset: 1)
        add(b, into: other.pointer, count: count)
        #expect(bits(other.values) == bits(target.values))
        #expect(target.isIntact && other.isIntact)
    }

    @Test("one NaN or infinity is found wherever it stands", arguments: [1, 15, 16, 64, 65, 150])
    func nonFinite(count: Int) {
        let extremes: [Float] = [.greatestFiniteMagnitude, -.leastNonzeroMagnitude, 0, -0.0, 1]
        var values = (0..<count).map { extremes[$0 % 5] }
        #expect(!anyNonFinite(values: values, count: count))
        #expect(!anyNonFinite(values: values, count: 0))
        for i in 0..<count {
            for bad in [Float.nan, .infinity, -.infinity] {
                let good = values[i]
                values[i] = bad
                #expect(anyNonFinite(values: values, count: count))
                #expect(anyNonFiniteReference(values))
                // Behind the end it is no business of this call.
                #expect(!anyNonFinite(values: values, count: i))
                values[i] = good
            }
        }
    }

    @Test(
        "an SGD step follows the reference at any length", arguments: [false, true],
        [Double(0), 0.9])
    func sgd(nesterov: Bool, momentum: Double) {
        for count in [0, 1, 2, 15, 16, 17, 31, 64, 100] {
            let parameters = GuardedBuffer(normals(count, index: 1), offset: 1)
            let velocity = GuardedBuffer<Float>(
                Array(repeating: .nan, count: count), offset: 2)
            var expected = doubles(parameters.values)
            var expectedVelocity: [Double]?
            for step in 1...20 {
                let gradient = normals(count, index: UInt64(step))
                sgdUpdate(
                    parameters: parameters.pointer, gradient: gradient,
                    velocity: momentum == 0 ? nil : velocity.pointer, count: count,
                    learningRate: 0.1, momentum: Float(momentum), nesterov: nesterov,
                    weightDecay: 0.01, isFirstStep: step == 1)
                sgdUpdateReference(
                    parameters: &expected, gradient: doubles(gradient),
                    velocity: &expectedVelocity, learningRate: 0.1, momentum: momentum,
                    nesterov: nesterov, weightDecay: 0.01)
            }
            #expect(largestDifference(parameters.values, expected) < 1e-6)
            #expect(parameters.isIntact && velocity.isIntact)
        }
    }
}

@Suite("column sums")
struct ColumnSumTests {
    @Test(
        "column sums follow the plain ones",
        arguments: channelShapes)
    func columns(rows: Int, channels: Int) {
        let x = normals(rows * channels, index: 1)
        let values = GuardedBuffer(x, offset: channels % 3)
        let sums = GuardedBuffer<Float>(count: channels, offset: 1)
        columnSums(values.pointer, rows: rows, columns: channels, into: sums.pointer)
        var expected = [Double](repeating: 0, count: channels)
        for (i, value) in x.enumerated() { expected[i % channels] += Double(value) }
        #expect(largestDifference(sums.values, expected, magnitude: 1) < 2e-6)
        #expect(sums.isIntact)
    }
}
