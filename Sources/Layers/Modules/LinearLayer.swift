package import Kernels
public import TensorCore

/// A fully connected layer: y = x·Wᵀ + b.
///
/// - input [rows, in], output [rows, out]
/// - weight [out, in] (kept as [in, out] in memory), bias [out] or none
/// - backward: dx = dy·W; dW = dyᵀ·x and db = Σ dy, for each shard, summed over the tree.
public final class LinearLayer: Layer {
    /// The name in messages and files: `layers.0`.
    public let name: String

    /// Values in a row of the output, out.
    public let outputs: Int
    private let inputs: Int
    /// Of the flat buffers.
    private let weight: Range<Int>
    private let bias: Range<Int>?
    private let replica: Replica
    private let gradients: GradientAccumulator
    /// y, [rows, out].
    public let output: Tensor
    /// A plan for each shape of batch.
    private let plans: [InnerProduct]
    private let teamGradients: WeightGradients?
    private var number = 0

    /// - Parameters:
    ///   - needsInputGradient: false for a first layer.
    ///   - shapes: the batches that will come, by index.
    public init(
        name: String, weight: Parameter, bias: Parameter?, needsInputGradient: Bool,
        replica: Replica, gradients: GradientAccumulator, shapes: [BatchShape]
    ) {
        self.name = name
        self.weight = weight.range
        self.bias = bias?.range
        self.replica = replica
        self.gradients = gradients
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        self.inputs = inputs
        self.outputs = outputs
        let rows = shapes.map(\.rows).max() ?? 0
        output = Tensor(rows: rows, columns: outputs)
        teamGradients = gradients.team.map {
            WeightGradients(
                shards: $0.shards, rows: $0.rows, inputs: inputs, outputs: outputs,
                slice: $0.slice(ofInputs: inputs).count)
        }
        plans = shapes.map {
            InnerProduct(
                rowBoundaries: $0.rowBoundaries, inputs: inputs, outputs: outputs,
                backwardData: needsInputGradient && $0.trains)
        }
        number = gradients.team?.join(self) ?? 0
    }

    /// Team-mates read the output gradient when all of the backward pass is done.
    public var traits: LayerTraits { .product(of: gradients.team) }

    /// y, [rows, out], of all rows at once.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        plans[pass.shape.index].forward(
            input: input.pointer, weight: replica.parameters + weight.lowerBound,
            bias: bias.map { UnsafePointer(replica.parameters + $0.lowerBound) },
            output: output.pointer)
    }

    /// dx, [rows, in], of all rows at once.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        guard let inputGradient else { return }
        plans[pass.shape.index].backwardData(
            outputGradient: outputGradient.pointer,
            weight: replica.parameters + weight.lowerBound,
            inputGradient: inputGradient.pointer)
    }

    /// dW and db, to the team or the accumulator.
    public func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) {
        if let team = gradients.team {
            team.leave(
                number, input: input, outputGradient: outputGradient, shape: pass.shape.index)
            return
        }
        for node in gradients.nodes {
            plans[pass.shape.index].backwardWeights(
                input: input.pointer, outputGradient: outputGradient.pointer,
                shards: node.shards,
                weightGradient: node.values + weight.lowerBound,
                biasGradient: bias.map { node.values + $0.lowerBound })
        }
    }
}

extension LinearLayer: TeamProduct {
    package var columns: (input: Int, output: Int) { (inputs, outputs) }

    package var slices: [Range<Int>] {
        guard let team = gradients.team else { return [] }
        let slice = team.slice(ofInputs: inputs)
        let first = weight.lowerBound
        return [first + slice.lowerBound * outputs..<first + slice.upperBound * outputs]
            + (team.sumsBiases ? bias.map { [$0] } ?? [] : [])
    }

    package var othersSlices: [Range<Int>] {
        let slice = inputSlice
        return [0..<slice.lowerBound, slice.upperBound..<inputs].map {
            weight.lowerBound + $0.lowerBound * outputs..<weight.lowerBound + $0.upperBound
                * outputs
        }
    }

    package var inputSlice: Range<Int> { gradients.team?.slice(ofInputs: inputs) ?? 0..<inputs }

    package var hidesFetching: Bool { false }

    package func sumSlices(of shards: UnsafeBufferPointer<WeightGradients.Operands>) {
        guard let team = gradients.team, let teamGradients else { return }
        let slice = team.slice(ofInputs: inputs)
        for node in team.nodes {
            teamGradients.sum(
                UnsafeBufferPointer(rebasing: shards[node.shards]), slice: slice,
                weightGradient: node.values + weight.lowerBound,
                biasGradient: team.sumsBiases
                    ? bias.map { node.values + $0.lowerBound } : nil,
                capture: team.capture(in: node) { values in
                    (values + weight.lowerBound, bias.map { values + $0.lowerBound })
                })
        }
    }
}
