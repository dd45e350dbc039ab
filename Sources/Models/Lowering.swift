import Kernels
import Layers
import TensorCore

/// A layer that will be: a module, with what has become part of it, and the values it takes.
struct NetworkUnit {
    let module: any Module
    let place: ModulePlace
    /// Values of the graph of units: 0 is the network's input, n the output of unit n − 1.
    let input: Int
    let addend: Int?
}

/// Modules to units, a pure pass: which activations and poolings become part of the layer before them.
struct Lowering {
    private let specification: NetworkSpecification
    private let places: [ModulePlace]
    private var nodes: [NetworkSpecification.Node] { specification.nodes }
    private(set) var units: [NetworkUnit] = []
    /// By value of the specification, that of the units; nil where it stays inside a unit.
    private var values: [Int?] = [0]

    init(_ specification: NetworkSpecification, shards: Int) {
        self.specification = specification
        places = specification.places(shards: shards)
        lower()
    }

    private mutating func lower() {
        /// By activation, the normalisation that it is fused with; both become one unit in the
        /// activation's place, when what it adds is there.
        var fused: [Int: Int] = [:]
        /// By max pooling, the ReLU before it, which runs after it.
        var rectified: [Int: Int] = [:]
        /// Max poolings that the convolution before them does, and the value it gives.
        var pooled: Set<Int> = []
        for (index, node) in nodes.enumerated() {
            if fused[index] == nil, let pool = poolBehindReLU(ofNode: index) {
                rectified[pool] = index
                values.append(nil)
                continue
            }
            if let activation = fusedActivation(ofNode: index) {
                fused[activation] = index
                values.append(nil)
                continue
            }
            if let relu = rectified[index] {
                var value = value(nodes[relu].input, of: node)
                if !pooled.contains(index) { value = append(index, places[index], input: value) }
                let place = places[relu].taking(places[index].output)
                values.append(append(relu, place, input: value))
                continue
            }
            if pooled.contains(index) {
                values.append(value(node.input, of: node))
                continue
            }
            let source = fused[index] ?? index
            var place = places[source]
            if source != index, let activation = node.module as? Activation {
                place.fusion.activation = activation.kind
                place.fusion.adds = node.addend != nil
            }
            if let pool = poolBehindConvolution(ofNode: index) {
                pooled.insert(pool.node)
                place.fusion.pooling = pool.shape
            }
            let input = value(nodes[source].input, of: node)
            values.append(append(source, place, input: input, addend: node.addend))
        }
    }

    private func value(_ value: Int, of node: NetworkSpecification.Node) -> Int {
        guard let value = values[value] else {
            preconditionFailure("\(node.name) takes what only an activation should")
        }
        return value
    }

    private mutating func append(
        _ index: Int, _ place: ModulePlace, input: Int, addend: Int? = nil
    ) -> Int {
        units.append(
            NetworkUnit(
                module: nodes[index].module, place: place, input: input,
                addend: addend.flatMap { values[$0] }))
        return units.count
    }

    // MARK: what becomes part of what

    /// The node that alone takes what node `index` gives.
    private func onlyConsumer(ofNode index: Int) -> Int? {
        let consumers = nodes.indices.filter {
            nodes[$0].input == index + 1 || nodes[$0].addend == index + 1
        }
        return consumers.count == 1 ? consumers[0] : nil
    }

    /// The activation that becomes part of node `index`, a normalisation: the only one that takes what
    /// the normalisation gives.
    func fusedActivation(ofNode index: Int) -> Int? {
        guard nodes[index].module.fusesActivation, let consumer = onlyConsumer(ofNode: index),
            nodes[consumer].input == index + 1, nodes[consumer].module is Activation
        else { return nil }
        return consumer
    }

    /// The max pooling that alone takes what node `index`, a plain ReLU, gives.
    ///
    /// The largest of rectified values is the rectified largest one, and its gradient goes to the
    /// same place: so the network pools first, and rectifies a quarter of the values.
    func poolBehindReLU(ofNode index: Int) -> Int? {
        guard nodes[index].module as? Activation == Activation(.relu), nodes[index].addend == nil,
            let consumer = onlyConsumer(ofNode: index), nodes[consumer].module is MaxPool
        else { return nil }
        return consumer
    }

    /// The max pooling that alone takes what node `index`, a convolution, gives, with nothing but a
    /// ReLU between them, where the two work together.
    func poolBehindConvolution(ofNode index: Int) -> (node: Int, shape: PoolingShape)? {
        guard let conv = nodes[index].module as? Conv, let consumer = onlyConsumer(ofNode: index)
        else { return nil }
        let pool = poolBehindReLU(ofNode: consumer) ?? consumer
        guard let maxPool = nodes[pool].module as? MaxPool else { return nil }
        let shape = maxPool.window.shape(over: places[index].output)
        guard PooledConvolution.suits(conv.shape(over: places[index].input), shape) else {
            return nil
        }
        return (pool, shape)
    }
}

extension ModulePlace {
    /// The same module over inputs of another extent, which it leaves as they are.
    fileprivate func taking(_ extent: ImageShape) -> ModulePlace {
        ModulePlace(
            name: name, index: index, ordinal: ordinal, input: extent, output: extent,
            isFrozen: isFrozen, shards: shards)
    }
}
