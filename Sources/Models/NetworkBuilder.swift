public import Kernels
public import Layers
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
        NetworkSpecification(name: name, input: input, classes: classes, nodes: nodes)
    }

    /// Whether there is normalisation: what stands before one needs no bias.
    public var isNormalized: Bool { normalization != nil }

    /// Goes on from an earlier value.
    public mutating func goOn(from value: Value) { self.value = value }

    /// Adds a module, of the sum with `addend` if there is one.
    ///
    /// - Throws: `ModelError` where it cannot take what the last one gave.
    public mutating func add(
        _ name: String, _ module: some Module, adding addend: Value? = nil
    ) throws(ModelError) {
        precondition(addend.map { $0.shape == value.shape } ?? true, "summands are of one shape")
        let shape: ImageShape
        do {
            shape = try module.output(of: value.shape)
        } catch {
            throw ModelError(error, layer: name, model: self.name, input: input)
        }
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
        try add(
            name,
            Conv(
                channels, kernel: kernel, stride: stride, padding: padding, groups: groups,
                bias: bias ?? !isNormalized))
    }

    /// Batch normalisation, unless there is none.
    public mutating func batchNorm(
        _ name: String, startsAtZero: Bool = false
    ) throws(ModelError) {
        guard let normalization else { return }
        try add(name, BatchNorm(normalization, startsAtZero: startsAtZero))
    }

    /// An activation, of the sum with `addend` if there is one.
    public mutating func activation(
        _ name: String, _ kind: ActivationKind = .relu, adding addend: Value? = nil
    ) throws(ModelError) {
        try add(name, Activation(kind), adding: addend)
    }

    /// Dropout, unless `rate` is 0.
    public mutating func dropout(_ name: String, rate: Double) throws(ModelError) {
        if rate > 0 { try add(name, Dropout(rate)) }
    }

    /// A fully connected layer over all values, an image flattened as PyTorch would.
    ///
    /// - Parameter bias: nil for one exactly where no normalisation follows.
    public mutating func linear(
        _ name: String, outputs: Int, bias: Bool? = nil
    ) throws(ModelError) {
        try add(name, Linear(outputs, bias: bias ?? !isNormalized))
    }
}
