import Layers
public import TensorCore

/// Why a model cannot be built for a data set.
public enum ModelError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What reaches `layer` is smaller than its window.
    case imageTooSmall(model: String, layer: String, input: ImageShape, reaching: ImageShape)

    /// A grouped convolution's channels do not divide by its groups.
    case channelsDoNotDivide(layer: String, input: Int, output: Int, groups: Int)

    /// A normalisation's channels do not divide by its groups; `largest` is the largest number of
    /// groups up to `groups` that all of the network's do.
    case groupsDoNotDivide(layer: String, channels: Int, groups: Int, largest: Int)

    /// A normalisation of each sample by itself would have one value to take statistics of.
    case singleValueGroup(layer: String, groups: Int)

    /// Nothing in the network has a name that begins so; `names` are the first parts of those that
    /// there are.
    case nothingToFreeze(prefix: String, names: [String])

    /// No parameter has the entry that a probe is to follow; `parameters` have these names and shapes.
    case noWeight(coordinate: String, parameters: [String])

    /// One line: what and where. A program adds which of its settings mends it.
    public var description: String {
        switch self {
        case .nothingToFreeze(let prefix, let names):
            "no parameter's name begins with \"\(prefix)\"; those of this network begin with "
                + names.joined(separator: ", ")
        case .noWeight(let coordinate, let parameters):
            "the network has no weight \"\(coordinate)\"; its parameters are "
                + parameters.joined(separator: ", ")
        case .imageTooSmall(let model, let layer, let input, let reaching):
            "\(model) needs larger images: of \(input) only \(reaching) reach \(layer), less than "
                + "its window"
        case .channelsDoNotDivide(let layer, let input, let output, let groups):
            "\(layer) convolves \(input) into \(output) channels in \(groups) groups; "
                + "both must divide by the groups"
        case .groupsDoNotDivide(let layer, let channels, let groups, _):
            "\(layer) has \(channels) channels, which do not divide into \(groups) groups"
        case .singleValueGroup(let layer, let groups):
            "\(layer) has one value in \(groups == 1 ? "the group" : "each of its \(groups) groups") "
                + "of a sample, and would give its shift whatever that is: instance normalisation needs images (H·W > 1), group "
                + "normalisation fewer groups"
        }
    }
}

extension ModelError {
    /// What a module said, of layer `layer` of a model.
    init(_ error: ModuleError, layer: String, model: String, input: ImageShape) {
        switch error {
        case .windowIsLarger(let image):
            self = .imageTooSmall(model: model, layer: layer, input: input, reaching: image)
        case .channelsDoNotDivide(let channels, let output, let groups):
            self = .channelsDoNotDivide(
                layer: layer, input: channels, output: output, groups: groups)
        case .groupsDoNotDivide(let channels, let groups):
            self = .groupsDoNotDivide(
                layer: layer, channels: channels, groups: groups, largest: 1)
        case .singleValueGroup(let groups):
            self = .singleValueGroup(layer: layer, groups: groups)
        }
    }

    init(_ error: ModuleError, layer: String, of network: NetworkSpecification) {
        self.init(error, layer: layer, model: network.name, input: network.input)
    }
}
