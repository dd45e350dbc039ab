public import Layers
public import Normalization
public import TensorCore

/// A network as a value: what the layers are and what they take, before any memory is laid out. It is
/// the same on every machine.
///
/// Names are those of files; PyTorch reads a state dict as it is, whatever is fused here.
public struct NetworkSpecification: Hashable, Sendable {
    /// A module and what it takes. Value 0 is the network's input, value n the output of node n − 1.
    public struct Node: Hashable, Sendable {
        /// The module's name in files and messages.
        public let name: String
        /// The module.
        public let module: any Module
        /// The value it takes.
        public let input: Int
        /// The value that an activation adds first.
        public let addend: Int?

        /// A module of value `input`, and perhaps `addend`.
        public init(name: String, module: any Module, input: Int, addend: Int? = nil) {
            self.name = name
            self.module = module
            self.input = input
            self.addend = addend
        }

        /// Whether both are the same module of the same values.
        public static func == (a: Node, b: Node) -> Bool {
            a.name == b.name && AnyHashable(a.module) == AnyHashable(b.module)
                && a.input == b.input && a.addend == b.addend
        }

        /// Feeds all of it.
        public func hash(into hasher: inout Hasher) {
            hasher.combine(name)
            hasher.combine(AnyHashable(module))
            hasher.combine(input)
            hasher.combine(addend)
        }
    }

    /// The name in headers: "mlp".
    public let name: String

    /// One input sample.
    public let input: ImageShape

    /// Classes that the last module tells apart.
    public let classes: Int

    /// The modules, in order.
    public let nodes: [Node]

    /// The extent of each value.
    public let extents: [ImageShape]

    /// The beginnings of the names of what is not trained: modules, groups of them, or single
    /// parameters. A batch normalisation that is frozen uses its running statistics.
    public var frozen: [String] = []

    /// A network of these nodes, whose modules can take what they are given.
    public init(name: String, input: ImageShape, classes: Int, nodes: [Node]) {
        self.name = name
        self.input = input
        self.classes = classes
        self.nodes = nodes
        var extents = [input]
        for node in nodes {
            precondition(
                node.input < extents.count && node.addend ?? 0 < extents.count,
                "\(node.name) takes an earlier value")
            precondition(
                node.addend.map { extents[$0] == extents[node.input] } ?? true,
                "summands are of one shape")
            guard let output = try? node.module.output(of: extents[node.input]) else {
                preconditionFailure("\(node.name) cannot take \(extents[node.input])")
            }
            extents.append(output)
        }
        self.extents = extents
    }

    /// Whether a module or parameter is not trained: `layer1` freezes `layer1.0.conv1.weight`.
    public func isFrozen(_ name: String) -> Bool {
        frozen.contains { name == $0 || name.hasPrefix($0 + ".") }
    }

    /// Values of one input sample.
    public var inputs: Int { input.count }

    /// Its batch normalisations, and the extents of what they take.
    private var batchNorms: [(module: BatchNorm, input: ImageShape)] {
        nodes.compactMap { node in
            (node.module as? BatchNorm).map { ($0, extents[node.input]) }
        }
    }

    /// How its batch normalisations work; they work alike.
    public var normalization: BatchNormSettings {
        batchNorms.first?.module.settings ?? BatchNormSettings()
    }

    /// Whether the network has batch normalisation.
    public var isNormalized: Bool { !batchNorms.isEmpty }

    /// What the last module gives: proportions, where something follows a softmax.
    public var outputKind: OutputKind {
        nodes.contains { $0.module is Softmax } ? .proportions : .logits
    }

    /// Positions of the smallest image that is normalised over a batch: a channel's values of one
    /// sample; nil without batch normalisation.
    public var fewestNormalizedPositions: Int? { batchNorms.map(\.input.positions).min() }

    /// Multiply-adds of one sample's forward pass.
    public var multiplyAdds: Int {
        nodes.reduce(0) { $0 + $1.module.multiplyAdds(of: extents[$1.input]) }
    }

    /// Where each module stands.
    ///
    /// - Parameter shards: the number of shards of every batch.
    public func places(shards: Int) -> [ModulePlace] {
        var ordinals: [ObjectIdentifier: Int] = [:]
        let readers = nodes.reduce(0) { $0 + ($1.input == 0 ? 1 : 0) }
        return nodes.enumerated().map { index, node in
            let kind = ObjectIdentifier(type(of: node.module))
            defer { ordinals[kind, default: 0] += 1 }
            return ModulePlace(
                name: node.name, index: index, ordinal: ordinals[kind, default: 0],
                input: extents[node.input], output: extents[index + 1],
                readsNetworkInput: node.input == 0, isOnlyReader: readers == 1,
                isFrozen: isFrozen(node.name), shards: shards)
        }
    }

    /// Where everything lies, in file order.
    ///
    /// - Parameter shards: the number of shards of every batch.
    public func layout(shards: Int) -> ModelLayout {
        ModelLayout(
            zip(nodes, places(shards: shards)).flatMap { node, place in
                node.module.tensors(at: place).map { $0.named(by: node.name) }
            })
    }
}
