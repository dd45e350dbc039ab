public import TensorCore

/// A named range of the flat parameter buffer.
public struct Parameter: Hashable, Sendable {
    /// What a parameter is, which decides over weight decay and initial values.
    public enum Role: Hashable, Sendable {
        /// Of a product: decays, and starts at random. `ordinal` counts the weighted layers.
        case weight(ordinal: Int)
        /// Added to a product; starts at 0.
        case bias
        /// A normalisation's γ; starts at 1.
        case scale
        /// A normalisation's β; starts at 0.
        case shift
    }

    /// The name in files, PyTorch's: `layers.0.weight`.
    public let name: String

    /// The shape in files, PyTorch's: `[out, in]`.
    public let shape: Shape

    /// What it is.
    public let role: Role

    /// Where it lies in the flat buffers.
    public let range: Range<Int>

    /// Whether the values lie in memory as the transpose, [in, out], of the file's [out, in]:
    /// inner products are faster that way (see `InnerProduct`).
    public var isTransposed: Bool {
        if case .weight = role { shape.dimensions.count == 2 } else { false }
    }

    /// Whether weight decay applies without being asked for.
    public var decays: Bool {
        if case .weight = role { true } else { false }
    }
}

/// The running statistics of one normalisation layer: `channels` means and as many variances.
public struct RunningStatistics: Hashable, Sendable {
    /// The name of the layer in files: `layers.1`.
    public let name: String

    /// Channels, C.
    public let channels: Int

    /// Where the running means lie in the flat statistics buffer.
    public let mean: Range<Int>

    /// Where the running variances lie in the flat statistics buffer.
    public let variance: Range<Int>
}

/// Where everything of a model lies in its flat buffers, and in which order files hold it.
///
/// Parameters whose gradients are summed over the tree come first, in `0 ..< reduced`, and of these
/// the products', whose gradients the workers of a rank sum up together; those whose
/// gradients every worker knows from its own collectives (γ and β of a layer normalised over the
/// whole batch) follow. Every parameter starts at a cache line.
public struct ModelLayout: Hashable, Sendable {
    /// One module's tensors, in the order of the file.
    public enum Entry: Hashable, Sendable {
        /// A weight, bias, γ or β.
        case parameter(Parameter)
        /// running_mean, running_var and num_batches_tracked.
        case statistics(RunningStatistics)
    }

    /// All tensors, modules in order; within one weight, bias, running statistics.
    public private(set) var entries: [Entry] = []

    /// Float32 values of the flat parameter and gradient buffers.
    public private(set) var length = 0

    /// Values at the front of the flat buffers whose gradients are summed over the tree.
    public private(set) var reduced = 0

    /// Values at the front of these that belong to products: weights and their biases.
    public private(set) var products = 0

    /// Float32 values of the flat statistics buffer.
    public private(set) var statisticsLength = 0

    /// A tensor that a model declares.
    public enum Declaration: Sendable {
        /// A parameter; `isReduced` says whether its gradient is summed over the tree.
        case parameter(name: String, shape: Shape, role: Parameter.Role, isReduced: Bool)
        /// Running statistics of layer `name`.
        case statistics(name: String, channels: Int)
    }

    /// Lays out what a model declares, in file order.
    public init(_ declarations: [Declaration]) {
        func aligned(_ count: Int) -> Int { (count + 15) / 16 * 16 }
        // Products first, then what else is reduced, then the rest.
        func region(_ role: Parameter.Role, _ isReduced: Bool) -> Int {
            switch role {
            case .weight, .bias: isReduced ? 0 : 2
            case .scale, .shift: isReduced ? 1 : 2
            }
        }
        var ends = [0, 0, 0]
        for case .parameter(_, let shape, let role, let isReduced) in declarations {
            ends[region(role, isReduced)] += aligned(shape.count)
        }
        products = ends[0]
        reduced = ends[0] + ends[1]
        length = reduced + ends[2]
        var next = [0, products, reduced]
        for declaration in declarations {
            switch declaration {
            case .parameter(let name, let shape, let role, let isReduced):
                let start = next[region(role, isReduced)]
                entries.append(
                    .parameter(
                        Parameter(
                            name: name, shape: shape, role: role,
                            range: start..<start + shape.count)))
                next[region(role, isReduced)] += aligned(shape.count)
            case .statistics(let name, let channels):
                let start = statisticsLength
                let second = start + aligned(channels)
                entries.append(
                    .statistics(
                        RunningStatistics(
                            name: name, channels: channels, mean: start..<start + channels,
                            variance: second..<second + channels)))
                statisticsLength = second + aligned(channels)
            }
        }
    }

    /// All parameters, in file order.
    public var parameters: [Parameter] {
        entries.compactMap { if case .parameter(let parameter) = $0 { parameter } else { nil } }
    }

    /// All running statistics, in file order.
    public var statistics: [RunningStatistics] {
        entries.compactMap { if case .statistics(let entry) = $0 { entry } else { nil } }
    }

    /// The number of trainable values, as papers count them.
    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.shape.count } }

    /// The parameter named `name`.
    public func parameter(_ name: String) -> Parameter? { parameters.first { $0.name == name } }
}
