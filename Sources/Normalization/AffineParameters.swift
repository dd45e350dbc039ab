import Kernels
import Layers
import TensorCore

/// γ and β of a normalisation, [C] each; 1 and 0 where it has none.
struct AffineParameters {
    /// Where they lie in the flat buffers.
    let scaleRange: Range<Int>?, shiftRange: Range<Int>?
    private let replica: Replica
    private let ones: Tensor
    private let zeros: Tensor

    init(_ isAffine: Bool, at place: ModulePlace, _ worker: WorkerContext) {
        scaleRange = worker.parameter("weight", of: place, if: isAffine)?.range
        shiftRange = worker.parameter("bias", of: place, if: isAffine)?.range
        replica = worker.replica
        ones = Tensor(rows: 1, columns: place.input.channels)
        ones.pointer.update(repeating: 1, count: place.input.channels)
        zeros = Tensor(rows: 1, columns: place.input.channels)
    }

    /// γ.
    var scale: UnsafePointer<Float> {
        UnsafePointer(scaleRange.map { replica.parameters + $0.lowerBound } ?? ones.pointer)
    }

    /// β.
    var shift: UnsafePointer<Float> {
        UnsafePointer(shiftRange.map { replica.parameters + $0.lowerBound } ?? zeros.pointer)
    }

    /// Whether gradients of γ and β are summed over the tree, like a weight's.
    var isReduced: Bool {
        scaleRange.map { $0.upperBound <= replica.layout.reduced } ?? false
    }
}

extension LayerTraits {
    /// Those of a normalisation: images come block by block; dx may be written over dy, and dz is what
    /// an addend's gradient is.
    static func normalization(
        _ input: (values: Int, positions: Int), _ activation: ActivationKind
    ) -> LayerTraits {
        var traits = LayerTraits(imageValues: input.positions > 1 ? input.values : nil)
        traits.time = .normalization
        traits.worksInPlace = true
        traits.activation = activation
        traits.addition = .leavesOutputGradient
        return traits
    }
}
