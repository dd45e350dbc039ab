public import Kernels
public import TensorCore

/// A convolution over images.
///
///     y[n, h, w, k] = b[k] + Σ x[n, h·stride + r·dilation − padding, …, c]·W[k, c, r, s]
///
/// - input [N·H·W, C], output [N·H′·W′, K]
/// - weight [K, C / groups, R, S] (kept as oneDNN wants it), bias [K] or none
/// - backward: dx; dW and db for each shard, summed over the tree.
public final class Convolution2D: Layer, PackingLayer {
    /// The name in messages and files: `conv1`.
    public let name: String

    /// Values of one sample's output, H′·W′·K.
    public let outputs: Int

    /// y, [N·H′·W′, K].
    public let output: Tensor

    /// One image's geometry.
    public let shape: ConvolutionShape
    private let weight: Parameter
    private let bias: Parameter?
    private let replica: Replica
    private let gradients: GradientAccumulator
    private let kernel: Convolution
    /// Copies of the weight in the layouts of the passes; nil where they read the parameter.
    private let packedForward: UnsafeMutablePointer<Float>?
    private let packedBackward: UnsafeMutablePointer<Float>?
    /// db of each of this worker's shards, [shards, K].
    private let biasGradients: Tensor

    /// - Parameters:
    ///   - needsInputGradient: false for a first layer.
    ///   - shapes: the batches that will come.
    ///   - scratch: memory that a worker's convolutions share.
    /// - Throws: `KernelError` where oneDNN cannot make a plan.
    public init(
        name: String, _ shape: ConvolutionShape, weight: Parameter, bias: Parameter?,
        needsInputGradient: Bool, replica: Replica, gradients: GradientAccumulator,
        shapes: [BatchShape], scratch: ConvolutionScratch
    ) throws {
        guard case .blocked(let layout) = weight.storage else {
            preconditionFailure("a convolution's weight lies as oneDNN wants it")
        }
        self.name = name
        self.shape = shape
        self.weight = weight
        self.bias = bias
        self.replica = replica
        self.gradients = gradients
        outputs = shape.outputCount
        let rows = shapes.map(\.rows).max() ?? 0
        output = Tensor(
            rows: rows * shape.outputHeight * shape.outputWidth, columns: shape.outputChannels)
        kernel = try Convolution(
            shape, gradientImages: Set(shapes.filter(\.trains).flatMap(\.shardRows).map(\.count)),
            layout: layout, bias: bias != nil, backwardData: needsInputGradient,
            scratch: scratch)
        packedForward = kernel.packedForwardCount.map {
            replica.copy(of: weight, for: .forward, count: $0)
        }
        packedBackward = kernel.packedBackwardCount.map {
            replica.copy(of: weight, for: .backward, count: $0)
        }
        let shards = shapes.map(\.shardRows.count).max() ?? 0
        biasGradients = Tensor(rows: bias == nil ? 0 : shards, columns: shape.outputChannels)
    }

    /// Time counts as that of products.
    public var kind: LayerKind { .product }

    /// So many that input and output stay in the cache.
    public var samplesPerBlock: Int? {
        imagesPerBlock(values: max(shape.inputCount, shape.outputCount))
    }

    private var plainWeight: UnsafePointer<Float> {
        UnsafePointer(replica.parameters + weight.range.lowerBound)
    }

    /// Floats of the copies that `pack` writes.
    package var packedCount: Int {
        (kernel.packedForwardCount ?? 0) + (kernel.packedBackwardCount ?? 0)
    }

    /// Writes the copies of the weight, after an update.
    package func pack() throws {
        if let packedForward {
            try kernel.packForward(weight: plainWeight, into: packedForward)
        }
        if let packedBackward {
            try kernel.packBackward(weight: plainWeight, into: packedBackward)
        }
    }

    /// y, of the block's images.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) throws {
        let first = block.rows.lowerBound
        try kernel.forward(
            images: block.rows.count, input: input.pointer + first * shape.inputCount,
            weight: packedForward.map { UnsafePointer($0) } ?? plainWeight,
            bias: bias.map { UnsafePointer(replica.parameters + $0.range.lowerBound) },
            output: output.pointer + first * shape.outputCount)
    }

    /// dx, of the block's images.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) throws {
        guard let inputGradient else { return }
        let first = block.rows.lowerBound
        try kernel.backwardData(
            images: block.rows.count,
            outputGradient: outputGradient.pointer + first * shape.outputCount,
            weight: packedBackward.map { UnsafePointer($0) } ?? plainWeight,
            inputGradient: inputGradient.pointer + first * shape.inputCount)
    }

    /// dW and db of all shards, to the accumulator.
    public func backwardWeights(
        _ input: Tensor, _ outputGradient: Tensor, _ pass: Pass
    ) throws {
        try gradients.accumulate(weight.range) { position, destination in
            let images = pass.shardRows[position]
            try kernel.backwardWeights(
                images: images.count,
                input: input.pointer + images.lowerBound * shape.inputCount,
                outputGradient: outputGradient.pointer + images.lowerBound * shape.outputCount,
                weightGradient: destination,
                biasGradient: bias == nil ? nil : biasGradients.row(position))
        }
        guard let bias else { return }
        gradients.accumulate(bias.range) { position, destination in
            destination.update(from: biasGradients.row(position), count: bias.range.count)
        }
    }
}

/// A layer that reads copies of its weights in other layouts, made anew after each update.
package protocol PackingLayer: Layer {
    /// Floats of its copies; 0 for none.
    var packedCount: Int { get }

    /// Writes the copies, which the rank's workers share: one of them calls it for each layer.
    func pack() throws
}
