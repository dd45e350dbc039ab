package import Kernels

/// Pooling in its readable form, NHWC. Global average pooling is `average` with one window.
package enum PoolingReference {
    /// Calls `body` for every window with the indices of its values, in row-major order, and of its
    /// output.
    private static func forEachWindow(
        _ shape: PoolingShape, images: Int, _ body: (_ inputs: [Int], _ output: Int) -> Void
    ) {
        var output = 0
        for n in 0..<images {
            for y in 0..<shape.outputHeight {
                for x in 0..<shape.outputWidth {
                    for c in 0..<shape.channels {
                        var inputs: [Int] = []
                        for h in shape.rows(y) {
                            for w in shape.columns(x) {
                                let pixel = (n * shape.inputHeight + h) * shape.inputWidth + w
                                inputs.append(pixel * shape.channels + c)
                            }
                        }
                        body(inputs, output)
                        output += 1
                    }
                }
            }
        }
    }

    /// The largest of every window, and with `outputGradient` the gradient, which goes to the
    /// first of the largest.
    package static func maximum(
        _ shape: PoolingShape, images: Int, input: [Double], outputGradient: [Double]
    ) -> (output: [Double], inputGradient: [Double]) {
        var output = outputGradient
        var inputGradient = [Double](repeating: 0, count: input.count)
        forEachWindow(shape, images: images) { inputs, index in
            let first =
                inputs.first { input[$0].isNaN }
                ?? inputs.first { i in inputs.allSatisfy { input[$0] <= input[i] } }
            guard let first else { return }
            output[index] = input[first]
            inputGradient[first] += outputGradient[index]
        }
        return (output, inputGradient)
    }

    /// The sum of every window over R·S, and the gradient.
    package static func average(
        _ shape: PoolingShape, images: Int, input: [Double], outputGradient: [Double]
    ) -> (output: [Double], inputGradient: [Double]) {
        var output = outputGradient
        var inputGradient = [Double](repeating: 0, count: input.count)
        let area = Double(shape.kernelHeight * shape.kernelWidth)
        forEachWindow(shape, images: images) { inputs, index in
            output[index] = inputs.reduce(0) { $0 + input[$1] } / area
            for i in inputs { inputGradient[i] += outputGradient[index] / area }
        }
        return (output, inputGradient)
    }
}
