/// A convolution's three passes over NHWC images, planned once for one layer.
///
///     output[n, h, w, k] = bias[k]
///         + Σ input[n, h·stride + r·dilation − padding, …, c]·weight[k, c, r, s]
///
/// - input [N, H, W, C], output [N, H′, W′, K], as ``ConvolutionShape`` says;
/// - weight and weightGradient in the ``WeightLayout`` that ``weightLayout(_:images:)`` gives.
///
/// Dense 3×3 kernels over whole vectors of channels go by Winograd's transforms
/// (``ConvolutionShape/isWinograd``), those with few channels by kernels of their own, all others by
/// oneDNN; 1×1 kernels with strides over a copy of the pixels that they read.
///
/// **An image's bits depend on that image alone**: forward and backward data run tile by tile, or
/// image by image. The latter costs nothing: measured on Zen 4, oneDNN 2.6.3, a call for one image
/// is within 3 % of the rate of larger calls on ResNet's convolutions, and up to 35 % above it. It
/// also makes oneDNN's forward as fast on the parameter's own layout as on the one it prefers, so
/// that forward needs no copy of the weights.
///
/// A plan belongs to the thread that makes it; make it after ``OneDNN/useOneThread()``. Calls do
/// not allocate (oneDNN's own bookkeeping aside). Pointers need only Float's alignment.
public final class Convolution {
    /// One image's geometry.
    public let shape: ConvolutionShape

    /// The layout of parameter and gradient.
    public let layout: WeightLayout

    private let bias: Bool
    /// Where a 1×1 kernel has strides.
    private let pixels: StridedPixels?
    private let forwardPass: ForwardPass
    private let backwardPass: BackwardPass?
    private let weightPass: WeightPass

    /// oneDNN's plan for one image, and how its weights come from the parameter.
    private struct Plan {
        let plan: OneDNNPlan
        let layout: WeightLayout
        /// nil where the plan reads the parameter itself.
        let reorder: OneDNNPlan?

        var packedCount: Int? { reorder == nil ? nil : layout.count }
    }

    private enum ForwardPass {
        case oneDNN(Plan)
        case direct(DirectForward)
        case directChannels(DirectChannelForward)
        case winograd(WinogradForwardPass)
    }

    private enum BackwardPass {
        case oneDNN(Plan)
        case direct(DirectBackwardData)
        case winograd(WinogradForwardPass)
    }

    private enum WeightPass {
        /// By the number of images.
        case oneDNN([Int: OneDNNPlan])
        case direct(DirectBackwardWeights)
        case winograd(WinogradWeightPass)
    }

    /// The layout in which parameter and gradient of this shape live: that of oneDNN's fastest
    /// backward weights for `images` images, so that gradients need no copy. Every plan of a layer
    /// is to be made with the same. Where oneDNN is not used it is the file's own order.
    public static func weightLayout(
        _ shape: ConvolutionShape, images: Int
    ) throws(KernelError) -> WeightLayout {
        let shape = shape.convolved
        if shape.isWinograd { return WeightLayout(channelsLast: shape) }
        if shape.hasDirectBackwardWeights { return WeightLayout(fileOrderOf: shape) }
        return try OneDNNPlan.convolution(
            shape, pass: .backwardWeights, images: max(images, 1), layout: nil, bias: false,
            scratch: ConvolutionScratch()
        ).layout
    }

    /// A plan.
    ///
    /// - Parameters:
    ///   - gradientImages: the numbers of images that `backwardWeights` will be called with.
    ///   - layout: of parameter and gradient, from ``weightLayout(_:images:)``.
    ///   - bias: whether `forward` adds one, and `backwardWeights` gives its gradient.
    ///   - backwardData: false for a first layer.
    ///   - scratch: memory for the time of a call, which a thread's plans can share.
    ///   - fetching: what some of the kernels fetch meanwhile.
    public init(
        _ shape: ConvolutionShape, gradientImages: Set<Int>, layout: WeightLayout, bias: Bool,
        backwardData: Bool, scratch: ConvolutionScratch = ConvolutionScratch(),
        fetching: PrefetchQueue? = nil
    ) throws(KernelError) {
        self.shape = shape
        self.layout = layout
        self.bias = bias
        pixels = StridedPixels(shape, images: gradientImages.max() ?? 1)
        let shape = shape.convolved
        if shape.isWinograd {
            forwardPass = .winograd(WinogradForwardPass(shape, isBackward: false, scratch))
            backwardPass =
                backwardData
                ? .winograd(WinogradForwardPass(shape, isBackward: true, scratch)) : nil
            weightPass = .winograd(WinogradWeightPass(shape, scratch))
            return
        }
        forwardPass =
            if shape.hasDirectForward {
                .direct(DirectForward(shape, layout, fetching: fetching))
            } else if shape.hasDirectChannelForward {
                .directChannels(DirectChannelForward(shape, layout, fetching: fetching))
            } else {
                .oneDNN(try Self.plan(.forward, shape, layout, bias: bias, scratch))
            }
        if !backwardData {
            backwardPass = nil
        } else if shape.hasDirectBackwardData {
            backwardPass = .direct(DirectBackwardData(shape, layout, fetching: fetching))
        } else {
            backwardPass = .oneDNN(
                try Self.plan(.backwardData, shape, layout, bias: false, scratch))
        }
        if shape.hasDirectBackwardWeights {
            weightPass = .direct(DirectBackwardWeights(shape, layout))
            return
        }
        var plans: [Int: OneDNNPlan] = [:]
        for images in gradientImages where images > 0 {
            plans[images] = try OneDNNPlan.convolution(
                shape, pass: .backwardWeights, images: images, layout: layout, bias: false,
                scratch: scratch
            ).plan
        }
        weightPass = .oneDNN(plans)
    }

    /// On the parameter's layout where oneDNN has a fast implementation for it, else on that which
    /// oneDNN prefers, through a copy.
    private static func plan(
        _ pass: OneDNNPlan.Pass, _ shape: ConvolutionShape, _ layout: WeightLayout, bias: Bool,
        _ scratch: ConvolutionScratch
    ) throws(KernelError) -> Plan {
        if let own = try? OneDNNPlan.convolution(
            shape, pass: pass, images: 1, layout: layout, bias: bias, scratch: scratch
        ).plan, own.implementation.contains("jit") || own.implementation.contains("brg") {
            return Plan(plan: own, layout: layout, reorder: nil)
        }
        let (plan, preferred) = try OneDNNPlan.convolution(
            shape, pass: pass, images: 1, layout: nil, bias: bias, scratch: scratch)
        let reorder =
            preferred == layout
            ? nil : try OneDNNPlan.reorder(from: layout, to: preferred, scratch: scratch)
        return Plan(plan: plan, layout: preferred, reorder: reorder)
    }

    /// Floats of the copy of the weights that `forward` reads; nil where it reads the parameter.
    public var packedForwardCount: Int? {
        switch forwardPass {
        case .oneDNN(let plan): plan.packedCount
        case .direct(let pass): pass.weights.count
        case .directChannels(let pass): pass.weights.count
        case .winograd(let pass): pass.packedCount
        }
    }

    /// Floats of the copy of the weights that `backwardData` reads; nil where it reads the
    /// parameter.
    public var packedBackwardCount: Int? {
        switch backwardPass {
        case .oneDNN(let plan): plan.packedCount
        case .direct(let pass): pass.weights.count
        case .winograd(let pass): pass.packedCount
        case nil: nil
        }
    }

    /// Writes the copy that `forward` reads, of every plan of this layer.
    ///
    /// - Parameters:
    ///   - weight: the parameter, [layout.count]
    ///   - packed: [packedForwardCount], overwritten
    public func packForward(
        weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        switch forwardPass {
        case .oneDNN(let plan): try plan.reorder?.execute(weight, nil, nil, packed)
        case .direct(let pass): pass.weights.pack(weight, into: packed)
        case .directChannels(let pass): pass.weights.pack(weight, into: packed)
        case .winograd(let pass): pass.pack(weight, into: packed)
        }
    }

    /// Writes the copy that `backwardData` reads, of every plan of this layer.
    ///
    /// - Parameters:
    ///   - weight: the parameter, [layout.count]
    ///   - packed: [packedBackwardCount], overwritten
    public func packBackward(
        weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        switch backwardPass {
        case .oneDNN(let plan): try plan.reorder?.execute(weight, nil, nil, packed)
        case .direct(let pass): pass.weights.pack(weight, into: packed)
        case .winograd(let pass): pass.pack(weight, into: packed)
        case nil: break
        }
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
        if case .winograd(let pass) = forwardPass {
            return pass.run(images: images, input, weight, bias, output)
        }
        for n in 0..<images {
            let image = input + n * shape.inputCount
            let x = pixels?.gather(image, images: 1) ?? image
            let y = output + n * shape.outputCount
            switch forwardPass {
            case .oneDNN(let plan): try plan.plan.execute(x, weight, bias, y)
            case .direct(let pass): pass.run(x, weight, bias, y)
            case .directChannels(let pass): pass.run(x, weight, bias, y)
            case .winograd(let pass): pass.run(images: 1, x, weight, bias, y)
            }
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
        if case .winograd(let pass) = backwardPass {
            return pass.run(images: images, outputGradient, weight, nil, inputGradient)
        }
        for n in 0..<images {
            let dy = outputGradient + n * shape.outputCount
            let image = inputGradient + n * shape.inputCount
            let dx = pixels?.gathered ?? image
            switch backwardPass {
            case .oneDNN(let plan): try plan.plan.execute(dy, weight, nil, dx)
            case .direct(let pass): pass.run(dy, weight, dx)
            case .winograd(let pass): pass.run(images: 1, dy, weight, nil, dx)
            case nil: preconditionFailure("this plan was made without backward data")
            }
            pixels?.scatter(into: image)
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
        let x = pixels?.gather(input, images: images) ?? input
        switch weightPass {
        case .oneDNN(let plans):
            guard let plan = plans[images] else {
                preconditionFailure("this plan was not made for this number of images")
            }
            try plan.execute(x, outputGradient, nil, weightGradient)
        case .direct(let pass):
            pass.run(images, x, outputGradient, weightGradient)
        case .winograd(let pass):
            pass.run(images: images, x, outputGradient, weightGradient)
        }
        // oneDNN's own takes as long as the weights': measured on the MNIST network's 1 → 32
        // channels, 8.7 µs an image for both, 3.6 without the bias.
        if let biasGradient {
            columnSums(
                outputGradient, rows: images * shape.outputHeight * shape.outputWidth,
                columns: shape.outputChannels, into: biasGradient)
        }
    }

    /// The names of what is behind each pass, for benchmarks: oneDNN's, "direct" or "winograd".
    package var implementations: (forward: String, backwardData: String?, backwardWeights: String) {
        let forward =
            switch forwardPass {
            case .oneDNN(let plan): plan.plan.implementation
            case .direct, .directChannels: "direct"
            case .winograd: "winograd"
            }
        let backwardData: String? =
            switch backwardPass {
            case .oneDNN(let plan): plan.plan.implementation
            case .direct: "direct"
            case .winograd: "winograd"
            case nil: nil
            }
        let backwardWeights =
            switch weightPass {
            case .oneDNN(let plans): plans.values.first?.implementation ?? "none"
            case .direct: "direct"
            case .winograd: "winograd"
            }
        return (forward, backwardData, backwardWeights)
    }
}
