/// A convolution's three passes over NHWC images, planned once for one layer.
///
///     output[n, h, w, k] = bias[k]
///         + Σ input[n, h·stride + r·dilation − padding, …, c]·weight[k, c, r, s]
///
/// - input [N, H, W, C], output [N, H′, W′, K], as ``ConvolutionShape`` says;
/// - weight and weightGradient in the ``WeightLayout`` that ``weightLayout(_:images:)`` gives.
///
/// **An image's bits depend on that image alone**: forward and backward data run image by image.
/// That costs nothing: measured on Zen 4, oneDNN 2.6.3, a call for one image is within 3 % of the
/// rate of larger calls on ResNet's convolutions, and up to 35 % above it. It also makes oneDNN's
/// forward as fast on the parameter's own layout as on the one it prefers, so that forward needs
/// no copy of the weights.
///
/// A plan belongs to the thread that makes it; make it after ``OneDNN/useOneThread()``. Calls do
/// not allocate (oneDNN's own bookkeeping aside). Pointers need only Float's alignment.
public final class Convolution {
    /// One image's geometry.
    public let shape: ConvolutionShape

    /// The layout of parameter and gradient.
    public let layout: WeightLayout

    private let bias: Bool
    private let forwardPass: Pass
    private let backwardPass: Pass?
    /// By the number of images.
    private let weightPasses: [Int: OneDNNPlan]

    /// A plan for one image, and how its weights come from the parameter.
    private struct Pass {
        let plan: OneDNNPlan
        let layout: WeightLayout
        /// nil where the plan reads the parameter itself.
        let reorder: OneDNNPlan?
    }

    /// The layout in which parameter and gradient of this shape live: that of oneDNN's fastest
    /// backward weights for `images` images, so that gradients need no copy. Every plan of a layer
    /// is to be made with the same.
    public static func weightLayout(
        _ shape: ConvolutionShape, images: Int
    ) throws(KernelError) -> WeightLayout {
        try OneDNNPlan.convolution(
            shape, pass: .backwardWeights, images: max(images, 1), layout: nil, bias: false
        ).layout
    }

    /// A plan.
    ///
    /// - Parameters:
    ///   - gradientImages: the numbers of images that `backwardWeights` will be called with.
    ///   - layout: of parameter and gradient, from ``weightLayout(_:images:)``.
    ///   - bias: whether `forward` adds one, and `backwardWeights` gives its gradient.
    ///   - backwardData: false for a first layer.
    public init(
        _ shape: ConvolutionShape, gradientImages: Set<Int>, layout: WeightLayout, bias: Bool,
        backwardData: Bool
    ) throws(KernelError) {
        self.shape = shape
        self.layout = layout
        self.bias = bias
        forwardPass = try Self.pass(.forward, shape, layout, bias: bias)
        backwardPass =
            backwardData ? try Self.pass(.backwardData, shape, layout, bias: false) : nil
        var passes: [Int: OneDNNPlan] = [:]
        for images in gradientImages where images > 0 {
            passes[images] = try OneDNNPlan.convolution(
                shape, pass: .backwardWeights, images: images, layout: layout, bias: bias
            ).plan
        }
        weightPasses = passes
    }

    /// On the parameter's layout where oneDNN has a fast implementation for it, else on that which
    /// oneDNN prefers, through a copy.
    private static func pass(
        _ pass: OneDNNPlan.Pass, _ shape: ConvolutionShape, _ layout: WeightLayout, bias: Bool
    ) throws(KernelError) -> Pass {
        if let own = try? OneDNNPlan.convolution(
            shape, pass: pass, images: 1, layout: layout, bias: bias
        ).plan, own.implementation.contains("jit") || own.implementation.contains("brg") {
            return Pass(plan: own, layout: layout, reorder: nil)
        }
        let (plan, preferred) = try OneDNNPlan.convolution(
            shape, pass: pass, images: 1, layout: nil, bias: bias)
        let reorder =
            preferred == layout ? nil : try OneDNNPlan.reorder(from: layout, to: preferred)
        return Pass(plan: plan, layout: preferred, reorder: reorder)
    }

    /// Floats of the copy of the weights that `forward` reads; nil where it reads the parameter.
    public var packedForwardCount: Int? {
        forwardPass.reorder == nil ? nil : forwardPass.layout.count
    }

    /// Floats of the copy of the weights that `backwardData` reads; nil where it reads the
    /// parameter.
    public var packedBackwardCount: Int? {
        backwardPass.flatMap { $0.reorder == nil ? nil : $0.layout.count }
    }

    /// Writes the copy that `forward` reads, of every plan of this layer.
    ///
    /// - Parameters:
    ///   - weight: the parameter, [layout.count]
    ///   - packed: [packedForwardCount], overwritten
    public func packForward(
        weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        try forwardPass.reorder?.execute(weight, nil, nil, packed)
    }

    /// Writes the copy that `backwardData` reads, of every plan of this layer.
    ///
    /// - Parameters:
    ///   - weight: the parameter, [layout.count]
    ///   - packed: [packedBackwardCount], overwritten
    public func packBackward(
        weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        try backwardPass?.reorder?.execute(weight, nil, nil, packed)
    }

    /// output = input ⋆ weight + bias.
    ///
    /// - Parameters:
    ///   - input: [images, H, W, C]
    ///   - weight: the parameter, or its copy from `packForward`
    ///   - bias: [K], for plans made with one
    ///   - output: [images, H′, W′, K], overwritten
    public func forward(
        images: Int, input: UnsafePointer<Float>, weight: UnsafePointer<Float>,
        bias: UnsafePointer<Float>?, output: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        precondition(!self.bias || bias != nil, "this plan was made with a bias")
        for image in 0..<images {
            try forwardPass.plan.execute(
                input + image * shape.inputCount, weight, bias,
                output + image * shape.outputCount)
        }
    }

    /// The gradient with respect to the input.
    ///
    /// - Parameters:
    ///   - outputGradient: [images, H′, W′, K]
    ///   - weight: the parameter, or its copy from `packBackward`
    ///   - inputGradient: [images, H, W, C], overwritten
    public func backwardData(
        images: Int, outputGradient: UnsafePointer<Float>, weight: UnsafePointer<Float>,
        inputGradient: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        guard let backwardPass else {
            preconditionFailure("this plan was made without backward data")
        }
        for image in 0..<images {
            try backwardPass.plan.execute(
                outputGradient + image * shape.outputCount, weight, nil,
                inputGradient + image * shape.inputCount)
        }
    }

    /// The gradients with respect to weight and bias, summed over the images.
    ///
    /// - Parameters:
    ///   - images: one of `gradientImages`, or 0, which gives zeros
    ///   - input: [images, H, W, C]
    ///   - outputGradient: [images, H′, W′, K]
    ///   - weightGradient: in `layout`, overwritten
    ///   - biasGradient: [K], overwritten, for plans made with a bias
    public func backwardWeights(
        images: Int, input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
        weightGradient: UnsafeMutablePointer<Float>, biasGradient: UnsafeMutablePointer<Float>?
    ) throws(KernelError) {
        precondition(bias == (biasGradient != nil), "a bias has a gradient")
        guard images > 0 else {
            weightGradient.update(repeating: 0, count: layout.count)
            biasGradient?.update(repeating: 0, count: shape.outputChannels)
            return
        }
        guard let plan = weightPasses[images] else {
            preconditionFailure("this plan was not made for this number of images")
        }
        try plan.execute(input, outputGradient, biasGradient, weightGradient)
    }

    /// oneDNN's names of what is behind each pass, for benchmarks.
    package var implementations: [String] {
        [forwardPass.plan, backwardPass?.plan, weightPasses.values.first].compactMap {
            $0?.implementation
        }
    }
}
