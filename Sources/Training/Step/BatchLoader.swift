import Collectives
import Configuration
import Datasets
import Dispatch
import Synchronization
import TensorCore

/// The samples of each batch that a worker needs, as inputs and labels.
///
/// Plain scaling is done when the batch is asked for: it takes microseconds. With augmentation the
/// loader runs ahead: while the worker computes step n, a background queue fills the second of two
/// buffers with the samples of step n + 1. A worker never waits for a queue that has no thread to
/// run on: what the background has not begun, the worker does itself. Either way the samples are a
/// pure function of (seed, step), so that the bits do not depend on who was first.
///
/// Confined to its worker's thread, but for what `fillNext` does.
final class BatchLoader {
    /// The samples that were loaded last.
    private(set) var input: Tensor
    private(set) var labels: UnsafeMutablePointer<UInt8>

    /// Whether the next batch is filled while the worker computes.
    let runsAhead: Bool

    /// Seconds in `load`, filling or waiting; measured where the loader runs ahead.
    private(set) var seconds = 0.0

    private let filler: BatchFiller
    private let scaling: InputScaling
    private let lastStep: Int
    private let clock = ContinuousClock()

    /// The step whose samples the other buffer holds, or will; 0: none.
    private var nextStep = 0
    private let slots: [BatchFiller.Slot]
    private var slot = 0
    private let handover: BatchHandover
    private var background: (any DispatchSourceUserDataAdd)?

    /// - Parameters:
    ///   - shards: those whose samples are loaded.
    ///   - rows, columns: the extents of the input that layers take, for the largest batch.
    init(
        _ plan: RunPlan, shards: Range<Int>, rows: Int, columns: Int
    ) throws(DatasetError) {
        runsAhead = plan.augmenter != nil
        scaling = plan.scaling
        lastStep = plan.totalSteps
        let filler = try BatchFiller(plan, shards: shards)
        let handover = BatchHandover()
        slots = (0..<(runsAhead ? 2 : 1)).map { _ in
            BatchFiller.Slot(rows: rows, columns: columns)
        }
        self.filler = filler
        self.handover = handover
        input = slots[0].input
        labels = slots[0].labels
        guard runsAhead else { return }
        // No queue of its own is blocked by a loader: those are counted (see `Team.mostThreads`).
        let queue = DispatchQueue(
            label: "bn-train.loader", qos: .utility, target: .global(qos: .utility))
        // A source is woken without allocating, which a block for each step would.
        let source = DispatchSource.makeUserDataAddSource(queue: queue)
        // Handed over through `handover`: one thread at a time touches filler and slots. The handler
        // keeps them alive until it has ended.
        nonisolated(unsafe) let (allSlots, sharedFiller) = (slots, filler)
        source.setEventHandler {
            guard let offer = handover.beginInBackground() else { return }
            sharedFiller.fill(allSlots[offer.slot], step: offer.step)
            handover.finish()
        }
        source.activate()
        background = source
    }

    deinit { background?.cancel() }

    /// Makes the samples of `step` the present ones.
    func load(step: Int) {
        guard runsAhead else {
            filler.fill(slots[0], step: step)
            return
        }
        let start = clock.now
        if nextStep != 0 { takeOver(step) }
        if nextStep != step { filler.fill(slots[slot], step: step) }
        input = slots[slot].input
        labels = slots[slot].labels
        seconds += (clock.now - start) / .seconds(1)
        nextStep = step == lastStep ? 0 : step + 1
        if nextStep != 0 { fillNext() }
    }

    /// The present buffer, for samples of an evaluation; the next batch is in the other one.
    func loadForEvaluation(_ samples: SampleView, at range: Range<Int>) {
        scaling.fill(input, from: samples, at: range)
        for (row, sample) in range.enumerated() {
            labels[row] = UInt8(truncatingIfNeeded: samples.label(at: sample))
        }
    }

    /// Turns to the buffer of the next step, filled by then, if it is the one that is wanted.
    private func takeOver(_ step: Int) {
        slot = 1 - slot
        if handover.takeBack() {
            if nextStep == step { filler.fill(slots[slot], step: step) }
        } else {
            handover.wait()
        }
    }

    private func fillNext() {
        handover.offer(step: nextStep, slot: 1 - slot)
        background?.add(data: 1)
    }
}

/// How a batch goes from a worker to its background queue and back: who wins the exchange of
/// `state` fills, the other one leaves it alone.
private final class BatchHandover: Sendable {
    /// 0: nothing to do; −1: under way, or done and not fetched; else 2 · step + slot, on offer.
    private let state = Atomic<Int>(0)
    private let done = Atomic<Bool>(false)
    private let bell = DispatchSemaphore(value: 0)

    /// Offers the background to fill `slot` with the samples of `step`.
    func offer(step: Int, slot: Int) {
        done.store(false, ordering: .relaxed)
        state.store(2 * step + slot, ordering: .releasing)
    }

    /// What to fill; nil where the worker has taken it back. A call that comes late finds the next
    /// offer, or nothing.
    func beginInBackground() -> (step: Int, slot: Int)? {
        let offer = state.load(ordering: .acquiring)
        guard offer > 0 && exchange(offer, for: -1) else { return nil }
        return (offer >> 1, offer & 1)
    }

    private func exchange(_ offer: Int, for new: Int) -> Bool {
        state.compareExchange(
            expected: offer, desired: new, ordering: .acquiringAndReleasing
        ).exchanged
    }

    func finish() {
        done.store(true, ordering: .releasing)
        bell.signal()
    }

    /// Takes the offer back; false where the background has begun.
    func takeBack() -> Bool {
        let offer = state.load(ordering: .acquiring)
        return offer > 0 && exchange(offer, for: 0)
    }

    /// Waits for what the background has begun.
    func wait() {
        bell.wait()
        // The order of memory, said so that tools which do not know semaphores understand it.
        let isDone = done.load(ordering: .acquiring)
        precondition(isDone, "a batch was handed over before it was done")
        state.store(0, ordering: .relaxed)
    }
}

/// Writes a worker's samples of a step's batch. Used by one thread at a time.
private final class BatchFiller {
    /// Inputs and labels of one batch.
    final class Slot {
        let input: Tensor
        let labels: UnsafeMutablePointer<UInt8>

        init(rows: Int, columns: Int) {
            input = Tensor(rows: rows, columns: columns)
            labels = .allocate(capacity: max(rows, 1))
            labels.initialize(repeating: 0, count: max(rows, 1))
        }

        deinit { labels.deallocate() }
    }

    private let plan: RunPlan
    private let sampler: EpochSampler
    private let shards: Range<Int>

    init(_ plan: RunPlan, shards: Range<Int>) throws(DatasetError) {
        self.plan = plan
        self.shards = shards
        sampler = try EpochSampler(plan)
    }

    func fill(_ slot: Slot, step: Int) {
        let batch = sampler.batch(atStep: step)
        let positions = ShardedBatch(samples: batch.count, shards: plan.shards)
            .samples(ofShards: shards)
        sampler.withSamples(at: positions, of: batch) { samples in
            plan.fill(slot.input, withTrainingSamples: samples, epoch: batch.epoch)
            for row in samples.indices {
                slot.labels[row] = UInt8(
                    truncatingIfNeeded: plan.split.training.label(at: Int(samples[row])))
            }
        }
    }
}

extension RunPlan {
    /// Writes training samples as they are in `epoch`, augmented and scaled.
    func fill(_ input: Tensor, withTrainingSamples samples: Span<Int32>, epoch: Int) {
        if let augmenter {
            augmenter.fill(
                input, from: split.training, at: samples, epoch: epoch, scaling: scaling)
        } else {
            scaling.fill(input, from: split.training, at: samples)
        }
    }
}

extension EpochSampler {
    /// The order of a run's samples.
    convenience init(_ plan: RunPlan) throws(DatasetError) {
        let data = plan.configuration.data
        try self.init(
            sampleCount: plan.split.training.count, batchSize: plan.configuration.batch.size,
            dropLast: data.dropLast, shuffle: data.shuffle, seed: plan.configuration.seed)
    }
}
