import Kernels
import Layers
import TensorCore
import Testing

@testable import Models

@Suite("ReLU before max pooling")
struct PooledReLUTests {
    private func lowered(_ network: NetworkSpecification) -> Lowering {
        Lowering(network, shards: 1)
    }

    @Test("a plain ReLU that pooling alone takes runs behind it; no other one does")
    func found() throws {
        let lenet = try LeNet(
            input: ImageShape(height: 32, width: 32, channels: 3), classes: 10
        ).specification()
        let behind = lenet.nodes.indices.compactMap { index in
            lowered(lenet).poolBehindReLU(ofNode: index).map {
                "\(lenet.nodes[index].name) \(lenet.nodes[$0].name)"
            }
        }
        #expect(behind == ["relu1 pool1", "relu2 pool2"])

        let shared = try OwnNetworks.named("relu before max-pool and a sum")
        #expect(
            shared.nodes.indices.allSatisfy { lowered(shared).poolBehindReLU(ofNode: $0) == nil })
        var smooth = NetworkBuilder(
            "smooth", input: ImageShape(height: 4, width: 4, channels: 3), classes: 12,
            normalization: nil)
        try smooth.activation("sigmoid", .sigmoid)
        try smooth.add("pool", MaxPool(2))
        let specification = smooth.specification
        #expect(lowered(specification).poolBehindReLU(ofNode: 0) == nil)
    }

    @Test("pooling that alone takes a convolution, rectified or not, runs with it")
    func withConvolution() throws {
        func found(_ network: NetworkSpecification) -> [String] {
            network.nodes.indices.compactMap { index in
                lowered(network).poolBehindConvolution(ofNode: index).map {
                    "\(network.nodes[index].name) \(network.nodes[$0.node].name)"
                }
            }
        }
        let image = ImageShape(height: 32, width: 32, channels: 3)
        let lenet = try LeNet(input: image, classes: 10).specification()
        let here = PooledConvolution.suits(
            ConvolutionShape(
                inputHeight: 32, inputWidth: 32, inputChannels: 3, outputChannels: 6,
                kernelHeight: 5, kernelWidth: 5),
            PoolingShape(
                inputHeight: 28, inputWidth: 28, channels: 6, kernelHeight: 2, kernelWidth: 2,
                strideHeight: 2, strideWidth: 2))
        #expect(found(lenet) == (here ? ["conv1 pool1", "conv2 pool2"] : []))
        let plain = try OwnNetworks.named("max-pool behind a convolution")
        #expect(found(plain) == (here ? ["conv pool"] : []))
        let shared = try OwnNetworks.named("max-pool and a sum behind a convolution")
        #expect(found(shared) == [])
        let digits = ImageShape(height: 28, width: 28, channels: 1)
        let one = try OneConvolution(input: digits, classes: 10).specification()
        #expect(found(one) == (here ? ["conv1 pool"] : []))
    }
}
