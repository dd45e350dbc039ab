import Kernels
import TensorCore
import TestSupport
import Testing

@testable import Layers

@Suite("InputLinear")
struct InputLinearTests {
    /// A layer's parameters, at random.
    struct Product {
        let replica: Replica
        let weight: Parameter
        let bias: Parameter?

        init(inputs: Int, outputs: Int, bias: Bool) {
            var declarations = [
                ModelLayout.Declaration.parameter(
                    name: "weight", shape: [outputs, inputs], role: .weight,
                    isReduced: true, storage: .panels(positions: 1))
            ]
            if bias {
                declarations.append(
                    .parameter(name: "bias", shape: [outputs], role: .bias, isReduced: true))
            }
            replica = Replica(ModelLayout(declarations))
            weight = replica.layout.parameters[0]
            self.bias = bias ? replica.layout.parameters[1] : nil
            replica.setValues(normals(weight.range.count, index: 1), of: weight)
            if let bias = self.bias { replica.setValues(normals(outputs, index: 2), of: bias) }
        }

        func layer(_ gradients: GradientAccumulator, _ shape: BatchShape) throws -> InputLinearLayer
        {
            try InputLinearLayer(
                name: "layers.0", weight: weight, bias: bias, replica: replica,
                gradients: gradients, shapes: [shape], sharesInputs: false)
        }
    }

    @Test("it suits whole panels, and no more than four of them")
    func suits() {
        #expect([64, 128, 192, 256].allSatisfy { InputLinearLayer.suits(outputs: $0) })
        #expect(![10, 63, 65, 100, 320, 1024].contains { InputLinearLayer.suits(outputs: $0) })
    }

    @Test("a weight in panels is the file's, each value in a place of its own")
    func storage() {
        for (outputs, channels, positions) in [(64, 5, 1), (128, 3, 4), (192, 1, 6)] {
            let inputs = channels * positions
            let layout = ModelLayout([
                .parameter(
                    name: "weight", shape: [outputs, inputs], role: .weight,
                    isReduced: true, storage: .panels(positions: positions))
            ])
            let weight = layout.parameters[0]
            var seen = Set<Int>()
            for output in 0..<outputs {
                for channel in 0..<channels {
                    for position in 0..<positions {
                        let file = output * inputs + channel * positions + position
                        let memory = weight.memoryIndex(ofFileIndex: file)
                        let input = position * channels + channel
                        #expect(memory == (output / 64 * inputs + input) * 64 + output % 64)
                        seen.insert(memory)
                    }
                }
            }
            #expect(seen == Set(0..<outputs * inputs))
            let replica = Replica(layout)
            let values = normals(outputs * inputs, index: 7)
            replica.setValues(values, of: weight)
            #expect(replica.values(of: weight) == values)
        }
    }

    @Test(
        "outputs and gradients follow Float64", arguments: [(1, 64), (17, 128), (5, 192)],
        [true, false])
    func reference(size: (inputs: Int, outputs: Int), hasBias: Bool) throws {
        let (inputs, outputs) = size
        for (samples, shards) in [(1, 1), (7, 3), (5, 8), (30, 4)] {
            let product = Product(inputs: inputs, outputs: outputs, bias: hasBias)
            let shape = wholeShape(samples: samples, shards: shards)
            let gradients = WorkerGradients(
                range: 0..<shards, of: shards, length: product.replica.layout.length,
                memory: product.replica.gradient)
            let layer = try product.layer(gradients.accumulator, shape)
            let graph = try LayerGraph(chain: [layer], shapes: [shape], inputSize: inputs)
            let (x, dy) = (
                normals(samples * inputs, index: 3), normals(samples * outputs, index: 4)
            )
            let pass = Pass(.training, shape)
            let output = try graph.forward(tensor(x, columns: inputs), pass).elements
            let gradient = try graph.backward(tensor(dy, columns: outputs), pass)
            #expect(gradient == nil)

            let weight = product.replica.values(of: product.weight)
            let bias = product.bias.map { product.replica.values(of: $0) }
            var y = Array(repeating: 0.0, count: samples * outputs)
            var dW = Array(repeating: 0.0, count: outputs * inputs)
            var db = Array(repeating: 0.0, count: outputs)
            for n in 0..<samples {
                for o in 0..<outputs {
                    y[n * outputs + o] = bias.map { Double($0[o]) } ?? 0
                    db[o] += Double(dy[n * outputs + o])
                    for i in 0..<inputs {
                        let value = Double(x[n * inputs + i])
                        y[n * outputs + o] += value * Double(weight[o * inputs + i])
                        dW[o * inputs + i] += value * Double(dy[n * outputs + o])
                    }
                }
            }
            #expect(largestDifference(output, y, magnitude: 1) < 1e-6)
            #expect(
                largestDifference(
                    product.replica.gradient(of: product.weight), dW, magnitude: 1) < 1e-6)
            if let bias = product.bias {
                #expect(
                    largestDifference(product.replica.gradient(of: bias), db, magnitude: 1) < 1e-6)
            }
        }
    }
}
