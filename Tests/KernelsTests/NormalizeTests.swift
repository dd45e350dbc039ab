import KernelReferences
import TestSupport
import Testing

@testable import Kernels

@Suite("normalise")
struct NormalizeTests {
    @Test("forward and backward follow the references", arguments: channelShapes)
    func reference(rows: Int, channels: Int) {
        let input = normals(rows * channels, mean: 2, index: 1)
        let gradient = normals(rows * channels, index: 2)
        let scale = normals(channels, mean: 1, deviation: 0.3, index: 3)
        let shift = normals(channels, index: 4)
        for activation in ActivationKind.allCases {
            let layer = Normalization(channels: channels, epsilon: 1e-3, activation: activation)
            let actual = layer.run(
                input: input, scale: scale, shift: shift, outputGradient: gradient,
                offset: channels % 5)
            let expected = layer.reference(
                input: doubles(input), scale: doubles(scale), shift: doubles(shift),
                outputGradient: doubles(gradient))
            #expect(largestDifference(actual.output, expected.output) < 1e-6)
            // With one row dx is 0, with two nearly so: an error is one of the terms that cancel.
            let terms = gradient.indices.map { i in
                let c = i % channels
                let dz = activateBackwardReference(
                    output: expected.output[i], outputGradient: Double(gradient[i]), activation)
                return abs(dz * Double(scale[c])) / (expected.variance[c] + 1e-3).squareRoot()
            }
            #expect(
                largestDifference(
                    actual.inputGradient, expected.inputGradient, magnitude: terms.max() ?? 0)
                    < 1e-6)
            #expect(largestDifference(actual.sumGradient, expected.shiftGradient) < 2e-6)
            let scaleGradient = zip(actual.sumProduct, expected.variance).map {
                $0 / ($1 + layer.epsilon).squareRoot()
            }
            #expect(
                largestDifference(
                    scaleGradient, expected.scaleGradient,
                    magnitude: doubles(gradient).map(abs).max() ?? 0) < 1e-6)
        }
    }

    @Test(
        "rows from main memory give the bits of near ones", arguments: [16, 47, 64, 130],
        [ActivationKind.relu, .identity, .sigmoid])
    func far(channels: Int, activation: ActivationKind) {
        let rows = 37
        let count = rows * channels
        let (x, dy) = (normals(count, mean: 2, index: 1), normals(count, index: 2))
        let perChannel = (3..<9).map { normals(channels, index: $0) }
        func results(isFar: Bool) -> [[Float]] {
            let (y, dx) = (
                GuardedBuffer<Float>(count: count, offset: 0),
                GuardedBuffer<Float>(count: count, offset: 0)
            )
            let sums = (0..<2).map { _ in GuardedBuffer<Double>(count: channels, offset: 0) }
            normalizeForward(
                input: x, rows: rows, channels: channels, meanHigh: perChannel[0],
                meanLow: perChannel[1], factor: perChannel[2], shift: perChannel[3],
                activation: activation, output: y.pointer, isFar: isFar)
            var dz = dy
            normalizeBackwardSums(
                input: x, output: y.pointer, outputGradient: &dz, rows: rows, channels: channels,
                meanHigh: perChannel[0], meanLow: perChannel[1], activation: activation,
                sumGradient: sums[0].pointer, sumProduct: sums[1].pointer, isFar: isFar)
            normalizeBackward(
                input: x, gradient: dz, rows: rows, channels: channels, meanHigh: perChannel[0],
                meanLow: perChannel[1], factor: perChannel[2], meanGradient: perChannel[4],
                projection: perChannel[5], inputGradient: dx.pointer, isFar: isFar)
            let wide = sums.flatMap { $0.values.map { Float($0) } }
            return [y.values, dz, dx.values, wide]
        }
        #expect(results(isFar: true) == results(isFar: false))
    }

    @Test(
        "an addend is added before the activation, a second gradient before its derivative",
        arguments: channelShapes)
    func residual(rows: Int, channels: Int) {
        let count = rows * channels
        let x = normals(count, mean: 2, index: 1)
        let (added, dy) = (normals(count, index: 2), normals(count, index: 3))
        let second = normals(count, index: 4)
        let perChannel = (5..<9).map { normals(channels, index: $0) }
        for activation in ActivationKind.allCases {
            let output = GuardedBuffer<Float>(count: count, offset: channels % 5)
            normalizeForward(
                input: x, rows: rows, channels: channels, meanHigh: perChannel[0],
                meanLow: perChannel[1], factor: perChannel[2], shift: perChannel[3],
                activation: activation, output: output.pointer, addend: added)
            let centred = x.indices.map { i in
                (x[i] - perChannel[0][i % channels]) - perChannel[1][i % channels]
            }
            let expected = x.indices.map { i in
                let c = i % channels
                let z =
                    Double(centred[i]) * Double(perChannel[2][c]) + Double(perChannel[3][c])
                    + Double(added[i])
                return activateReference(z, activation)
            }
            #expect(largestDifference(output.values, expected) < 1e-6)

            let gradient = GuardedBuffer(dy, offset: 3)
            let sums = (0..<2).map { _ in GuardedBuffer<Double>(count: channels) }
            normalizeBackwardSums(
                input: x, output: output.pointer, outputGradient: gradient.pointer, rows: rows,
                channels: channels, meanHigh: perChannel[0], meanLow: perChannel[1],
                activation: activation, sumGradient: sums[0].pointer,
                sumProduct: sums[1].pointer, secondGradient: second)
            let dz = x.indices.map { i in
                activateBackwardReference(
                    output: Double(output.values[i]),
                    outputGradient: Double(dy[i]) + Double(second[i]), activation)
            }
            #expect(largestDifference(gradient.values, dz) < 1e-6)
            var expectedSums = [[Double]](repeating: Array(repeating: 0, count: channels), count: 2)
            for (i, value) in gradient.values.enumerated() {
                expectedSums[0][i % channels] += Double(value)
                expectedSums[1][i % channels] += Double(value) * Double(centred[i])
            }
            for (actual, expected) in zip(sums, expectedSums) {
                #expect(
                    largestDifference(actual.values, expected, magnitude: 1) < 1e-12)
            }
            #expect([output, gradient].allSatisfy(\.isIntact) && sums.allSatisfy(\.isIntact))
        }
    }

    @Test(
        "a ReLU's slope found again from the input gives the bits of the one found from the output",
        arguments: channelShapes)
    func rectified(rows: Int, channels: Int) {
        let count = rows * channels
        let x = normals(count, mean: 2, index: 1)
        let (dy, other) = (normals(count, index: 2), normals(count, index: 3))
        let perChannel = (4..<10).map { normals(channels, index: $0) }
        let (high, low, factor) = (perChannel[0], perChannel[1], perChannel[2])
        var shift = perChannel[3]
        // A channel whose z is 0 everywhere, and one that is never positive.
        var slope = factor
        slope[0] = 0
        shift[0] = 0
        shift[channels - 1] = -1e6
        let output = GuardedBuffer<Float>(count: count)
        normalizeForward(
            input: x, rows: rows, channels: channels, meanHigh: high, meanLow: low, factor: slope,
            shift: shift, activation: .relu, output: output.pointer)

        func backward(second: [Float]?, finds: Bool) -> (sums: [[UInt64]], input: [UInt32]) {
            let gradient = GuardedBuffer(dy, offset: 3)
            let sums = (0..<2).map { _ in GuardedBuffer<Double>(count: channels) }
            let result = GuardedBuffer<Float>(count: count)
            slope.withUnsafeBufferPointer { slope in
                shift.withUnsafeBufferPointer { shift in
                    guard let slope = slope.baseAddress, let shift = shift.baseAddress else {
                        return
                    }
                    func sum(_ second: UnsafePointer<Float>?) {
                        normalizeBackwardSums(
                            input: x, output: output.pointer, outputGradient: gradient.pointer,
                            rows: rows, channels: channels, meanHigh: high, meanLow: low,
                            activation: .relu, sumGradient: sums[0].pointer,
                            sumProduct: sums[1].pointer, secondGradient: second,
                            forward: finds ? RectifiedForward(factor: slope, shift: shift) : nil)
                    }
                    if let second { sum(second) } else { sum(nil) }
                    if finds && second == nil { #expect(gradient.values == dy) }
                    normalizeBackward(
                        input: x, gradient: gradient.pointer, rows: rows, channels: channels,
                        meanHigh: high, meanLow: low, factor: slope,
                        meanGradient: perChannel[4], projection: perChannel[5],
                        inputGradient: result.pointer, shift: finds ? shift : nil)
                }
            }
            #expect(gradient.isIntact && result.isIntact && sums.allSatisfy(\.isIntact))
            return (sums.map { $0.values.map(\.bitPattern) }, bits(result.values))
        }
        for second in [nil, other] {
            let (read, found) = (
                backward(second: second, finds: false), backward(second: second, finds: true)
            )
            #expect(found.sums == read.sums)
            #expect(found.input == read.input)
        }
    }

    @Test("alignment changes no bit", arguments: ActivationKind.allCases)
    func alignment(activation: ActivationKind) {
        let channels = 37
        let layer = Normalization(channels: channels, epsilon: 1e-5, activation: activation)
        let input = normals(30 * channels, index: 1)
        let gradient = normals(30 * channels, index: 2)
        let scale = normals(channels, index: 3)
        let results = [0, 1, 3, 15].map {
            layer.run(
                input: input, scale: scale, shift: scale, outputGradient: gradient, offset: $0)
        }
        for moved in results.dropFirst() {
            #expect(bits(moved.output) == bits(results[0].output))
            #expect(bits(moved.inputGradient) == bits(results[0].inputGradient))
            #expect(bits(moved.sumGradient) == bits(results[0].sumGradient))
            #expect(bits(moved.sumProduct) == bits(results[0].sumProduct))
        }
    }

    @Test("a row's bits do not depend on the rows beside it", arguments: ActivationKind.allCases)
    func rowIndependence(activation: ActivationKind) {
        let (rows, channels) = (33, 37)
        let input = GuardedBuffer(normals(rows * channels, index: 1))
        let dy = normals(rows * channels, index: 2)
        let parameters = (3..<9).map { GuardedBuffer(normals(channels, index: $0)) }
        let (high, low, factor) = (parameters[0], parameters[1], parameters[2])
        let (shift, meanGradient, projection) = (parameters[3], parameters[4], parameters[5])

        /// The rows of each part in a call of their own; everything that is written, by row.
        func run(parts: [Range<Int>]) -> [[UInt32]] {
            let output = GuardedBuffer<Float>(count: input.values.count)
            let gradient = GuardedBuffer(dy)
            let result = GuardedBuffer<Float>(count: input.values.count)
            let sums = (
                GuardedBuffer<Double>(count: channels), GuardedBuffer<Double>(count: channels)
            )
            for part in parts {
                let start = part.lowerBound * channels
                normalizeForward(
                    input: input.pointer + start, rows: part.count, channels: channels,
                    meanHigh: high.pointer, meanLow: low.pointer, factor: factor.pointer,
                    shift: shift.pointer, activation: activation, output: output.pointer + start)
                normalizeBackwardSums(
                    input: input.pointer + start, output: output.pointer + start,
                    outputGradient: gradient.pointer + start, rows: part.count, channels: channels,
                    meanHigh: high.pointer, meanLow: low.pointer, activation: activation,
                    sumGradient: sums.0.pointer, sumProduct: sums.1.pointer)
                normalizeBackward(
                    input: input.pointer + start, gradient: gradient.pointer + start,
                    rows: part.count, channels: channels, meanHigh: high.pointer,
                    meanLow: low.pointer, factor: factor.pointer,
                    meanGradient: meanGradient.pointer, projection: projection.pointer,
                    inputGradient: result.pointer + start)
            }
            return [output, gradient, result].map { bits($0.values) }
        }
        let whole = run(parts: [0..<rows])
        #expect(run(parts: (0..<rows).map { $0..<($0 + 1) }) == whole)
        #expect(run(parts: [0..<7, 7..<8, 8..<8, 8..<23, 23..<33]) == whole)
    }

    @Test("forward and backward may overwrite what they read")
    func inPlace() {
        let (rows, channels) = (15, 37)
        let x = normals(rows * channels, index: 1)
        let input = GuardedBuffer(x)
        let output = GuardedBuffer<Float>(count: x.count)
        let v = GuardedBuffer(normals(channels, index: 2))
        func forward(_ target: GuardedBuffer<Float>) {
            normalizeForward(
                input: input.pointer, rows: rows, channels: channels, meanHigh: v.pointer,
                meanLow: v.pointer, factor: v.pointer, shift: v.pointer, activation: .tanh,
                output: target.pointer)
        }
        forward(output)
        forward(input)
        #expect(bits(input.values) == bits(output.values))

        let gradient = GuardedBuffer(normals(x.count, index: 3))
        func backward(_ target: GuardedBuffer<Float>) {
            normalizeBackward(
                input: input.pointer, gradient: gradient.pointer, rows: rows, channels: channels,
                meanHigh: v.pointer, meanLow: v.pointer, factor: v.pointer,
                meanGradient: v.pointer, projection: v.pointer, inputGradient: target.pointer)
        }
        backward(output)
        backward(gradient)
        #expect(bits(gradient.values) == bits(output.values))
    }

    @Test("with zero coefficients backward multiplies by the factor", arguments: [1, 16, 37])
    func frozen(channels: Int) {
        let input = normals(7 * channels, index: 1)
        let gradient = normals(7 * channels, index: 2)
        let factor = normals(channels, index: 3)
        let zeros = [Float](repeating: 0, count: channels)
        let result = GuardedBuffer<Float>(count: gradient.count, offset: 1)
        normalizeBackward(
            input: input, gradient: gradient, rows: 7, channels: channels, meanHigh: factor,
            meanLow: zeros, factor: factor, meanGradient: zeros, projection: zeros,
            inputGradient: result.pointer)
        #expect(result.values == gradient.indices.map { gradient[$0] * factor[$0 % channels] })
        #expect(result.isIntact)
    }

    @Test("a constant channel gives exactly β, at any ε", arguments: [0, 1e-5])
    func constantChannel(epsilon: Double) {
        let channels = 19
        let shift = normals(channels, index: 1)
        let row = normals(channels, mean: 1e4, deviation: 1e3, index: 2)
        for rows in [1, 2, 3, 7, 30] {
            let layer = Normalization(channels: channels, epsilon: epsilon, activation: .identity)
            let result = layer.run(
                input: (0..<rows).flatMap { _ in row },
                scale: Array(repeating: 3, count: channels), shift: shift,
                outputGradient: normals(rows * channels, index: 3))
            #expect(result.output == (0..<rows).flatMap { _ in shift })
            #expect(result.inputGradient.allSatisfy { $0.isFinite })
            if epsilon == 0 { #expect(result.inputGradient.allSatisfy { $0 == 0 }) }
        }
    }

    @Test("the mean keeps 48 bits and the factor is 0 where the variance and ε are")
    func coefficients() {
        let mean = [1 / 3.0, -1e6 - 1 / 7.0, 0, 1e-20 / 3]
        let variance = [0, 4, 0.25, 1e-12]
        let (high, low, factor) = (
            GuardedBuffer<Float>(count: 4), GuardedBuffer<Float>(count: 4),
            GuardedBuffer<Float>(count: 4)
        )
        let inverse = GuardedBuffer<Double>(count: 4)
        func run(epsilon: Double, scale: GuardedBuffer<Float>?) {
            normalizationCoefficients(
                mean: mean, variance: variance,
                epsilon: epsilon, scale: scale?.pointer, channels: 4, meanHigh: high.pointer,
                meanLow: low.pointer, factor: factor.pointer, inverseDeviation: inverse.pointer)
        }
        run(epsilon: 0, scale: nil)
        for c in 0..<4 {
            let sum = Double(high.values[c]) + Double(low.values[c])
            #expect(abs(sum - mean[c]) <= 0x1p-48 * abs(mean[c]))
        }
        #expect(factor.values == [0, 0.5, 2, 1e6])
        #expect(largestDifference(inverse.values, [0, 0.5, 2, 1e6]) < 1e-15)
        run(epsilon: 0, scale: GuardedBuffer([2, 3, -1, 0]))
        #expect(factor.values == [0, 1.5, -2, 0])
        run(epsilon: 1e-5, scale: nil)
        #expect(factor.values[0] == Float(1 / 1e-5.squareRoot()))
    }

    @Test("the reciprocal square root is good to 2 units in the last place")
    func reciprocalRoot() {
        for exponent in -60...60 {
            for i in 0..<50 {
                let x =
                    (1 + Double(i) * 0.0613)
                    * Double(sign: .plus, exponent: exponent, significand: 1)
                let root = reciprocalSquareRoot(SIMD16(repeating: x))[3]
                let exact = 1 / x.squareRoot()
                #expect(abs(root - exact) <= 2 * exact.ulp)
                #expect(reciprocalSquareRoot(SIMD16(repeating: 4 * x))[9] == root / 2)
            }
        }
        #expect(reciprocalSquareRoot(SIMD16(repeating: .nan))[0].isNaN)
    }

    @Test("an empty group has gradient coefficients of 0")
    func emptyGroup() {
        let zeros = GuardedBuffer([Double](repeating: 0, count: 5))
        let (mean, projection) = (GuardedBuffer<Float>(count: 5), GuardedBuffer<Float>(count: 5))
        normalizationGradientCoefficients(
            sumGradient: zeros.pointer, sumProduct: zeros.pointer, count: 0,
            variance: zeros.pointer, epsilon: 0, channels: 5, meanGradient: mean.pointer,
            projection: projection.pointer)
        #expect(mean.values + projection.values == Array(repeating: 0, count: 10))
    }

    @Test("scaling the input by a power of two changes no bit at ε = 0")
    func scaleInvariance() {
        let channels = 21
        let layer = Normalization(channels: channels, epsilon: 0, activation: .sigmoid)
        let input = normals(30 * channels, mean: 0.5, index: 1)
        let gradient = normals(30 * channels, index: 2)
        let scale = normals(channels, index: 3)
        func run(_ a: Float) -> Normalization.Result {
            layer.run(
                input: input.map { a * $0 }, scale: scale, shift: scale, outputGradient: gradient)
        }
        let (one, many) = (run(1), run(1024))
        #expect(bits(one.output) == bits(many.output))
        #expect(bits(one.inputGradient) == bits(many.inputGradient.map { 1024 * $0 }))
    }

    @Test("γ = √(σ² + ε) and β = μ restore the input")
    func restoresInput() {
        let channels = 18
        let input = normals(33 * channels, mean: 5, index: 1)
        let moments = channelMomentsReference(input: doubles(input), channels: channels)
        let layer = Normalization(channels: channels, epsilon: 1e-5, activation: .identity)
        let result = layer.run(
            input: input, scale: moments.m2.map { Float(($0 / 33 + 1e-5).squareRoot()) },
            shift: moments.mean.map { Float($0) }, outputGradient: input)
        #expect(largestDifference(result.output, doubles(input)) < 2e-7)
    }
}
