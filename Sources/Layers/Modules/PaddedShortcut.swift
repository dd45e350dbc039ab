public import TensorCore

/// A shortcut without parameters to a smaller, wider image: see ``PaddedShortcutLayer``.
public struct PaddedShortcut: Module {
    /// Channels of the output.
    public var channels: Int
    /// Rows and columns from one that is taken to the next.
    public var stride: Int

    /// A shortcut.
    public init(_ channels: Int, stride: Int) {
        self.channels = channels
        self.stride = stride
    }

    /// ⌈H / stride⌉×⌈W / stride⌉×K.
    public func output(of input: ImageShape) -> ImageShape {
        PaddedShortcutLayer.output(of: input, channels: channels, stride: stride)
    }

    /// A `PaddedShortcutLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        PaddedShortcutLayer(
            name: place.name, input: place.input, channels: channels, stride: stride,
            rows: worker.rows)
    }

    /// Every `stride`-th pixel, with zeros for the new channels on both sides.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        let sources = sources(context.place.input)
        return ReferenceMatrix(
            rows: input.rows, columns: sources.count,
            values: (0..<input.rows).flatMap { row in
                sources.map { $0.map { input[row, $0] } ?? 0 }
            })
    }

    /// The gradient of the pixels that were taken; the others have none.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        var result = ReferenceMatrix(rows: input.rows, columns: input.columns)
        for (index, source) in sources(context.place.input).enumerated() {
            guard let source else { continue }
            for row in 0..<input.rows { result[row, source] = outputGradient[row, index] }
        }
        return ReferenceGradients(result)
    }

    /// For each value of the output: where it comes from; nil for a zero.
    private func sources(_ input: ImageShape) -> [Int?] {
        let output = output(of: input)
        let padding = (channels - input.channels) / 2
        return (0..<output.count).map { index in
            let (pixel, channel) = (index / channels, index % channels - padding)
            guard channel >= 0 && channel < input.channels else { return nil }
            let (row, column) = (pixel / output.width * stride, pixel % output.width * stride)
            return (row * input.width + column) * input.channels + channel
        }
    }
}

/// The shortcut without parameters where a residual network halves its images and widens them:
/// every second row and column, and zeros for the new channels, half in front, half behind.
///
/// Option A of He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015. The paper
/// leaves open where the zeros go; both sides alike is what is usual for CIFAR.
///
/// - input [N·H·W, C], output [N·⌈H / stride⌉·⌈W / stride⌉, K]
public final class PaddedShortcutLayer: Layer {
    /// The name in messages.
    public let name: String

    /// Values of one sample's output.
    public let outputs: Int

    /// y; its padding is zero from the start.
    public let output: Tensor
    private let input: ImageShape
    private let result: ImageShape
    private let stride: Int

    /// - Parameter rows: the most samples of a pass.
    public init(name: String, input: ImageShape, channels: Int, stride: Int, rows: Int) {
        precondition(channels >= input.channels && stride > 0, "a shortcut widens")
        self.name = name
        self.input = input
        self.stride = stride
        result = Self.output(of: input, channels: channels, stride: stride)
        outputs = result.count
        output = Tensor(rows: rows * result.positions, columns: channels)
    }

    /// What it makes of an image.
    public static func output(of input: ImageShape, channels: Int, stride: Int) -> ImageShape {
        ImageShape(
            height: (input.height + stride - 1) / stride,
            width: (input.width + stride - 1) / stride, channels: channels)
    }

    /// Images; blocks share nothing.
    public var traits: LayerTraits {
        var traits = LayerTraits(imageValues: max(input.count, outputs))
        traits.takesBlocksTogether = true
        return traits
    }

    /// Calls `body` with the offsets, in a sample's output and input, of each output position.
    private func positions(
        of block: Block, _ body: (_ output: Int, _ input: Int) -> Void
    ) {
        let padding = (result.channels - input.channels) / 2
        for sample in block.rows {
            for row in 0..<result.height {
                for column in 0..<result.width {
                    let to = (sample * result.height + row) * result.width + column
                    let from =
                        (sample * input.height + row * stride) * input.width
                        + column * stride
                    body(to * result.channels + padding, from * input.channels)
                }
            }
        }
    }

    /// y, of the block's images.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        positions(of: block) { to, from in
            (output.pointer + to).update(
                from: input.pointer + from, count: self.input.channels)
        }
    }

    /// dx, of the block's images.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        guard let inputGradient else { return }
        (inputGradient.pointer + block.rows.lowerBound * self.input.count).update(
            repeating: 0, count: block.rows.count * self.input.count)
        positions(of: block) { to, from in
            (inputGradient.pointer + from).update(
                from: outputGradient.pointer + to, count: self.input.channels)
        }
    }
}
