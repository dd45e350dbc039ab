import Foundation
import KernelReferences
import TestSupport
import Testing

@testable import Kernels

@Suite("softmax cross-entropy")
struct SoftmaxCrossEntropyTests {
    struct Result {
        var lossSum: Double
        var correct: Int
        var gradient: [Float]
    }

    static func run(
        _ logits: [Float], classes: Int, labels: [UInt8], scale: Float = 1, offset: Int = 0,
        labelSmoothing: Double = 0
    ) -> Result {
        let input = GuardedBuffer(logits, offset: offset)
        let gradient = GuardedBuffer<Float>(count: logits.count, offset: offset)
        let result = softmaxCrossEntropy(
            logits: input.pointer, rows: labels.count, classes: classes, labels: labels,
            gradientScale: scale, labelSmoothing: labelSmoothing, logitsGradient: gradient.pointer)
        let lossOnly = softmaxCrossEntropy(
            logits: input.pointer, rows: labels.count, classes: classes, labels: labels,
            gradientScale: scale, labelSmoothing: labelSmoothing, logitsGradient: nil)
        #expect(lossOnly.correct == result.correct)
        #expect(lossOnly.lossSum.bitPattern == result.lossSum.bitPattern || result.lossSum.isNaN)
        #expect(gradient.isIntact && input.values.map(\.bitPattern) == bits(logits))
        return Result(
            lossSum: result.lossSum, correct: result.correct, gradient: gradient.values)
    }

    static func labels(_ rows: Int, _ classes: Int) -> [UInt8] {
        (0..<rows).map { UInt8(7 * $0 % classes) }
    }

    @Test(
        "loss, gradient and accuracy follow the reference, with smoothed labels, too",
        arguments: channelShapes, [0, 0.1, 0.9])
    func reference(shape: (rows: Int, channels: Int), labelSmoothing: Double) {
        let (rows, classes) = shape
        let logits = normals(rows * classes, deviation: 3, index: 1)
        let labels = Self.labels(rows, classes)
        let actual = Self.run(
            logits, classes: classes, labels: labels, scale: 1 / 64, offset: classes % 3,
            labelSmoothing: labelSmoothing)
        var loss = 0.0
        var correct = 0
        var gradient: [Double] = []
        for (row, label) in labels.enumerated() {
            let x = doubles(Array(logits[row * classes..<(row + 1) * classes]))
            var (rowLoss, p) = softmaxCrossEntropyReference(
                logits: x, label: Int(label), labelSmoothing: labelSmoothing)
            loss += rowLoss
            if x.firstIndex(of: x.max() ?? 0) == Int(label) { correct += 1 }
            p[Int(label)] -= 1 - labelSmoothing
            // Of a single class nothing is left but rounding.
            gradient += p.map {
                classes == 1 ? 0 : ($0 - labelSmoothing / Double(classes)) / 64
            }
        }
        // The exponentials' errors do not grow in the sum: no more than 2⁻²⁴·1.5 of any loss ≥ 1.
        #expect(abs(actual.lossSum - loss) <= 2e-7 * max(loss, Double(rows)))
        #expect(actual.correct == correct)
        #expect(largestDifference(actual.gradient, gradient) < 5e-7)
    }

    @Test("a row's gradient does not depend on the rows beside it, nor on alignment")
    func rowIndependence() {
        let logits = normals(33 * 10, index: 2)
        let labels = Self.labels(33, 10)
        let whole = bits(Self.run(logits, classes: 10, labels: labels).gradient)
        let parts = [0..<1, 1..<9, 9..<33].flatMap { rows in
            bits(
                Self.run(
                    Array(logits[rows.lowerBound * 10..<rows.upperBound * 10]), classes: 10,
                    labels: Array(labels[rows]), offset: 3
                ).gradient)
        }
        #expect(parts == whole)
    }

    @Test("logits of any size are stable")
    func largeLogits() {
        let result = Self.run(
            [1e4, -1e4, 0, -1e30, 1e30, 0], classes: 3, labels: [1, 1])
        #expect(result.lossSum == 2e4)
        #expect(result.gradient == [1, -1, 0, 0, 0, 0])
        #expect(result.correct == 1)
    }

    @Test("equal logits: the loss is log C, and only the first counts as correct")
    func ties() {
        let result = Self.run([5, 5, 5, 5, 5, 5], classes: 3, labels: [0, 2])
        #expect(abs(result.lossSum - 2 * log(3)) < 1e-7)
        #expect(result.correct == 1)
    }

    @Test(
        "NaN or infinity in a row gives loss NaN and is never correct",
        arguments: [Float.nan, .infinity], [0, 1, 16])
    func nonFinite(value: Float, position: Int) {
        var logits = normals(2 * 17, index: 3)
        logits[17 + position] = value
        for label in [UInt8(position), 5] {
            let clean = Self.run(Array(logits[..<17]), classes: 17, labels: [2])
            let result = Self.run(logits, classes: 17, labels: [2, label])
            #expect(result.lossSum.isNaN)
            #expect(result.gradient[17...].contains { $0.isNaN })
            #expect(bits(Array(result.gradient[..<17])) == bits(clean.gradient))
            if value.isNaN { #expect(result.correct == clean.correct) }
        }
    }

    @Test(
        "probabilities follow the reference and may overwrite the logits", arguments: channelShapes)
    func softmaxReference(rows: Int, classes: Int) {
        let logits = normals(rows * classes, deviation: 3, index: 4)
        let buffer = GuardedBuffer(logits, offset: 1)
        softmax(
            logits: buffer.pointer, rows: rows, classes: classes, probabilities: buffer.pointer)
        let expected = (0..<rows).flatMap { row in
            softmaxCrossEntropyReference(
                logits: doubles(Array(logits[row * classes..<(row + 1) * classes])), label: 0
            ).probabilities
        }
        #expect(largestDifference(buffer.values, expected) < 5e-7)
        #expect(buffer.isIntact)
    }
}
