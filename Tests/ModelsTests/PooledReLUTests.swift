import Kernels
import Layers
import TensorCore
import Testing

@testable import Models

@Suite("ReLU before max pooling")
struct PooledReLUTests {
    @Test("a plain ReLU that pooling alone takes runs behind it; no other one does")
    func found() throws {
        let lenet = try LeNet(
            input: ImageShape(height: 32, width: 32, channels: 3), classes: 10
        ).specification()
        let behind = lenet.nodes.indices.compactMap { index in
            lenet.poolBehindReLU(ofNode: index).map {
                "\(lenet.nodes[index].name) \(lenet.nodes[$0].name)"
            }
        }
        #expect(behind == ["relu1 pool1", "relu2 pool2"])

        let shared = try OwnNetworks.named("relu before max-pool and a sum")
        #expect(shared.nodes.indices.allSatisfy { shared.poolBehindReLU(ofNode: $0) == nil })
        var smooth = NetworkBuilder(
            "smooth", input: ImageShape(height: 4, width: 4, channels: 3), classes: 12,
            normalization: nil)
        smooth.activation("sigmoid", .sigmoid)
        try smooth.maxPool("pool", size: 2)
        let specification = smooth.specification
        #expect(specification.poolBehindReLU(ofNode: 0) == nil)
    }
}
