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
                + "window")
        let vgg = message {
            _ = try VGG(
                input: ImageShape(height: 28, width: 28, channels: 1), classes: 10
            ).specification()
        }
        #expect(
            vgg == "vgg11 needs larger images: of 28×28×1 only 1×1×512 reach features.28, less "
                + "than its window")
        let one = message {
            _ = try OneConvolution(
                input: ImageShape(height: 3, width: 3, channels: 1), classes: 10
            ).specification()
        }
        #expect(
            one == "mnist-cnn needs larger images: of 3×3×1 only 1×1×32 reach pool, less than its "
                + "window")
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

    @Test("groups that do not divide a layer's channels name it, and what would")
    func groupsOfNormalisation() {
        func build(_ groups: Int) throws {
            _ = try LeNet(
                input: ImageShape(height: 32, width: 32, channels: 3), classes: 10
            ).specification().normalizingSamples(GroupNormSettings(.groups(groups)))
        }
        #expect(
            throws: ModelError.groupsDoNotDivide(
                layer: "bn2", channels: 84, groups: 8, largest: 6)
        ) { try build(8) }
        #expect(
            throws: ModelError.groupsDoNotDivide(
                layer: "bn1", channels: 120, groups: 200, largest: 12)
        ) { try build(200) }
        #expect(
            message { try build(8) }
                == "bn2 has 84 channels, which do not divide into 8 groups")
        #expect(throws: Never.self) { try build(12) }
    }

    @Test("a normalisation of one value a group is refused, in dense layers and 1×1 images")
    func singleValues() {
        func message(_ settings: GroupNormSettings, _ model: () throws -> NetworkSpecification)
            -> String
        {
            self.message { _ = try model().normalizingSamples(settings) }
        }
        let lenet = message(GroupNormSettings(.instance)) {
            try LeNet(
                input: ImageShape(height: 32, width: 32, channels: 3), classes: 10
            ).specification()
        }
        #expect(
            lenet == "bn1 has one value in each of its 120 groups of a sample, and would give its "
                + "shift whatever that is: instance normalisation needs images (H·W > 1), group "
                + "normalisation fewer groups")
        let small = ImageShape(height: 4, width: 4, channels: 3)
        let resnet = message(GroupNormSettings(.instance)) {
            try ResNet(.resnet20, input: small, classes: 10).specification()
        }
        #expect(resnet.hasPrefix("layer3.0.bn1 has one value in each of its 64 groups"))
        let groups = message(GroupNormSettings(.groups(4))) {
            MLP(inputs: 3, hidden: [4], classes: 2).specification
        }
        #expect(groups.hasPrefix("layers.1 has one value in each of its 4 groups"))
        let layer = message(GroupNormSettings(.layer)) {
            MLP(inputs: 3, hidden: [1], classes: 2).specification
        }
        #expect(layer.hasPrefix("layers.1 has one value in the group of a sample,"))
        let fits = message(GroupNormSettings(.groups(8))) {
            try ResNet(.resnet20, input: small, classes: 10).specification()
        }
        #expect(fits == "")
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
