import KernelReferences
import Kernels
import TensorCore
import TestSupport
import Testing

@testable import Layers

@Suite("Activation and chains")
struct ActivationTests {
    @Test(
        "outputs and gradients follow Float64 and central differences",
        arguments: ActivationKind.allCases)
    func gradientCheck(kind: ActivationKind) throws {
        for (samples, columns) in [(1, 1), (7, 3), (5, 17), (9, 33)] {
            let shape = wholeShape(samples: samples, shards: 3)
            let layer = ActivationLayer(name: "layers.1", kind, columns: columns, rows: samples)
            #expect(layer.outputs == columns)
            let input = normals(samples * columns, deviation: 2, index: 1)
            let outputGradient = normals(samples * columns, index: 2)
            let pass = Pass(.training, shape)
            let graph = try LayerGraph(
                chain: [layer], shapes: [shape], inputSize: columns, needsInputGradient: true)
            let output = try graph.forward(tensor(input, columns: columns), pass).elements
            let x = doubles(input)
            #expect(
                largestDifference(output, x.map { activateReference($0, kind) }, magnitude: 0.1)
                    < 1e-6)
            let gradient = try graph.backward(tensor(outputGradient, columns: columns), pass)
            let expected = centralDifferences(at: x, step: 1e-6) {
                zip($0, outputGradient).reduce(0) {
                    $0 + activateReference($1.0, kind) * Double($1.1)
                }
            }
            #expect(largestDifference(gradient?.elements ?? [], expected, magnitude: 0.1) < 1e-6)
        }
    }

    @Test("a pass of fewer rows than planned leaves the others alone")
    func shortPass() throws {
        let layer = ActivationLayer(name: "layers.1", .sigmoid, columns: 3, rows: 5)
        let input = tensor(normals(15, index: 1), columns: 3)
        let shape = wholeShape(samples: 2, shards: 2)
        let output = try LayerGraph(chain: [layer], shapes: [shape], inputSize: 3).forward(
            input, Pass(.inference, shape)
        ).elements
        #expect(output.prefix(6).allSatisfy { $0 > 0 })
        #expect(output.suffix(9).allSatisfy { $0 == 0 })
    }

    /// 5 → 7 → tanh → 3, in Float64 and as layers.
    @Test("a sequence's gradients are central differences of its output", arguments: [1, 3, 8])
    func sequence(shards: Int) throws {
        let (samples, widths) = (11, [5, 7, 3])
        let layout = ModelLayout(
            (0..<2).flatMap { index -> [ModelLayout.Declaration] in
                let name = "layers.\(2 * index)"
                return [
                    .parameter(
                        name: "\(name).weight", shape: [widths[index + 1], widths[index]],
                        role: .weight, isReduced: true),
                    .parameter(
                        name: "\(name).bias", shape: [widths[index + 1]], role: .bias,
                        isReduced: true),
                ]
            })
        let replica = Replica(layout)
        let parameters = layout.parameters
        for (index, parameter) in parameters.enumerated() {
            replica.setValues(
                normals(parameter.range.count, deviation: 0.5, index: UInt64(index)),
                of: parameter)
        }
        let gradients = WorkerGradients(
            range: 0..<shards, of: shards, length: layout.length, memory: replica.gradient)
        let shape = wholeShape(samples: samples, shards: shards)
        func linear(_ index: Int) throws -> LinearLayer {
            LinearLayer(
                name: "layers.\(2 * index)", weight: parameters[2 * index],
                bias: parameters[2 * index + 1], needsInputGradient: true, replica: replica,
                gradients: gradients.accumulator, shapes: [shape])
        }
        let sequence = try LayerGraph(
            chain: [
                try linear(0), ActivationLayer(name: "layers.1", .tanh, columns: 7, rows: samples),
                try linear(1),
            ], shapes: [shape], inputSize: 5, needsInputGradient: true)
        #expect(sequence.outputs == 3)

        let input = normals(samples * 5, index: 10)
        let outputGradient = normals(samples * 3, index: 11)
        let values = [doubles(input)] + parameters.map { doubles(replica.values(of: $0)) }
        func output(_ values: [[Double]]) -> [Double] {
            let hidden = linearReference(
                input: values[0], weight: values[1], bias: values[2], inputs: 5, outputs: 7)
            return linearReference(
                input: hidden.map { activateReference($0, .tanh) }, weight: values[3],
                bias: values[4], inputs: 7, outputs: 3)
        }
        let pass = Pass(.training, shape)
        let x = tensor(input, columns: 5)
        #expect(largestDifference(try sequence.forward(x, pass).elements, output(values)) < 1e-6)
        let dx = try sequence.backward(tensor(outputGradient, columns: 3), pass)
        let actual = [dx?.elements ?? []] + parameters.map { replica.gradient(of: $0) }
        for index in values.indices {
            let expected = centralDifferences(at: values[index]) { moved in
                var all = values
                all[index] = moved
                return zip(output(all), outputGradient).reduce(0) { $0 + $1.0 * Double($1.1) }
            }
            #expect(largestDifference(actual[index], expected) < 1e-6, "tensor \(index)")
        }
    }
}
