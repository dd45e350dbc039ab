import TensorCore
import TestSupport
import Testing

@testable import Layers

@Suite("Dropout")
struct DropoutTests {
    /// What the layer numbered `ordinal` drops of one batch in step `step`.
    private func mask(ordinal: Int, step: Int) throws -> [Float] {
        let (samples, columns) = (3, 40)
        let layer = DropoutLayer(
            name: "dropout", rate: 0.5, seed: 7, ordinal: ordinal, columns: columns, rows: samples)
        let shape = wholeShape(samples: samples, shards: 2)
        let graph = try LayerGraph(chain: [layer], shapes: [shape], inputSize: columns)
        let ones = tensor([Float](repeating: 1, count: samples * columns), columns: columns)
        return try graph.forward(ones, Pass(.training, shape, step: step)).elements
    }

    @Test("no two of the steps and layers of a deep network drop the same units")
    func streams() throws {
        // Layers 256 apart once shared their streams, one step apart or two.
        let places = [0, 1, 75, 76, 255, 256, 331, 332].flatMap { ordinal in
            (0..<6).map { (ordinal, $0) }
        }
        let masks = Set(try places.map { try mask(ordinal: $0.0, step: $0.1) })
        #expect(masks.count == places.count)
        #expect(try mask(ordinal: 331, step: 4) == mask(ordinal: 331, step: 4))
    }
}
