public import TensorCore

/// What is computed in a pass over a network.
public enum Mode: Hashable, Sendable {
    /// BN takes the batch's statistics, and what backward needs is kept.
    case training
    /// BN takes the running statistics.
    case inference
}

/// A worker's part of a global batch of a given size. Layers make their plans for each shape they
/// will meet, before the first step.
public struct BatchShape: Hashable, Sendable {
    /// The ordinal of this shape among those of the run, by which layers find their plans.
    public let index: Int

    /// Samples of the whole global batch: what every division by the batch divides by.
    public let samples: Int

    /// The worker's shards, as ranges of rows of its tensors: contiguous, in order, some of them
    /// empty where the batch is smaller than the number of shards.
    public let shardRows: [Range<Int>]

    /// Whether training passes have this shape, or only evaluations.
    public let trains: Bool

    /// The shape of a batch of `samples`, of which this worker has `shardRows`.
    public init(index: Int, samples: Int, shardRows: [Range<Int>], trains: Bool) {
        self.index = index
        self.samples = samples
        self.shardRows = shardRows
        self.trains = trains
    }

    /// Rows of this worker.
    public var rows: Int { shardRows.last?.upperBound ?? 0 }

    /// Where shards begin and the last one ends: 0, …, rows.
    public var rowBoundaries: [Int] { [0] + shardRows.map(\.upperBound) }
}

/// One forward computation, and the backward one that may follow.
public struct Pass: Hashable, Sendable {
    /// What is computed.
    public let mode: Mode

    /// Over what.
    public let shape: BatchShape

    /// A pass of `mode` over `shape`.
    public init(_ mode: Mode, _ shape: BatchShape) {
        self.mode = mode
        self.shape = shape
    }

    /// Samples of the whole global batch.
    public var samples: Int { shape.samples }

    /// The worker's shards, as rows of its tensors.
    public var shardRows: [Range<Int>] { shape.shardRows }

    /// Rows of this worker.
    public var rows: Int { shape.rows }
}

/// A layer of one worker's network.
///
/// A layer is confined to its worker's thread and owns its output and what backward needs; it reads
/// its parameters in the rank's replica and adds its gradients to the worker's accumulator.
public protocol Layer: AnyObject {
    /// The name in messages and files: `layers.0`.
    var name: String { get }

    /// Values in a row of the output.
    var outputs: Int { get }

    /// Computes the output of all rows of the pass.
    ///
    /// - Returns: the layer's own tensor, valid until the next `forward`.
    func forward(_ input: Tensor, _ pass: Pass) throws -> Tensor

    /// Computes the gradients of the last `forward` of mode training.
    ///
    /// - Parameters:
    ///   - outputGradient: may be overwritten.
    ///   - needsInputGradient: false for the first layer, whose input nobody trains.
    /// - Returns: the input gradient, valid until the next `backward`; nil where none was needed.
    func backward(
        _ outputGradient: Tensor, _ pass: Pass, needsInputGradient: Bool
    ) throws -> Tensor?
}
