import Kernels
public import TensorCore

/// The mean of each channel of an image.
public struct GlobalAveragePool: Module {
    /// It has no options.
    public init() {}

    /// 1×1×C.
    public func output(of input: ImageShape) -> ImageShape {
        ImageShape(height: 1, width: 1, channels: input.channels)
    }

    /// A `GlobalAveragePoolLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        GlobalAveragePoolLayer(name: place.name, input: place.input, rows: worker.rows)
    }

    /// The mean of each channel.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        let (channels, positions) = (context.place.input.channels, context.place.input.positions)
        let pixels = input.asRows(of: channels)
        return ReferenceMatrix(
            rows: input.rows, columns: channels,
            values: (0..<input.rows).flatMap { row in
                (0..<channels).map { c in
                    (0..<positions).reduce(0) { $0 + pixels[row * positions + $1, c] }
                        / Double(positions)
                }
            })
    }

    /// A share of the gradient to each pixel.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        let (channels, positions) = (context.place.input.channels, context.place.input.positions)
        var result = input
        for i in result.values.indices {
            let (row, c) = (i / input.columns, i % channels)
            result.values[i] = outputGradient[row, c] / Double(positions)
        }
        return ReferenceGradients(result)
    }
}

/// The mean of each channel of an image.
///
/// - input [N·H·W, C], output [N, C]
public final class GlobalAveragePoolLayer: Layer {
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

    /// Images; blocks share nothing.
    public var traits: LayerTraits {
        var traits = LayerTraits(imageValues: input.count)
        traits.takesBlocksTogether = true
        return traits
    }

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
