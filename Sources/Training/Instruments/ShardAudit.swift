import Collectives
import Configuration
import Datasets
import Kernels
import Layers
import Models
import Normalization
import TensorCore

/// What the workers of a rank keep of an audited shard, and compare with other ranks.
final class AuditTable: Sendable {
    /// What the shard contributes to the summed gradients, laid out like the parameters; each
    /// worker writes its slices of products.
    nonisolated(unsafe) let gradients: UnsafeMutablePointer<Float>
    /// Hashes, by the worker whose shard it is and by the one who computes it again: [2, items].
    nonisolated(unsafe) let mine: UnsafeMutableBufferPointer<UInt64>
    /// Every rank's: [ranks, 2, items].
    nonisolated(unsafe) let all: UnsafeMutableBufferPointer<UInt64>
    let hosts: HostNames

    /// Nil where nothing is audited.
    init?(_ plan: RunPlan, world: World, hosts: HostNames) {
        guard plan.configuration.watch.auditShards > 0, world.arithmetic == .tree else {
            return nil
        }
        self.hosts = hosts
        gradients = alignedAllocation(of: Float.self, count: plan.layout.reduced)
        gradients.initialize(repeating: 0, count: max(plan.layout.reduced, 1))
        mine = .allocate(capacity: 2 * Self.mostItems(plan))
        mine.initialize(repeating: 0)
        all = .allocate(capacity: world.ranks * mine.count)
        all.initialize(repeating: 0)
    }

    deinit {
        gradients.deallocate()
        mine.deallocate()
        all.deallocate()
    }

    /// Twice for each normalisation, once for each parameter, and the loss.
    private static func mostItems(_ plan: RunPlan) -> Int {
        2 * plan.layout.statistics.count + plan.layout.parameters.count + 1
    }

    /// Hash `item` of rank `rank`.
    func hash(_ item: Int, ofRank rank: Int, isAgain: Bool) -> UInt64 {
        all[rank * mine.count + (isAgain ? mine.count / 2 : 0) + item]
    }
}

/// One worker's part in audits: every so many steps another worker computes one shard again,
/// forward and backward, and the bits of all that leaves a shard are compared: what it contributes
/// to BN's statistics and backward sums, to the loss and to the gradient of every parameter.
///
/// A core or a memory that computes wrongly spoils a gradient *before* it is summed: all replicas
/// then agree, and nobody else can see it. The shard and the worker who repeats it are drawn from
/// seed and step. That one has a network of one shard with the rank's parameters; where other
/// shards share the shard's statistics it normalises by those that it has from the step itself.
///
/// Lives on its worker's thread.
final class ShardAudit: Instrument {
    private unowned let worker: TrainingWorker
    private let plan: RunPlan
    let table: AuditTable
    private let network: Network
    private let items: [Item]
    /// By the batch's size, a pass over each shard.
    private let passes: [Int: [Pass]]
    private let input: Tensor
    private let labels: UnsafeMutablePointer<UInt8>

    /// What is kept of this worker's shard, and computed again of another's: see `Item.Kind`.
    private let kept: UnsafeMutablePointer<Double>
    private let again: UnsafeMutablePointer<Double>

    private var present: Choice?

    /// A step's shard, whose it is, and who computes it again.
    struct Choice: Equatable {
        let shard: Int
        let owner: Int
        let auditor: Int
    }

    /// Something that leaves a shard.
    private struct Item {
        enum Kind {
            /// A part of `kept` and `again`.
            case values(Range<Int>)
            /// A part of the flat gradient.
            case gradient(Range<Int>)
        }

        /// nil for the loss.
        let layer: String?
        let what: String
        let kind: Kind
    }

    init(_ worker: TrainingWorker, _ plan: RunPlan, _ table: AuditTable) throws {
        self.worker = worker
        self.plan = plan
        self.table = table
        // A plan for each number of samples that a shard of some batch has.
        var shapes: [BatchShape] = []
        var passes: [Int: [Pass]] = [:]
        for (samples, trains) in plan.batches where trains {
            let batch = ShardedBatch(samples: samples, shards: plan.shards)
            passes[samples] = (0..<plan.shards).map { shard in
                let range = batch.samples(ofShard: shard)
                func shape(_ index: Int, first: Int) -> BatchShape {
                    BatchShape(
                        index: index, samples: samples, shardRows: [0..<range.count], trains: true,
                        firstSample: first)
                }
                let known = shapes.firstIndex { $0.samples == samples && $0.rows == range.count }
                if known == nil { shapes.append(shape(shapes.count, first: 0)) }
                return Pass(
                    .training, shape(known ?? shapes.count - 1, first: range.lowerBound))
            }
        }
        self.passes = passes
        let live = worker.network
        network = try Network(
            auditing: plan.network, replica: Replica(sharing: live.replica), shapes: shapes,
            seed: plan.configuration.seed, thread: worker.communicator.thread)
        network.loss.labelSmoothing = plan.configuration.loss.labelSmoothing
        let rows = shapes.map(\.rows).max() ?? 0
        input = Tensor(rows: rows, columns: plan.network.inputs)
        labels = .allocate(capacity: max(rows, 1))
        labels.initialize(repeating: 0, count: max(rows, 1))
        // The loss comes with the metrics' other values.
        let length =
            worker.metricsLength + live.normalizations.reduce(0) { $0 + $1.contributionLength }
        func doubles() -> UnsafeMutablePointer<Double> {
            let memory = alignedAllocation(of: Double.self, count: length)
            memory.initialize(repeating: 0, count: length)
            return memory
        }
        (kept, again) = (doubles(), doubles())
        items = Self.items(live, afterMetrics: worker.metricsLength)
    }

    deinit {
        labels.deallocate()
        kept.deallocate()
        again.deallocate()
    }

    /// In the order in which they are computed, so that the first that differs is the cause.
    private static func items(_ network: Network, afterMetrics first: Int) -> [Item] {
        var forward: [Item] = []
        var backward: [String: Item] = [:]
        var place = first
        for layer in network.normalizations where layer.contributionLength > 0 {
            let half = layer.contributionLength / 2
            forward.append(
                Item(
                    layer: layer.name, what: "forward statistics",
                    kind: .values(place..<place + half)))
            backward[layer.name] = Item(
                layer: layer.name, what: "backward sums",
                kind: .values(place + half..<place + 2 * half))
            place += 2 * half
        }
        // Loss and correct answers.
        forward.append(Item(layer: nil, what: "loss", kind: .values(0..<2)))
        let layout = network.replica.layout
        return forward
            + network.layers.layers.reversed().flatMap { layer -> [Item] in
                // γ and β of BN have their gradients from the sums.
                if let sums = backward[layer.name] { return [sums] }
                return layout.parameters.filter {
                    $0.name.hasPrefix(layer.name + ".") && $0.range.upperBound <= layout.reduced
                }.map {
                    Item(
                        layer: layer.name,
                        what: $0.name.dropFirst(layer.name.count + 1) + " gradient",
                        kind: .gradient($0.range))
                }
            }
    }

    // MARK: a step

    /// The shard that step `step` audits in `world`; nil where it audits none.
    static func choice(_ plan: RunPlan, step: Int, world: World) -> Choice? {
        let every = plan.configuration.watch.auditShards
        guard every > 0, step % every == 0 else { return nil }
        let words = CounterRandom(
            seed: plan.configuration.seed, purpose: .audit, index: UInt64(step)
        ).words(block: 0)
        func drawn(_ word: Int, below count: Int) -> Int {
            Int((UInt64(words[word]) &* UInt64(count)) >> 32)
        }
        let shard = drawn(0, below: plan.shards)
        func shards(_ worker: Int) -> Range<Int> {
            world.shards(ofWorker: worker, of: plan.shards)
        }
        let owner = (0..<world.workers).first { shards($0).contains(shard) } ?? 0
        let group = plan.sharedShards(of: shard)
        func knows(_ worker: Int) -> Bool {
            worker != owner && (group.count == 1 || shards(worker).overlaps(group))
        }
        let others = (0..<world.workers).reduce(0) { $0 + (knows($1) ? 1 : 0) }
        // Alone, it repeats its own, which still shows a fault that comes and goes.
        guard others > 0 else { return Choice(shard: shard, owner: owner, auditor: owner) }
        var left = drawn(1, below: others)
        for worker in 0..<world.workers where knows(worker) {
            if left == 0 { return Choice(shard: shard, owner: owner, auditor: worker) }
            left -= 1
        }
        return nil
    }

    func before(_ phase: StepPhase, of step: TrainingStep) {
        if phase == .forward { begin(step.number) }
    }

    func after(_ phase: StepPhase, of step: TrainingStep) throws {
        switch phase {
        case .loss where !worker.loss.isFinite, .update where !worker.gradientIsFinite: cancel()
        case .backward: try computeAgain(step)
        case .commit: try compare(step)
        default: break
        }
    }

    /// Before the forward pass of `step`: from here on what its shard contributes is kept.
    private func begin(_ step: Int) {
        let communicator = worker.communicator
        let world = communicator.world
        present = Self.choice(plan, step: step, world: world)
        guard let present, present.owner / world.threadsPerRank == world.rank else { return }
        worker.network.capture(ShardCapture(shard: present.shard, values: table.gradients))
        guard present.owner == communicator.worker else { return }
        let position =
            present.shard - world.shards(ofWorker: present.owner, of: plan.shards).lowerBound
        worker.captureMetrics(position, into: kept)
        forEachNormalization { live, _, place in live.capture(position, into: kept + place) }
    }

    /// After the backward pass and before the update: computes another worker's shard again.
    private func computeAgain(_ step: TrainingStep) throws {
        let batch = step.batch
        guard let present, present.auditor == worker.communicator.worker,
            var pass = passes[batch.count]?[present.shard]
        else { return }
        pass.step = step.number
        let first = pass.shape.firstSample
        worker.sampler.withSamples(at: first..<first + pass.rows, of: batch) { samples in
            plan.fill(input, withTrainingSamples: samples, epoch: batch.epoch)
            for row in samples.indices {
                labels[row] = UInt8(
                    truncatingIfNeeded: plan.split.training.label(at: Int(samples[row])))
            }
        }
        let isShared = plan.sharedShards(of: present.shard).count > 1
        forEachNormalization { live, repeated, place in
            repeated.capture(0, into: again + place)
            repeated.audited = isShared ? (live, live.group(ofBatchShard: present.shard)) : nil
        }
        let logits = try network.layers.forward(input, pass)
        let sums = network.loss.forward(logits, labels: labels, shard: 0, pass)
        (again[0], again[1]) = (sums.loss, Double(sums.correct))
        try network.backward(pass)
        try network.sumGradients { _ in }
        hash(again, network.replica.gradient, into: table.mine.count / 2)
    }

    /// The step is not done: nothing is compared, and whoever searches it may keep other shards.
    private func cancel() {
        guard present != nil else { return }
        present = nil
        worker.network.capture(nil)
        worker.captureMetrics(nil, into: kept)
        forEachNormalization { live, _, _ in live.capture(nil, into: kept) }
    }

    /// After the update: compares what was kept with what was computed again.
    ///
    /// - Throws: `TrainingError.shardDiffers`, alike on all workers.
    private func compare(_ step: TrainingStep) throws {
        guard let present else { return }
        self.present = nil
        let communicator = worker.communicator
        worker.network.capture(nil)
        if present.owner == communicator.worker {
            worker.captureMetrics(nil, into: kept)
            forEachNormalization { live, _, place in live.capture(nil, into: kept) }
            hash(kept, table.gradients, into: 0)
        }
        // The collective: all must know, or those who do not would wait for the others.
        try communicator.gather(
            UnsafeRawBufferPointer(table.mine), into: UnsafeMutableRawBufferPointer(table.all),
            .digest)
        let threads = communicator.world.threadsPerRank
        let (owner, auditor) = (present.owner / threads, present.auditor / threads)
        for (index, item) in items.enumerated()
        where table.hash(index, ofRank: owner, isAgain: false)
            != table.hash(index, ofRank: auditor, isAgain: true)
        {
            func place(_ worker: Int, _ rank: Int) -> WorkerOnHost {
                WorkerOnHost(worker: worker, rank: rank, host: table.hosts[rank])
            }
            throw TrainingError.shardDiffers(
                step: step.number, epoch: step.epoch, shard: present.shard, layer: item.layer,
                what: item.what, by: place(present.owner, owner),
                again: place(present.auditor, auditor))
        }
    }

    private func hash(
        _ values: UnsafePointer<Double>, _ gradients: UnsafePointer<Float>, into first: Int
    ) {
        for (index, item) in items.enumerated() {
            table.mine[first + index] =
                switch item.kind {
                case .values(let range):
                    bitHash(values + range.lowerBound, count: range.count)
                case .gradient(let range):
                    bitHash(gradients + range.lowerBound, count: range.count)
                }
        }
    }

    /// The run's normalisations that take the batch's statistics, those that repeat them, and where
    /// their part of `kept` and `again` begins.
    private func forEachNormalization(
        _ body: (_ live: BatchNormLayer, _ repeated: BatchNormLayer, _ place: Int) -> Void
    ) {
        var place = worker.metricsLength
        for (live, repeated) in zip(worker.network.normalizations, network.normalizations)
        where live.contributionLength > 0 {
            body(live, repeated, place)
            place += live.contributionLength
        }
    }
}

extension RunPlan {
    /// The shards whose statistics shard `shard` shares; itself alone without BN.
    fileprivate func sharedShards(of shard: Int) -> Range<Int> {
        guard network.isNormalized else { return shard..<shard + 1 }
        let size = network.normalization.scope.groupSize(shards: shards)
        return shard / size * size..<shard / size * size + size
    }
}
