import Layers
public import Normalization
public import TensorCore

/// VGG-11 with BN: eight convolutions 3×3 with pooling between them. Simonyan, Zisserman, "Very deep
/// convolutional networks for large-scale image recognition", 2015.
///
/// Names and shapes are torchvision's (`features.0`, `features.1`, …, `classifier.0`, …), its
/// convolutions' biases before BN included. With the stem `cifar` one layer, `classifier`, follows
/// the last pooling, 512 values of an image of 32×32.
public struct VGG: Hashable, Sendable {
    /// How it ends: `imagenet` has torchvision's classifier of three layers, for 224×224.
    public var stem: Stem
    /// One input image, at least 32×32.
    public var input: ImageShape
    /// Classes.
    public var classes: Int
    /// Batch normalisation, or nil for none.
    public var normalization: BatchNormSettings?
    /// The share of values dropped behind each dense layer but the last.
    public var dropout: Double

    /// A VGG-11 for these images.
    public init(
        stem: Stem = .cifar, input: ImageShape, classes: Int,
        normalization: BatchNormSettings? = BatchNormSettings(), dropout: Double = 0
    ) {
        self.stem = stem
        self.input = input
        self.classes = classes
        self.normalization = normalization
        self.dropout = dropout
    }

    /// The network it describes.
    public func specification() throws(ModelError) -> NetworkSpecification {
        var network = NetworkBuilder(
            "vgg11", input: input, classes: classes, normalization: normalization)
        // torchvision counts the modules of one nn.Sequential; without BN there are fewer.
        var index = 0
        func next() -> String {
            defer { index += 1 }
            return "features.\(index)"
        }
        for stage in [[64], [128], [256, 256], [512, 512], [512, 512]] {
            for channels in stage {
                try network.convolution(
                    next(), channels: channels, kernel: 3, padding: 1, bias: true)
                if network.isNormalized { try network.batchNorm(next()) }
                try network.activation(next())
            }
            try network.add(next(), MaxPool(2))
        }
        switch stem {
        case .cifar:
            try network.dropout("dropout", rate: dropout)
            try network.linear("classifier", outputs: classes, bias: true)
        case .imagenet:
            for number in [0, 3] {
                try network.linear("classifier.\(number)", outputs: 4096, bias: true)
                try network.activation("classifier.\(number + 1)")
                try network.dropout("classifier.\(number + 2)", rate: dropout)
            }
            try network.linear("classifier.6", outputs: classes, bias: true)
        }
        return network.specification
    }
}
