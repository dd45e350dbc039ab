/// A random change to a training sample.
public enum Augmentation: Hashable, Sendable {
    /// Zeros around the image, `padding` pixels wide, and a window of the image's own size cut out
    /// of the whole at random (He et al., "Deep residual learning", 2015).
    case padCrop(padding: Int)

    /// Left and right change places, for half of the samples.
    case flip

    /// A square of `size` pixels becomes zeros; its centre is any pixel, so that a part of it may
    /// lie outside (DeVries and Taylor, "Improved regularization … with cutout", 2017).
    case cutout(size: Int)
}

/// The augmentation of a run: a pure function of (seed, epoch, sample).
///
/// A sample is changed in the same way in every world, by whichever worker, and after a restart.
/// Its augmentations are applied in the order of the list, to the scaled values: the zeros that
/// they bring are zeros of the network's input, which with `standardize` is the mean colour.
/// Augmentation i draws from block i of the stream (seed, `.augmentation`, epoch · 2³² + sample),
/// where the sample is the index in the file.
public struct Augmenter: Hashable, Sendable {
    /// The most augmentations of a run.
    public static let mostSteps = 16

    /// The augmentations, in order.
    public let steps: [Augmentation]

    let seed: UInt64
    let height: Int
    let width: Int

    /// Augmentations for images of the size of `dataset`'s.
    ///
    /// - Precondition: at most `mostSteps`.
    /// - Throws: `augmentationOutOfRange` unless 0 ≤ padding < the smaller side and
    ///   1 ≤ cutout size ≤ the smaller side.
    public init(
        _ steps: [Augmentation], seed: UInt64, for dataset: Dataset
    ) throws(DatasetError) {
        precondition(steps.count <= Self.mostSteps, "too many augmentations")
        self.steps = steps
        self.seed = seed
        height = dataset.height
        width = dataset.width
        let side = min(height, width)
        for step in steps {
            switch step {
            case .padCrop(let padding): try check(padding, in: 0...side - 1, "padding")
            case .flip: break
            case .cutout(let size): try check(size, in: 1...side, "cutout size")
            }
        }
    }

    private func check(
        _ value: Int, in range: ClosedRange<Int>, _ key: String
    ) throws(DatasetError) {
        guard range.contains(value) else {
            throw .augmentationOutOfRange(
                key: key, value: value, range: range, size: [height, width])
        }
    }
}
