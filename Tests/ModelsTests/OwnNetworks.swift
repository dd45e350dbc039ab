import Kernels
import Layers
import Models
import Normalization
import TensorCore

/// Small networks with what is easily done wrong. All but those for the first layer begin with a
/// module that changes nothing, so that every layer behind it computes dx.
enum OwnNetworks {
    typealias Build = @Sendable (inout NetworkBuilder) throws -> Void

    /// A network of what `build` writes down.
    static func network(
        _ name: String, _ input: ImageShape, settings: BatchNormSettings? = BatchNormSettings(),
        isFirst: Bool = false, _ build: Build
    ) throws -> NetworkSpecification {
        func builder(_ outputs: Int) -> NetworkBuilder {
            NetworkBuilder(name, input: input, classes: outputs, normalization: settings)
        }
        var network = builder(1)
        if !isFirst { try network.activation("start", .identity) }
        try build(&network)
        let (built, outputs) = (network.specification, network.value.shape.count)
        return NetworkSpecification(
            name: name, input: input, classes: outputs, nodes: built.nodes)
    }

    /// One convolution, of any geometry.
    static func convolution(_ shape: ConvolutionShape, bias: Bool) throws -> NetworkSpecification {
        let input = ImageShape(
            height: shape.inputHeight, width: shape.inputWidth, channels: shape.inputChannels)
        return NetworkSpecification(
            name: "convolution", input: input, classes: shape.outputCount,
            nodes: [
                .init(name: "start", module: Activation(.identity), input: 0),
                .init(name: "conv", module: Conv(shape, bias: bias), input: 1),
            ])
    }

    /// H ≠ W, channels that are no multiple of 16, strides, padding, dilation, groups, single pixels.
    static let convolutions: [ConvolutionShape] = [
        .init(
            inputHeight: 5, inputWidth: 8, inputChannels: 5, outputChannels: 7, kernelHeight: 3,
            kernelWidth: 3, strideHeight: 2, strideWidth: 2, paddingHeight: 1, paddingWidth: 1),
        .init(
            inputHeight: 1, inputWidth: 1, inputChannels: 18, outputChannels: 33, kernelHeight: 1,
            kernelWidth: 1),
        .init(
            inputHeight: 1, inputWidth: 1, inputChannels: 16, outputChannels: 32, kernelHeight: 3,
            kernelWidth: 3, paddingHeight: 1, paddingWidth: 1),
        .init(
            inputHeight: 6, inputWidth: 4, inputChannels: 6, outputChannels: 9, kernelHeight: 3,
            kernelWidth: 2, paddingHeight: 1, groups: 3),
        .init(
            inputHeight: 4, inputWidth: 7, inputChannels: 17, outputChannels: 34, kernelHeight: 3,
            kernelWidth: 3, paddingHeight: 1, paddingWidth: 1, groups: 17),
        .init(
            inputHeight: 9, inputWidth: 6, inputChannels: 4, outputChannels: 20, kernelHeight: 3,
            kernelWidth: 3, paddingHeight: 2, paddingWidth: 2, dilationHeight: 2, dilationWidth: 2),
        .init(
            inputHeight: 7, inputWidth: 10, inputChannels: 16, outputChannels: 16, kernelHeight: 5,
            kernelWidth: 1, strideHeight: 2, strideWidth: 3, paddingHeight: 2),
        .init(
            inputHeight: 6, inputWidth: 9, inputChannels: 48, outputChannels: 32, kernelHeight: 1,
            kernelWidth: 1, strideHeight: 2, strideWidth: 2),
        .init(
            inputHeight: 9, inputWidth: 7, inputChannels: 1, outputChannels: 6, kernelHeight: 5,
            kernelWidth: 5),
        .init(
            inputHeight: 8, inputWidth: 6, inputChannels: 3, outputChannels: 16, kernelHeight: 3,
            kernelWidth: 3, paddingHeight: 1, paddingWidth: 1),
    ]

    /// The network named so.
    static func named(_ name: String) throws -> NetworkSpecification {
        if let base = noisy[name] {
            return try named(base).addingNoise(.init(mean: 0.5, deviation: 1.25, spread: 0.1))
        }
        if let (base, settings) = sampleNormalized[name] {
            return try named(base).normalizingSamples(settings)
        }
        if let (base, names) = frozen[name] {
            var network = try named(base)
            network.frozen = names
            return network
        }
        guard let (input, settings, build) = all[name] else { preconditionFailure("no \(name)") }
        return try network(
            name, input, settings: settings, isFirst: name.hasPrefix("first"), build)
    }

    static let names =
        (Array(all.keys) + Array(sampleNormalized.keys) + Array(noisy.keys)
        + Array(frozen.keys)).sorted()

    /// Networks of which some BNs use their running statistics, by those of which none does.
    private static let frozen = [
        "frozen": ("norm", ["bn"]), "frozen add relu": ("norm-add-relu", ["bn"]),
        "a frozen and two other norms": ("norms in a row", ["bn2"]),
        "a frozen block": ("block-projection", ["bn1", "bn2", "downsample.1"]),
        "a frozen value, two readers": ("a normalised value, two readers", ["bn1"]),
        "first a frozen norm": ("first a norm", ["bn1"]),
        "half a frozen chain": ("residual chain", ["0", "1.bn2"]),
    ]

    /// Networks with noise behind their BNs, by those without.
    private static let noisy = [
        "noise": "norm", "noise, flat": "norm-flat-36", "noise behind a sum": "norm-add-relu",
        "noise in a block": "block-projection", "noise in a chain": "residual chain",
        "first a noise": "first a norm",
    ]

    /// Networks that normalise each sample by itself, by those with BN in their places.
    private static let sampleNormalized: [String: (String, GroupNormSettings)] = [
        "layer-norm": ("norm", .init(.layer)),
        "layer-norm-flat": ("norm-flat", .init(.layer)),
        "instance-norm": ("norm-7", .init(.instance)),
        "group-norm": ("norm-20", .init(.groups(6))),
        "group-norm-32": ("norm-64", .init(.groups(2))),
        "group-norm-flat": ("norm-flat-36", .init(.groups(4))),
        "group-norm-add-relu": ("norm-add-relu", .init(.groups(3))),
        "layer-norm-add-relu": ("norm-add-relu", .init(.layer)),
        "block-identity-instance": ("block-identity", .init(.instance)),
        "block-projection-group": ("block-projection", .init(.groups(5))),
        "block-A-layer": ("block-A", .init(.layer)),
        "groups of one value, two readers": (
            "a normalised value, two readers", .init(.groups(5), epsilon: 1e-3)
        ),
        "one value, two readers, layer": ("one value, two readers", .init(.layer)),
        "group norms in a row": ("norms in a row", .init(.groups(2))),
        "first a layer norm": ("first a norm", .init(.layer)),
        "residual chain of groups": ("residual chain", .init(.groups(2))),
        "residual chain, option A, no γ": (
            "residual chain, option A", .init(.instance, affine: false)
        ),
    ]

    /// The residual block of `make_network_fixtures.py`.
    private static func block(
        _ network: inout NetworkBuilder, channels: Int, stride: Int, _ shortcut: ResNet.Shortcut
    ) throws {
        let first = network.value
        try network.convolution("conv1", channels: channels, kernel: 3, stride: stride, padding: 1)
        try network.batchNorm("bn1")
        try network.activation("relu1")
        try network.convolution("conv2", channels: channels, kernel: 3, padding: 1)
        try network.batchNorm("bn2")
        let main = network.value
        network.goOn(from: first)
        if stride > 1 && shortcut == .padding {
            try network.add("shortcut", PaddedShortcut(channels, stride: stride))
        } else if stride > 1 {
            try network.convolution("downsample.0", channels: channels, kernel: 1, stride: stride)
            try network.batchNorm("downsample.1")
        }
        let addend = network.value
        network.goOn(from: main)
        try network.activation("relu2", adding: addend)
    }

    private static func norm(_ network: inout NetworkBuilder) throws {
        try network.batchNorm("bn")
        try network.activation("tanh", .tanh)
    }

    private static func image(_ height: Int, _ width: Int, _ channels: Int) -> ImageShape {
        ImageShape(height: height, width: width, channels: channels)
    }

    private static let all: [String: (ImageShape, BatchNormSettings?, Build)] = [
        "max-pool": (
            image(7, 5, 19), nil, { try $0.add("pool", MaxPool(3, stride: 2, padding: 1)) }
        ),
        "max-pool-2": (image(5, 6, 16), nil, { try $0.add("pool", MaxPool(2)) }),
        "relu before max-pool": (
            image(7, 5, 19), nil,
            {
                try $0.activation("relu")
                try $0.add("pool", MaxPool(3, stride: 2, padding: 1))
            }
        ),
        "relu before max-pool and a sum": (
            image(4, 6, 5), nil,
            {
                try $0.activation("relu")
                let rectified = $0.value
                try $0.add("pool", MaxPool(3, stride: 1, padding: 1))
                try $0.activation("sum", .identity, adding: rectified)
            }
        ),
        "max-pool behind a convolution": (
            image(11, 12, 3), nil,
            {
                try $0.convolution("conv", channels: 4, kernel: 5, bias: true)
                try $0.add("pool", MaxPool(2))
            }
        ),
        "relu and max-pool behind convolutions": (
            image(19, 18, 3), nil,
            {
                try $0.convolution("conv1", channels: 6, kernel: 5, bias: true)
                try $0.activation("relu1")
                try $0.add("pool1", MaxPool(2))
                try $0.convolution("conv2", channels: 5, kernel: 5, padding: 1, bias: false)
                try $0.activation("relu2")
                try $0.add("pool2", MaxPool(2))
            }
        ),
        "max-pool and a sum behind a convolution": (
            image(6, 7, 3), nil,
            {
                try $0.convolution("conv", channels: 3, kernel: 5, padding: 2, bias: true)
                let convolved = $0.value
                try $0.add("pool", MaxPool(3, stride: 1, padding: 1))
                try $0.activation("sum", .identity, adding: convolved)
            }
        ),
        "average-pool": (
            image(6, 7, 5), nil, { try $0.add("pool", AveragePool(3, stride: 2, padding: 1)) }
        ),
        "global-average-pool": (image(3, 5, 21), nil, { try $0.add("pool", GlobalAveragePool()) }),
        "padded shortcut": (
            image(5, 6, 3), nil, { try $0.add("shortcut", PaddedShortcut(8, stride: 2)) }
        ),
        "dropout": (
            image(3, 2, 5), nil,
            {
                try $0.dropout("dropout1", rate: 0.25)
                try $0.dropout("dropout2", rate: 0.5)
            }
        ),
        "flatten": (
            image(3, 2, 5), nil,
            {
                try $0.linear("fc1", outputs: 7)
                try $0.activation("tanh", .tanh)
                try $0.linear("fc2", outputs: 3)
            }
        ),
        "prelu": (
            image(4, 3, 5), nil,
            {
                try $0.add("prelu1", PReLU())
                try $0.add("prelu2", PReLU(perChannel: true))
            }
        ),
        "prelu behind a norm, two readers": (
            image(5, 6, 3), BatchNormSettings(),
            {
                try $0.convolution("conv1", channels: 6, kernel: 3, padding: 1)
                try $0.batchNorm("bn1")
                try $0.add("prelu1", PReLU(perChannel: true))
                let shared = $0.value
                try $0.convolution("conv2", channels: 6, kernel: 3, padding: 1)
                try $0.activation("tanh", .tanh, adding: shared)
                try $0.linear("fc", outputs: 3)
            }
        ),
        "first a prelu": (
            image(1, 1, 9), nil,
            {
                try $0.add("prelu", PReLU())
                try $0.linear("fc", outputs: 4)
            }
        ),
        "softmax": (image(1, 1, 19), nil, { try $0.add("softmax", Softmax()) }),
        "a norm behind softmax": (
            image(1, 1, 7), BatchNormSettings(),
            {
                try $0.linear("fc", outputs: 5, bias: true)
                try $0.add("softmax", Softmax())
                try $0.batchNorm("bn")
            }
        ),
        "norm-add-relu": (
            image(4, 3, 18), BatchNormSettings(),
            {
                let first = $0.value
                try $0.batchNorm("bn")
                try $0.activation("relu", adding: first)
            }
        ),
        "norm": (image(4, 3, 18), BatchNormSettings(), { try norm(&$0) }),
        "norm-7": (image(5, 3, 7), BatchNormSettings(), { try norm(&$0) }),
        "norm-20": (image(4, 5, 18), BatchNormSettings(), { try norm(&$0) }),
        "norm-64": (image(3, 3, 64), BatchNormSettings(), { try norm(&$0) }),
        "norm-flat": (image(1, 1, 37), BatchNormSettings(), { try norm(&$0) }),
        "norm-flat-36": (image(1, 1, 36), BatchNormSettings(), { try norm(&$0) }),
        "block-identity": (
            image(5, 6, 17), BatchNormSettings(),
            { try block(&$0, channels: 17, stride: 1, .projection) }
        ),
        "block-projection": (
            image(5, 6, 6), BatchNormSettings(),
            { try block(&$0, channels: 20, stride: 2, .projection) }
        ),
        "block-A": (
            image(5, 6, 6), BatchNormSettings(),
            { try block(&$0, channels: 20, stride: 2, .padding) }
        ),
        "add + tanh, not normalised": (
            image(4, 3, 5), nil,
            {
                let first = $0.value
                try $0.convolution("conv", channels: 5, kernel: 3, padding: 1)
                try $0.activation("tanh", .tanh, adding: first)
                try $0.linear("fc", outputs: 4)
            }
        ),
        "one value, two readers": (
            image(5, 4, 3), BatchNormSettings(),
            {
                try $0.convolution("conv1", channels: 6, kernel: 3, padding: 1)
                let shared = $0.value
                try $0.convolution("conv2", channels: 6, kernel: 3, padding: 1)
                try $0.batchNorm("bn2")
                try $0.activation("tanh", .tanh, adding: shared)
                try $0.add("pool", AveragePool(2))
                try $0.linear("fc", outputs: 3, bias: true)
            }
        ),
        "a normalised value, two readers": (
            image(4, 5, 4), BatchNormSettings(),
            {
                try $0.convolution("conv1", channels: 5, kernel: 3, padding: 1)
                try $0.batchNorm("bn1")
                let shared = $0.value
                try $0.convolution("conv2", channels: 5, kernel: 3, padding: 1)
                try $0.batchNorm("bn2")
                try $0.activation("tanh", .tanh, adding: shared)
                try $0.add("pool", GlobalAveragePool())
                try $0.linear("fc", outputs: 3, bias: true)
            }
        ),
        "values of four readers, normalised and not": (
            image(4, 5, 4), BatchNormSettings(),
            {
                try $0.convolution("conv1", channels: 5, kernel: 3, padding: 1)
                let plain = $0.value
                try $0.batchNorm("bn1")
                let normal = $0.value
                var sum = normal
                for (number, source) in [(2, normal), (3, normal), (4, normal), (5, plain)] {
                    $0.goOn(from: source)
                    try $0.convolution("conv\(number)", channels: 5, kernel: 3, padding: 1)
                    try $0.activation("tanh\(number)", .tanh, adding: sum)
                    sum = $0.value
                }
                try $0.activation("tanh", .tanh, adding: plain)
                try $0.linear("fc", outputs: 3, bias: true)
            }
        ),
        "norms in a row": (
            image(3, 3, 6), BatchNormSettings(),
            {
                try $0.batchNorm("bn1")
                try $0.batchNorm("bn2")
                try $0.activation("tanh", .tanh)
                try $0.batchNorm("bn3")
            }
        ),
        "first a norm": (
            image(4, 3, 7), BatchNormSettings(),
            {
                try $0.batchNorm("bn1")
                try $0.activation("tanh", .tanh)
                try $0.convolution("conv", channels: 4, kernel: 3)
                try $0.linear("fc", outputs: 3, bias: true)
            }
        ),
        "first a convolution": (
            image(6, 5, 3), BatchNormSettings(),
            {
                try $0.convolution("conv", channels: 16, kernel: 3, stride: 2, padding: 1)
                try $0.batchNorm("bn")
                try $0.activation("relu")
                try $0.linear("fc", outputs: 3, bias: true)
            }
        ),
        "residual chain": (image(6, 6, 4), BatchNormSettings(), { try chain(&$0, .projection) }),
        "residual chain, option A": (
            image(6, 5, 4), BatchNormSettings(), { try chain(&$0, .padding) }
        ),
        "residual chain in groups": (
            image(5, 6, 4), BatchNormSettings(scope: .group(2)), { try chain(&$0, .projection) }
        ),
        "residual chain, not normalised": (image(6, 5, 4), nil, { try chain(&$0, .padding) }),
    ]

    /// Three blocks: identity, one that halves the image, identity.
    private static func chain(
        _ network: inout NetworkBuilder, _ shortcut: ResNet.Shortcut
    ) throws {
        for (number, (channels, stride)) in [(4, 1), (10, 2), (10, 1)].enumerated() {
            let first = network.value
            try network.convolution(
                "\(number).conv1", channels: channels, kernel: 3, stride: stride, padding: 1)
            try network.batchNorm("\(number).bn1")
            try network.activation("\(number).tanh1", .tanh)
            try network.convolution("\(number).conv2", channels: channels, kernel: 3, padding: 1)
            try network.batchNorm("\(number).bn2")
            let main = network.value
            network.goOn(from: first)
            if stride > 1 && shortcut == .padding {
                try network.add("\(number).shortcut", PaddedShortcut(channels, stride: stride))
            } else if stride > 1 {
                try network.convolution(
                    "\(number).downsample.0", channels: channels, kernel: 1, stride: stride)
                try network.batchNorm("\(number).downsample.1")
            }
            let addend = network.value
            network.goOn(from: main)
            try network.activation("\(number).tanh2", .tanh, adding: addend)
        }
        try network.add("pool", GlobalAveragePool())
        try network.linear("fc", outputs: 3, bias: true)
    }
}
