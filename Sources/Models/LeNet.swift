import Layers
public import Normalization
public import TensorCore

/// LeNet with BN on its dense layers, as tutorials train it on CIFAR-10: two convolutions 5×5 of 6
/// and 16 channels with pooling, then 120, 84 and the classes.
///
/// Names are `conv1, conv2, fc1, bn1, fc2, bn2, fc3`. LeCun, Bottou, Bengio, Haffner, "Gradient-based
/// learning applied to document recognition", 1998.
public struct LeNet: Hashable, Sendable {
    /// One input image, at least 16×16.
    public var input: ImageShape
    /// Classes.
    public var classes: Int
    /// Batch normalisation of the dense layers, or nil for none.
    public var normalization: BatchNormSettings?
    /// The share of values dropped behind each dense layer.
    public var dropout: Double

    /// A LeNet for these images.
    public init(
        input: ImageShape, classes: Int,
        normalization: BatchNormSettings? = BatchNormSettings(), dropout: Double = 0
    ) {
        self.input = input
        self.classes = classes
        self.normalization = normalization
        self.dropout = dropout
    }

    /// The network it describes.
    public func specification() throws(ModelError) -> NetworkSpecification {
        var network = NetworkBuilder(
            "lenet", input: input, classes: classes, normalization: normalization)
        for (number, channels) in [6, 16].enumerated() {
            try network.convolution("conv\(number + 1)", channels: channels, kernel: 5, bias: true)
            try network.activation("relu\(number + 1)")
            try network.add("pool\(number + 1)", MaxPool(2))
        }
        for (number, width) in [120, 84].enumerated() {
            try network.linear("fc\(number + 1)", outputs: width)
            try network.batchNorm("bn\(number + 1)")
            try network.activation("relu\(number + 3)")
            try network.dropout("dropout\(number + 1)", rate: dropout)
        }
        try network.linear("fc3", outputs: classes, bias: true)
        return network.specification
    }
}

/// The network of one convolution that tutorials train on MNIST: 32 channels 3×3, pooling, the
/// classes, and BN on the output. Names are `conv1, fc, bn`.
///
/// Behind the softmax, where tutorials print it, BN leaves values of any sign that sum to nothing in
/// particular: the loss is then that of `OutputKind.proportions`.
public struct OneConvolution: Hashable, Sendable {
    /// Where normalisation stands.
    public enum Placement: String, Hashable, Sendable, CaseIterable {
        /// On the logits, before the softmax.
        case before
        /// On the probabilities, behind the softmax; the product keeps its bias.
        case after
    }

    /// One input image, at least 4×4.
    public var input: ImageShape
    /// Classes.
    public var classes: Int
    /// Where normalisation stands.
    public var placement: Placement
    /// Batch normalisation of the output, or nil for none.
    public var normalization: BatchNormSettings?
    /// The share of values dropped before the dense layer.
    public var dropout: Double

    /// The network for these images.
    public init(
        input: ImageShape, classes: Int, placement: Placement = .before,
        normalization: BatchNormSettings? = BatchNormSettings(), dropout: Double = 0
    ) {
        self.dropout = dropout
        self.placement = placement
        self.input = input
        self.classes = classes
        self.normalization = normalization
    }

    /// The network it describes.
    public func specification() throws(ModelError) -> NetworkSpecification {
        var network = NetworkBuilder(
            "mnist-cnn", input: input, classes: classes, normalization: normalization)
        try network.convolution("conv1", channels: 32, kernel: 3, bias: true)
        try network.activation("relu")
        try network.add("pool", MaxPool(2))
        try network.dropout("dropout", rate: dropout)
        let isBehindSoftmax = normalization != nil && placement == .after
        try network.linear("fc", outputs: classes, bias: isBehindSoftmax ? true : nil)
        if isBehindSoftmax { try network.add("softmax", Softmax()) }
        try network.batchNorm("bn")
        return network.specification
    }
}
