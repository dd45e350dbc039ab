public import Kernels
public import TensorCore

/// A named range of the flat parameter buffer.
public struct Parameter: Hashable, Sendable {
    /// What a parameter is, which decides over weight decay and initial values.
    public enum Role: Hashable, Sendable {
        /// Of a product: decays, and starts at random.
        case weight
        /// Added to a product; starts at 0.
        case bias
        /// A normalisation's γ; starts at 1.
        case scale
        /// A normalisation's β; starts at 0.
        case shift
        /// Of another module, such as an activation's slope; starts where that one says.
        case other
    }

    /// The name in files, PyTorch's: `layers.0.weight`.
    public let name: String

    /// The shape in files, PyTorch's: `[out, in]`.
    public let shape: Shape

    /// What it is.
    public let role: Role

    /// How many weights stand before it in the network: what draws its values, if it is one.
    public let ordinal: Int

    /// What all of its values start at, if it is no weight.
    public let start: Float

    /// Where it lies in the flat buffers; longer than the shape where the storage pads.
    public let range: Range<Int>

    /// How its values lie there.
    public let storage: Storage

    /// How a parameter's values lie in memory.
    public enum Storage: Hashable, Sendable {
        /// As in files.
        case plain
        /// A product's [in, out] for the file's [out, in]: inner products are faster that way (see
        /// `InnerProduct`). Behind an image the file counts inputs in the order C, H, W, memory in
        /// H, W, C; `positions` is H·W, 1 for other inputs.
        case transposed(positions: Int)
        /// The same in panels of 64 outputs, [out/64, in, 64]: threads that compute different
        /// outputs share no cache line of it. See `InputLinear`.
        case panels(positions: Int)
        /// As a convolution's passes take it.
        case blocked(WeightLayout)
    }

    /// Where value `index` of the file lies, from the front of `range`.
    public func memoryIndex(ofFileIndex index: Int) -> Int {
        switch storage {
        case .plain: return index
        case .transposed(let positions):
            let (output, input) = place(ofFileIndex: index, positions)
            return input * shape[0] + output
        case .panels(let positions):
            let (output, input) = place(ofFileIndex: index, positions)
            let width = panelWidth
            return (output / width * shape[1] + input) * width + output % width
        case .blocked(let layout): return layout.offset(ofFileIndex: index)
        }
    }

    /// The output and the input, counted as in memory, of value `index` of a product's weight.
    private func place(ofFileIndex index: Int, _ positions: Int) -> (output: Int, input: Int) {
        let inputs = shape[1]
        let (channel, position) = (index % inputs / positions, index % inputs % positions)
        return (index / inputs, position * (inputs / positions) + channel)
    }

    /// Its values in a flat buffer laid out like the parameters, in the layout of files.
    package func inFileLayout(from flat: UnsafePointer<Float>) -> [Float] {
        let memory = flat + range.lowerBound
        return (0..<shape.count).map { memory[memoryIndex(ofFileIndex: $0)] }
    }

    /// Sets its values in such a buffer from those in the layout of files.
    package func set(_ values: [Float], in flat: UnsafeMutablePointer<Float>) {
        precondition(values.count == shape.count, "a parameter keeps its shape")
        let memory = flat + range.lowerBound
        for (index, value) in values.enumerated() {
            memory[memoryIndex(ofFileIndex: index)] = value
        }
    }

    /// Whether weight decay applies without being asked for.
    public var decays: Bool { role == .weight }
}

/// The running statistics of one normalisation layer: `channels` means and as many variances.
public struct RunningStatistics: Hashable, Sendable {
    /// The name of the layer in files: `layers.1`.
    public let name: String

    /// Channels, C.
    public let channels: Int

    /// Its place among the model's running statistics, from 0.
    public let index: Int

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
        /// A parameter; `isReduced` says whether its gradient is summed over the tree. Without a
        /// storage matrices lie transposed, and everything else plain; without a start γ is 1,
        /// everything else but weights 0.
        case parameter(
            name: String, shape: Shape, role: Parameter.Role, isReduced: Bool,
            storage: Parameter.Storage? = nil, start: Float? = nil)
        /// Running statistics of layer `name`.
        case statistics(name: String, channels: Int)

        /// The same under the name of its module, which comes first, or alone.
        public func named(by module: String) -> Self {
            func full(_ name: String) -> String { name.isEmpty ? module : "\(module).\(name)" }
            switch self {
            case .parameter(let name, let shape, let role, let isReduced, let storage, let start):
                return .parameter(
                    name: full(name), shape: shape, role: role, isReduced: isReduced,
                    storage: storage, start: start)
            case .statistics(let name, let channels):
                return .statistics(name: full(name), channels: channels)
            }
        }
    }

    /// Lays out what a model declares, in file order.
    public init(_ declarations: [Declaration]) {
        func aligned(_ count: Int) -> Int { (count + 15) / 16 * 16 }
        func storage(
            _ given: Parameter.Storage?, _ role: Parameter.Role, _ shape: Shape
        ) -> Parameter.Storage {
            if let given { return given }
            guard role == .weight, shape.dimensions.count == 2 else { return .plain }
            return .transposed(positions: 1)
        }
        func count(_ storage: Parameter.Storage, _ shape: Shape) -> Int {
            if case .blocked(let layout) = storage { layout.count } else { shape.count }
        }
        // Products first, then what else is reduced, then the rest. A bias follows its weight.
        var regions: [Int] = []
        var weightRegion = 0
        var ends = [0, 0, 0]
        for case .parameter(_, let shape, let role, let isReduced, let given, _) in declarations {
            let storage = storage(given, role, shape)
            var region = isReduced ? 1 : 2
            switch (role, storage) {
            case (.weight, .transposed), (.weight, .panels): (region, weightRegion) = (0, 0)
            case (.weight, _): weightRegion = 1
            case (.bias, _): region = weightRegion
            case (.scale, _), (.shift, _), (.other, _): break
            }
            regions.append(region)
            ends[region] += aligned(count(storage, shape))
        }
        products = ends[0]
        reduced = ends[0] + ends[1]
        length = reduced + ends[2]
        var next = [0, products, reduced]
        var following = regions.makeIterator()
        var (normalizations, weights) = (0, 0)
        for declaration in declarations {
            switch declaration {
            case .parameter(let name, let shape, let role, _, let given, let first):
                let storage = storage(given, role, shape)
                let region = following.next() ?? 2
                let (start, count) = (next[region], count(storage, shape))
                entries.append(
                    .parameter(
                        Parameter(
                            name: name, shape: shape, role: role, ordinal: weights,
                            start: first ?? (role == .scale ? 1 : 0),
                            range: start..<start + count, storage: storage)))
                weights += role == .weight ? 1 : 0
                next[region] += aligned(count)
            case .statistics(let name, let channels):
                let start = statisticsLength
                let second = start + aligned(channels)
                entries.append(
                    .statistics(
                        RunningStatistics(
                            name: name, channels: channels, index: normalizations,
                            mean: start..<start + channels,
                            variance: second..<second + channels)))
                statisticsLength = second + aligned(channels)
                normalizations += 1
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
