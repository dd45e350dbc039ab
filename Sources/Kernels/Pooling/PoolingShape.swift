/// The geometry of a pooling, for one image: [H, W, C] in, [H′, W′, C] out.
public struct PoolingShape: Hashable, Sendable {
    /// H
    public let inputHeight: Int
    /// W
    public let inputWidth: Int
    /// C
    public let channels: Int
    /// R
    public let kernelHeight: Int
    /// S
    public let kernelWidth: Int
    /// Rows of the input from one window to the next.
    public let strideHeight: Int
    /// Columns of the input from one window to the next.
    public let strideWidth: Int
    /// Rows of padding above the image and as many below.
    public let paddingHeight: Int
    /// Columns of padding left of the image and as many right of it.
    public let paddingWidth: Int

    /// A pooling with padding that is the same on both sides, and at most half the kernel, so that
    /// every window holds part of the image.
    public init(
        inputHeight: Int, inputWidth: Int, channels: Int, kernelHeight: Int, kernelWidth: Int,
        strideHeight: Int, strideWidth: Int, paddingHeight: Int = 0, paddingWidth: Int = 0
    ) {
        precondition(
            [
                inputHeight, inputWidth, channels, kernelHeight, kernelWidth, strideHeight,
                strideWidth,
            ].allSatisfy { $0 > 0 }, "a pooling's extents are positive")
        precondition(
            (0...kernelHeight / 2).contains(paddingHeight)
                && (0...kernelWidth / 2).contains(paddingWidth),
            "a pooling's padding is at most half the kernel")
        self.inputHeight = inputHeight
        self.inputWidth = inputWidth
        self.channels = channels
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.strideHeight = strideHeight
        self.strideWidth = strideWidth
        self.paddingHeight = paddingHeight
        self.paddingWidth = paddingWidth
        precondition(
            outputHeight > 0 && outputWidth > 0, "a pooling's kernel fits the padded image")
    }

    /// H′ = ⌊(H + 2·padding − R) / stride⌋ + 1, PyTorch's rule.
    public var outputHeight: Int {
        ConvolutionShape.outputExtent(inputHeight, kernelHeight, strideHeight, paddingHeight, 1)
    }

    /// W′, as H′.
    public var outputWidth: Int {
        ConvolutionShape.outputExtent(inputWidth, kernelWidth, strideWidth, paddingWidth, 1)
    }

    /// Values of one input image.
    public var inputCount: Int { inputHeight * inputWidth * channels }

    /// Values of one output image.
    public var outputCount: Int { outputHeight * outputWidth * channels }

    /// Whether every pixel but those right and below of the last window lies in exactly one.
    var tilesImage: Bool {
        strideHeight == kernelHeight && strideWidth == kernelWidth && paddingHeight == 0
            && paddingWidth == 0
    }

    /// The rows of the image under the windows of output row `y`.
    @inline(__always)
    package func rows(_ y: Int) -> Range<Int> {
        let start = y &* strideHeight &- paddingHeight
        return Range(
            uncheckedBounds: (max(start, 0), min(start &+ kernelHeight, inputHeight)))
    }

    /// The columns of the image under the windows of output column `x`.
    @inline(__always)
    package func columns(_ x: Int) -> Range<Int> {
        let start = x &* strideWidth &- paddingWidth
        return Range(uncheckedBounds: (max(start, 0), min(start &+ kernelWidth, inputWidth)))
    }
}
