/// A fully connected layer's three products over the shards of one worker.
///
///     forward           output        [rows, outputs] = input · weight + bias
///     backward data     inputGradient [rows, inputs]  = outputGradient · weightᵀ
///     backward weights  weightGradient [inputs, outputs] = inputᵀ · outputGradient
///                       biasGradient   [outputs]         = column sums of outputGradient
///
/// - input [rows, inputs], output [rows, outputs], row-major and without padding;
/// - weight **[inputs, outputs]**, the transpose of a PyTorch file's. Measured on Zen 4 with
///   784 → 128: forward is 13 % faster at 30 rows and 55 % at 8 than from [outputs, inputs], and
///   backward data, slower in turn, is not needed in the first layer, the largest.
///
/// The rows are those of consecutive shards. **A shard's bits depend on that shard alone**, not on
/// which shards share the call, nor on alignment: a value of the output or of the input gradient is
/// one chain of fused multiply-adds over one row (oneDNN's GEMM promises nothing of the kind: on AVX2
/// a row's bits move with the number of rows); weight gradients are summed over shards along the
/// fixed tree (see
/// ``backwardWeights(input:outputGradient:shards:weightGradient:biasGradient:)``).
///
/// A plan belongs to the thread that made it. Calls do not allocate. Pointers need only Float's
/// alignment.
public final class InnerProduct {
    /// Shard s holds rows `rowBoundaries[s] ..< rowBoundaries[s + 1]`; starts at 0.
    public let rowBoundaries: [Int]

    /// Values in an input row.
    public let inputs: Int

    /// Values in an output row.
    public let outputs: Int

    private let forwardProduct: MatrixProduct
    private let backwardDataProduct: MatrixProduct?
    /// Made when first used: a team has its own.
    private lazy var weightGradients = WeightGradients(
        shards: shardCount, rows: rows, inputs: inputs, outputs: outputs)
    /// [shards]: the operands of the call under way.
    private let operands: UnsafeMutablePointer<WeightGradients.Operands>

    /// A plan for the shards between `rowBoundaries`.
    ///
    /// - Parameters:
    ///   - rowBoundaries: ascending from 0; equal neighbours are an empty shard.
    ///   - backwardData: false for a first layer, which saves its memory.
    public init(rowBoundaries: [Int], inputs: Int, outputs: Int, backwardData: Bool = true) {
        precondition(inputs > 0 && outputs > 0, "an inner product needs inputs and outputs")
        precondition(rowBoundaries.first == 0, "row boundaries start at 0")
        precondition(
            zip(rowBoundaries, rowBoundaries.dropFirst()).allSatisfy { $0 <= $1 },
            "row boundaries ascend")
        self.rowBoundaries = rowBoundaries
        self.inputs = inputs
        self.outputs = outputs
        let rows = rowBoundaries[rowBoundaries.count - 1]
        forwardProduct = MatrixProduct(
            rows: rows, inner: inputs, columns: outputs, transposed: false)
        backwardDataProduct =
            backwardData
            ? MatrixProduct(rows: rows, inner: outputs, columns: inputs, transposed: true) : nil
        operands = .allocate(capacity: max(rowBoundaries.count - 1, 1))
    }

    /// A plan for one shard of `rows` rows.
    public convenience init(rows: Int, inputs: Int, outputs: Int) {
        self.init(rowBoundaries: [0, rows], inputs: inputs, outputs: outputs)
    }

    deinit { operands.deallocate() }

    /// Rows of all shards.
    public var rows: Int { rowBoundaries[rowBoundaries.count - 1] }

    /// Shards of this plan.
    public var shardCount: Int { rowBoundaries.count - 1 }

    /// output = input · weight + bias.
    ///
    /// - Parameters:
    ///   - input: [rows, inputs]
    ///   - weight: [inputs, outputs]
    ///   - bias: [outputs], or nil
    ///   - output: [rows, outputs], overwritten
    public func forward(
        input: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
        output: UnsafeMutablePointer<Float>
    ) {
        forwardProduct.multiply(input, rows: rows, weight, bias, into: output)
    }

    /// inputGradient = outputGradient · weightᵀ.
    ///
    /// - Parameters:
    ///   - outputGradient: [rows, outputs]
    ///   - weight: [inputs, outputs]
    ///   - inputGradient: [rows, inputs], overwritten
    public func backwardData(
        outputGradient: UnsafePointer<Float>, weight: UnsafePointer<Float>,
        inputGradient: UnsafeMutablePointer<Float>
    ) {
        guard let backwardDataProduct else {
            preconditionFailure("this plan was made without backward data")
        }
        backwardDataProduct.multiply(outputGradient, rows: rows, weight, nil, into: inputGradient)
    }

    /// The weight gradients of `shards`, added along the tree:
    /// node(lo, hi) = node(lo, mid) + node(mid, hi), mid = lo + the largest power of two < hi − lo.
    ///
    /// The bits are those of each shard's gradient by itself, then Float32 additions along the tree;
    /// but no shard's gradient goes through memory. A shard's own sum runs over its rows in order,
    /// one fused multiply-add each; an empty shard's is zero.
    ///
    /// - Parameters:
    ///   - input: [rows, inputs], from row 0 of the plan
    ///   - outputGradient: [rows, outputs], from row 0 of the plan
    ///   - shards: the node's shards, counted from the plan's first; not empty; nil for all
    ///   - weightGradient: [inputs, outputs], overwritten
    ///   - biasGradient: [outputs], overwritten, summed like the weights'
    public func backwardWeights(
        input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
        shards: Range<Int>? = nil, weightGradient: UnsafeMutablePointer<Float>,
        biasGradient: UnsafeMutablePointer<Float>?
    ) {
        let shards = shards ?? 0..<shardCount
        precondition(
            !shards.isEmpty && shards.lowerBound >= 0 && shards.upperBound <= shardCount,
            "a tree node has at least one of the plan's shards")
        for (index, shard) in shards.enumerated() {
            let first = rowBoundaries[shard]
            (operands + index).initialize(
                to: .init(
                    input: input + first * inputs, outputGradient: outputGradient + first * outputs,
                    rows: rowBoundaries[shard + 1] - first))
        }
        weightGradients.sum(
            UnsafeBufferPointer(start: operands, count: shards.count), slice: 0..<inputs,
            weightGradient: weightGradient, biasGradient: biasGradient)
    }
}
