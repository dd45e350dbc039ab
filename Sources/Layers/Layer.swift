public import TensorCore

/// What is computed in a pass over a network.
public enum Mode: Hashable, Sendable {
    /// BN takes the batch's statistics, and what backward needs is kept.
    case training
    /// BN takes the running statistics.
    case inference
    /// BN takes the batch's statistics, where it is told to; everything else is as in inference.
    case calibration
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

    /// The place of the worker's first sample in the global batch.
    public let firstSample: Int

    /// The shape of a batch of `samples`, of which this worker has `shardRows`.
    public init(
        index: Int, samples: Int, shardRows: [Range<Int>], trains: Bool, firstSample: Int = 0
    ) {
        self.index = index
        self.samples = samples
        self.shardRows = shardRows
        self.trains = trains
        self.firstSample = firstSample
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

    /// The optimizer step, which dropout depends on.
    public var step: Int

    /// A pass of `mode` over `shape`.
    public init(_ mode: Mode, _ shape: BatchShape, step: Int = 0) {
        self.mode = mode
        self.shape = shape
        self.step = step
    }

    /// Samples of the whole global batch.
    public var samples: Int { shape.samples }

    /// The worker's shards, as rows of its tensors.
    public var shardRows: [Range<Int>] { shape.shardRows }

    /// Rows of this worker.
    public var rows: Int { shape.rows }
}

/// Rows of a pass that are computed together: some samples of one shard, a few whole shards, or all of
/// the worker's.
///
/// Images stream through a network in blocks small enough that what one layer writes is still in
/// the cache when the next one reads it. How a shard is cut into blocks depends on the network
/// alone, never on the world, because sums over a shard are taken block after block; small shards go
/// through in one block, so that they read the weights once.
public struct Block: Hashable, Sendable {
    /// Samples, counted from the worker's first.
    public let rows: Range<Int>

    /// The shards of which these are, by their positions among the worker's.
    public let shards: Range<Int>

    /// The ordinal of its first part among those of the pass: a part is what a block has of one shard.
    public let firstPart: Int

    /// Which thread of the worker's crew computes it.
    public internal(set) var member = 0

    /// Samples `rows`, of `shards`.
    public init(rows: Range<Int>, shards: Range<Int>, firstPart: Int = 0) {
        self.rows = rows
        self.shards = shards
        self.firstPart = firstPart
    }

    /// What the block has of each of its shards, in order.
    package func parts(_ pass: Pass) -> BlockParts { BlockParts(self, pass) }

    /// All samples of a pass.
    public init(_ shape: BatchShape) {
        self.init(rows: 0..<shape.rows, shards: shape.shardRows.indices)
    }
}

/// What a block has of one shard.
package struct BlockPart {
    /// The shard's position among the worker's.
    package let shard: Int
    /// Its ordinal among the parts of the pass.
    package let index: Int
    /// Samples, counted from the worker's first.
    package let rows: Range<Int>
    /// Samples of the shard in earlier blocks; whether none comes in a later one.
    package let rowsBefore: Int, isLast: Bool

    /// Whether the shard begins with it.
    package var isFirst: Bool { rowsBefore == 0 }
}

/// The parts of a block.
package struct BlockParts: Sequence, IteratorProtocol {
    private let block: Block
    private let shardRows: [Range<Int>]
    private var shard: Int

    fileprivate init(_ block: Block, _ pass: Pass) {
        self.block = block
        shardRows = pass.shardRows
        shard = block.shards.lowerBound
    }

    /// The next one.
    package mutating func next() -> BlockPart? {
        guard shard < block.shards.upperBound else { return nil }
        defer { shard += 1 }
        let all = shardRows[shard]
        let rows = all.clamped(to: block.rows)
        return BlockPart(
            shard: shard, index: block.firstPart + shard - block.shards.lowerBound, rows: rows,
            rowsBefore: rows.lowerBound - all.lowerBound,
            isLast: rows.upperBound == all.upperBound)
    }
}

extension BatchShape {
    /// Each shard of more than `samples` cut into blocks of as many and a last one of what is left;
    /// smaller ones together with their neighbours, as many as are no more than that.
    public func blocks(of samples: Int) -> [Block] {
        var blocks: [Block] = []
        var parts = 0
        func append(_ rows: Range<Int>, _ shards: Range<Int>) {
            blocks.append(Block(rows: rows, shards: shards, firstPart: parts))
            parts += shards.count
        }
        var position = 0
        while position < shardRows.count {
            let rows = shardRows[position]
            var next = position + 1
            if rows.count > samples {
                for first in stride(from: rows.lowerBound, to: rows.upperBound, by: samples) {
                    append(first..<min(first + samples, rows.upperBound), position..<next)
                }
            } else {
                while next < shardRows.count,
                    shardRows[next].upperBound - rows.lowerBound <= samples
                {
                    next += 1
                }
                append(rows.lowerBound..<shardRows[next - 1].upperBound, position..<next)
            }
            position = next
        }
        return blocks
    }
}

/// A layer of one worker's network.
///
/// A layer is confined to its worker's thread and owns its output and what backward needs; it reads
/// its parameters in the rank's replica and adds its gradients to the worker's accumulator. A
/// ``LayerGraph`` calls it, block by block.
///
/// Tensors that it is given have the values of sample n from n times as many on as a sample has, but not
/// always in rows of its own: an image may come as one row.
public protocol Layer: AnyObject {
    /// The name in messages and files: `layers.0`.
    var name: String { get }

    /// Values of one sample's output.
    var outputs: Int { get }

    /// What `forward` writes, and what keeps it until the next one: [N, C] or [N·H·W, C].
    var output: Tensor { get }

    /// What a graph plans by.
    var traits: LayerTraits { get }

    /// Computes the output of a block's rows.
    func forward(_ input: Tensor, _ block: Block, _ pass: Pass) throws

    /// Computes the input gradient of a block's rows, in a pass of mode training.
    ///
    /// - Parameters:
    ///   - outputGradient: may be overwritten by layers that work in place.
    ///   - inputGradient: nil where nobody needs it.
    func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass) throws

    /// Adds the gradients of the layer's weights over all shards to the accumulator, when the
    /// output gradients of all blocks are there.
    func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) throws

    /// A member's share of that, for a `dividedProduct`.
    func backwardWeights(
        _ input: Tensor, _ outputGradient: Tensor, _ pass: Pass, _ share: Share) throws

    /// A second value, of the output's shape, for layers that add one.
    var addend: Tensor? { get set }

    /// Makes the output a window of `memory`, before anybody else sees it; for recomputable layers.
    func writeOutput(toWindowOf memory: Tensor)

    /// What brings back an input that was not kept, for layers that restore theirs.
    var restoredInput: (any RestoredInput)? { get set }

    /// Floats of copies of its weights in other layouts, which passes read; 0 for none.
    var packedCount: Int { get }

    /// Where the copies lie, aligned to 16 floats: before the first `pack` and the first pass.
    func place(copies: UnsafeMutablePointer<Float>)

    /// Writes the copies after an update, on thread `member` of the worker's crew; of those that workers
    /// share one does.
    func pack(member: Int)
}

extension Layer {
    /// No weights.
    public func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) throws {}

    /// All of it by one member.
    public func backwardWeights(
        _ input: Tensor, _ outputGradient: Tensor, _ pass: Pass, _ share: Share
    ) throws {
        if share.member == 0 { try backwardWeights(input, outputGradient, pass) }
    }

    /// It adds none.
    public var addend: Tensor? {
        get { nil }
        set { preconditionFailure("\(name) cannot add") }
    }

    /// Its output is kept.
    public func writeOutput(toWindowOf memory: Tensor) {
        preconditionFailure("\(name) keeps its output")
    }

    /// Its input is kept.
    public var restoredInput: (any RestoredInput)? {
        get { nil }
        set { preconditionFailure("\(name) needs its input kept") }
    }

    /// No copies.
    public var packedCount: Int { 0 }
    /// No copies.
    public func place(copies: UnsafeMutablePointer<Float>) {}
    /// No copies.
    public func pack(member: Int) {}

    /// Whether each worker has copies of its own: so few take less time to write than to meet, and to
    /// read from another core.
    package var packsForItself: Bool { packedCount <= 8192 }
}

/// A layer that meets the other workers between seeing all of its input and giving any output, and
/// again backward.
public protocol MeetingLayer: Layer {
    /// Learns in which blocks it will observe its input, by the index of their shape, before the first
    /// pass.
    func observes(in blocks: [[Block]])

    /// Learns in which blocks it will observe its output gradient.
    func observesGradient(in blocks: [[Block]])

    /// Takes a block of the input into the statistics, before `meet`.
    func observe(_ input: Tensor, _ block: Block, _ pass: Pass)

    /// Brings all workers' statistics together, before `forward`.
    func meet(_ pass: Pass) throws

    /// Takes a block of the output gradient into the sums that backward needs, before
    /// `meetBackward`; `outputGradient` then holds the gradient before the fused activation.
    ///
    /// - Parameter second: is added to `outputGradient` first.
    func observeGradient(
        _ input: Tensor, _ outputGradient: Tensor, second: Tensor?, _ block: Block, _ pass: Pass)

    /// Sends this worker's sums on their way and waits for nobody, when all blocks are observed. What
    /// is computed from here to `meetBackward` hides the exchange.
    func startMeetingBackward(_ pass: Pass) throws

    /// Brings all workers' sums together, before `backward`.
    func meetBackward(_ pass: Pass) throws

    /// Whether `observeGradient` writes to its output gradient even without a second one.
    var writesObservedGradient: Bool { get }
}

/// The input of a layer that is not kept, but computed again.
public protocol RestoredInput: AnyObject {
    /// Samples that can be brought back at a time.
    var samples: Int { get }

    /// Puts the input of some of the worker's shards, of no more than `samples` or a single one, where
    /// `forward` found it.
    func restore(shards positions: Range<Int>, _ pass: Pass) throws
}
