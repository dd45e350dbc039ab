import Kernels
public import TensorCore

/// Layers that take each other's outputs: a sequence, or one with residual connections.
///
/// Value 0 is the graph's input, value n the output of node n − 1. Nodes run in order, backward in
/// reverse; a value that two nodes take gets the sum of their gradients. What lies between two
/// meetings with other workers runs block by block (see ``Block``): normalise, convolve, take the
/// result into the next statistics, while it is in the cache. Backward the weights' gradients come
/// last: what the meeting needs is on its way meanwhile. Everything is planned here, once;
/// gradients of values that are no longer needed share memory. A value that only the rest of its block
/// takes is not kept at all: for the weights' gradient behind it a shard's is computed again (after Chen
/// et al., "Training deep nets with sublinear memory cost", 2016, where that costs next to nothing).
public final class LayerGraph {
    /// A layer and what it takes.
    public struct Node {
        /// The layer.
        public let layer: any Layer
        /// The value it takes.
        public let input: Int
        /// The value it adds.
        public let addend: Int?

        /// `layer` of value `input`, and perhaps `addend`.
        public init(_ layer: any Layer, input: Int, addend: Int? = nil) {
            self.layer = layer
            self.input = input
            self.addend = addend
        }
    }

    /// The nodes, in order.
    public let nodes: [Node]

    /// Called after each piece of work with what it counts as; for profiles.
    package var finished: ((LayerTime) -> Void)?

    private let forwardGroups: [Group]
    private let backwardGroups: [Group]
    private let passing: PassingValues
    private let inputGradient: Tensor?
    private let needsInputGradient: Bool
    private var input: Tensor?

    private let members: Int
    /// Has all members of the crew run their parts of `current`.
    private var runBlocks: (() throws -> Void)?
    private var runWeights: (() throws -> Void)?
    private var current: Current?

    /// What the crew runs.
    private struct Current {
        let group: Group
        let input: Tensor
        let gradient: Tensor?
        let pass: Pass
        let follower: (any BackwardFollower)?
    }

    /// Bytes of the buffers that gradients of values lie in.
    public let gradientBytes: Int

    /// - Parameters:
    ///   - shapes: the batches that will come, by index.
    ///   - inputSize: values of one sample of the graph's input.
    ///   - needsInputGradient: whether `backward` gives one; a network's first layer computes none.
    public convenience init(
        _ nodes: [Node], shapes: [BatchShape], inputSize: Int, needsInputGradient: Bool = false
    ) throws {
        try self.init(
            nodes, shapes: shapes, inputSize: inputSize, needsInputGradient: needsInputGradient,
            crew: nil)
    }

    /// - Parameter crew: the threads that run the layers; nil for the caller's own.
    package init(
        _ nodes: [Node], shapes: [BatchShape], inputSize: Int, needsInputGradient: Bool = false,
        crew: (any LayerCrew)?
    ) throws {
        precondition(!nodes.isEmpty, "a graph has a layer")
        self.nodes = nodes
        let plan = GraphPlan(nodes, inputSize: inputSize, needsInputGradient: needsInputGradient)
        members = crew?.members ?? 1
        // A window shows one block at a time.
        let passing = members == 1 ? PassingValues(plan, nodes, shapes) : PassingValues()
        self.passing = passing
        for node in nodes {
            guard let addend = node.addend else { continue }
            precondition(addend > 0, "\(node.layer.name) adds what a layer gave")
            node.layer.addend = nodes[addend - 1].layer.output
        }
        let rows = shapes.map(\.rows).max() ?? 0
        self.needsInputGradient = needsInputGradient
        let memory = plan.bufferSizes.map { Tensor(rows: rows, columns: $0) }
        gradientBytes = 4 * rows * plan.bufferSizes.reduce(0, +)
        let binding = Binding(nodes: nodes, buffers: memory, rows: rows, inputSize: inputSize)
        forwardGroups = plan.forward.map { Group($0, binding, shapes, passing) }
        backwardGroups = plan.backward.map { Group($0, binding, shapes, passing) }
        inputGradient = plan.inputGradient.map { binding.tensor($0, value: 0) }
        guard let crew, members > 1 else { return }
        runBlocks = crew.prepare { [unowned self] in try self.runBlocks(member: $0) }
        runWeights = crew.prepare { [unowned self] in try self.runWeights(member: $0) }
    }

    /// Layers one after the other.
    public convenience init(
        chain layers: [any Layer], shapes: [BatchShape], inputSize: Int,
        needsInputGradient: Bool = false
    ) throws {
        try self.init(
            layers.enumerated().map { Node($1, input: $0) }, shapes: shapes, inputSize: inputSize,
            needsInputGradient: needsInputGradient)
    }

    /// The layers, in order.
    public var layers: [any Layer] { nodes.map(\.layer) }

    /// Values of one sample of the last layer's output.
    public var outputs: Int { nodes[nodes.count - 1].layer.outputs }

    /// Layers that meet the other workers at the same time, in order.
    package var meetings: [[any MeetingLayer]] {
        forwardGroups.map(\.meetings).filter { !$0.isEmpty }
    }

    /// Runs forward as far as the meeting of `layers`, which are one of `meetings`.
    package func forward(
        _ input: Tensor, _ pass: Pass, toMeetingOf layers: [any MeetingLayer]
    ) throws {
        self.input = input
        for group in forwardGroups {
            try run(group, pass, gradient: nil)
            for layer in group.meetings { try layer.meet(pass) }
            if group.meetings.first === layers.first && !group.meetings.isEmpty { return }
        }
    }

    /// The last layer's output, valid until the next `forward`.
    public func forward(_ input: Tensor, _ pass: Pass) throws -> Tensor {
        self.input = input
        for group in forwardGroups {
            try run(group, pass, gradient: nil)
            for layer in group.meetings {
                try layer.meet(pass)
                finished?(layer.traits.time)
            }
        }
        return nodes[nodes.count - 1].layer.output
    }

    /// Runs backward; parameters' gradients go to the accumulator.
    ///
    /// - Parameter outputGradient: may be overwritten.
    /// - Returns: the input gradient, if one is needed, valid until the next `backward`.
    @discardableResult
    public func backward(_ outputGradient: Tensor, _ pass: Pass) throws -> Tensor? {
        try backward(outputGradient, pass, follower: nil)
    }

    /// As `backward`, telling `follower` how far it has come.
    @discardableResult
    package func backward(
        _ outputGradient: Tensor, _ pass: Pass, follower: (any BackwardFollower)?
    ) throws -> Tensor? {
        for (stage, group) in backwardGroups.enumerated() {
            try run(group, pass, gradient: outputGradient, follower: follower)
            for layer in group.meetings {
                try layer.meetBackward(pass)
                finished?(layer.traits.time)
            }
            if let follower {
                try follower.finished(stage: stage)
                finished?(.product)
            }
        }
        return needsInputGradient ? inputGradient ?? outputGradient : nil
    }

    /// Whether the output of node `index` stays as it is from one pass to the next.
    package func keepsOutput(ofNode index: Int) -> Bool { passing[index] == nil }

    /// Puts the output of node `index` in the last pass, of the worker's shard `position`, where its
    /// layer's `output` says, if it was not kept: until the next such call, or pass.
    package func restoreOutput(ofNode index: Int, shard position: Int, _ pass: Pass) throws {
        try passing[index]?.restore(shards: position..<position + 1, pass)
    }

    /// The layers that work in each stage of `backward`. A layer's parameters have their gradients
    /// after the last stage that it works in.
    package var backwardStages: [[any Layer]] {
        backwardGroups.map { group in
            (group.actions + group.weights).map(\.layer) + group.meetings
        }
    }

    private func run(
        _ group: Group, _ pass: Pass, gradient: Tensor?, follower: (any BackwardFollower)? = nil
    ) throws {
        guard let input else { preconditionFailure("backward follows forward") }
        current = Current(
            group: group, input: input, gradient: gradient, pass: pass, follower: follower)
        defer { current = nil }
        if let runBlocks, group.takesBlocksTogether {
            try runBlocks()
        } else {
            try run(group.blocks[pass.shape.index], member: 0)
        }
        if gradient != nil {
            for layer in group.meetings { try layer.startMeetingBackward(pass) }
        }
        if let runWeights, group.dividesWeights {
            try runWeights()
        } else {
            try runWeights(member: 0)
        }
    }

    /// A member's part of the current group's blocks.
    private func runBlocks(member: Int) throws {
        guard let current else { return }
        let blocks = current.group.blocks[current.pass.shape.index]
        let (first, end) = (
            member * blocks.count / members, (member + 1) * blocks.count / members
        )
        try run(blocks[first..<end], member: member)
    }

    private func run(_ blocks: some Sequence<Block>, member: Int) throws {
        guard let current else { return }
        for var block in blocks {
            block.member = member
            for value in current.group.passing { value.show(block) }
            for action in current.group.actions {
                try action.run(current.input, current.gradient, block, current.pass)
                if member == 0 { finished?(action.time) }
            }
            // It sends messages.
            if member == 0 { try current.follower?.worked() }
        }
    }

    /// A member's share of the current group's weights.
    private func runWeights(member: Int) throws {
        guard let current else { return }
        for (index, action) in current.group.weights.enumerated() {
            let share = Share(member: member, of: members, layer: index)
            try action.runWeights(current.input, current.gradient, current.pass, share)
            guard member == 0 else { continue }
            finished?(action.time)
            try current.follower?.worked()
        }
    }
}

/// Learns how far a backward pass has come.
package protocol BackwardFollower: AnyObject {
    /// A piece of work is done.
    func worked() throws

    /// All of stage `stage` is done: see `LayerGraph.backwardStages`.
    func finished(stage: Int) throws
}

// MARK: what runs

/// What runs block by block, then the weights' gradients, then the meetings, if any, which backward
/// have begun before the weights' gradients.
private final class Group {
    /// By the index of the shape.
    let blocks: [[Block]]
    let actions: [Action]
    let weights: [Action]
    let meetings: [any MeetingLayer]
    let passing: [PassingValue]
    /// Whether the members of a crew may run blocks at the same time.
    let takesBlocksTogether: Bool
    /// Whether they can divide some weight's gradient.
    let dividesWeights: Bool

    init(
        _ group: GraphPlan.Group, _ binding: Binding, _ shapes: [BatchShape],
        _ values: PassingValues
    ) {
        passing = group.passing.compactMap { values[$0] }
        takesBlocksTogether =
            group.samplesPerBlock != nil
            && group.actions.allSatisfy {
                binding.nodes[$0.node].layer.traits.takesBlocksTogether
            }
        dividesWeights = group.weights.contains {
            binding.nodes[$0.node].layer.traits.weights == .dividedProduct
        }
        blocks = shapes.map { shape in
            group.samplesPerBlock.map { shape.blocks(of: $0) } ?? [Block(shape)]
        }
        actions = group.actions.map { Action($0, binding) }
        for action in actions {
            switch action.work {
            case .observe: action.meeting?.observes(in: blocks)
            case .observeGradient: action.meeting?.observesGradient(in: blocks)
            default: break
            }
        }
        weights = group.weights.map { Action($0, binding) }
        meetings = group.meetings.compactMap { binding.nodes[$0].layer as? any MeetingLayer }
    }
}

/// A layer's piece of work with the tensors it works on.
private final class Action {
    let layer: any Layer
    let meeting: (any MeetingLayer)?
    let time: LayerTime
    let work: GraphPlan.Work
    /// nil for the graph's own.
    let input: Tensor?
    /// nil for the graph's own.
    let gradient: Tensor?
    let second: Tensor?
    let target: Tensor?

    init(_ action: GraphPlan.Action, _ binding: Binding) {
        let node = binding.nodes[action.node]
        layer = node.layer
        meeting = node.layer as? any MeetingLayer
        time = node.layer.traits.time
        work = action.work
        input = node.input == 0 ? nil : binding.nodes[node.input - 1].layer.output
        let value = action.node + 1
        gradient = action.gradient.map { binding.tensor($0, value: value) }
        second = action.second.map { binding.tensor($0, value: value) }
        let isCopy = action.work == .copyGradient
        target = action.target.map { binding.tensor($0, value: isCopy ? value : node.input) }
    }

    func run(_ graphInput: Tensor, _ graphGradient: Tensor?, _ block: Block, _ pass: Pass) throws {
        let input = input ?? graphInput
        if work == .forward {
            try layer.forward(input, block, pass)
            return
        }
        if work == .observe {
            meeting?.observe(input, block, pass)
            return
        }
        guard let gradient = gradient ?? graphGradient else {
            preconditionFailure("backward has an output gradient")
        }
        let values = block.rows.lowerBound * layer.outputs..<block.rows.upperBound * layer.outputs
        switch work {
        case .forward, .observe: break
        case .backward:
            // Without a buffer of its own it goes where the caller's gradient is.
            try layer.backward(input, gradient, into: target ?? gradient, block, pass)
        case .backwardWithoutInput: try layer.backward(input, gradient, into: nil, block, pass)
        case .observeGradient:
            meeting?.observeGradient(input, gradient, second: second, block, pass)
        case .addGradients:
            guard let second else { break }
            add(
                UnsafePointer(second.pointer + values.lowerBound),
                into: gradient.pointer + values.lowerBound, count: values.count)
        case .copyGradient:
            target.map {
                ($0.pointer + values.lowerBound).update(
                    from: gradient.pointer + values.lowerBound, count: values.count)
            }
        case .weights: preconditionFailure("weights are shared")
        }
    }

    /// The share of the weights' gradient.
    func runWeights(
        _ graphInput: Tensor, _ graphGradient: Tensor?, _ pass: Pass, _ share: Share
    ) throws {
        guard let gradient = gradient ?? graphGradient else {
            preconditionFailure("backward has an output gradient")
        }
        let input = input ?? graphInput
        try layer.backwardWeights(input, gradient, pass, share)
    }
}

/// Where the plan's buffers lie.
private struct Binding {
    let nodes: [LayerGraph.Node]
    let buffers: [Tensor]
    let rows: Int
    let inputSize: Int

    /// Buffer `index` in the shape of a value.
    func tensor(_ index: Int, value: Int) -> Tensor {
        guard value > 0 else {
            return Tensor(sharing: buffers[index], rows: rows, columns: inputSize)
        }
        let output = nodes[value - 1].layer.output
        return Tensor(sharing: buffers[index], rows: output.rows, columns: output.columns)
    }
}
