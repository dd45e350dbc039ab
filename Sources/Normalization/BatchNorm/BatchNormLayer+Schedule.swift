import Kernels
public import Layers
public import TensorCore

// What a graph of layers has to know of the layer, beside its passes.
extension BatchNormLayer {
    /// Images come block by block, and blocks share nothing; dx may be written over dz. dz is the
    /// addend's gradient, and found from y.
    public var traits: LayerTraits {
        var traits = LayerTraits.normalization((outputs, positions), activation)
        traits.takesBlocksTogether = true
        // Only slopes other than ReLU's, and ReLU's of a sum, are found from the output.
        traits.isRecomputable = !writesObservedGradient
        return traits
    }

    /// y, [N·positions, C].
    public var output: Tensor { ownOutput }

    /// Puts y elsewhere.
    public func writeOutput(toWindowOf memory: Tensor) {
        ownOutput = Tensor(window: memory, rows: rows * positions, columns: channels)
    }

    /// Whether ReLU's slope is found from the input: x is read anyway, y and dz then need not be.
    /// With an addend dz is that one's gradient, and z more than x tells.
    var findsSlopeAgain: Bool { activation == .relu && !adds }

    /// Whether the worker's rows, 8 MiB or more of each tensor, have left the caches by the time that
    /// a pass comes back to the first. Measured on Zen 4, 1 MiB of cache a core and 32 MiB together.
    var isFar: Bool { rows * outputs >= 1 << 21 }

    /// dz is written over dy, but where backward can find it again.
    public var writesObservedGradient: Bool { activation != .identity && !findsSlopeAgain }

    /// Makes room for the moments of all parts.
    public func observes(in blocks: [[Block]]) { moments.plan(blocks) }

    /// Makes room for the sums of all parts.
    public func observesGradient(in blocks: [[Block]]) { sums.plan(blocks) }
}
