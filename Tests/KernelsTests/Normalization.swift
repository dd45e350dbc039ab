import KernelReferences
import TestSupport

@testable import Kernels

/// One statistics group of one shard, run through the kernels and through the references: what
/// the tests of forward and backward share.
struct Normalization {
    var channels: Int
    var epsilon: Double
    var activation: ActivationKind

    /// What one pass gives. Shapes: [rows, channels] and [channels].
    struct Result {
        var variance: [Double]
        var output: [Float]
        var preactivationGradient: [Float]
        var sumGradient: [Double]
        var sumProduct: [Double]
        var inputGradient: [Float]
    }

    struct Reference {
        var mean: [Double]
        var variance: [Double]
        var output: [Double]
        var inputGradient: [Double]
        var scaleGradient: [Double]
        var shiftGradient: [Double]
    }

    /// The kernels, on memory `offset` Floats from alignment.
    func run(
        input: [Float], scale: [Float], shift: [Float], outputGradient: [Float], offset: Int = 0
    ) -> Result {
        let rows = input.count / channels
        func floats(_ values: [Float]) -> GuardedBuffer<Float> {
            GuardedBuffer(values, offset: offset)
        }
        func doubles() -> GuardedBuffer<Double> { GuardedBuffer(count: channels, offset: offset) }
        func vector() -> GuardedBuffer<Float> { GuardedBuffer(count: channels, offset: offset) }
        let x = floats(input)
        let (mean, m2) = (doubles(), doubles())
        channelMoments(
            input: x.pointer, rows: rows, channels: channels, mean: mean.pointer, m2: m2.pointer)
        let variance = GuardedBuffer(m2.values.map { rows == 0 ? 0 : $0 / Double(rows) })
        let (high, low, factor, gamma) = (vector(), vector(), vector(), floats(scale))
        normalizationCoefficients(
            mean: mean.pointer, variance: variance.pointer, epsilon: epsilon,
            scale: gamma.pointer, channels: channels, meanHigh: high.pointer,
            meanLow: low.pointer, factor: factor.pointer)
        let output = GuardedBuffer<Float>(count: input.count, offset: offset)
        let beta = floats(shift)
        normalizeForward(
            input: x.pointer, rows: rows, channels: channels, meanHigh: high.pointer,
            meanLow: low.pointer, factor: factor.pointer, shift: beta.pointer,
            activation: activation, output: output.pointer)
        let gradient = floats(outputGradient)
        let (sumGradient, sumProduct) = (doubles(), doubles())
        normalizeBackwardSums(
            input: x.pointer, output: output.pointer, outputGradient: gradient.pointer, rows: rows,
            channels: channels, meanHigh: high.pointer, meanLow: low.pointer,
            activation: activation, sumGradient: sumGradient.pointer,
            sumProduct: sumProduct.pointer)
        let (meanGradient, projection) = (vector(), vector())
        normalizationGradientCoefficients(
            sumGradient: sumGradient.pointer, sumProduct: sumProduct.pointer, count: rows,
            variance: variance.pointer, epsilon: epsilon, channels: channels,
            meanGradient: meanGradient.pointer, projection: projection.pointer)
        let inputGradient = GuardedBuffer<Float>(count: input.count, offset: offset)
        normalizeBackward(
            input: x.pointer, gradient: gradient.pointer, rows: rows, channels: channels,
            meanHigh: high.pointer, meanLow: low.pointer, factor: factor.pointer,
            meanGradient: meanGradient.pointer, projection: projection.pointer,
            inputGradient: inputGradient.pointer)
        let written = [
            high, low, factor, output, gradient, meanGradient, projection, inputGradient,
        ]
        precondition(
            written.allSatisfy(\.isIntact)
                && [mean, m2, sumGradient, sumProduct].allSatisfy(\.isIntact),
            "a kernel wrote outside its shape")
        return Result(
            variance: variance.values, output: output.values,
            preactivationGradient: gradient.values, sumGradient: sumGradient.values,
            sumProduct: sumProduct.values, inputGradient: inputGradient.values)
    }

    /// The references, in Float64 from the same Float32 input.
    func reference(
        input: [Double], scale: [Double], shift: [Double], outputGradient: [Double]
    ) -> Reference {
        let rows = Double(input.count / channels)
        let (mean, m2) = channelMomentsReference(input: input, channels: channels)
        let variance = m2.map { rows == 0 ? 0 : $0 / rows }
        let output = normalizeForwardReference(
            input: input, channels: channels, mean: mean, variance: variance, epsilon: epsilon,
            scale: scale, shift: shift, activation: activation)
        let gradients = normalizeBackwardReference(
            input: input, output: output, outputGradient: outputGradient, channels: channels,
            mean: mean, variance: variance, epsilon: epsilon, scale: scale, activation: activation)
        return Reference(
            mean: mean, variance: variance, output: output,
            inputGradient: gradients.inputGradient, scaleGradient: gradients.scaleGradient,
            shiftGradient: gradients.shiftGradient)
    }
}
