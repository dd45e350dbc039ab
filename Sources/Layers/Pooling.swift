public import Kernels
public import TensorCore

/// The largest value of each window, or the mean with padding counted as zeros.
///
/// - input [N·H·W, C], output [N·H′·W′, C]
/// - backward: the largest value's gradient goes to the first such value, row by row; the mean's to
///   all of its window.
public final class Pool2D: Layer {
    /// What is made of a window.
    public enum Kind: Hashable, Sendable {
        /// Its largest value.
        case maximum
        /// Its mean.
        case average
    }

    /// The name in messages.
    public let name: String

    /// Values of one sample's output, H′·W′·C.
    public let outputs: Int

    /// y, [N·H′·W′, C].
    public let output: Tensor
    private let pooling: Kind
    private let shape: PoolingShape

    /// - Parameter rows: the most samples of a pass.
    public init(name: String, _ pooling: Kind, _ shape: PoolingShape, rows: Int) {
        self.name = name
        self.pooling = pooling
        self.shape = shape
        outputs = shape.outputCount
        output = Tensor(
            rows: rows * shape.outputHeight * shape.outputWidth, columns: shape.channels)
    }

    /// So many that input and output stay in the cache.
    public var samplesPerBlock: Int? { imagesPerBlock(values: shape.inputCount) }

    /// Blocks share nothing.
    public var takesBlocksTogether: Bool { true }

    /// y, of the block's images.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        let first = block.rows.lowerBound
        let x = input.pointer + first * shape.inputCount
        let y = output.pointer + first * shape.outputCount
        switch pooling {
        case .maximum: maxPool(shape, images: block.rows.count, input: x, output: y)
        case .average: averagePool(shape, images: block.rows.count, input: x, output: y)
        }
    }

    /// dx, of the block's images.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        guard let inputGradient else { return }
        let first = block.rows.lowerBound
        let dy = outputGradient.pointer + first * shape.outputCount
        let dx = inputGradient.pointer + first * shape.inputCount
        switch pooling {
        case .maximum:
            maxPoolBackward(
                shape, images: block.rows.count, input: input.pointer + first * shape.inputCount,
                output: output.pointer + first * shape.outputCount, outputGradient: dy,
                inputGradient: dx)
        case .average:
            averagePoolBackward(
                shape, images: block.rows.count, outputGradient: dy, inputGradient: dx)
        }
    }
}

/// The mean of each channel of an image.
///
/// - input [N·H·W, C], output [N, C]
public final class GlobalAveragePool: Layer {
    /// The name in messages.
    public let name: String

    /// Values of one sample's output, C.
    public let outputs: Int

    /// y, [N, C].
    public let output: Tensor
    private let input: ImageShape

    /// - Parameter rows: the most samples of a pass.
    public init(name: String, input: ImageShape, rows: Int) {
        self.name = name
        self.input = input
        outputs = input.channels
        output = Tensor(rows: rows, columns: input.channels)
    }

    /// So many that the input stays in the cache.
    public var samplesPerBlock: Int? { imagesPerBlock(values: input.count) }

    /// Blocks share nothing.
    public var takesBlocksTogether: Bool { true }

    /// y, of the block's images.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        let first = block.rows.lowerBound
        globalAveragePool(
            images: block.rows.count, positions: self.input.positions, channels: outputs,
            input: input.pointer + first * self.input.count,
            output: output.pointer + first * outputs)
    }

    /// dx, of the block's images.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        guard let inputGradient else { return }
        let first = block.rows.lowerBound
        globalAveragePoolBackward(
            images: block.rows.count, positions: self.input.positions, channels: outputs,
            outputGradient: outputGradient.pointer + first * outputs,
            inputGradient: inputGradient.pointer + first * self.input.count)
    }
}
