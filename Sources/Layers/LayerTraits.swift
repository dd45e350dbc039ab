public import Kernels

/// What a layer's time is counted as.
public enum LayerTime: Hashable, Sendable {
    /// Products and convolutions.
    case product
    /// Normalisations, with what is fused into them.
    case normalization
    /// Everything else.
    case other
}

/// What a graph has to know of a layer to plan its passes: fixed when the layer is made.
public struct LayerTraits: Hashable, Sendable {
    /// What its time is counted as, for profiles alone.
    public var time = LayerTime.other

    /// How many samples a block should have, for layers that work on images; nil for those that
    /// take all rows at once.
    public var samplesPerBlock: Int?

    /// Whether several threads may compute blocks at the same time, each by its `Block.member`.
    public var takesBlocksTogether = false

    /// Whether `backward` may write the input gradient over the output gradient.
    public var worksInPlace = false

    /// What `backwardWeights` has to do.
    public var weights = Weights.none

    /// Whether the output gradient is still read after the whole backward pass.
    public var keepsOutputGradient = false

    /// The activation that it ends in: its own, or one that is fused with it.
    public var activation: ActivationKind?

    /// What becomes of a second value that it adds to its own before its activation, as at the end of a
    /// residual block; nil where it adds none.
    public var addition: Addition?

    /// Whether it can compute its output again from its input, with the same bits, until the next pass
    /// or update, and does not read it backward: where nothing but what follows in the same block reads
    /// it, it need not be kept.
    public var isRecomputable = false

    /// Whether it reads its input again only for its weights' gradient, some shards after the others, and
    /// can have it brought back.
    public var restoresInput = false

    /// What `backwardWeights` has to do.
    public enum Weights: Hashable, Sendable {
        /// Nothing.
        case none
        /// It hands over what `backward` has added up.
        case collected
        /// It multiplies the input with the output gradient, when those of all blocks are there. The
        /// weight is read in every block: better in few large ones.
        case product
        /// The same, which the threads of a crew can divide.
        case dividedProduct

        /// Whether it reads input and output gradient again.
        var isProduct: Bool { self == .product || self == .dividedProduct }
    }

    /// The gradient of a second value that a layer adds.
    ///
    /// It is the one before the activation. A meeting layer leaves it when it observes the output gradient,
    /// any other one when it runs backward.
    public enum Addition: Hashable, Sendable {
        /// It is the input's; what was added is read backward.
        case sharesInputGradient
        /// It is left in the output gradient; what was added is not read again.
        case leavesOutputGradient
    }

    /// Those of a layer that takes all rows at once and has no weights.
    public init() {}

    /// Those of a layer without positions, or of images of `values` each that should stay in the cache.
    public init(imageValues values: Int?) { samplesPerBlock = values.map(imagesPerBlock) }
}

/// How many images of `values` each make a block: what one layer writes and the next reads should
/// stay in a core's second-level cache, which holds 512 KB or more.
package func imagesPerBlock(values: Int) -> Int { max(1, 65_536 / values) }
