import TensorCore

/// The order in which a run sees its training samples: in every epoch each sample exactly once.
///
/// The order of an epoch is a permutation that depends on (seed, epoch) and nothing else: the same
/// on every worker, in every world, and after a restart at any step. It is a Fisher–Yates shuffle
/// (Durstenfeld, CACM 7, 1964): for i = n−1 … 1, element i changes places with element
/// ⌊word · (i + 1) / 2³²⌋, the words being those of `CounterRandom(.order)` in turn.
///
/// The samples of an epoch are cut into batches in this order. The last batch is short when the
/// batch size does not divide the samples; with `dropLast` those samples sit out the epoch.
///
/// A sampler belongs to one worker's thread. It allocates only when it is made.
public final class EpochSampler {
    /// Which samples one optimizer step takes.
    public struct Batch: Hashable, Sendable {
        /// The epoch, from 1.
        public let epoch: Int

        /// The batch of the epoch, from 0.
        public let index: Int

        /// The position of its first sample in the epoch's order.
        public let start: Int

        /// Its samples; fewer than the batch size only for the last batch of an epoch.
        public let count: Int
    }

    /// The number of training samples.
    public let sampleCount: Int

    /// Samples of a full batch.
    public let batchSize: Int

    /// Optimizer steps of one epoch.
    public let batchesPerEpoch: Int

    private let shuffle: Bool
    private let seed: UInt64

    /// The samples in the order of `orderedEpoch`. [sampleCount]
    private let order: UnsafeMutableBufferPointer<Int32>
    private var orderedEpoch: Int

    /// A sampler over `sampleCount` samples.
    ///
    /// - Parameters:
    ///   - dropLast: leave out the short last batch of an epoch.
    ///   - shuffle: false keeps the order of the file in every epoch.
    ///   - seed: the seed of the run.
    /// - Throws: `noFullBatch` if `dropLast` would leave no batch at all.
    public init(
        sampleCount: Int, batchSize: Int, dropLast: Bool = false, shuffle: Bool = true,
        seed: UInt64
    ) throws(DatasetError) {
        precondition(batchSize > 0, "a batch has no samples")
        precondition(sampleCount > 0 && sampleCount <= Int(Int32.max), "sample count out of range")
        if dropLast && batchSize > sampleCount {
            throw .noFullBatch(batch: batchSize, samples: sampleCount)
        }
        self.sampleCount = sampleCount
        self.batchSize = batchSize
        self.shuffle = shuffle
        self.seed = seed
        let (full, rest) = sampleCount.quotientAndRemainder(dividingBy: batchSize)
        batchesPerEpoch = rest == 0 || dropLast ? full : full + 1
        order = .allocate(capacity: sampleCount)
        order.initialize(repeating: 0)
        orderedEpoch = 0
        resetOrder()
    }

    deinit { order.deallocate() }

    /// The batch of optimizer step `step`, from 1, counted over all epochs.
    public func batch(atStep step: Int) -> Batch {
        precondition(step > 0, "steps count from 1")
        let (epoch, index) = (step - 1).quotientAndRemainder(dividingBy: batchesPerEpoch)
        let start = index * batchSize
        return Batch(
            epoch: epoch + 1, index: index, start: start,
            count: min(batchSize, sampleCount - start))
    }

    /// The sample at `position` of a batch.
    public func sample(at position: Int, of batch: Batch) -> Int {
        precondition(position >= 0 && position < batch.count, "the position is outside the batch")
        prepare(epoch: batch.epoch)
        return Int(order[batch.start + position])
    }

    /// Calls `body` with the samples at `positions` of a batch: those of one shard, say.
    ///
    /// The first call in an epoch makes its permutation (60 000 samples: 0.5 ms).
    public func withSamples<Result>(
        at positions: Range<Int>, of batch: Batch, _ body: (Span<Int32>) throws -> Result
    ) rethrows -> Result {
        precondition(
            positions.lowerBound >= 0 && positions.upperBound <= batch.count,
            "the positions are outside the batch")
        prepare(epoch: batch.epoch)
        let start = batch.start + positions.lowerBound
        let samples = UnsafeBufferPointer(rebasing: order[start..<start + positions.count])
        return try body(samples.span)
    }

    private func prepare(epoch: Int) {
        guard shuffle && epoch != orderedEpoch else { return }
        resetOrder()
        let random = CounterRandom(seed: seed, purpose: .order, index: UInt64(epoch))
        var remaining = sampleCount
        var block: UInt32 = 0
        while remaining > 1 {
            let words = random.words(block: block)
            for lane in 0..<min(4, remaining - 1) {
                let other = Int((UInt64(words[lane]) &* UInt64(remaining)) >> 32)
                order.swapAt(remaining - 1, other)
                remaining -= 1
            }
            block += 1
        }
        orderedEpoch = epoch
    }

    private func resetOrder() {
        for index in 0..<sampleCount { order[index] = Int32(truncatingIfNeeded: index) }
    }
}
