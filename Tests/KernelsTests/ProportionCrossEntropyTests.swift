import Foundation
import KernelReferences
import TestSupport
import Testing

@testable import Kernels

@Suite("cross-entropy of outputs divided by their sum")
struct ProportionCrossEntropyTests {
    struct Result {
        var lossSum: Double
        var correct: Int
        var gradient: [Float]
    }

    static func run(
        _ outputs: [Float], classes: Int, labels: [UInt8], scale: Float = 1, offset: Int = 0,
        labelSmoothing: Double = 0
    ) -> Result {
        let input = GuardedBuffer(outputs, offset: offset)
        let gradient = GuardedBuffer<Float>(count: outputs.count, offset: offset)
        let result = proportionCrossEntropy(
            outputs: input.pointer, rows: labels.count, classes: classes, labels: labels,
            gradientScale: scale, labelSmoothing: labelSmoothing, outputGradient: gradient.pointer)
        let lossOnly = proportionCrossEntropy(
            outputs: input.pointer, rows: labels.count, classes: classes, labels: labels,
            gradientScale: scale, labelSmoothing: labelSmoothing, outputGradient: nil)
        #expect(lossOnly.correct == result.correct)
        #expect(lossOnly.lossSum.bitPattern == result.lossSum.bitPattern || result.lossSum.isNaN)
        #expect(gradient.isIntact && input.values.map(\.bitPattern) == bits(outputs))
        return Result(
            lossSum: result.lossSum, correct: result.correct, gradient: gradient.values)
    }

    @Test(
        "loss, gradient and accuracy follow the reference, with values of both signs",
        arguments: channelShapes, [0, 0.1])
    func reference(shape: (rows: Int, channels: Int), labelSmoothing: Double) {
        let (rows, classes) = shape
        let outputs = normals(rows * classes, mean: 0.4, index: 1)
        let labels = (0..<rows).map { UInt8(7 * $0 % classes) }
        let actual = Self.run(
            outputs, classes: classes, labels: labels, scale: 1 / 64, offset: classes % 3,
            labelSmoothing: labelSmoothing)
        var loss = 0.0
        var correct = 0
        var gradient: [Double] = []
        for (row, label) in labels.enumerated() {
            let x = doubles(Array(outputs[row * classes..<(row + 1) * classes]))
            let expected = proportionCrossEntropyReference(
                outputs: x, label: Int(label), labelSmoothing: labelSmoothing)
            loss += expected.loss
            if x.firstIndex(of: x.max() ?? 0) == Int(label) { correct += 1 }
            gradient += expected.gradient.map { $0 / 64 }
        }
        // Both are Float64 until the gradient is rounded; sums of a row may differ in their order.
        #expect(abs(actual.lossSum - loss) <= 1e-9 * max(loss, Double(rows)))
        #expect(actual.correct == correct)
        #expect(largestDifference(actual.gradient, gradient) < 1e-7)
    }

    @Test("Keras's own example comes out: 0.0513 and 2.3026, and 16.1 for what is cut")
    func keras() {
        let rows: [Float] = [0.05, 0.95, 0, 0.1, 0.8, 0.1]
        #expect(abs(Self.run(rows, classes: 3, labels: [1, 2]).lossSum - 2 * 1.1769392) < 1e-6)
        // −log 1e-7; the sample with a label of no share teaches nothing.
        let cut = Self.run(rows, classes: 3, labels: [2, 2])
        #expect(abs(cut.lossSum - (7 * log(10) + log(10))) < 1e-6)
        #expect(Array(cut.gradient[..<3]) == [0, 0, 0])
        #expect(cut.gradient[3...].contains { $0 != 0 })
    }

    @Test("a share below 0 or above 1 is cut, also where the sum is negative")
    func cut() {
        // Shares 3 and −2; 1.5 and −0.5.
        let result = Self.run([3, -2, -3, 1], classes: 2, labels: [1, 0])
        #expect(abs(result.lossSum - 7 * log(10)) < 1e-6)
        #expect(result.gradient == [0, 0, 0, 0])
        #expect(result.correct == 0)
        #expect(Self.run([3, -2, -3, 1], classes: 2, labels: [0, 1]).correct == 2)
        // Of −3 and −1 the larger one has the smaller share, and its loss.
        let negative = Self.run([-3, -1], classes: 2, labels: [1])
        #expect(abs(negative.lossSum - log(4)) < 1e-12)
        #expect(negative.correct == 1)
    }

    @Test("NaN, or nothing but zeros, gives loss NaN", arguments: [Float.nan, 0])
    func nonFinite(value: Float) {
        let result = Self.run([1, 2, value, value], classes: 2, labels: [0, 0])
        #expect(result.lossSum.isNaN)
        #expect(result.gradient[2...].allSatisfy { $0.isNaN })
        #expect(result.gradient[..<2].allSatisfy { $0.isFinite })
    }

    @Test("probabilities are the bounded shares, and may overwrite the outputs")
    func probabilities() {
        let buffer = GuardedBuffer<Float>([1, 3, 3, -1, -1, -1], offset: 1)
        proportionProbabilities(
            outputs: buffer.pointer, rows: 3, classes: 2, probabilities: buffer.pointer)
        #expect(buffer.values == [0.25, 0.75, 1 - 1e-7, 1e-7, 0.5, 0.5])
        #expect(buffer.isIntact)
    }

    @Test("the gradient of softmax follows the reference", arguments: channelShapes)
    func softmaxGradient(rows: Int, classes: Int) {
        let logits = normals(rows * classes, deviation: 2, index: 5)
        let dy = normals(rows * classes, index: 6)
        let p = GuardedBuffer(logits, offset: 1)
        softmax(logits: p.pointer, rows: rows, classes: classes, probabilities: p.pointer)
        let gradient = GuardedBuffer(dy, offset: 2)
        softmaxBackward(
            probabilities: p.pointer, outputGradient: gradient.pointer, rows: rows,
            classes: classes, logitsGradient: gradient.pointer)
        var expected: [Double] = []
        for row in 0..<rows {
            let range = row * classes..<(row + 1) * classes
            let p = softmaxCrossEntropyReference(
                logits: doubles(Array(logits[range])), label: 0
            ).probabilities
            let g = doubles(Array(dy[range]))
            let mean = zip(p, g).reduce(0) { $0 + $1.0 * $1.1 }
            // Of a single class nothing is left but rounding.
            expected += zip(p, g).map { classes == 1 ? 0 : $0 * ($1 - mean) }
        }
        #expect(largestDifference(gradient.values, expected, magnitude: 1) < 1e-6)
        #expect(p.isIntact && gradient.isIntact)
    }
}
