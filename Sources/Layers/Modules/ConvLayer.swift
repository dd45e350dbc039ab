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
public final class ConvLayer: Layer {
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
    /// By member of the worker's crew.
    private let kernels: [Kernel]
    private var kernel: Kernel { kernels[0] }
    /// Where the copies of the weight lie, and in them those for the passes; nil for a pass that reads
    /// the parameter.
    private var copies: UnsafeMutablePointer<Float>?
    private let forwardCopy: Int?
    private let backwardCopy: Int?
    /// Brings back an input that was not kept.
    public var restoredInput: (any RestoredInput)?

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
    ///   - scratches: memory that a worker's convolutions share, of each thread that will run them.
    public init(
        name: String, _ shape: ConvolutionShape, pooling: PoolingShape? = nil, weight: Parameter,
        bias: Parameter?, needsInputGradient: Bool, replica: Replica,
        gradients: GradientAccumulator, shapes: [BatchShape], scratches: [ConvolutionScratch]
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
        let outputs = pooling?.outputCount ?? shape.outputCount
        self.outputs = outputs
        let rows = shapes.map(\.rows).max() ?? 0
        output = Tensor(
            rows: rows * (outputs / shape.outputChannels), columns: shape.outputChannels)
        let maxima = pooling.map { _ in
            let maxima = alignedAllocation(of: Int32.self, count: rows * outputs)
            maxima.initialize(repeating: 0, count: rows * outputs)
            return maxima
        }
        let images = shapes.filter(\.trains).map(\.rows).max() ?? 1
        kernels = scratches.enumerated().map { member, scratch in
            // What others wrote is fetched by one.
            let fetching = member == 0 ? gradients.team?.prefetchQueue : nil
            if let pooling, let maxima {
                return .pooled(
                    PooledConvolution(
                        shape, pooling, bias: bias != nil, backwardData: needsInputGradient,
                        scratch: scratch, fetching: fetching), maxima: maxima)
            }
            return .plain(
                Convolution(
                    shape, images: images, bias: bias != nil, backwardData: needsInputGradient,
                    scratch: scratch, fetching: fetching))
        }
        let kernel = kernels[0]
        let (forward, backward) = (
            kernel.convolution.packedForwardCount, kernel.convolution.packedBackwardCount
        )
        // Vectors are read at their alignment.
        let behind = forward.map { ($0 + 15) / 16 * 16 } ?? 0
        forwardCopy = forward.map { _ in 0 }
        backwardCopy = backward.map { _ in behind }
        packedCount = behind + (backward ?? 0)
    }

    deinit {
        if case .pooled(_, let maxima) = kernel { maxima.deallocate() }
    }

    /// Each thread has a plan of its own, and images that stay in the cache.
    public var traits: LayerTraits {
        var traits = LayerTraits(imageValues: max(shape.inputCount, shape.outputCount))
        traits.time = .product
        traits.takesBlocksTogether = true
        traits.weights = .dividedProduct
        traits.restoresInput = true
        return traits
    }

    private var plainWeight: UnsafePointer<Float> {
        UnsafePointer(replica.parameters + weight.lowerBound)
    }

    /// Floats of the copies that `pack` writes.
    public let packedCount: Int

    /// Where `pack` writes the copies and passes read them: `packedCount` floats.
    public func place(copies: UnsafeMutablePointer<Float>) { self.copies = copies }

    /// Writes the copies of the weight, after an update.
    public func pack(member: Int) {
        let kernel = kernels[member]
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
        switch kernels[block.member] {
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
        switch kernels[block.member] {
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
    public func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) throws {
        try backwardWeights(input, outputGradient, pass, .whole)
    }

    /// A share of dW and db of all shards, to the accumulator.
    ///
    /// Of a few small shards together a part of the weight each, which stays in the cache while their
    /// contributions to it are added up.
    public func backwardWeights(
        _ input: Tensor, _ outputGradient: Tensor, _ pass: Pass, _ share: Share
    ) throws {
        let kernel = kernels[share.member]
        let units = share.part(of: weightUnits)
        var shard = 0
        while shard < pass.shardRows.count && !units.isEmpty {
            let shards = shards(from: shard, pass)
            try restoredInput?.restore(shards: shards, pass)
            let first = pass.shardRows[shard].lowerBound
            let x = UnsafePointer(input.pointer + first * shape.inputCount)
            let dy = UnsafePointer(outputGradient.pointer + first * outputs)
            if shards.count == 1 {
                addGradient(ofShard: shard, kernel, x, dy, units, pass, member: share.member)
            } else {
                addGradients(
                    ofShards: shards, kernel.convolution, x, dy, units, pass,
                    member: share.member)
            }
            shard = shards.upperBound
        }
        guard share.isFirst else { return }
        addBiasGradients(outputGradient, pass, member: share.member)
    }

    /// The parts that the weight's gradient divides into.
    private var weightUnits: Int {
        switch kernel {
        case .plain(let kernel): kernel.weightUnits
        case .pooled: 1
        }
    }

    /// Where some of these lie in it.
    private func weightPart(_ units: Range<Int>) -> WeightPart {
        switch kernel {
        case .plain(let kernel): kernel.weightPart(units)
        case .pooled: WeightPart(count: weight.count)
        }
    }

    /// Values of a part of the weight that stays in the cache, for small shards.
    private static var cachedValues: Int { 1 << 16 }

    /// As many shards as the kernel takes together: 1 at least.
    private func shards(from shard: Int, _ pass: Pass) -> Range<Int> {
        guard case .plain(let kernel) = kernel else { return shard..<shard + 1 }
        let most = min(kernel.imagesAtOnce, restoredInput?.samples ?? Int.max)
        let first = pass.shardRows[shard].lowerBound
        var end = shard + 1
        while end < pass.shardRows.count, pass.shardRows[end].upperBound - first <= most {
            end += 1
        }
        return shard..<end
    }

    /// Adds a shard's contribution.
    private func addGradient(
        ofShard shard: Int, _ kernel: Kernel, _ x: UnsafePointer<Float>,
        _ dy: UnsafePointer<Float>, _ units: Range<Int>, _ pass: Pass, member: Int
    ) {
        let images = pass.shardRows[shard].count
        gradients.accumulate(
            weight, weightPart(units), of: shard..<shard + 1, member: member
        ) { _, destination in
            switch kernel {
            case .plain(let kernel):
                kernel.backwardWeights(
                    images: images, input: x, outputGradient: dy, units: units,
                    weightGradient: destination, biasGradient: nil)
            case .pooled(let kernel, let maxima):
                kernel.backwardWeights(
                    images: images, input: x, outputGradient: dy,
                    maxima: maxima + pass.shardRows[shard].lowerBound * outputs,
                    weightGradient: destination, biasGradient: nil)
            }
        }
    }

    /// Adds the contributions of shards that the kernel takes together.
    private func addGradients(
        ofShards shards: Range<Int>, _ convolution: Convolution, _ x: UnsafePointer<Float>,
        _ dy: UnsafePointer<Float>, _ units: Range<Int>, _ pass: Pass, member: Int
    ) {
        let first = pass.shardRows[shards.lowerBound].lowerBound
        func images(_ shard: Int) -> Range<Int> {
            let rows = pass.shardRows[shard]
            return rows.lowerBound - first..<rows.upperBound - first
        }
        convolution.load(
            images: images(shards.upperBound - 1).upperBound, input: x, outputGradient: dy)
        let step = max(1, Self.cachedValues * convolution.weightUnits / weight.count)
        for unit in stride(from: units.lowerBound, to: units.upperBound, by: step) {
            let part = unit..<min(unit + step, units.upperBound)
            gradients.accumulate(
                weight, weightPart(part), of: shards, member: member
            ) { shard, destination in
                convolution.backwardWeights(
                    loaded: images(shard), input: x, outputGradient: dy, units: part,
                    weightGradient: destination)
            }
        }
    }

    /// db of all shards, to the accumulator.
    private func addBiasGradients(_ outputGradient: Tensor, _ pass: Pass, member: Int) {
        guard let bias else { return }
        gradients.accumulate(
            bias, WeightPart(count: bias.count), of: pass.shardRows.indices, member: member
        ) { shard, destination in
            let rows = pass.shardRows[shard]
            columnSums(
                outputGradient.pointer + rows.lowerBound * outputs,
                rows: rows.count * (outputs / bias.count), columns: bias.count,
                into: destination)
        }
    }
}
