public import Kernels
public import TensorCore

/// A convolution over images.
///
///     y[h, w, k] = b[k] + Σ x[h·stride + r·dilation − padding, …, c]·W[k, c, r, s]
///
/// - weight [K, C / groups, R, S], bias [K] or none
public struct Conv: Module {
    /// Channels of the output, K.
    public var channels: Int
    /// R and S.
    public var kernelHeight: Int, kernelWidth: Int
    /// Pixels from one window to the next.
    public var strideHeight: Int, strideWidth: Int
    /// Rows and columns of zeros on each side.
    public var paddingHeight: Int, paddingWidth: Int
    /// Pixels from one of a window's to the next.
    public var dilationHeight: Int, dilationWidth: Int
    /// Groups of channels that are convolved by themselves.
    public var groups: Int
    /// Whether there is a b.
    public var bias: Bool

    /// A square convolution.
    public init(
        _ channels: Int, kernel: Int, stride: Int = 1, padding: Int = 0, dilation: Int = 1,
        groups: Int = 1, bias: Bool = true
    ) {
        self.channels = channels
        (kernelHeight, kernelWidth) = (kernel, kernel)
        (strideHeight, strideWidth) = (stride, stride)
        (paddingHeight, paddingWidth) = (padding, padding)
        (dilationHeight, dilationWidth) = (dilation, dilation)
        self.groups = groups
        self.bias = bias
    }

    /// One of the geometry of `shape`.
    package init(_ shape: ConvolutionShape, bias: Bool) {
        channels = shape.outputChannels
        (kernelHeight, kernelWidth) = (shape.kernelHeight, shape.kernelWidth)
        (strideHeight, strideWidth) = (shape.strideHeight, shape.strideWidth)
        (paddingHeight, paddingWidth) = (shape.paddingHeight, shape.paddingWidth)
        (dilationHeight, dilationWidth) = (shape.dilationHeight, shape.dilationWidth)
        groups = shape.groups
        self.bias = bias
    }

    /// Its geometry over images of extent `image`.
    public func shape(over image: ImageShape) -> ConvolutionShape {
        ConvolutionShape(
            inputHeight: image.height, inputWidth: image.width, inputChannels: image.channels,
            outputChannels: channels, kernelHeight: kernelHeight, kernelWidth: kernelWidth,
            strideHeight: strideHeight, strideWidth: strideWidth, paddingHeight: paddingHeight,
            paddingWidth: paddingWidth, dilationHeight: dilationHeight,
            dilationWidth: dilationWidth, groups: groups)
    }

    /// H′×W′×K.
    public func output(of input: ImageShape) throws(ModuleError) -> ImageShape {
        guard
            input.height + 2 * paddingHeight > (kernelHeight - 1) * dilationHeight,
            input.width + 2 * paddingWidth > (kernelWidth - 1) * dilationWidth
        else { throw .windowIsLarger(than: input) }
        guard input.channels % groups == 0 && channels % groups == 0 else {
            throw .channelsDoNotDivide(input: input.channels, output: channels, groups: groups)
        }
        let shape = shape(over: input)
        return ImageShape(
            height: shape.outputHeight, width: shape.outputWidth, channels: channels)
    }

    /// Weight and bias.
    public func tensors(at place: ModulePlace) -> [ModelLayout.Declaration] {
        let shape = shape(over: place.input)
        let weight = ModelLayout.Declaration.parameter(
            name: "weight",
            shape: [channels, place.input.channels / groups, kernelHeight, kernelWidth],
            role: .weight, isReduced: true, storage: .blocked(Convolution.weightLayout(shape)))
        guard bias else { return [weight] }
        return [
            weight, .parameter(name: "bias", shape: [channels], role: .bias, isReduced: true),
        ]
    }

    /// H′·W′·K, C / groups, R·S.
    public func multiplyAdds(of input: ImageShape) -> Int { shape(over: input).operations / 2 }

    /// With the max pooling right behind it, where there is one that it can do.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) throws -> any Layer {
        try ConvLayer(
            name: place.name, shape(over: place.input), pooling: place.fusion.pooling,
            weight: worker.parameter("weight", of: place),
            bias: worker.parameter("bias", of: place, if: bias),
            needsInputGradient: !place.readsNetworkInput, replica: worker.replica,
            gradients: worker.gradients, shapes: worker.shapes, scratches: worker.scratches)
    }

    // MARK: reference

    /// y[k] = b[k] + Σ x[c]·W[k, c, r, s] under each output pixel.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        let shape = shape(over: context.place.input)
        let (inputs, outputs, taps) = shape.extent
        let w = shape.reordered(context.parameters["weight"] ?? [], back: false)
        var output = ReferenceMatrix(rows: input.rows, columns: shape.outputCount)
        output.values.withUnsafeMutableBufferPointer { y in
            if let bias = context.parameters["bias"] {
                for i in y.indices { y[i] = bias[i % shape.outputChannels] }
            }
            for sample in 0..<input.rows {
                let (start, end) = (sample * shape.inputCount, sample * shape.outputCount)
                for group in 0..<shape.groups {
                    shape.forEachTap { to, from, tap in
                        let (to, from) = (
                            end + to + group * outputs, start + from + group * inputs
                        )
                        for c in 0..<inputs {
                            let value = input.values[from + c]
                            let row = ((group * taps + tap) * inputs + c) * outputs
                            for k in 0..<outputs { y[to + k] += value * w[row + k] }
                        }
                    }
                }
            }
        }
        return output
    }

    /// dx, dW and db.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        let shape = shape(over: context.place.input)
        let (inputs, outputs, taps) = shape.extent
        let w = shape.reordered(context.parameters["weight"] ?? [], back: false)
        let g = outputGradient.values
        var inputGradient = ReferenceMatrix(rows: input.rows, columns: shape.inputCount)
        var weightGradient = [Double](repeating: 0, count: w.count)
        inputGradient.values.withUnsafeMutableBufferPointer { dx in
            weightGradient.withUnsafeMutableBufferPointer { dw in
                for sample in 0..<input.rows {
                    let (start, end) = (sample * shape.inputCount, sample * shape.outputCount)
                    for group in 0..<shape.groups {
                        shape.forEachTap { to, from, tap in
                            let (to, from) = (
                                end + to + group * outputs, start + from + group * inputs
                            )
                            for c in 0..<inputs {
                                let value = input.values[from + c]
                                let row = ((group * taps + tap) * inputs + c) * outputs
                                var sum = 0.0
                                for k in 0..<outputs {
                                    dw[row + k] += value * g[to + k]
                                    sum += w[row + k] * g[to + k]
                                }
                                dx[from + c] += sum
                            }
                        }
                    }
                }
            }
        }
        var biasGradient = [Double](repeating: 0, count: shape.outputChannels)
        for (i, value) in g.enumerated() { biasGradient[i % shape.outputChannels] += value }
        return ReferenceGradients(
            inputGradient,
            ["weight": shape.reordered(weightGradient, back: true), "bias": biasGradient])
    }
}

extension ConvolutionShape {
    /// Calls `body` for each pixel under each output pixel of one image and group of channels: where
    /// the output's channels start, the input's, and the kernel's position.
    fileprivate func forEachTap(
        _ body: (_ output: Int, _ input: Int, _ tap: Int) -> Void
    ) {
        for y in 0..<outputHeight {
            for x in 0..<outputWidth {
                for r in 0..<kernelHeight {
                    let row = y * strideHeight + r * dilationHeight - paddingHeight
                    guard row >= 0 && row < inputHeight else { continue }
                    for s in 0..<kernelWidth {
                        let column = x * strideWidth + s * dilationWidth - paddingWidth
                        guard column >= 0 && column < inputWidth else { continue }
                        body(
                            (y * outputWidth + x) * outputChannels,
                            (row * inputWidth + column) * inputChannels, r * kernelWidth + s)
                    }
                }
            }
        }
    }

    /// Channels of a group, in and out, and taps of a kernel.
    fileprivate var extent: (inputs: Int, outputs: Int, taps: Int) {
        (inputChannels / groups, outputChannels / groups, kernelHeight * kernelWidth)
    }

    /// The file's [K, C / groups, R, S] as [groups, R·S, C / groups, K / groups], and back: the
    /// innermost loops then run along memory.
    fileprivate func reordered(_ weight: [Double], back: Bool) -> [Double] {
        let (inputs, outputs, taps) = extent
        var result = weight
        for group in 0..<groups {
            for k in 0..<outputs {
                for c in 0..<inputs {
                    for tap in 0..<taps {
                        let file = ((group * outputs + k) * inputs + c) * taps + tap
                        let memory = ((group * taps + tap) * inputs + c) * outputs + k
                        if back {
                            result[file] = weight[memory]
                        } else {
                            result[memory] = weight[file]
                        }
                    }
                }
            }
        }
        return result
    }
}
