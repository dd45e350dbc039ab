public import TensorCore

/// The shortcut without parameters where a residual network halves its images and widens them:
/// every second row and column, and zeros for the new channels, half in front, half behind.
///
/// Option A of He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2015. The paper
/// leaves open where the zeros go; both sides alike is what is usual for CIFAR.
///
/// - input [N·H·W, C], output [N·⌈H / stride⌉·⌈W / stride⌉, K]
public final class PaddedShortcut: Layer {
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

    /// So many that input and output stay in the cache.
    public var samplesPerBlock: Int? { imagesPerBlock(values: max(input.count, outputs)) }

    /// Blocks share nothing.
    public var takesBlocksTogether: Bool { true }

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
