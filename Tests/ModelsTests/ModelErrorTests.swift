import Models
import Normalization
import TensorCore
import Testing

@Suite("Networks that cannot be")
struct ModelErrorTests {
    private func message(_ build: () throws -> Void) -> String {
        do {
            try build()
            return ""
        } catch {
            return "\(error)"
        }
    }

    @Test("an image smaller than the network's reach names the layer it does not reach")
    func tooSmall() {
        let lenet = message {
            _ = try LeNet(
                input: ImageShape(height: 28, width: 13, channels: 1), classes: 10
            ).specification()
        }
        #expect(
            lenet == "lenet needs larger images: of 28×13×1 only 12×4×6 reach conv2, less than its "
                + "window; choose another model.name or data set")
        let vgg = message {
            _ = try VGG(
                input: ImageShape(height: 28, width: 28, channels: 1), classes: 10
            ).specification()
        }
        #expect(
            vgg == "vgg11 needs larger images: of 28×28×1 only 1×1×512 reach features.28, less "
                + "than its window; choose another model.name or data set")
        let one = message {
            _ = try OneConvolution(
                input: ImageShape(height: 3, width: 3, channels: 1), classes: 10
            ).specification()
        }
        #expect(
            one == "mnist-cnn needs larger images: of 3×3×1 only 1×1×32 reach pool, less than its "
                + "window; choose another model.name or data set")
    }

    @Test("the smallest images that fit are taken")
    func smallest() throws {
        _ = try LeNet(
            input: ImageShape(height: 16, width: 16, channels: 1), classes: 10
        ).specification()
        _ = try VGG(
            input: ImageShape(height: 32, width: 32, channels: 1), classes: 10
        ).specification()
        _ = try OneConvolution(
            input: ImageShape(height: 4, width: 4, channels: 1), classes: 10
        ).specification()
        _ = try ResNet(
            .resnet20, input: ImageShape(height: 1, width: 1, channels: 1), classes: 10
        ).specification()
    }

    @Test("channels that do not divide by the groups, on either side")
    func groups() {
        func build(_ channels: Int, _ outputs: Int, _ groups: Int) -> String {
            message {
                var network = NetworkBuilder(
                    "own", input: ImageShape(height: 8, width: 8, channels: channels), classes: 2,
                    normalization: nil)
                try network.convolution("conv1", channels: outputs, kernel: 3, groups: groups)
            }
        }
        #expect(
            build(6, 8, 4)
                == "conv1 convolves 6 into 8 channels in 4 groups; both must divide by the groups")
        #expect(
            build(8, 6, 4)
                == "conv1 convolves 8 into 6 channels in 4 groups; both must divide by the groups")
        #expect(build(8, 12, 4) == "")
    }
}
