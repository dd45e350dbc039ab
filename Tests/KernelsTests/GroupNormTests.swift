import KernelReferences
import TestSupport
import Testing

@testable import Kernels

/// One sample through the kernels of `GroupMoments` and `NormalizeGroups`, on memory `offset` from
/// alignment.
private struct GroupSample {
    var channels: Int
    var groups: Int
    var epsilon = 1e-3
    var activation = ActivationKind.identity

    struct Result {
        var mean: [Double]
        var variance: [Double]
        var output: [Float]
        var gradient: [Float]
        var inputGradient: [Float]
        var scaleGradient: [Double]
        var shiftGradient: [Double]
    }

    func run(
        _ input: [Float], scale: [Float], shift: [Float], addend: [Float] = [],
        outputGradient: [Float], offset: Int = 0
    ) -> Result {
        let rows = input.count / channels
        func floats(_ values: [Float]) -> GuardedBuffer<Float> {
            GuardedBuffer(values, offset: offset)
        }
        func vector() -> GuardedBuffer<Float> { GuardedBuffer(count: channels, offset: offset) }
        func doubles(_ count: Int) -> GuardedBuffer<Double> {
            GuardedBuffer(count: count, offset: offset)
        }
        let (x, gamma, beta, added) = (floats(input), floats(scale), floats(shift), floats(addend))
        let (mean, variance, sums) = (doubles(groups), doubles(groups), doubles(2 * channels))
        let (pivots, high, low, factor) = (vector(), vector(), vector(), vector())
        groupMoments(
            input: x.pointer, rows: rows, channels: channels, groups: groups, mean: mean.pointer,
            variance: variance.pointer, pivots: pivots.pointer, sums: sums.pointer)
        let inverse = GuardedBuffer(variance.values, offset: offset)
        inverseDeviations(inverse.pointer, count: groups, epsilon: epsilon)
        groupCoefficients(
            mean: mean.pointer, inverseDeviation: inverse.pointer, scale: gamma.pointer,
            channels: channels, groups: groups, meanHigh: high.pointer, meanLow: low.pointer,
            factor: factor.pointer)
        let output = GuardedBuffer<Float>(count: input.count, offset: offset)
        normalizeForward(
            input: x.pointer, rows: rows, channels: channels, meanHigh: high.pointer,
            meanLow: low.pointer, factor: factor.pointer, shift: beta.pointer,
            activation: activation, output: output.pointer,
            addend: addend.isEmpty ? nil : UnsafePointer(added.pointer))
        let (dy, dz) = (floats(outputGradient), floats(outputGradient))
        normalizeBackwardSums(
            input: x.pointer, output: output.pointer, outputGradient: dy.pointer, rows: rows,
            channels: channels, meanHigh: high.pointer, meanLow: low.pointer,
            activation: activation, sumGradient: sums.pointer,
            sumProduct: sums.pointer + channels, gradient: dz.pointer)
        precondition(dy.values == outputGradient, "dy stays where dz goes elsewhere")
        let (offsets, slopes) = (vector(), vector())
        let (scaleGradient, shiftGradient) = (doubles(channels), doubles(channels))
        scaleGradient.pointer.update(repeating: 0, count: channels)
        shiftGradient.pointer.update(repeating: 0, count: channels)
        groupGradientCoefficients(
            sumGradient: sums.pointer, sumProduct: sums.pointer + channels, scale: gamma.pointer,
            inverseDeviation: inverse.pointer, rows: rows, channels: channels, groups: groups,
            offset: offsets.pointer, slope: slopes.pointer,
            scaleGradient: scaleGradient.pointer, shiftGradient: shiftGradient.pointer)
        let inputGradient = GuardedBuffer<Float>(count: input.count, offset: offset)
        normalizeGroupsBackward(
            input: x.pointer, gradient: dz.pointer, rows: rows, channels: channels,
            meanHigh: high.pointer, meanLow: low.pointer, factor: factor.pointer,
            offset: offsets.pointer, slope: slopes.pointer, inputGradient: inputGradient.pointer)
        precondition(
            [pivots, high, low, factor, output, dz, offsets, slopes, inputGradient].allSatisfy(
                \.isIntact)
                && [mean, variance, sums, inverse, scaleGradient, shiftGradient].allSatisfy(
                    \.isIntact),
            "a kernel wrote outside its shape")
        return Result(
            mean: mean.values, variance: variance.values, output: output.values,
            gradient: dz.values, inputGradient: inputGradient.values,
            scaleGradient: scaleGradient.values, shiftGradient: shiftGradient.values)
    }
}

@Suite("normalise groups of one sample")
struct GroupNormTests {
    /// Positions, channels, groups: layers, instances, groups wider and narrower than a vector.
    static let shapes = [
        (1, 2, 1), (1, 37, 1), (1, 36, 4), (1, 128, 8), (2, 1, 1), (2, 7, 7), (5, 16, 16),
        (6, 18, 3), (7, 18, 6), (4, 48, 3), (9, 64, 2), (3, 64, 1), (70, 33, 11), (130, 20, 5),
    ]

    @Test("forward and backward follow the references", arguments: shapes, [false, true])
    func reference(shape: (positions: Int, channels: Int, groups: Int), adds: Bool) {
        let count = shape.positions * shape.channels
        let input = normals(count, mean: 2, index: 1)
        let dy = normals(count, index: 2)
        var scale = normals(shape.channels, mean: 1, deviation: 0.3, index: 3)
        // A γ of 0 divides by nothing.
        scale[0] = 0
        let shift = normals(shape.channels, index: 4)
        let addend = adds ? normals(count, index: 5) : []
        for activation in ActivationKind.allCases {
            let sample = GroupSample(
                channels: shape.channels, groups: shape.groups, activation: activation)
            let actual = sample.run(
                input, scale: scale, shift: shift, addend: addend, outputGradient: dy,
                offset: shape.channels % 5)
            let forward = normalizeGroupsReference(
                input: doubles(input), channels: shape.channels, groups: shape.groups,
                epsilon: sample.epsilon, scale: doubles(scale), shift: doubles(shift),
                addend: doubles(addend), activation: activation)
            let expected = normalizeGroupsBackwardReference(
                normalized: forward.normalized, inverseDeviation: forward.inverseDeviation,
                output: forward.output, outputGradient: doubles(dy), channels: shape.channels,
                scale: doubles(scale), activation: activation)
            #expect(largestDifference(actual.output, forward.output) < 1e-6)
            #expect(largestDifference(actual.gradient, expected.gradient) < 2e-6)
            // With two values dx nearly cancels: an error is one of the terms.
            let size = shape.channels / shape.groups
            let terms = dy.indices.map { i in
                let c = i % shape.channels
                return abs(Double(dy[i] * scale[c])) * forward.inverseDeviation[c / size]
            }
            #expect(
                largestDifference(
                    actual.inputGradient, expected.inputGradient, magnitude: terms.max() ?? 0)
                    < 3e-6)
            let magnitude = doubles(dy).map(abs).max() ?? 0
            #expect(
                largestDifference(
                    actual.scaleGradient, expected.scaleGradient, magnitude: magnitude) < 3e-6)
            #expect(
                largestDifference(
                    actual.shiftGradient, expected.shiftGradient, magnitude: magnitude) < 3e-6)
        }
    }

    @Test("the references' gradients are central differences", arguments: shapes.prefix(9))
    func gradients(positions: Int, channels: Int, groups: Int) {
        let count = positions * channels
        let input = doubles(normals(count, mean: 1, index: 1))
        let scale = doubles(normals(channels, mean: 1, deviation: 0.3, index: 2))
        let shift = doubles(normals(channels, index: 3))
        let dy = doubles(normals(count, index: 4))
        for activation in [ActivationKind.identity, .tanh] {
            func forward(
                _ input: [Double], _ scale: [Double], _ shift: [Double]
            ) -> (output: [Double], normalized: [Double], inverseDeviation: [Double]) {
                normalizeGroupsReference(
                    input: input, channels: channels, groups: groups, epsilon: 1e-1,
                    scale: scale, shift: shift, activation: activation)
            }
            func loss(_ input: [Double], _ scale: [Double], _ shift: [Double]) -> Double {
                zip(forward(input, scale, shift).output, dy).reduce(0) { $0 + $1.0 * $1.1 }
            }
            let whole = forward(input, scale, shift)
            let gradients = normalizeGroupsBackwardReference(
                normalized: whole.normalized, inverseDeviation: whole.inverseDeviation,
                output: whole.output, outputGradient: dy, channels: channels, scale: scale,
                activation: activation)
            for (gradient, differences) in [
                (
                    gradients.inputGradient,
                    GradientCheckTests.differences(input) { loss($0, scale, shift) }
                ),
                (
                    gradients.scaleGradient,
                    GradientCheckTests.differences(scale) { loss(input, $0, shift) }
                ),
                (
                    gradients.shiftGradient,
                    GradientCheckTests.differences(shift) { loss(input, scale, $0) }
                ),
            ] { #expect(largestDifference(gradient, differences, magnitude: 1e-2) < 1e-6) }
        }
    }

    @Test(
        "variance to 1e-6 and outputs to 1e-5 at any mean / std", arguments: shapes.dropFirst(),
        [0, 1e2, 1e4, 1e6])
    func farMeans(shape: (positions: Int, channels: Int, groups: Int), ratio: Double) {
        for deviation in [1, 1e-4] {
            let count = shape.positions * shape.channels
            let input = normals(count, mean: ratio * deviation, deviation: deviation, index: 1)
            let sample = GroupSample(
                channels: shape.channels, groups: shape.groups, epsilon: 0)
            let ones = [Float](repeating: 1, count: shape.channels)
            let zeros = [Float](repeating: 0, count: shape.channels)
            let dy = normals(count, index: 2)
            let actual = sample.run(input, scale: ones, shift: zeros, outputGradient: dy)
            let forward = normalizeGroupsReference(
                input: doubles(input), channels: shape.channels, groups: shape.groups, epsilon: 0,
                scale: doubles(ones), shift: doubles(zeros), activation: .identity)
            for (variance, inverse) in zip(actual.variance, forward.inverseDeviation) {
                #expect(abs(variance * inverse * inverse - 1) < 1e-6)
            }
            #expect(largestDifference(actual.output, forward.output) < 1e-5)
            let expected = normalizeGroupsBackwardReference(
                normalized: forward.normalized, inverseDeviation: forward.inverseDeviation,
                output: forward.output, outputGradient: doubles(dy), channels: shape.channels,
                scale: doubles(ones), activation: .identity)
            let terms = forward.inverseDeviation.max() ?? 0
            #expect(
                largestDifference(
                    actual.inputGradient, expected.inputGradient, magnitude: terms) < 1e-5)
        }
    }

    @Test("a constant group gives exactly β, and 0 for dx where ε is 0", arguments: shapes)
    func constantGroups(positions: Int, channels: Int, groups: Int) {
        for epsilon in [0, 1e-5] {
            let sample = GroupSample(channels: channels, groups: groups, epsilon: epsilon)
            let values = normals(groups, mean: 1e4, deviation: 1e3, index: 7)
            let input = (0..<positions * channels).map {
                values[$0 % channels / (channels / groups)]
            }
            let shift = normals(channels, index: 8)
            let actual = sample.run(
                input, scale: normals(channels, index: 9), shift: shift,
                outputGradient: normals(input.count, index: 10))
            #expect(actual.mean == values.map(Double.init))
            #expect(actual.variance.allSatisfy { $0 == 0 })
            #expect(actual.output == (0..<positions).flatMap { _ in shift })
            #expect(actual.inputGradient.allSatisfy { $0.isFinite })
            if epsilon == 0 { #expect(actual.inputGradient.allSatisfy { $0 == 0 }) }
        }
    }

    @Test("NaN and infinity in a group reach its variance and no other's")
    func notFinite() {
        for bad in [Float.nan, .infinity] {
            let sample = GroupSample(channels: 12, groups: 3)
            var input = normals(60, index: 1)
            input[17] = bad
            let actual = sample.run(
                input, scale: normals(12, index: 2), shift: normals(12, index: 3),
                outputGradient: normals(60, index: 4))
            #expect(actual.variance.map(\.isNaN) == [false, true, false])
            for i in input.indices { #expect(actual.output[i].isNaN == (i % 12 / 4 == 1)) }
        }
    }
}
