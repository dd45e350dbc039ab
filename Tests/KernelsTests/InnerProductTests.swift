import KernelReferences
import TensorCore
import TestSupport
import Testing

@testable import Kernels

struct ProductShape: CustomTestStringConvertible {
    let rows: Int
    let inputs: Int
    let outputs: Int
    var testDescription: String { "\(rows) × \(inputs) → \(outputs)" }
}

private let shapes = [
    (1, 1, 1), (1, 5, 3), (2, 1, 17), (3, 2, 16), (4, 784, 128), (5, 3, 64), (7, 128, 10),
    (8, 784, 128), (13, 6, 33), (15, 7, 31), (30, 128, 128), (60, 128, 10), (17, 129, 65),
    (64, 100, 100), (33, 31, 1), (9, 511, 96), (64, 256, 256), (75, 300, 270),
].map { ProductShape(rows: $0.0, inputs: $0.1, outputs: $0.2) }

/// Uneven, empty and single shards; sizes that are no powers of two.
private let worlds: [[Int]] = [
    [0, 30], [0, 7, 15], [0, 7, 15, 22, 30], [0, 1, 2, 3, 4, 5], [0, 4, 4, 9],
    [0, 0, 3, 3, 3, 8, 9], [0, 8, 16, 24, 32, 40, 48, 56],
    [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 33], [0, 16, 32, 64],
    [0, 20, 20, 51, 97],
]

func randomTensor(_ rows: Int, _ columns: Int, _ index: UInt64) -> Tensor {
    let tensor = Tensor(rows: rows, columns: columns)
    let stream = CounterRandom(seed: 7, purpose: .benchmark, index: index)
    tensor.elements = (0..<rows * columns).map { Float(stream.uniform(in: -1...1, at: $0)) }
    return tensor
}

/// max |a − b| / max |b|.
private func relativeDifference(_ a: Tensor, _ b: [Double]) -> Double {
    let difference = zip(a.elements, b).map { abs(Double($0) - $1) }.max() ?? 0
    return difference / (b.map(abs).max() ?? 1)
}

private func bits(_ tensor: Tensor) -> [UInt32] { tensor.elements.map(\.bitPattern) }

/// A layer's tensors and results, from a plan.
private struct Pass {
    let input: Tensor
    let weight: Tensor
    let bias: Tensor
    let outputGradient: Tensor
    let output: Tensor
    let inputGradient: Tensor
    let weightGradient: Tensor
    let biasGradient: Tensor

    init(rows: Int, inputs: Int, outputs: Int) {
        input = randomTensor(rows, inputs, 1)
        weight = randomTensor(inputs, outputs, 2)
        bias = randomTensor(1, outputs, 3)
        outputGradient = randomTensor(rows, outputs, 4)
        output = Tensor(rows: rows, columns: outputs)
        inputGradient = Tensor(rows: rows, columns: inputs)
        weightGradient = Tensor(rows: inputs, columns: outputs)
        biasGradient = Tensor(rows: 1, columns: outputs)
    }

    /// All products, of rows from `row` on.
    func run(_ plan: InnerProduct, row: Int = 0, shards: Range<Int>? = nil) {
        plan.forward(
            input: input.row(row), weight: weight.pointer, bias: bias.pointer,
            output: output.row(row))
        plan.backwardData(
            outputGradient: outputGradient.row(row), weight: weight.pointer,
            inputGradient: inputGradient.row(row))
        plan.backwardWeights(
            input: input.row(row), outputGradient: outputGradient.row(row), shards: shards,
            weightGradient: weightGradient.pointer, biasGradient: biasGradient.pointer)
    }
}

@Suite struct InnerProductTests {
    @Test("forward and backward agree with the Float64 reference", arguments: shapes)
    func agreesWithReference(_ shape: ProductShape) {
        let (rows, inputs, outputs) = (shape.rows, shape.inputs, shape.outputs)
        let pass = Pass(rows: rows, inputs: inputs, outputs: outputs)
        pass.run(InnerProduct(rows: rows, inputs: inputs, outputs: outputs))

        func double(_ tensor: Tensor) -> [Double] { tensor.elements.map(Double.init) }
        let output = innerProductReference(
            input: double(pass.input), weight: double(pass.weight), bias: double(pass.bias),
            rows: rows, inputs: inputs, outputs: outputs)
        let gradients = innerProductReferenceBackward(
            input: double(pass.input), weight: double(pass.weight),
            outputGradient: double(pass.outputGradient), rows: rows, inputs: inputs,
            outputs: outputs)
        // Float32 rounds at 6e-8; up to 784 random terms reach 2e-6.
        #expect(relativeDifference(pass.output, output) < 1e-5)
        #expect(relativeDifference(pass.inputGradient, gradients.inputGradient) < 1e-5)
        #expect(relativeDifference(pass.weightGradient, gradients.weightGradient) < 1e-5)
        #expect(relativeDifference(pass.biasGradient, gradients.biasGradient) < 1e-5)
    }

    @Test("a product without bias leaves it out", arguments: shapes)
    func withoutBias(_ shape: ProductShape) {
        let (rows, inputs, outputs) = (shape.rows, shape.inputs, shape.outputs)
        let pass = Pass(rows: rows, inputs: inputs, outputs: outputs)
        InnerProduct(rows: rows, inputs: inputs, outputs: outputs).forward(
            input: pass.input.pointer, weight: pass.weight.pointer, bias: nil,
            output: pass.output.pointer)
        let output = innerProductReference(
            input: pass.input.elements.map(Double.init),
            weight: pass.weight.elements.map(Double.init), bias: nil, rows: rows, inputs: inputs,
            outputs: outputs)
        #expect(relativeDifference(pass.output, output) < 1e-5)
    }

    @Test("the same call gives the same bits, at any alignment", arguments: shapes)
    func bitsIgnoreAlignment(_ shape: ProductShape) {
        let (rows, inputs, outputs) = (shape.rows, shape.inputs, shape.outputs)
        let plan = InnerProduct(rows: rows, inputs: inputs, outputs: outputs)
        let aligned = Pass(rows: rows, inputs: inputs, outputs: outputs)
        aligned.run(plan)
        aligned.run(plan)
        for offset in [1, 3, 7, 13] {
            // The same rows further down in larger tensors; weights and gradients moved as well.
            let moved = Pass(rows: rows + offset, inputs: inputs, outputs: outputs)
            moved.input.row(offset).update(from: aligned.input.pointer, count: rows * inputs)
            moved.outputGradient.row(offset).update(
                from: aligned.outputGradient.pointer, count: rows * outputs)
            moved.run(plan, row: offset)
            let parameters = Tensor(rows: 2, columns: inputs * outputs + offset)
            let weight = parameters.pointer + offset
            let weightGradient = parameters.row(1)
            weight.update(from: aligned.weight.pointer, count: inputs * outputs)
            plan.forward(
                input: moved.input.row(offset), weight: weight, bias: moved.bias.pointer,
                output: moved.output.row(offset))
            plan.backwardData(
                outputGradient: moved.outputGradient.row(offset), weight: weight,
                inputGradient: moved.inputGradient.row(offset))
            plan.backwardWeights(
                input: moved.input.row(offset), outputGradient: moved.outputGradient.row(offset),
                weightGradient: weightGradient, biasGradient: moved.biasGradient.pointer)
            #expect(bits(moved.output).dropFirst(offset * outputs) == bits(aligned.output)[...])
            #expect(
                bits(moved.inputGradient).dropFirst(offset * inputs)
                    == bits(aligned.inputGradient)[...])
            #expect(
                bits(parameters).dropFirst(inputs * outputs + offset).prefix(inputs * outputs)
                    == bits(aligned.weightGradient)[...])
            #expect(bits(moved.biasGradient) == bits(aligned.biasGradient))
        }
    }

    @Test("a shard's rows have the same bits alone and beside others", arguments: worlds)
    func rowsIgnoreOtherShards(_ boundaries: [Int]) {
        for (inputs, outputs) in [(784, 128), (128, 128), (128, 10), (33, 17), (1, 1), (300, 257)] {
            let rows = boundaries[boundaries.count - 1]
            let together = Pass(rows: rows, inputs: inputs, outputs: outputs)
            together.run(
                InnerProduct(
                    rowBoundaries: boundaries, inputs: inputs, outputs: outputs))
            let alone = Pass(rows: rows, inputs: inputs, outputs: outputs)
            for (start, end) in zip(boundaries, boundaries.dropFirst()) {
                alone.run(
                    InnerProduct(rows: end - start, inputs: inputs, outputs: outputs),
                    row: start)
            }
            #expect(bits(together.output) == bits(alone.output))
            #expect(bits(together.inputGradient) == bits(alone.inputGradient))
        }
    }

    @Test("a node's weight gradients are its shards' own, added along the tree", arguments: worlds)
    func gradientsFollowTheTree(_ boundaries: [Int]) {
        // The last one's rows are brought together where there are 64.
        let shapes = [(50, 128), (128, 10), (7, 33), (1, 1), (5, 70), (13, 16), (301, 259)]
        for (inputs, outputs) in shapes {
            let pass = Pass(
                rows: boundaries[boundaries.count - 1], inputs: inputs, outputs: outputs)
            let plan = InnerProduct(
                rowBoundaries: boundaries, inputs: inputs, outputs: outputs)
            let count = boundaries.count - 1
            for node in [0..<count, 0..<1, count - 1..<count, min(1, count - 1)..<count] {
                let weights = Tensor(rows: inputs, columns: outputs)
                let biases = Tensor(rows: 1, columns: outputs)
                plan.backwardWeights(
                    input: pass.input.pointer, outputGradient: pass.outputGradient.pointer,
                    shards: node, weightGradient: weights.pointer, biasGradient: biases.pointer)
                let expected = treeSum(pass, boundaries, node)
                #expect(bits(weights) == expected.prefix(inputs * outputs).map(\.bitPattern))
                #expect(bits(biases) == expected.dropFirst(inputs * outputs).map(\.bitPattern))
            }
        }
    }

    @Test("slices of the inputs have the bits of the whole, and nothing else is written")
    func slices() {
        let (rows, inputs, outputs) = (97, 300, 260)
        let boundaries = [0, 20, 20, 51, 97]
        let pass = Pass(rows: rows, inputs: inputs, outputs: outputs)
        let shards = zip(boundaries, boundaries.dropFirst()).map {
            WeightGradients.Operands(
                input: UnsafePointer(pass.input.row($0)),
                outputGradient: UnsafePointer(pass.outputGradient.row($0)), rows: $1 - $0)
        }
        func sum(_ slices: [Range<Int>], most: Int?) -> [Float] {
            let gradient = Tensor(rows: inputs, columns: outputs)
            gradient.elements = Array(repeating: -7, count: inputs * outputs)
            let kernel = WeightGradients(
                shards: shards.count, rows: rows, inputs: inputs, outputs: outputs, slice: most)
            for slice in slices {
                shards.withUnsafeBufferPointer {
                    kernel.sum(
                        $0, slice: slice, weightGradient: gradient.pointer, biasGradient: nil)
                }
            }
            return gradient.elements
        }
        // Slices of fewer than 48 are not brought together.
        let expected = sum((0..<inputs / 4).map { 4 * $0..<4 * $0 + 4 }, most: 4)
        for cut in [1, 47, 48, 49, 150] {
            #expect(sum([0..<cut, cut..<inputs], most: nil) == expected)
        }
        let part = sum([60..<133], most: 73)
        #expect(part[60 * outputs..<133 * outputs] == expected[60 * outputs..<133 * outputs])
        #expect(part[..<(60 * outputs)].allSatisfy { $0 == -7 })
        #expect(part[(133 * outputs)...].allSatisfy { $0 == -7 })
    }

    /// The weight and bias gradients of a node, by the tree's definition.
    private func treeSum(_ pass: Pass, _ boundaries: [Int], _ node: Range<Int>) -> [Float] {
        if node.count == 1 {
            let start = boundaries[node.lowerBound]
            let (inputs, outputs) = (pass.input.columns, pass.output.columns)
            pass.run(
                InnerProduct(
                    rows: boundaries[node.upperBound] - start, inputs: inputs, outputs: outputs),
                row: start)
            return pass.weightGradient.elements + pass.biasGradient.elements
        }
        var half = 1
        while half * 2 < node.count { half *= 2 }
        let middle = node.lowerBound + half
        let left = treeSum(pass, boundaries, node.lowerBound..<middle)
        let right = treeSum(pass, boundaries, middle..<node.upperBound)
        return zip(left, right).map { $0 + $1 }
    }

    @Test("adding shards from left to right gives other bits than the tree, so bits can tell")
    func leftFoldDiffers() {
        let boundaries = [0, 7, 15, 22, 30]
        let pass = Pass(rows: 30, inputs: 64, outputs: 128)
        let plan = InnerProduct(rowBoundaries: boundaries, inputs: 64, outputs: 128)
        pass.run(plan)
        let tree = pass.weightGradient.elements
        var fold = [Float](repeating: 0, count: tree.count)
        for shard in 0..<4 {
            pass.run(plan, shards: shard..<shard + 1)
            fold = zip(fold, pass.weightGradient.elements).map { $0 + $1 }
        }
        #expect(fold != tree)
    }

    @Test("a plan without rows writes zero gradients and nothing else")
    func noRows() {
        let pass = Pass(rows: 1, inputs: 9, outputs: 21)
        pass.weightGradient.elements = [Float](repeating: 3, count: 9 * 21)
        pass.biasGradient.elements = [Float](repeating: 3, count: 21)
        pass.output.elements = [Float](repeating: 3, count: 21)
        pass.run(InnerProduct(rowBoundaries: [0, 0, 0], inputs: 9, outputs: 21))
        #expect(pass.weightGradient.elements.allSatisfy { $0 == 0 })
        #expect(pass.biasGradient.elements.allSatisfy { $0 == 0 })
        #expect(pass.output.elements.allSatisfy { $0 == 3 })
    }

    @Test("gradients do not touch memory beside them", arguments: [1, 10, 16, 33, 64, 70])
    func staysInside(outputs: Int) {
        for inputs in [1, 2, 5, 6, 7, 13] {
            let pass = Pass(rows: 6, inputs: inputs, outputs: outputs)
            let guarded = Tensor(rows: 1, columns: inputs * outputs + 128)
            guarded.elements = [Float](repeating: 9, count: guarded.columns)
            InnerProduct(
                rowBoundaries: [0, 2, 6], inputs: inputs, outputs: outputs
            )
            .backwardWeights(
                input: pass.input.pointer, outputGradient: pass.outputGradient.pointer,
                weightGradient: guarded.pointer + 64, biasGradient: nil)
            #expect(guarded.elements.prefix(64).allSatisfy { $0 == 9 })
            #expect(guarded.elements.suffix(64).allSatisfy { $0 == 9 })
        }
    }

    @Test("the peak and the bandwidth are numbers of a machine")
    func peak() {
        for rate in [measureFMAPeak(), measureMemoryBandwidth()] {
            #expect(rate > 0.01 && rate < 100_000)
        }
    }
}
