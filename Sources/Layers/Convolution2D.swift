public import Kernels
public import TensorCore

/// A convolution over images.
///
///     y[n, h, w, k] = b[k] + Σ x[n, h·stride + r·dilation − padding, …, c]·W[k, c, r, s]
///
/// - input [N·H·W, C], output [N·H′·W′, K]
/// - weight [K, C / groups, R, S] (kept as its passes want it), bias [K] or none
/// - backward: dx; dW and db for each shard, summed over the tree.
///
/// With max pooling right behind it, which `PooledConvolution` knows how to share work with, the output
/// is the pooled one, [N·H″·W″, K].
public final class Convolution2D: ShardwiseLayer, PackingLayer {
    /// The name in messages and files: `conv1`.
    public let name: String

    /// Values of one sample's output, H′·W′·K, or H″·W″·K.
    public let outputs: Int

    /// y, [N·H′·W′, K], or [N·H″·W″, K].
    public let output: Tensor

    /// One image's geometry.
    public let shape: ConvolutionShape
    /// Of the flat buffers.
    private let weight: Range<Int>
    private let bias: Range<Int>?
    private let replica: Replica
    private let gradients: GradientAccumulator
    private let kernel: Kernel
    /// Where the copies of the weight lie, and in them those for the passes; nil for a pass that reads
    /// the parameter.
    private var copies: UnsafeMutablePointer<Float>?
    private let forwardCopy: Int?
    private let backwardCopy: Int?
    /// Brings back a shard's input that was not kept.
    public var restoreInput: ((_ position: Int, _ pass: Pass) throws -> Void)?

    /// db of each of this worker's shards, [shards, K].
    private let biasGradients: Tensor

    private enum Kernel {
        case plain(Convolution)
        /// `maxima` are those of the last forward pass, as the output.
        case pooled(PooledConvolution, maxima: UnsafeMutablePointer<Int32>)

        var convolution: Convolution {
            switch self {
            case .plain(let kernel): kernel
            case .pooled(let kernel, _): kernel.convolution
            }
        }
    }

    /// - Parameters:
    ///   - pooling: right behind it, over squares that `PooledConvolution.suits`; nil for none.
    ///   - needsInputGradient: false for a first layer.
    ///   - shapes: the batches that will come.
    ///   - scratch: memory that a worker's convolutions share.
    public init(
        name: String, _ shape: ConvolutionShape, pooling: PoolingShape? = nil, weight: Parameter,
        bias: Parameter?, needsInputGradient: Bool, replica: Replica,
        gradients: GradientAccumulator, shapes: [BatchShape], scratch: ConvolutionScratch
    ) throws {
        guard case .blocked(Convolution.weightLayout(shape)) = weight.storage else {
            preconditionFailure("a convolution's weight lies as its passes want it")
        }
        self.name = name
        self.shape = shape
        self.weight = weight.range
        self.bias = bias?.range
        self.replica = replica
        self.gradients = gradients
        outputs = pooling?.outputCount ?? shape.outputCount
        let rows = shapes.map(\.rows).max() ?? 0
        output = Tensor(
            rows: rows * (outputs / shape.outputChannels), columns: shape.outputChannels)
        if let pooling {
            let maxima = alignedAllocation(of: Int32.self, count: rows * outputs)
            maxima.initialize(repeating: 0, count: rows * outputs)
            kernel = .pooled(
                PooledConvolution(
                    shape, pooling, bias: bias != nil, backwardData: needsInputGradient,
                    scratch: scratch,
                    fetching: gradients.team?.prefetchQueue), maxima: maxima)
        } else {
            kernel = .plain(
                Convolution(
                    shape,
                    images: shapes.filter(\.trains).flatMap(\.shardRows).map(\.count).max() ?? 1,
                    bias: bias != nil, backwardData: needsInputGradient,
                    scratch: scratch, fetching: gradients.team?.prefetchQueue))
        }
        let (forward, backward) = (
            kernel.convolution.packedForwardCount, kernel.convolution.packedBackwardCount
        )
        // Vectors are read at their alignment.
        let behind = forward.map { ($0 + 15) / 16 * 16 } ?? 0
        forwardCopy = forward.map { _ in 0 }
        backwardCopy = backward.map { _ in behind }
        packedCount = behind + (backward ?? 0)
        let shards = shapes.map(\.shardRows.count).max() ?? 0
        biasGradients = Tensor(rows: bias == nil ? 0 : shards, columns: shape.outputChannels)
    }

    deinit {
        if case .pooled(_, let maxima) = kernel { maxima.deallocate() }
    }

    /// Time counts as that of products.
    public var kind: LayerKind { .product }

    /// So many that input and output stay in the cache.
    public var samplesPerBlock: Int? {
        imagesPerBlock(values: max(shape.inputCount, shape.outputCount))
    }

    private var plainWeight: UnsafePointer<Float> {
        UnsafePointer(replica.parameters + weight.lowerBound)
    }

    /// Floats of the copies that `pack` writes.
    package let packedCount: Int

    /// Where `pack` writes the copies and passes read them: `packedCount` floats.
    package func place(copies: UnsafeMutablePointer<Float>) { self.copies = copies }

    /// Writes the copies of the weight, after an update.
    package func pack() throws {
        guard let copies else { preconditionFailure("the copies of \(name) have no place") }
        if let forwardCopy {
            kernel.convolution.packForward(weight: plainWeight, into: copies + forwardCopy)
        }
        if let backwardCopy {
            kernel.convolution.packBackward(weight: plainWeight, into: copies + backwardCopy)
        }
    }

    /// The weight as a pass reads it.
    private func weight(at copy: Int?) -> UnsafePointer<Float> {
        guard let copy else { return plainWeight }
        guard let copies else { preconditionFailure("the copies of \(name) have no place") }
        return UnsafePointer(copies + copy)
    }

    /// y, of the block's images.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) throws {
        let (images, first) = (block.rows.count, block.rows.lowerBound)
        let x = input.pointer + first * shape.inputCount
        let y = output.pointer + first * outputs
        let w = weight(at: forwardCopy)
        let b = bias.map { UnsafePointer(replica.parameters + $0.lowerBound) }
        switch kernel {
        case .plain(let kernel):
            kernel.forward(images: images, input: x, weight: w, bias: b, output: y)
        case .pooled(let kernel, let maxima):
            kernel.forward(
                images: images, input: x, weight: w, bias: b, output: y,
                maxima: maxima + first * outputs)
        }
    }

    /// dx, of the block's images.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) throws {
        guard let inputGradient else { return }
        let (images, first) = (block.rows.count, block.rows.lowerBound)
        let dy = outputGradient.pointer + first * outputs
        let dx = inputGradient.pointer + first * shape.inputCount
        let w = weight(at: backwardCopy)
        switch kernel {
        case .plain(let kernel):
            kernel.backwardData(
                images: images, outputGradient: dy, weight: w, inputGradient: dx)
        case .pooled(let kernel, let maxima):
            kernel.backwardData(
                images: images, outputGradient: dy, maxima: maxima + first * outputs, weight: w,
                inputGradient: dx)
        }
    }

    /// dW and db of all shards, to the accumulator.
    public func backwardWeights(
        _ input: Tensor, _ outputGradient: Tensor, _ pass: Pass
    ) throws {
        try gradients.accumulate(weight) { position, destination in
            let rows = pass.shardRows[position]
            let (images, first) = (rows.count, rows.lowerBound)
            try restoreInput?(position, pass)
            let x = input.pointer + first * shape.inputCount
            let dy = outputGradient.pointer + first * outputs
            let db = bias == nil ? nil : biasGradients.row(position)
            switch kernel {
            case .plain(let kernel):
                kernel.backwardWeights(
                    images: images, input: x, outputGradient: dy, weightGradient: destination,
                    biasGradient: db)
            case .pooled(let kernel, let maxima):
                kernel.backwardWeights(
                    images: images, input: x, outputGradient: dy,
                    maxima: maxima + first * outputs, weightGradient: destination,
                    biasGradient: db)
            }
        }
        guard let bias else { return }
        gradients.accumulate(bias) { position, destination in
            destination.update(from: biasGradients.row(position), count: bias.count)
        }
    }
}

/// A layer that reads copies of its weights in other layouts, made anew after each update.
package protocol PackingLayer: Layer {
    /// Floats of its copies; 0 for none.
    var packedCount: Int { get }

    /// Where they lie, aligned to 16 floats: before the first `pack` and the first pass.
    func place(copies: UnsafeMutablePointer<Float>)

    /// Writes the copies; of those that workers share one does.
    func pack() throws
}

extension PackingLayer {
    /// Whether each worker has copies of its own: so few take less time to write than to meet, and to
    /// read from another core.
    package var packsForItself: Bool { packedCount <= 8192 }
}
