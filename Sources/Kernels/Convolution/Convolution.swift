/// A convolution's three passes over NHWC images, planned once for one layer.
///
///     output[n, h, w, k] = bias[k]
///         + Σ input[n, h·stride + r·dilation − padding, …, c]·weight[k, c, r, s]
///
/// - input [N, H, W, C], output [N, H′, W′, K], as ``ConvolutionShape`` says;
/// - weight and weightGradient in the ``WeightLayout`` that ``weightLayout(_:)`` gives.
///
/// Dense 3×3 kernels over whole vectors of channels go by Winograd's transforms
/// (``ConvolutionShape/isWinograd``), those with few channels and depthwise ones by kernels of their own,
/// all others by tile products (`TiledForward`): by the shape alone, so that bits are the same on every
/// CPU.
///
/// **An image's bits depend on that image alone**: forward and backward data run tile by tile, or
/// image by image.
///
/// Calls do not allocate. Pointers need only Float's alignment.
public final class Convolution {
    /// One image's geometry.
    public let shape: ConvolutionShape

    /// The layout of parameter and gradient.
    public let layout: WeightLayout

    private let bias: Bool
    private let forwardPass: any ImagePass
    private let backwardPass: (any ImagePass)?
    private let weightPass: any WeightPass
    private let dividedPass: (any DividedWeightPass)?

    /// The layout in which parameter and gradient of this shape live, which its passes read and write
    /// without a copy where they can.
    public static func weightLayout(_ shape: ConvolutionShape) -> WeightLayout {
        shape.isWinograd ? WeightLayout(channelsLast: shape) : WeightLayout(panelsOf: shape)
    }

    /// A plan.
    ///
    /// - Parameters:
    ///   - images: the most that `backwardWeights` will be called with.
    ///   - bias: whether `forward` adds one, and `backwardWeights` gives its gradient.
    ///   - backwardData: false for a first layer.
    ///   - scratch: memory for the time of a call, which a thread's plans can share.
    ///   - fetching: what some of the kernels fetch meanwhile.
    public init(
        _ shape: ConvolutionShape, images: Int, bias: Bool, backwardData: Bool,
        scratch: ConvolutionScratch = ConvolutionScratch(), fetching: PrefetchQueue? = nil
    ) {
        self.shape = shape
        self.bias = bias
        let layout = Self.weightLayout(shape)
        self.layout = layout
        if shape.isWinograd {
            forwardPass = WinogradForwardPass(shape, isBackward: false, scratch)
            backwardPass =
                backwardData ? WinogradForwardPass(shape, isBackward: true, scratch) : nil
            let pass = WinogradWeightPass(shape, scratch)
            (weightPass, dividedPass) = (pass, pass)
            return
        }
        if shape.isDepthwise {
            forwardPass = DepthwisePass(shape, isBackward: false, scratch)
            backwardPass =
                backwardData ? DepthwisePass(shape, isBackward: true, scratch) : nil
            let pass = DepthwiseBackwardWeights(shape, scratch)
            (weightPass, dividedPass) = (pass, pass)
            return
        }
        forwardPass =
            if shape.hasDirectForward {
                DirectForward(shape, layout, fetching: fetching)
            } else if shape.hasDirectChannelForward {
                DirectChannelForward(shape, layout, fetching: fetching)
            } else {
                TiledForward(shape, scratch)
            }
        backwardPass =
            if !backwardData {
                nil
            } else if shape.hasDirectBackwardData {
                DirectBackwardData(shape, layout, fetching: fetching)
            } else {
                TiledBackwardData(shape, scratch)
            }
        weightPass =
            if shape.hasDirectBackwardWeights {
                DirectBackwardWeights(shape, layout)
            } else {
                TiledBackwardWeights(shape, images: images, scratch)
            }
        dividedPass = weightPass as? any DividedWeightPass
    }

    /// Floats of the copy of the weights that `forward` reads; nil where it reads the parameter.
    public var packedForwardCount: Int? { forwardPass.packedCount }

    /// Floats of the copy of the weights that `backwardData` reads; nil where it reads the
    /// parameter.
    public var packedBackwardCount: Int? { backwardPass?.packedCount }

    /// Writes the copy that `forward` reads, of every plan of this layer.
    ///
    /// - Parameters:
    ///   - weight: the parameter, [layout.count]
    ///   - packed: [packedForwardCount], overwritten
    public func packForward(
        weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>
    ) {
        if forwardPass.packedCount != nil { forwardPass.pack(weight, into: packed) }
    }

    /// Writes the copy that `backwardData` reads, of every plan of this layer.
    ///
    /// - Parameters:
    ///   - weight: the parameter, [layout.count]
    ///   - packed: [packedBackwardCount], overwritten
    public func packBackward(
        weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>
    ) {
        if let backwardPass, backwardPass.packedCount != nil {
            backwardPass.pack(weight, into: packed)
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
    ) {
        precondition(!self.bias || bias != nil, "this plan was made with a bias")
        forwardPass.run(images: images, input, weight, bias, output)
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
    ) {
        guard let backwardPass else {
            preconditionFailure("this plan was made without backward data")
        }
        backwardPass.run(images: images, outputGradient, weight, nil, inputGradient)
    }

    /// The gradients with respect to weight and bias, summed over the images.
    ///
    /// - Parameters:
    ///   - images: no more than this plan was made for; 0 gives zeros
    ///   - input: [images, H, W, C]
    ///   - outputGradient: [images, H′, W′, K]
    ///   - units: of `weightUnits`; nil for all
    ///   - weightGradient: in `layout`; `weightPart(units)` is overwritten
    ///   - biasGradient: [K], overwritten, for plans made with a bias; nil where nobody needs it
    public func backwardWeights(
        images: Int, input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
        units: Range<Int>? = nil, weightGradient: UnsafeMutablePointer<Float>,
        biasGradient: UnsafeMutablePointer<Float>?
    ) {
        if let biasGradient {
            columnSums(
                outputGradient, rows: images * shape.outputHeight * shape.outputWidth,
                columns: shape.outputChannels, into: biasGradient)
        }
        guard images > 0 else {
            weightPart(units ?? 0..<weightUnits).forEachRun {
                (weightGradient + $0.lowerBound).update(repeating: 0, count: $0.count)
            }
            return
        }
        if let units, let dividedPass {
            dividedPass.run(images: images, input, outputGradient, units: units, weightGradient)
        } else {
            weightPass.run(images: images, input, outputGradient, weightGradient)
        }
    }

    // MARK: parts of the weight's gradient

    /// The parts that the weight's gradient divides into; each has the same bits alone and beside others.
    public var weightUnits: Int { dividedPass?.units ?? 1 }

    /// Where some units lie in the gradient.
    public func weightPart(_ units: Range<Int>) -> WeightPart {
        dividedPass?.part(units) ?? WeightPart(count: layout.count)
    }

    /// Images that `load` takes at most; may be 0.
    package var imagesAtOnce: Int { dividedPass?.imagesAtOnce ?? 0 }

    /// Makes of some images what `backwardWeights(loaded:)` reads, until the scratch serves another call.
    package func load(
        images: Int, input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>
    ) {
        dividedPass?.load(images: images, input, outputGradient)
    }

    /// Some units of the weight's gradient over some of the loaded images; none give zeros.
    package func backwardWeights(
        loaded images: Range<Int>, input: UnsafePointer<Float>,
        outputGradient: UnsafePointer<Float>, units: Range<Int>,
        weightGradient: UnsafeMutablePointer<Float>
    ) {
        guard let dividedPass, !images.isEmpty else {
            weightPart(units).forEachRun {
                (weightGradient + $0.lowerBound).update(repeating: 0, count: $0.count)
            }
            return
        }
        dividedPass.run(loaded: images, input, outputGradient, units: units, weightGradient)
    }

    /// What is behind each pass, for benchmarks: "winograd", "depthwise", "direct" or "tiled".
    package var implementations: (forward: String, backwardData: String?, backwardWeights: String) {
        (forwardPass.name, backwardPass?.name, weightPass.name)
    }
}
