package import Kernels

/// `Convolution` in its readable form: NHWC images, the weight in the file's order.
package enum ConvolutionReference {
    /// One multiply-add of the convolution, as indices into its operands.
    private struct Term {
        var input: Int
        var weight: Int
        var output: Int
    }

    /// Calls `body` for every product of the convolution that does not fall on padding.
    private static func forEachTerm(
        _ shape: ConvolutionShape, images: Int, _ body: (Term) -> Void
    ) {
        let (channels, outputs) = (shape.inputChannels, shape.outputChannels)
        let channelsPerGroup = channels / shape.groups
        let outputsPerGroup = outputs / shape.groups
        for n in 0..<images {
            for y in 0..<shape.outputHeight {
                for x in 0..<shape.outputWidth {
                    let pixel = (n * shape.outputHeight + y) * shape.outputWidth + x
                    for r in 0..<shape.kernelHeight {
                        for s in 0..<shape.kernelWidth {
                            let h =
                                y * shape.strideHeight + r * shape.dilationHeight
                                - shape.paddingHeight
                            let w =
                                x * shape.strideWidth + s * shape.dilationWidth
                                - shape.paddingWidth
                            guard (0..<shape.inputHeight).contains(h),
                                (0..<shape.inputWidth).contains(w)
                            else { continue }
                            let source = (n * shape.inputHeight + h) * shape.inputWidth + w
                            for k in 0..<outputs {
                                let first = k / outputsPerGroup * channelsPerGroup
                                for c in 0..<channelsPerGroup {
                                    let row = k * channelsPerGroup + c
                                    let weight =
                                        (row * shape.kernelHeight + r) * shape.kernelWidth + s
                                    body(
                                        Term(
                                            input: source * channels + first + c, weight: weight,
                                            output: pixel * outputs + k))
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// output, [images, H′, W′, K].
    package static func forward(
        _ shape: ConvolutionShape, images: Int, input: [Double], weight: [Double], bias: [Double]
    ) -> [Double] {
        var output = (0..<images * shape.outputCount).map { bias[$0 % shape.outputChannels] }
        forEachTerm(shape, images: images) {
            output[$0.output] += input[$0.input] * weight[$0.weight]
        }
        return output
    }

    /// The gradients of input [images, H, W, C], weight (the file's order) and bias [K].
    package static func backward(
        _ shape: ConvolutionShape, images: Int, input: [Double], weight: [Double],
        outputGradient: [Double]
    ) -> (input: [Double], weight: [Double], bias: [Double]) {
        var inputGradient = [Double](repeating: 0, count: input.count)
        var weightGradient = [Double](repeating: 0, count: weight.count)
        var biasGradient = [Double](repeating: 0, count: shape.outputChannels)
        for (i, gradient) in outputGradient.enumerated() {
            biasGradient[i % shape.outputChannels] += gradient
        }
        forEachTerm(shape, images: images) {
            inputGradient[$0.input] += outputGradient[$0.output] * weight[$0.weight]
            weightGradient[$0.weight] += outputGradient[$0.output] * input[$0.input]
        }
        return (inputGradient, weightGradient, biasGradient)
    }
}
