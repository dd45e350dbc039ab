import Foundation
import KernelReferences
import Kernels
import TensorCore
import TestSupport
import Testing

@testable import Layers

@Suite("CrossEntropy")
struct CrossEntropyTests {
    static let labels: [UInt8] = [3, 0, 1, 4, 4, 2, 0, 3, 1, 2, 3]
    static let classes = 5

    /// The mean loss over the global batch, in Float64.
    static func meanLoss(_ outputs: [Double], _ kind: OutputKind) -> Double {
        let rows = outputs.count / classes
        return (0..<rows).reduce(0) {
            let row = Array(outputs[$1 * classes..<($1 + 1) * classes])
            let label = Int(labels[$1])
            return $0
                + (kind == .logits
                    ? softmaxCrossEntropyReference(logits: row, label: label).loss
                    : proportionCrossEntropyReference(outputs: row, label: label).loss)
        } / Double(rows)
    }

    @Test(
        "losses and gradients follow Float64 and central differences", arguments: [1, 3, 8, 16],
        [OutputKind.logits, .proportions])
    func gradientCheck(shards: Int, kind: OutputKind) {
        let samples = Self.labels.count
        let logits = normals(
            samples * Self.classes, mean: kind == .logits ? 0 : 3,
            deviation: kind == .logits ? 2 : 0.4, index: 1)
        let loss = CrossEntropy(of: kind, classes: Self.classes, rows: samples)
        let pass = Pass(.training, wholeShape(samples: samples, shards: shards))
        let input = tensor(logits, columns: Self.classes)
        let sums = (0..<shards).map {
            loss.forward(input, labels: Self.labels, shard: $0, pass)
        }
        let total = sums.reduce(0) { $0 + $1.loss } / Double(samples)
        #expect(abs(total - Self.meanLoss(doubles(logits), kind)) < 1e-6)
        let correct = (0..<samples).filter { row in
            let row = (logits[row * Self.classes..<(row + 1) * Self.classes], Self.labels[row])
            return row.0.max() == row.0[row.0.startIndex + Int(row.1)]
        }.count
        #expect(sums.reduce(0) { $0 + $1.correct } == correct)
        let expected = centralDifferences(at: doubles(logits)) { Self.meanLoss($0, kind) }
        #expect(largestDifference(loss.outputGradient.elements, expected) < 1e-6)
        for (sum, rows) in zip(sums, pass.shardRows) where rows.isEmpty {
            #expect(sum == .init(loss: 0, correct: 0))
        }
    }

    @Test("the gradient is divided by the global batch, not by the worker's rows")
    func globalCount() {
        let logits = tensor(normals(10, index: 1), columns: Self.classes)
        let gradients = [2, 64].map { samples -> [Float] in
            let loss = CrossEntropy(classes: Self.classes, rows: 2)
            let shape = BatchShape(index: 0, samples: samples, shardRows: [0..<2], trains: true)
            _ = loss.forward(logits, labels: Self.labels, shard: 0, Pass(.training, shape))
            return loss.outputGradient.elements
        }
        #expect(gradients[0] == gradients[1].map { $0 * 32 })
    }

    @Test("inference gives the same sums and leaves the gradient alone")
    func inference() {
        let shape = wholeShape(samples: 11, shards: 1)
        let logits = tensor(normals(55, index: 1), columns: Self.classes)
        let loss = CrossEntropy(classes: Self.classes, rows: 11)
        let evaluated = loss.forward(
            logits, labels: Self.labels, shard: 0, Pass(.inference, shape))
        #expect(loss.outputGradient.elements.allSatisfy { $0 == 0 })
        let trained = loss.forward(logits, labels: Self.labels, shard: 0, Pass(.training, shape))
        #expect(evaluated == trained)
    }

    @Test("probabilities are what the loss is of", arguments: [OutputKind.logits, .proportions])
    func probabilities(kind: OutputKind) {
        let rows = Self.labels.count
        let outputs = tensor(
            normals(rows * Self.classes, mean: 3, deviation: 0.4, index: 1), columns: Self.classes)
        let loss = CrossEntropy(of: kind, classes: Self.classes, rows: rows)
        let probabilities = Tensor(rows: rows, columns: Self.classes)
        loss.probabilities(of: outputs, rows: rows, into: probabilities)
        let total = Self.labels.enumerated().reduce(0.0) {
            $0 - log(Double(probabilities.elements[$1.offset * Self.classes + Int($1.element)]))
        }
        let pass = Pass(.inference, wholeShape(samples: rows, shards: 1))
        let sums = loss.forward(outputs, labels: Self.labels, shard: 0, pass)
        #expect(abs(total - sums.loss) < 1e-5)
    }
}
