import Kernels
import TensorCore
import TestSupport
import Testing

@testable import Layers

/// y = x·Wᵀ + b in Float64, with PyTorch's W [out, in].
func linearReference(
    input: [Double], weight: [Double], bias: [Double]?, inputs: Int, outputs: Int
) -> [Double] {
    (0..<input.count / inputs * outputs).map { i in
        let (row, output) = (i / outputs, i % outputs)
        return (0..<inputs).reduce(bias?[output] ?? 0) {
            $0 + input[row * inputs + $1] * weight[output * inputs + $1]
        }
    }
}

@Suite("Linear")
struct LinearTests {
    /// A product of odd sizes, alone in its model.
    final class Product {
        let replica: Replica
        let weight: Parameter
        let bias: Parameter?

        init(inputs: Int, outputs: Int, bias: Bool) {
            var declarations: [ModelLayout.Declaration] = [
                .parameter(
                    name: "layers.0.weight", shape: [outputs, inputs], role: .weight,
                    isReduced: true)
            ]
            if bias {
                declarations.append(
                    .parameter(
                        name: "layers.0.bias", shape: [outputs], role: .bias, isReduced: true))
            }
            replica = Replica(ModelLayout(declarations))
            weight = replica.layout.parameters[0]
            self.bias = bias ? replica.layout.parameters[1] : nil
            replica.setValues(normals(weight.range.count, index: 1), of: weight)
            if let bias = self.bias { replica.setValues(normals(outputs, index: 2), of: bias) }
        }

        func layer(
            _ gradients: GradientAccumulator, _ shapes: [BatchShape],
            needsInputGradient: Bool = true
        ) throws -> LinearLayer {
            LinearLayer(
                name: "layers.0", weight: weight, bias: bias,
                needsInputGradient: needsInputGradient, replica: replica, gradients: gradients,
                shapes: shapes)
        }

        /// The gradients of a worker with all shards, in the replica.
        func gradients(shards: Int) -> WorkerGradients {
            WorkerGradients(
                range: 0..<shards, of: shards, length: replica.layout.length,
                memory: replica.gradient)
        }
    }

    static let sizes = [(1, 1), (3, 1), (5, 7), (17, 19), (64, 10)]

    @Test(
        "outputs and gradients follow Float64 and central differences", arguments: sizes,
        [true, false])
    func gradientCheck(size: (inputs: Int, outputs: Int), hasBias: Bool) throws {
        let (inputs, outputs) = size
        for (samples, shards) in [(1, 1), (7, 1), (7, 3), (5, 8), (30, 4)] {
            let product = Product(inputs: inputs, outputs: outputs, bias: hasBias)
            let shape = wholeShape(samples: samples, shards: shards)
            let gradients = product.gradients(shards: shards)
            let layer = try product.layer(gradients.accumulator, [shape])
            let input = normals(samples * inputs, index: 3)
            let outputGradient = normals(samples * outputs, index: 4)
            let (x, w, b) = (
                doubles(input), doubles(product.replica.values(of: product.weight)),
                product.bias.map { doubles(product.replica.values(of: $0)) }
            )
            func reference(_ x: [Double], _ w: [Double], _ b: [Double]?) -> [Double] {
                linearReference(input: x, weight: w, bias: b, inputs: inputs, outputs: outputs)
            }
            // L = Σ dy·y: its gradients are dx, dW and db.
            func loss(_ output: [Double]) -> Double {
                zip(output, outputGradient).reduce(0) { $0 + $1.0 * Double($1.1) }
            }
            let pass = Pass(.training, shape)
            let x32 = tensor(input, columns: inputs)
            let graph = try LayerGraph(
                chain: [layer], shapes: [shape], inputSize: inputs, needsInputGradient: true)
            let output = try graph.forward(x32, pass).elements
            let place = "\(samples) on \(shards)"
            #expect(largestDifference(output, reference(x, w, b), magnitude: 1) < 1e-6, "\(place)")
            let dx = try graph.backward(tensor(outputGradient, columns: outputs), pass)
            let expected = centralDifferences(at: x) { loss(reference($0, w, b)) }
            #expect(largestDifference(dx?.elements ?? [], expected, magnitude: 1) < 1e-6)
            let weightGradient = product.replica.gradient(of: product.weight)
            let expectedWeight = centralDifferences(at: w) { loss(reference(x, $0, b)) }
            #expect(largestDifference(weightGradient, expectedWeight, magnitude: 1) < 1e-6)
            if let bias = product.bias, let b {
                let expected = centralDifferences(at: b) { loss(reference(x, w, $0)) }
                #expect(
                    largestDifference(
                        product.replica.gradient(of: bias), expected, magnitude: 1) < 1e-6)
            }
        }
    }

    @Test("a first layer gives no input gradient, and the same weight gradient")
    func firstLayer() throws {
        let (first, inner) = (
            Product(inputs: 5, outputs: 7, bias: true), Product(inputs: 5, outputs: 7, bias: true)
        )
        let shape = wholeShape(samples: 9, shards: 2)
        for (product, needs) in [(first, false), (inner, true)] {
            let gradients = product.gradients(shards: 2)
            let layer = try product.layer(
                gradients.accumulator, [shape], needsInputGradient: needs)
            let input = tensor(normals(45, index: 3), columns: 5)
            let graph = try LayerGraph(
                chain: [layer], shapes: [shape], inputSize: 5, needsInputGradient: needs)
            _ = try graph.forward(input, Pass(.training, shape))
            let gradient = try graph.backward(
                tensor(normals(63, index: 4), columns: 7), Pass(.training, shape))
            #expect((gradient == nil) == !needs)
        }
        #expect(
            bits(first.replica.gradient(of: first.weight))
                == bits(inner.replica.gradient(of: inner.weight)))
    }

    @Test(
        "a shard's bits do not depend on the shards beside it, gradients add up along the tree",
        arguments: [(30, 4), (7, 8), (33, 5), (24, 3), (13, 6)], [true, false])
    func acrossShards(batch: (samples: Int, shards: Int), hasBias: Bool) throws {
        let (inputs, outputs, shards) = (17, 19, batch.shards)
        let product = Product(inputs: inputs, outputs: outputs, bias: hasBias)
        let input = normals(batch.samples * inputs, index: 3)
        let outputGradient = normals(batch.samples * outputs, index: 4)
        let length = product.replica.layout.length

        /// What a worker with shards `range` computes: outputs, input gradients, and its nodes.
        func worker(
            _ range: Range<Int>
        ) throws -> (output: [Float], inputGradient: [Float], nodes: [Range<Int>: [Float]]) {
            let whole = wholeShape(samples: batch.samples, shards: shards).shardRows
            let rows = whole[range.lowerBound].lowerBound..<whole[range.upperBound - 1].upperBound
            let shape = BatchShape(
                index: 0, samples: batch.samples,
                shardRows: whole[range].map {
                    $0.lowerBound - rows.lowerBound..<$0.upperBound - rows.lowerBound
                }, trains: true)
            let gradients = WorkerGradients(range: range, of: shards, length: length)
            let layer = try product.layer(gradients.accumulator, [shape])
            let pass = Pass(.training, shape)
            func part(_ all: [Float], _ columns: Int) -> Tensor {
                tensor(
                    Array(all[rows.lowerBound * columns..<rows.upperBound * columns]),
                    columns: columns)
            }
            let x = part(input, inputs)
            let graph = try LayerGraph(
                chain: [layer], shapes: [shape], inputSize: inputs, needsInputGradient: true)
            let output = try graph.forward(x, pass).elements
            let dx = try graph.backward(part(outputGradient, outputs), pass)
            return (
                output, dx?.elements ?? [],
                Dictionary(
                    uniqueKeysWithValues: zip(
                        gradients.nodes, gradients.values.map(\.elements)))
            )
        }

        let each = try (0..<shards).map { try worker($0..<$0 + 1) }
        let leaves = each.enumerated().map { index, shard in shard.nodes[index..<index + 1] ?? [] }
        for workers in 1...shards {
            for index in 0..<workers {
                let range = index * shards / workers..<(index + 1) * shards / workers
                let part = try worker(range)
                #expect(bits(part.output) == bits(each[range].flatMap(\.output)))
                #expect(bits(part.inputGradient) == bits(each[range].flatMap(\.inputGradient)))
                for (node, values) in part.nodes {
                    #expect(bits(values) == bits(ShardFold.sum(leaves, node)), "node \(node)")
                }
            }
        }
    }

    @Test("each planned batch has its own plan, and a short one leaves the rest alone")
    func shapes() throws {
        let product = Product(inputs: 5, outputs: 7, bias: true)
        let shapes = [
            wholeShape(samples: 12, shards: 4), wholeShape(samples: 3, shards: 4, index: 1),
        ]
        let gradients = product.gradients(shards: 4)
        let layer = try product.layer(gradients.accumulator, shapes)
        let input = tensor(normals(60, index: 3), columns: 5)
        let graph = try LayerGraph(
            chain: [layer], shapes: shapes, inputSize: input.columns, needsInputGradient: true)
        let full = try graph.forward(input, Pass(.training, shapes[0])).elements
        let short = try graph.forward(input, Pass(.inference, shapes[1])).elements
        let expected = linearReference(
            input: doubles(input.elements),
            weight: doubles(product.replica.values(of: product.weight)),
            bias: doubles(product.replica.values(of: product.replica.layout.parameters[1])),
            inputs: 5, outputs: 7)
        #expect(largestDifference(full, expected) < 1e-6)
        #expect(largestDifference(Array(short.prefix(21)), Array(expected.prefix(21))) < 1e-6)
        #expect(bits(Array(short.dropFirst(21))) == bits(Array(full.dropFirst(21))))
    }
}
