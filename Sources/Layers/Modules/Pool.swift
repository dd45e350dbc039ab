public import Kernels
public import TensorCore

/// The largest value of each window.
public struct MaxPool: Module {
    /// Its windows.
    public var window: PoolWindow

    /// Square windows, side by side without a `stride`.
    public init(_ size: Int, stride: Int? = nil, padding: Int = 0) {
        window = PoolWindow(size, stride: stride, padding: padding)
    }

    /// H′×W′×C.
    public func output(of input: ImageShape) throws(ModuleError) -> ImageShape {
        try window.output(of: input)
    }

    /// A `PoolLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        PoolLayer(
            name: place.name, .maximum, window.shape(over: place.input), rows: worker.rows)
    }

    /// The largest value of each window.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        let shape = window.shape(over: context.place.input)
        var output = ReferenceMatrix(rows: input.rows, columns: shape.outputCount)
        forEachWindow(shape, samples: input.rows) { inputs, index in
            output.values[index] = inputs.map { input.values[$0] }.max() ?? 0
        }
        return output
    }

    /// Each window's gradient goes to the first of its largest values.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        let shape = window.shape(over: context.place.input)
        var inputGradient = ReferenceMatrix(rows: input.rows, columns: shape.inputCount)
        forEachWindow(shape, samples: input.rows) { inputs, index in
            guard var best = inputs.first else { return }
            for i in inputs where input.values[i] > input.values[best] { best = i }
            inputGradient.values[best] += outputGradient.values[index]
        }
        return ReferenceGradients(inputGradient)
    }
}

/// The mean of each window, padding counted as zeros.
public struct AveragePool: Module {
    /// Its windows.
    public var window: PoolWindow

    /// Square windows, side by side without a `stride`.
    public init(_ size: Int, stride: Int? = nil, padding: Int = 0) {
        window = PoolWindow(size, stride: stride, padding: padding)
    }

    /// H′×W′×C.
    public func output(of input: ImageShape) throws(ModuleError) -> ImageShape {
        try window.output(of: input)
    }

    /// A `PoolLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        PoolLayer(
            name: place.name, .average, window.shape(over: place.input), rows: worker.rows)
    }

    /// The mean of each window.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        let shape = window.shape(over: context.place.input)
        var output = ReferenceMatrix(rows: input.rows, columns: shape.outputCount)
        let area = Double(shape.kernelHeight * shape.kernelWidth)
        forEachWindow(shape, samples: input.rows) { inputs, index in
            output.values[index] = inputs.reduce(0) { $0 + input.values[$1] } / area
        }
        return output
    }

    /// Each window's gradient over its area, to all of its pixels.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        let shape = window.shape(over: context.place.input)
        var inputGradient = ReferenceMatrix(rows: input.rows, columns: shape.inputCount)
        let area = Double(shape.kernelHeight * shape.kernelWidth)
        forEachWindow(shape, samples: input.rows) { inputs, index in
            for i in inputs { inputGradient.values[i] += outputGradient.values[index] / area }
        }
        return ReferenceGradients(inputGradient)
    }
}

/// The windows of a pooling.
public struct PoolWindow: Hashable, Sendable {
    /// Pixels of a side.
    public var size: Int
    /// Pixels from one window to the next.
    public var stride: Int
    /// Rows and columns of padding on each side.
    public var padding: Int

    /// Square windows, side by side without a `stride`.
    public init(_ size: Int, stride: Int? = nil, padding: Int = 0) {
        self.size = size
        self.stride = stride ?? size
        self.padding = padding
    }

    /// Their geometry over images of extent `image`.
    public func shape(over image: ImageShape) -> PoolingShape {
        PoolingShape(
            inputHeight: image.height, inputWidth: image.width, channels: image.channels,
            kernelHeight: size, kernelWidth: size, strideHeight: stride, strideWidth: stride,
            paddingHeight: padding, paddingWidth: padding)
    }

    func output(of image: ImageShape) throws(ModuleError) -> ImageShape {
        guard min(image.height, image.width) + 2 * padding >= size else {
            throw .windowIsLarger(than: image)
        }
        let shape = shape(over: image)
        return ImageShape(
            height: shape.outputHeight, width: shape.outputWidth, channels: shape.channels)
    }
}

/// The largest value of each window, or the mean with padding counted as zeros.
///
/// - input [N·H·W, C], output [N·H′·W′, C]
/// - backward: the largest value's gradient goes to the first such value, row by row; the mean's to
///   all of its window.
public final class PoolLayer: Layer {
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

    /// Images; blocks share nothing.
    public var traits: LayerTraits {
        var traits = LayerTraits(imageValues: shape.inputCount)
        traits.takesBlocksTogether = true
        return traits
    }

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

/// Calls `body` with each sample's windows: the pixels of one channel, and its output.
private func forEachWindow(
    _ shape: PoolingShape, samples: Int, _ body: (_ inputs: [Int], _ output: Int) -> Void
) {
    for sample in 0..<samples {
        for y in 0..<shape.outputHeight {
            for x in 0..<shape.outputWidth {
                for c in 0..<shape.channels {
                    var inputs: [Int] = []
                    for r in 0..<shape.kernelHeight {
                        for s in 0..<shape.kernelWidth {
                            let row = y * shape.strideHeight + r - shape.paddingHeight
                            let column = x * shape.strideWidth + s - shape.paddingWidth
                            guard
                                row >= 0 && row < shape.inputHeight && column >= 0
                                    && column < shape.inputWidth
                            else { continue }
                            inputs.append(
                                sample * shape.inputCount
                                    + (row * shape.inputWidth + column) * shape.channels + c)
                        }
                    }
                    body(
                        inputs,
                        sample * shape.outputCount + (y * shape.outputWidth + x) * shape.channels
                            + c)
                }
            }
        }
    }
}
