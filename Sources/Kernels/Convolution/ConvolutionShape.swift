/// The geometry of a two-dimensional convolution, for one image: [H, W, C] in, [H′, W′, K] out.
public struct ConvolutionShape: Hashable, Sendable {
    /// H
    public let inputHeight: Int
    /// W
    public let inputWidth: Int
    /// C
    public let inputChannels: Int
    /// K
    public let outputChannels: Int
    /// R
    public let kernelHeight: Int
    /// S
    public let kernelWidth: Int
    /// Rows of the input from one output row to the next.
    public let strideHeight: Int
    /// Columns of the input from one output column to the next.
    public let strideWidth: Int
    /// Rows of zeros above the image and as many below.
    public let paddingHeight: Int
    /// Columns of zeros left of the image and as many right of it.
    public let paddingWidth: Int
    /// Rows of the input from one kernel row to the next; 1 for a dense kernel.
    public let dilationHeight: Int
    /// Columns of the input from one kernel column to the next; 1 for a dense kernel.
    public let dilationWidth: Int
    /// Channels are cut into so many groups, input and output alike, convolved apart.
    public let groups: Int

    /// A convolution with padding that is the same on both sides.
    ///
    /// Everything is positive but the padding, which may be 0; both channel counts divide by
    /// `groups`; the kernel fits the padded image.
    public init(
        inputHeight: Int, inputWidth: Int, inputChannels: Int, outputChannels: Int,
        kernelHeight: Int, kernelWidth: Int, strideHeight: Int = 1, strideWidth: Int = 1,
        paddingHeight: Int = 0, paddingWidth: Int = 0, dilationHeight: Int = 1,
        dilationWidth: Int = 1, groups: Int = 1
    ) {
        precondition(
            [
                inputHeight, inputWidth, inputChannels, outputChannels, kernelHeight, kernelWidth,
                strideHeight, strideWidth, dilationHeight, dilationWidth, groups,
            ].allSatisfy { $0 > 0 } && paddingHeight >= 0 && paddingWidth >= 0,
            "a convolution's extents are positive")
        precondition(
            inputChannels % groups == 0 && outputChannels % groups == 0,
            "channels divide by the groups")
        self.inputHeight = inputHeight
        self.inputWidth = inputWidth
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.strideHeight = strideHeight
        self.strideWidth = strideWidth
        self.paddingHeight = paddingHeight
        self.paddingWidth = paddingWidth
        self.dilationHeight = dilationHeight
        self.dilationWidth = dilationWidth
        self.groups = groups
        precondition(
            outputHeight > 0 && outputWidth > 0, "a convolution's kernel fits the padded image")
    }

    /// H′ = ⌊(H + 2·padding − dilation·(R − 1) − 1) / stride⌋ + 1, PyTorch's rule.
    public var outputHeight: Int {
        Self.outputExtent(
            inputHeight, kernelHeight, strideHeight, paddingHeight, dilationHeight)
    }

    /// W′, as H′.
    public var outputWidth: Int {
        Self.outputExtent(inputWidth, kernelWidth, strideWidth, paddingWidth, dilationWidth)
    }

    /// Values of one input image.
    public var inputCount: Int { inputHeight * inputWidth * inputChannels }

    /// Values of one output image.
    public var outputCount: Int { outputHeight * outputWidth * outputChannels }

    /// Values of the weight, [K, C / groups, R, S].
    public var weightCount: Int {
        outputChannels * (inputChannels / groups) * kernelHeight * kernelWidth
    }

    /// Floating-point operations that one direct pass over one image needs, a multiply-add as two;
    /// products with padding are none. Winograd's transforms need fewer.
    public var operations: Int {
        let rows = Self.products(
            inputHeight, kernelHeight, strideHeight, paddingHeight, dilationHeight)
        let columns = Self.products(
            inputWidth, kernelWidth, strideWidth, paddingWidth, dilationWidth)
        return 2 * rows * columns * outputChannels * (inputChannels / groups)
    }

    /// How often a kernel's element meets the image along one axis.
    private static func products(
        _ input: Int, _ kernel: Int, _ stride: Int, _ padding: Int, _ dilation: Int
    ) -> Int {
        let positions = outputExtent(input, kernel, stride, padding, dilation)
        return (0..<positions).reduce(0) { sum, position in
            let start = position * stride - padding
            return sum
                + (0..<kernel).count { (0..<input).contains(start + $0 * dilation) }
        }
    }

    /// How many positions a window has along one axis; 0 or less where it does not fit.
    static func outputExtent(
        _ input: Int, _ kernel: Int, _ stride: Int, _ padding: Int, _ dilation: Int
    ) -> Int {
        let room = input + 2 * padding - dilation * (kernel - 1) - 1
        return room < 0 ? 0 : room / stride + 1
    }
}

extension ConvolutionShape: CustomStringConvertible {
    /// "32×32×3 → 32×32×16, kernel 3×3"
    public var description: String {
        "\(inputHeight)×\(inputWidth)×\(inputChannels) → "
            + "\(outputHeight)×\(outputWidth)×\(outputChannels), "
            + "kernel \(kernelHeight)×\(kernelWidth)"
    }
}
