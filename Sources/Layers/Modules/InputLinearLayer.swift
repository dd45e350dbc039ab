package import Kernels
public import TensorCore

/// A fully connected layer of few outputs at a network's input: y = x·Wᵀ + b, without dx.
///
/// - input [rows, in], output [rows, out]; out is a multiple of 64
/// - weight [out, in] (in memory in panels, [out/64, in, 64]), bias [out] or none
/// - backward: dW = dyᵀ·x and db = Σ dy, for each shard, summed over the tree.
///
/// Here weights outnumber samples: with 784 → 128 and 30 rows a worker, most of what crosses between
/// cores in a step is this weight, which one half of a team writes and all of it reads. So where its
/// panels can be dealt out evenly, each worker computes *its panels over the rows of all workers*
/// of the rank (`computesPanels`), reads and updates no other part of the weight, and passes on the
/// others' rows of the output, which are few. Each of them then needs the rank's inputs. The bits
/// are the same: a row of a product does not depend on who computes it, nor on its neighbours.
public final class InputLinearLayer: Layer {
    /// The name in messages and files: `layers.0`.
    public let name: String

    /// Values in a row of the output, out.
    public let outputs: Int

    /// Whether training passes take the inputs of the whole rank, and this worker computes some
    /// panels over all of them.
    package let computesPanels: Bool

    /// y, [rows, out].
    public let output: Tensor

    private let inputs: Int
    /// Of the flat buffers.
    private let weight: Range<Int>
    private let bias: Range<Int>?
    private let replica: Replica
    private let gradients: GradientAccumulator
    /// [rows, 64]: a panel's outputs before they go to their places.
    private let panel: Tensor
    /// Of a panel.
    private let panelGradients: WeightGradients
    /// By thread, where its output lies.
    private let outputsOfThreads: [UnsafeMutablePointer<Float>]
    private let operands: UnsafeMutablePointer<WeightGradients.Operands>
    private var input: UnsafePointer<Float>?
    private var number = 0

    /// Whether a layer of so many outputs should be one of these: the panels of a wider one would
    /// read the inputs too often.
    public static func suits(outputs: Int) -> Bool {
        outputs % panelWidth == 0 && outputs <= 4 * panelWidth
    }

    /// - Parameters:
    ///   - shapes: the batches that will come, by index.
    ///   - sharesInputs: whether training passes may take the inputs of the whole rank.
    /// - Throws: what the team throws.
    public init(
        name: String, weight: Parameter, bias: Parameter?, replica: Replica,
        gradients: GradientAccumulator, shapes: [BatchShape], sharesInputs: Bool
    ) throws {
        self.name = name
        self.weight = weight.range
        self.bias = bias?.range
        self.replica = replica
        self.gradients = gradients
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        self.inputs = inputs
        self.outputs = outputs
        let rows = shapes.map(\.rows).max() ?? 0
        let output = Tensor(rows: rows, columns: outputs)
        self.output = output
        let panels = outputs / panelWidth
        let team = gradients.team
        let shards = team?.shards ?? shapes.map(\.shardRows.count).max() ?? 0
        panelGradients = WeightGradients(
            shards: shards, rows: team?.rows ?? rows, inputs: inputs, outputs: panelWidth,
            rowStride: outputs)
        operands = .allocate(capacity: max(shards, 1))
        if let team, sharesInputs, team.threads > 1, panels % team.threads == 0,
            team.rows <= outputs
        {
            computesPanels = true
            outputsOfThreads = try team.share(output)
        } else {
            computesPanels = false
            outputsOfThreads = []
        }
        panel = Tensor(rows: computesPanels ? team?.rows ?? 0 : rows, columns: panelWidth)
        number = team?.join(self) ?? 0
    }

    deinit { operands.deallocate() }

    /// Team-mates read the output gradient when all of the backward pass is done.
    public var traits: LayerTraits { .product(of: gradients.team) }

    /// The panels that this worker computes where it computes panels.
    private var myPanels: Range<Int> {
        guard let team = gradients.team else { return 0..<0 }
        let each = outputs / panelWidth / team.threads
        return team.thread * each..<(team.thread + 1) * each
    }

    /// y, [rows, out], of this worker's rows.
    ///
    /// - Parameter input: of this worker's rows; in training, where `computesPanels`, the rank's.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) throws {
        self.input = UnsafePointer(input.pointer)
        let shape = pass.shape.index
        guard computesPanels, pass.mode == .training, let team = gradients.team else {
            for index in 0..<outputs / panelWidth {
                multiply(input, rows: pass.rows, index)
                place(0..<pass.rows, of: index, in: output.pointer)
            }
            return
        }
        let threadRows = team.threadRows(ofShape: shape)
        for index in myPanels {
            multiply(input, rows: threadRows.last?.upperBound ?? 0, index)
            for (thread, rows) in threadRows.enumerated() {
                place(rows, of: index, in: outputsOfThreads[thread])
            }
        }
        // The meeting: this worker's rows have come from all of the team. Nobody still reads what
        // the last step left there, because all have met in its update.
        try team.meet()
    }

    private func multiply(_ input: Tensor, rows: Int, _ index: Int) {
        panelProduct(
            input.pointer, rows: rows, inner: inputs,
            panel: replica.parameters + memory(ofPanel: index).lowerBound,
            bias: bias.map {
                UnsafePointer(replica.parameters + $0.lowerBound + index * panelWidth)
            }, into: panel.pointer, fetching: gradients.team?.prefetchQueue)
    }

    private func place(
        _ rows: Range<Int>, of index: Int, in output: UnsafeMutablePointer<Float>
    ) {
        for (place, row) in rows.enumerated() {
            (output + place * outputs + index * panelWidth).update(
                from: panel.row(row), count: panelWidth)
        }
    }

    /// Where a panel of the weight lies in the flat buffers.
    private func memory(ofPanel index: Int) -> Range<Int> {
        let size = inputs * panelWidth
        let first = weight.lowerBound + index * size
        return first..<first + size
    }

    /// Nothing: nobody needs the network's input gradient.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) throws {
        precondition(inputGradient == nil, "\(name) reads the network's input")
    }

    /// dW and db, to the team or the accumulator.
    public func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) {
        if let team = gradients.team {
            team.leave(
                number, input: input, outputGradient: outputGradient, shape: pass.shape.index)
            return
        }
        for (number, rows) in pass.shardRows.enumerated() {
            (operands + number).initialize(
                to: .init(
                    input: input.row(rows.lowerBound),
                    outputGradient: outputGradient.row(rows.lowerBound), rows: rows.count))
        }
        sum(
            shards: pass.shardRows.count, panels: 0..<outputs / panelWidth,
            slice: 0..<inputs, bias: bias, into: gradients.nodes)
    }

    /// Adds up gradients over the shards in `operands`, whose output gradients begin at the first
    /// of `panels`, for the weights of `slice` of the inputs.
    private func sum(
        shards: Int, panels: Range<Int>, slice: Range<Int>, bias: Range<Int>?,
        into nodes: [GradientAccumulator.Node]
    ) {
        let operands = UnsafeMutableBufferPointer(start: operands, count: shards)
        for index in panels {
            for node in nodes {
                panelGradients.sum(
                    UnsafeBufferPointer(
                        UnsafeMutableBufferPointer(rebasing: operands[node.shards])),
                    slice: slice,
                    weightGradient: node.values + memory(ofPanel: index).lowerBound,
                    biasGradient: bias.map { node.values + part(of: $0, index).lowerBound },
                    capture: gradients.team?.capture(in: node) { values in
                        (
                            values + memory(ofPanel: index).lowerBound,
                            bias.map { values + part(of: $0, index).lowerBound }
                        )
                    }, fetching: computesPanels ? gradients.team?.prefetchQueue : nil)
            }
            for shard in operands.indices { operands[shard].outputGradient += panelWidth }
        }
    }

    private func part(of bias: Range<Int>, _ panel: Int) -> Range<Int> {
        let first = bias.lowerBound + panel * panelWidth
        return first..<first + panelWidth
    }
}

extension InputLinearLayer: TeamProduct {
    package var columns: (input: Int, output: Int) { (inputs, outputs) }

    package var slices: [Range<Int>] {
        guard let team = gradients.team else { return [] }
        if computesPanels {
            return myPanels.flatMap { panel in
                [memory(ofPanel: panel)] + (bias.map { [part(of: $0, panel)] } ?? [])
            }
        }
        let slice = team.slice(ofInputs: inputs)
        return (0..<outputs / panelWidth).map {
            let first = memory(ofPanel: $0).lowerBound
            return first + slice.lowerBound * panelWidth..<first + slice.upperBound * panelWidth
        } + (team.sumsBiases ? bias.map { [$0] } ?? [] : [])
    }

    /// None where it computes panels, and elsewhere it is read at once.
    package var othersSlices: [Range<Int>] { [] }

    package var hidesFetching: Bool { computesPanels }

    package var inputSlice: Range<Int> {
        computesPanels ? 0..<inputs : gradients.team?.slice(ofInputs: inputs) ?? 0..<inputs
    }

    package func sumSlices(of shards: UnsafeBufferPointer<WeightGradients.Operands>) {
        guard let team = gradients.team, let input else { return }
        let panels = computesPanels ? myPanels : 0..<outputs / panelWidth
        var row = 0
        for (number, shard) in shards.enumerated() {
            var mine = shard
            mine.outputGradient += panels.lowerBound * panelWidth
            // This worker has all of the rank's inputs, in order.
            if computesPanels { mine.input = input + row * inputs }
            (operands + number).initialize(to: mine)
            row += shard.rows
        }
        sum(
            shards: shards.count, panels: panels,
            slice: computesPanels ? 0..<inputs : team.slice(ofInputs: inputs),
            bias: computesPanels || team.sumsBiases ? bias : nil, into: team.nodes)
    }
}
