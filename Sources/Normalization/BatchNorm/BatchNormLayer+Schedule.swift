import Kernels
public import Layers
public import TensorCore

// What a graph of layers has to know of the layer, beside its passes.
extension BatchNormLayer {
    /// Time counts as that of normalisations.
    public var kind: LayerKind { .normalization }

    /// Images come block by block.
    public var samplesPerBlock: Int? {
        positions > 1 ? imagesPerBlock(values: outputs) : nil
    }

    /// dx may be written over dz.
    public var worksInPlace: Bool { true }

    /// Blocks share nothing.
    public var takesBlocksTogether: Bool { true }

    /// y, [N·positions, C].
    public var output: Tensor { ownOutput }

    /// Puts y elsewhere.
    public func writeOutput(toWindowOf memory: Tensor) {
        ownOutput = Tensor(window: memory, rows: rows * positions, columns: channels)
    }

    /// Whether ReLU's slope is found from the input: x is read anyway, y and dz then need not be.
    /// With an addend dz is that one's gradient, and z more than x tells.
    var findsSlopeAgain: Bool { activationKind == .relu && !adds }

    /// Whether the worker's rows, 8 MiB or more of each tensor, have left the caches by the time that
    /// a pass comes back to the first. Measured on Zen 4, 1 MiB of cache a core and 32 MiB together.
    var isFar: Bool { rows * outputs >= 1 << 21 }

    /// dz is written over dy, but where backward can find it again.
    public var writesObservedGradient: Bool { activationKind != .identity && !findsSlopeAgain }

    /// Only slopes other than ReLU's, and ReLU's of a sum, are found from the output.
    public var readsOutputBackward: Bool { writesObservedGradient }

    /// dz is the addend's gradient, and found from y.
    public var readsAddendBackward: Bool { false }

    /// Makes room for the moments of all parts.
    public func observes(in blocks: [[Block]]) { moments.plan(blocks) }

    /// Makes room for the sums of all parts.
    public func observesGradient(in blocks: [[Block]]) { sums.plan(blocks) }
}
