import Layers
public import Normalization
public import TensorCore

/// How a residual network begins.
public enum Stem: String, Hashable, Sendable, CaseIterable {
    /// A convolution 3×3 at full size, for images of 32×32 or so.
    case cifar
    /// A convolution 7×7 with stride 2 and max pooling, for images of 224×224 or so.
    case imagenet
}

/// Residual networks: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015.
///
/// ResNet-20 … 110 are section 4.2's, three stages of 16, 32 and 64 channels; ResNet-8 is theirs with
/// one block a stage. ResNet-18, 34 and 50 are torchvision's, with its names
/// (`conv1, bn1, layer1.0.conv1, …, fc`), which the others share.
public struct ResNet: Hashable, Sendable {
    /// Which network.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        case resnet18, resnet34, resnet50
        case resnet8, resnet20, resnet32, resnet44, resnet56, resnet110

        /// Whether it is one of section 4.2's, or ResNet-8.
        public var isForCIFAR: Bool { widths.count == 3 }

        /// Channels of each stage, before a bottleneck's expansion.
        var widths: [Int] {
            switch self {
            case .resnet18, .resnet34, .resnet50: [64, 128, 256, 512]
            case .resnet8, .resnet20, .resnet32, .resnet44, .resnet56, .resnet110: [16, 32, 64]
            }
        }

        /// Blocks of each stage.
        var blocks: [Int] {
            switch self {
            case .resnet18: [2, 2, 2, 2]
            case .resnet34, .resnet50: [3, 4, 6, 3]
            case .resnet8: [1, 1, 1]
            case .resnet20: [3, 3, 3]
            case .resnet32: [5, 5, 5]
            case .resnet44: [7, 7, 7]
            case .resnet56: [9, 9, 9]
            case .resnet110: [18, 18, 18]
            }
        }

        var hasBottlenecks: Bool { self == .resnet50 }
    }

    /// The shortcut where a stage changes the image's size.
    public enum Shortcut: String, Hashable, Sendable, CaseIterable {
        /// Every second pixel, and zeros for the new channels: no parameters.
        case padding = "A"
        /// A convolution 1×1 with BN.
        case projection
    }

    /// Which network.
    public var kind: Kind
    /// How it begins; section 4.2's have their own, `cifar`.
    public var stem: Stem
    /// The shortcut where a stage changes the image's size.
    public var shortcut: Shortcut
    /// Whether the last γ of each block starts at 0, so that the block starts as its shortcut:
    /// Goyal et al., "Accurate, large minibatch SGD", 2017.
    public var zeroInitializesBlocks: Bool
    /// One input image.
    public var input: ImageShape
    /// Classes.
    public var classes: Int
    /// Batch normalisation, or nil for none.
    public var normalization: BatchNormSettings?
    /// The share of values dropped before the last layer.
    public var dropout: Double

    /// A residual network for these images.
    public init(
        _ kind: Kind, stem: Stem = .cifar, shortcut: Shortcut = .projection,
        zeroInitializesBlocks: Bool = false, input: ImageShape, classes: Int,
        normalization: BatchNormSettings? = BatchNormSettings(), dropout: Double = 0
    ) {
        self.kind = kind
        self.stem = stem
        self.shortcut = shortcut
        self.zeroInitializesBlocks = zeroInitializesBlocks
        self.input = input
        self.classes = classes
        self.normalization = normalization
        self.dropout = dropout
    }

    /// The network it describes.
    public func specification() throws(ModelError) -> NetworkSpecification {
        var network = NetworkBuilder(
            kind.rawValue, input: input, classes: classes, normalization: normalization)
        switch stem {
        case .cifar:
            try network.convolution(
                "conv1", channels: kind.widths[0], kernel: 3, padding: 1)
            try network.batchNorm("bn1")
            try network.activation("relu")
        case .imagenet:
            try network.convolution(
                "conv1", channels: kind.widths[0], kernel: 7, stride: 2, padding: 3)
            try network.batchNorm("bn1")
            try network.activation("relu")
            try network.add("maxpool", MaxPool(3, stride: 2, padding: 1))
        }
        for (stage, (width, blocks)) in zip(kind.widths, kind.blocks).enumerated() {
            for block in 0..<blocks {
                try addBlock(
                    "layer\(stage + 1).\(block)", width: width,
                    stride: stage > 0 && block == 0 ? 2 : 1, to: &network)
            }
        }
        try network.add("avgpool", GlobalAveragePool())
        try network.dropout("dropout", rate: dropout)
        try network.linear("fc", outputs: classes, bias: true)
        return network.specification
    }

    /// Two convolutions 3×3, or 1×1, 3×3, 1×1; then the sum with the shortcut.
    private func addBlock(
        _ name: String, width: Int, stride: Int, to network: inout NetworkBuilder
    ) throws(ModelError) {
        let input = network.value
        let outputs = kind.hasBottlenecks ? 4 * width : width
        // torchvision's bottleneck has its stride in the convolution 3×3.
        let kernels = kind.hasBottlenecks ? [1, 3, 1] : [3, 3]
        let strided = kind.hasBottlenecks ? 1 : 0
        for (index, kernel) in kernels.enumerated() {
            let isLast = index == kernels.count - 1
            try network.convolution(
                "\(name).conv\(index + 1)", channels: isLast ? outputs : width, kernel: kernel,
                stride: index == strided ? stride : 1, padding: kernel / 2)
            try network.batchNorm(
                "\(name).bn\(index + 1)", startsAtZero: isLast && zeroInitializesBlocks)
            if !isLast { try network.activation("\(name).relu\(index + 1)") }
        }
        let main = network.value
        network.goOn(from: input)
        if stride != 1 || input.shape.channels != outputs {
            switch shortcut {
            case .padding:
                try network.add(
                    "\(name).shortcut", PaddedShortcut(outputs, stride: stride))
            case .projection:
                try network.convolution(
                    "\(name).downsample.0", channels: outputs, kernel: 1, stride: stride)
                try network.batchNorm("\(name).downsample.1")
            }
        }
        let addend = network.value
        network.goOn(from: main)
        try network.activation("\(name).relu", adding: addend)
    }
}
