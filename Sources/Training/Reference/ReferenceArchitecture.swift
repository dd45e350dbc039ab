/// The network that a `ReferenceTrainer` trains: Linear, with BatchNorm and an activation after all
/// but the last.
public struct ReferenceArchitecture: Equatable, Sendable {
    /// Where BatchNorm stands.
    public enum Placement: String, Sendable {
        /// Linear (without bias), BatchNorm, activation.
        case before
        /// Linear, activation, BatchNorm.
        case after
    }

    /// How BatchNorm normalizes.
    public struct Normalization: Equatable, Sendable {
        /// Where it stands.
        public var placement: Placement
        /// ε, added to the variance.
        public var epsilon: Double
        /// The weight of the new value in the running statistics; nil for their plain average.
        public var momentum: Double?
        /// Whether the running variance takes m/(m−1) times a group's variance.
        public var runningVarianceIsUnbiased: Bool
        /// Whether there are a scale and a shift to learn.
        public var isAffine: Bool

        /// BatchNorm with PyTorch's defaults.
        public init(
            placement: Placement = .before, epsilon: Double = 1e-5, momentum: Double? = 0.1,
            runningVarianceIsUnbiased: Bool = true, isAffine: Bool = true
        ) {
            self.placement = placement
            self.epsilon = epsilon
            self.momentum = momentum
            self.runningVarianceIsUnbiased = runningVarianceIsUnbiased
            self.isAffine = isAffine
        }
    }

    /// Values in a sample, units of each hidden layer, classes.
    public var widths: [Int]
    /// The activation of the hidden layers.
    public var activation: ReferenceActivation
    /// How hidden layers are normalized; nil for not at all.
    public var normalization: Normalization?

    /// A network of these widths.
    public init(
        widths: [Int], activation: ReferenceActivation, normalization: Normalization?
    ) {
        precondition(widths.count >= 2, "a network has at least inputs and outputs")
        self.widths = widths
        self.activation = activation
        self.normalization = normalization
    }

    /// A module of the network, numbered as in `nn.Sequential`.
    enum Module: Equatable {
        case linear(inputs: Int, outputs: Int, hasBias: Bool)
        case batchNorm(channels: Int)
        case activation
    }

    /// The modules, in order.
    var modules: [Module] {
        var modules: [Module] = []
        for (layer, (inputs, outputs)) in zip(widths, widths.dropFirst()).enumerated() {
            let isHidden = layer < widths.count - 2
            let placement = isHidden ? normalization?.placement : nil
            // BatchNorm subtracts the mean: a bias right before it would have no effect.
            modules.append(
                .linear(inputs: inputs, outputs: outputs, hasBias: placement != .before))
            if placement == .before { modules.append(.batchNorm(channels: outputs)) }
            if isHidden { modules.append(.activation) }
            if placement == .after { modules.append(.batchNorm(channels: outputs)) }
        }
        return modules
    }

    /// The parameters' names, such as `layers.0.weight`, and value counts, in order.
    public var parameters: [(name: String, count: Int)] {
        modules.enumerated().flatMap { index, module -> [(name: String, count: Int)] in
            let weight = "layers.\(index).weight"
            let bias = "layers.\(index).bias"
            switch module {
            case .linear(let inputs, let outputs, let hasBias):
                return [(weight, inputs * outputs)] + (hasBias ? [(bias, outputs)] : [])
            case .batchNorm(let channels):
                return normalization?.isAffine == true
                    ? [(weight, channels), (bias, channels)] : []
            case .activation: return []
            }
        }
    }
}
