import KernelReferences
import TestSupport
import Testing

@testable import Kernels

/// Central differences in Float64 on the references, which the kernels are compared with.
@Suite("gradient checks")
struct GradientCheckTests {
    /// ∂f/∂values by central differences.
    static func differences(
        _ values: [Double], step: Double = 1e-5, _ f: ([Double]) -> Double
    ) -> [Double] {
        values.indices.map { i in
            var (above, below) = (values, values)
            above[i] += step
            below[i] -= step
            return (f(above) - f(below)) / (2 * step)
        }
    }

    @Test(
        "normalisation: input, scale and shift", arguments: ActivationKind.allCases, [2, 5, 7])
    func normalization(activation: ActivationKind, rows: Int) {
        let channels = 3
        let layer = Normalization(channels: channels, epsilon: 1e-3, activation: activation)
        let input = doubles(normals(rows * channels, mean: 1, index: 1))
        let scale = doubles(normals(channels, mean: 1, deviation: 0.3, index: 2))
        let shift = doubles(normals(channels, index: 3))
        let weights = doubles(normals(rows * channels, index: 4))
        func loss(_ input: [Double], _ scale: [Double], _ shift: [Double]) -> Double {
            let output = layer.reference(
                input: input, scale: scale, shift: shift, outputGradient: weights
            ).output
            return zip(output, weights).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let gradients = layer.reference(
            input: input, scale: scale, shift: shift, outputGradient: weights)
        // Relative to the largest: differences of step 1e-5 are good to about 1e-9.
        #expect(
            largestDifference(
                gradients.inputGradient, Self.differences(input) { loss($0, scale, shift) }) < 1e-6)
        #expect(
            largestDifference(
                gradients.scaleGradient, Self.differences(scale) { loss(input, $0, shift) }) < 1e-6)
        #expect(
            largestDifference(
                gradients.shiftGradient, Self.differences(shift) { loss(input, scale, $0) }) < 1e-6)
    }

    @Test("softmax cross-entropy: logits", arguments: [2, 3, 10], [0, 0.2])
    func softmaxCrossEntropy(classes: Int, smoothing: Double) {
        let logits = doubles(normals(classes, index: 5))
        for label in 0..<classes {
            var expected = softmaxCrossEntropyReference(logits: logits, label: label).probabilities
            expected = expected.map { $0 - smoothing / Double(classes) }
            expected[label] -= 1 - smoothing
            let differences = Self.differences(logits) {
                softmaxCrossEntropyReference(
                    logits: $0, label: label, labelSmoothing: smoothing
                ).loss
            }
            #expect(largestDifference(differences, expected) < 1e-8)
        }
    }

    @Test(
        "cross-entropy of proportions: outputs, of both signs, cut or not", arguments: [2, 3, 10],
        [0, 0.2])
    func proportions(classes: Int, smoothing: Double) {
        for index in 0..<4 {
            let outputs = doubles(normals(classes, mean: 0.5, index: UInt64(20 + index)))
            for label in 0..<classes {
                let gradient = proportionCrossEntropyReference(
                    outputs: outputs, label: label, labelSmoothing: smoothing
                ).gradient
                let differences = Self.differences(outputs, step: 1e-6) {
                    proportionCrossEntropyReference(
                        outputs: $0, label: label, labelSmoothing: smoothing
                    ).loss
                }
                #expect(largestDifference(differences, gradient, magnitude: 1) < 1e-6)
            }
        }
    }
}
