import Kernels
public import TensorCore

/// A fully connected layer: y = x·Wᵀ + b.
///
/// - input [rows, in], output [rows, out]
/// - weight [out, in] (kept as [in, out] in memory), bias [out] or none
/// - backward: dx = dy·W; dW = dyᵀ·x and db = Σ dy, for each shard, summed over the tree.
public final class Linear: Layer {
    /// The name in messages and files: `layers.0`.
    public let name: String

    /// Values in a row of the output, out.
    public let outputs: Int
    private let weight: Parameter
    private let bias: Parameter?
    private let replica: Replica
    private let gradients: GradientAccumulator
    private let output: Tensor
    private let inputGradient: Tensor
    /// A plan for each shape of batch.
    private let plans: [InnerProduct]
    private let teamGradients: WeightGradients?
    private var input: Tensor?

    /// - Parameters:
    ///   - needsInputGradient: false for a first layer.
    ///   - shapes: the batches that will come, by index.
    /// - Throws: `KernelError` where oneDNN cannot make a plan.
    public init(
        name: String, weight: Parameter, bias: Parameter?, needsInputGradient: Bool,
        replica: Replica, gradients: GradientAccumulator, shapes: [BatchShape]
    ) throws {
        self.name = name
        self.weight = weight
        self.bias = bias
        self.replica = replica
        self.gradients = gradients
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        self.outputs = outputs
        let rows = shapes.map(\.rows).max() ?? 0
        output = Tensor(rows: rows, columns: outputs)
        inputGradient = Tensor(rows: needsInputGradient ? rows : 0, columns: inputs)
        teamGradients = gradients.team.map {
            WeightGradients(shards: $0.shards, rows: $0.rows, inputs: inputs, outputs: outputs)
        }
        plans = try shapes.map {
            try InnerProduct(
                rowBoundaries: $0.rowBoundaries, inputs: inputs, outputs: outputs,
                bias: bias != nil, backwardData: needsInputGradient && $0.trains)
        }
    }

    /// y, [rows, out].
    public func forward(_ input: Tensor, _ pass: Pass) throws -> Tensor {
        self.input = input
        try plans[pass.shape.index].forward(
            input: input.pointer, weight: replica.parameters + weight.range.lowerBound,
            bias: bias.map { UnsafePointer(replica.parameters + $0.range.lowerBound) },
            output: output.pointer)
        return output
    }

    /// dx, [rows, in]; dW and db go to the accumulator.
    public func backward(
        _ outputGradient: Tensor, _ pass: Pass, needsInputGradient: Bool
    ) throws -> Tensor? {
        guard let input else { preconditionFailure("backward follows forward") }
        let plan = plans[pass.shape.index]
        if let team = gradients.team, let teamGradients {
            try sumTogether(team, teamGradients, input, outputGradient, pass)
        } else {
            for node in gradients.nodes {
                plan.backwardWeights(
                    input: input.pointer, outputGradient: outputGradient.pointer,
                    shards: node.shards,
                    weightGradient: node.values + weight.range.lowerBound,
                    biasGradient: bias.map { node.values + $0.range.lowerBound })
            }
        }
        guard needsInputGradient else { return nil }
        try plan.backwardData(
            outputGradient: outputGradient.pointer,
            weight: replica.parameters + weight.range.lowerBound,
            inputGradient: inputGradient.pointer)
        return inputGradient
    }

    /// This worker's slice of the gradient, over the rows of the whole rank.
    private func sumTogether(
        _ team: any GradientTeam, _ teamGradients: WeightGradients, _ input: Tensor,
        _ outputGradient: Tensor, _ pass: Pass
    ) throws {
        // The meeting: team-mates read each other's rows, which must be there.
        let operands = try team.operands(
            input: input, outputGradient: outputGradient, shape: pass.shape.index)
        let slice = team.slice(ofInputs: input.columns)
        for node in team.nodes {
            teamGradients.sum(
                UnsafeBufferPointer(rebasing: operands[node.shards]), slice: slice,
                weightGradient: node.values + weight.range.lowerBound,
                biasGradient: team.sumsBiases
                    ? bias.map { node.values + $0.range.lowerBound } : nil)
        }
    }
}
