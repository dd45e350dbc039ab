import Kernels
import TensorCore

/// The kernels of convolutional networks.
extension KernelBench {
    /// `bn` and `bn_add_relu`, forward or backward: the passes of one shard, with ReLU.
    func bn(_ extents: [Int]) -> Work {
        let (rows, channels) = (extents.dropLast().reduce(1, *), extents[extents.count - 1])
        let (x, y, dy) = (
            filled(rows, channels), filled(rows, channels), filled(rows, channels)
        )
        let added = kernel.hasPrefix("bn_add_relu") ? filled(rows, channels) : nil
        let perChannel = (0..<6).map { _ in filled(1, channels) }
        let sums = UnsafeMutablePointer<Double>.allocate(capacity: 2 * channels)
        let backward = kernel.hasSuffix("_backward")
        // Forward reads twice and writes once; backward reads three and two, and writes two. An
        // addend, or a second gradient, is one more to read.
        let passes = (backward ? 7 : 3) + (added == nil ? 0 : 1)
        return Work(
            name: kernel, shape: extents, operations: nil,
            bytes: Double(passes * rows * channels * 4)
        ) {
            if backward {
                normalizeBackwardSums(
                    input: x.pointer, output: y.pointer, outputGradient: dy.pointer, rows: rows,
                    channels: channels, meanHigh: perChannel[0].pointer,
                    meanLow: perChannel[1].pointer, activation: .relu, sumGradient: sums,
                    sumProduct: sums + channels, secondGradient: added?.pointer)
                normalizeBackward(
                    input: x.pointer, gradient: dy.pointer, rows: rows, channels: channels,
                    meanHigh: perChannel[0].pointer, meanLow: perChannel[1].pointer,
                    factor: perChannel[2].pointer, meanGradient: perChannel[4].pointer,
                    projection: perChannel[5].pointer, inputGradient: y.pointer)
            } else {
                channelMoments(
                    input: x.pointer, rows: rows, channels: channels, mean: sums,
                    m2: sums + channels)
                normalizeForward(
                    input: x.pointer, rows: rows, channels: channels,
                    meanHigh: perChannel[0].pointer, meanLow: perChannel[1].pointer,
                    factor: perChannel[2].pointer, shift: perChannel[3].pointer,
                    activation: .relu, output: y.pointer, addend: added?.pointer)
            }
        }
    }

    /// One pass of a convolution whose padding keeps the extents, without bias.
    func convolution(_ extents: [Int]) throws -> Work {
        try convolution(
            extents, outputs: extents[4], kernelSize: extents[5], stride: extents[6], groups: 1,
            bytes: { _ in 0 })
    }

    /// The same of every channel by itself. Forward and backward data read one tensor and write the
    /// other; backward weights reads both.
    func depthwise(_ extents: [Int]) throws -> Work {
        try convolution(
            extents, outputs: extents[3], kernelSize: extents[4], stride: extents[5],
            groups: extents[3], bytes: { 4 * extents[0] * ($0.inputCount + $0.outputCount) })
    }

    private func convolution(
        _ extents: [Int], outputs: Int, kernelSize: Int, stride: Int, groups: Int,
        bytes: (ConvolutionShape) -> Int
    ) throws -> Work {
        let images = extents[0]
        let padding = (kernelSize - 1) / 2
        guard kernelSize <= min(extents[1], extents[2]) + 2 * padding else {
            throw BenchError.kernelDoesNotFit(kernel: kernel, found: extents)
        }
        let shape = ConvolutionShape(
            inputHeight: extents[1], inputWidth: extents[2], inputChannels: extents[3],
            outputChannels: outputs, kernelHeight: kernelSize, kernelWidth: kernelSize,
            strideHeight: stride, strideWidth: stride, paddingHeight: padding,
            paddingWidth: padding, groups: groups)
        let pass = kernel
        let plan = Convolution(
            shape, images: images, bias: false, backwardData: pass.hasSuffix("_backward_data"))
        let (x, dx) = (filled(images, shape.inputCount), filled(images, shape.inputCount))
        let y = filled(images, shape.outputCount)
        let (w, dw) = (filled(1, plan.layout.count), filled(1, plan.layout.count))
        let forwardCopy = plan.packedForwardCount.map { filled(1, $0) }
        let backwardCopy = plan.packedBackwardCount.map { filled(1, $0) }
        return Work(
            name: kernel, shape: extents, operations: Double(images * shape.operations),
            bytes: Double(bytes(shape))
        ) {
            if pass.hasSuffix("_backward_data") {
                plan.backwardData(
                    images: images, outputGradient: y.pointer,
                    weight: (backwardCopy ?? w).pointer, inputGradient: dx.pointer)
            } else if pass.hasSuffix("_backward_weights") {
                plan.backwardWeights(
                    images: images, input: x.pointer, outputGradient: y.pointer,
                    weightGradient: dw.pointer, biasGradient: nil)
            } else {
                plan.forward(
                    images: images, input: x.pointer, weight: (forwardCopy ?? w).pointer,
                    bias: nil, output: y.pointer)
            }
        }
    }

    /// Max pooling without padding.
    func maxPooling(_ extents: [Int]) throws -> Work {
        let (images, window, stride) = (extents[0], extents[4], extents[5])
        guard window <= min(extents[1], extents[2]) else {
            throw BenchError.kernelDoesNotFit(kernel: kernel, found: extents)
        }
        let shape = PoolingShape(
            inputHeight: extents[1], inputWidth: extents[2], channels: extents[3],
            kernelHeight: window, kernelWidth: window, strideHeight: stride, strideWidth: stride)
        let (x, dx) = (filled(images, shape.inputCount), filled(images, shape.inputCount))
        let (y, dy) = (filled(images, shape.outputCount), filled(images, shape.outputCount))
        maxPool(shape, images: images, input: x.pointer, output: y.pointer)
        let backward = kernel.hasSuffix("_backward")
        // Forward moves input and output; backward both, and the gradients of both.
        let bytes = (backward ? 8 : 4) * images * (shape.inputCount + shape.outputCount)
        return Work(name: kernel, shape: extents, operations: nil, bytes: Double(bytes)) {
            if backward {
                maxPoolBackward(
                    shape, images: images, input: x.pointer, output: y.pointer,
                    outputGradient: dy.pointer, inputGradient: dx.pointer)
            } else {
                maxPool(shape, images: images, input: x.pointer, output: y.pointer)
            }
        }
    }
}
