public import Kernels
import Layers
public import Normalization
public import TensorCore

/// Writes down a network module by module, each taking what the one before it gave.
public struct NetworkBuilder {
    /// A value and its extent: what a module gave.
    public struct Value {
        /// Its number; see `NetworkSpecification.Node`.
        public let number: Int
        /// Its extent; 1×1 for values without positions.
        public let shape: ImageShape
    }

    /// What the last module gave.
    public private(set) var value: Value

    private let name: String
    private let input: ImageShape
    private let classes: Int
    private let normalization: BatchNormSettings?
    private var nodes: [NetworkSpecification.Node] = []

    /// A network of nothing yet.
    ///
    /// - Parameter normalization: nil for none: batch normalisations are then left out, and
    ///   convolutions and products before them have biases.
    public init(
        _ name: String, input: ImageShape, classes: Int, normalization: BatchNormSettings?
    ) {
        self.name = name
        self.input = input
        self.classes = classes
        self.normalization = normalization
        value = Value(number: 0, shape: input)
    }

    /// The network.
    public var specification: NetworkSpecification {
        NetworkSpecification(
            name: name, input: input, classes: classes, nodes: nodes,
            normalization: normalization ?? BatchNormSettings())
    }

    /// Whether there is normalisation: what stands before one needs no bias.
    public var isNormalized: Bool { normalization != nil }

    /// Goes on from an earlier value.
    public mutating func goOn(from value: Value) { self.value = value }

    private mutating func append(
        _ name: String, _ module: NetworkSpecification.Module, shape: ImageShape,
        addend: Value? = nil
    ) {
        nodes.append(
            .init(name: name, module: module, input: value.number, addend: addend?.number))
        value = Value(number: nodes.count, shape: shape)
    }

    /// A square convolution.
    ///
    /// - Parameter bias: nil for one exactly where no normalisation follows.
    /// - Throws: `ModelError`, where the kernel does not fit.
    public mutating func convolution(
        _ name: String, channels: Int, kernel: Int, stride: Int = 1, padding: Int = 0,
        groups: Int = 1, bias: Bool? = nil
    ) throws(ModelError) {
        let image = value.shape
        guard
            min(image.height, image.width) + 2 * padding >= kernel
        else {
            throw .imageTooSmall(model: self.name, layer: name, input: input, reaching: image)
        }
        guard image.channels % groups == 0 && channels % groups == 0 else {
            throw .channelsDoNotDivide(
                layer: name, input: image.channels, output: channels, groups: groups)
        }
        let shape = ConvolutionShape(
            inputHeight: image.height, inputWidth: image.width, inputChannels: image.channels,
            outputChannels: channels, kernelHeight: kernel, kernelWidth: kernel,
            strideHeight: stride, strideWidth: stride, paddingHeight: padding,
            paddingWidth: padding, groups: groups)
        append(
            name,
            .convolution(shape, Convolution.weightLayout(shape), bias: bias ?? !isNormalized),
            shape: ImageShape(
                height: shape.outputHeight, width: shape.outputWidth, channels: channels))
    }

    /// Batch normalisation, unless there is none.
    public mutating func batchNorm(_ name: String, startsAtZero: Bool = false) {
        guard isNormalized else { return }
        append(
            name,
            .batchNorm(
                channels: value.shape.channels, positions: value.shape.positions,
                startsAtZero: startsAtZero), shape: value.shape)
    }

    /// An activation, of the sum with `addend` if there is one.
    public mutating func activation(
        _ name: String, _ kind: ActivationKind = .relu, adding addend: Value? = nil
    ) {
        precondition(addend.map { $0.shape == value.shape } ?? true, "summands are of one shape")
        append(
            name,
            .activation(
                kind, channels: value.shape.channels, positions: value.shape.positions),
            shape: value.shape, addend: addend)
    }

    /// The largest value of each square window; windows lie side by side without a `stride`.
    ///
    /// - Throws: `ModelError.imageTooSmall` where no window fits.
    public mutating func maxPool(
        _ name: String, size: Int, stride: Int? = nil, padding: Int = 0
    ) throws(ModelError) {
        let shape = try window(name, size, stride, padding)
        append(name, .maxPool(shape), shape: shape.output)
    }

    /// The mean of each square window, padding counted as zeros.
    ///
    /// - Throws: `ModelError.imageTooSmall` where no window fits.
    public mutating func averagePool(
        _ name: String, size: Int, stride: Int? = nil, padding: Int = 0
    ) throws(ModelError) {
        let shape = try window(name, size, stride, padding)
        append(name, .averagePool(shape), shape: shape.output)
    }

    private func window(
        _ layer: String, _ size: Int, _ stride: Int?, _ padding: Int
    ) throws(ModelError) -> PoolingShape {
        let image = value.shape
        guard min(image.height, image.width) + 2 * padding >= size else {
            throw .imageTooSmall(model: name, layer: layer, input: input, reaching: image)
        }
        let stride = stride ?? size
        return PoolingShape(
            inputHeight: image.height, inputWidth: image.width, channels: image.channels,
            kernelHeight: size, kernelWidth: size, strideHeight: stride, strideWidth: stride,
            paddingHeight: padding, paddingWidth: padding)
    }

    /// The mean of each channel.
    public mutating func globalAveragePool(_ name: String) {
        append(
            name, .globalAveragePool(value.shape),
            shape: ImageShape(height: 1, width: 1, channels: value.shape.channels))
    }

    /// A shortcut without parameters to a narrower, wider image.
    public mutating func paddedShortcut(_ name: String, channels: Int, stride: Int) {
        append(
            name, .paddedShortcut(value.shape, channels: channels, stride: stride),
            shape: PaddedShortcut.output(of: value.shape, channels: channels, stride: stride))
    }

    /// Probabilities of the classes, for what follows them; a loss of logits needs none.
    public mutating func softmax(_ name: String) {
        precondition(value.shape.positions == 1, "classes have no positions")
        append(name, .softmax(classes: value.shape.channels), shape: value.shape)
    }

    /// Dropout, unless `rate` is 0.
    public mutating func dropout(_ name: String, rate: Double) {
        guard rate > 0 else { return }
        append(
            name,
            .dropout(
                rate: rate, channels: value.shape.channels, positions: value.shape.positions),
            shape: value.shape)
    }

    /// A fully connected layer over all values, an image flattened as PyTorch would.
    ///
    /// - Parameter bias: nil for one exactly where no normalisation follows.
    public mutating func linear(_ name: String, outputs: Int, bias: Bool? = nil) {
        append(
            name,
            .linear(
                inputs: value.shape.count, outputs: outputs, bias: bias ?? !isNormalized,
                positions: value.shape.positions),
            shape: ImageShape(height: 1, width: 1, channels: outputs))
    }
}

extension PoolingShape {
    fileprivate var output: ImageShape {
        ImageShape(height: outputHeight, width: outputWidth, channels: channels)
    }
}
