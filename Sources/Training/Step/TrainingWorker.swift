package import Collectives
import Configuration
import Datasets
import Kernels
import Layers
package import Models
import Normalization
import Optimization
package import TensorCore

/// One worker's part of a run: its network, its samples of each batch, and the step's collectives
/// beside BN's own. Lives on its worker's thread.
package final class TrainingWorker {
    package let communicator: Communicator
    package let network: Network
    private let plan: RunPlan
    private let state: OptimizerState
    let sampler: EpochSampler
    private let myShards: Range<Int>
    /// The part of the parameters that it updates where norms are needed.
    private let myChunks: Range<Int>

    /// Fills the worker's samples of a batch, ahead of the steps where that pays.
    let loader: BatchLoader
    private let trainingPasses: [Int: Pass]
    private let inferencePasses: [Int: Pass]

    /// Loss, correct answers, who wants to stop or save, and the running statistics of groups.
    private let metrics: StatisticsReduction
    /// Loss and correct answers of an evaluation.
    private let evaluation: StatisticsReduction

    /// What stands around its steps, from the outside in: see `Trainer.makeWorker`.
    var instruments: [any Instrument] = []

    /// Have the worker's crew do its parts of `updating`, and measure the chunks.
    private var runUpdate: (() throws -> Void)?
    private var runMeasurement: (() throws -> Void)?
    private var updating: Update?

    /// What the crew updates.
    fileprivate struct Update {
        let what: Part
        let step: StepSettings

        enum Part {
            case range(Range<Int>)
            case chunks(Range<Int>, ParameterNorms)
        }
    }

    /// What the last step came to, over the global batch.
    private(set) var sums = SampleSums()

    /// The mean loss of the last step's samples.
    var loss: Double { sums.loss }

    /// Whether the last step's gradient is finite; looked at where the run would go on without it, and
    /// then nothing is updated where it is not.
    private(set) var gradientIsFinite = true

    /// Whether the run is to stop after the step: some rank wants it, and all know.
    private(set) var isStopping = false

    /// Whether the run is to be saved after the step by a clock, which only one worker reads.
    private(set) var isSaving = false

    /// What evaluations normalise by, where it is not the running statistics.
    var evaluationStatistics: EvaluationStatistics?

    /// Asked once a step, on thread 0 of each rank: whether to stop.
    package var wantsToStop: (@Sendable () -> Bool)?

    /// Asked once a step, on worker 0: whether to save.
    var wantsToSave: (() -> Bool)?

    init(
        _ plan: RunPlan, replica: Replica, state: OptimizerState, communicator: Communicator
    ) throws {
        self.plan = plan
        self.state = state
        self.communicator = communicator
        let shards = plan.shards
        network = try Network(
            plan.network, replica: replica, communicator: communicator, shards: shards,
            batches: plan.batches, seed: plan.configuration.seed,
            // Filling a team-mate's inputs, too, pays where it is mere scaling.
            sharesInputs: plan.augmenter == nil)
        sampler = try EpochSampler(plan)
        myShards = communicator.world.shards(ofWorker: communicator.worker, of: shards)
        myChunks =
            state.norms?.chunks(
                ofThread: communicator.thread, of: communicator.world.threadsPerRank) ?? 0..<0
        network.loss.labelSmoothing = plan.configuration.loss.labelSmoothing
        let loaded = network.inputShards
        let rows = network.shapes.map { shape in
            shape.trains
                ? ShardedBatch(samples: shape.samples, shards: shards).samples(ofShards: loaded)
                    .count : shape.rows
        }
        loader = try BatchLoader(
            plan, shards: loaded, rows: rows.max() ?? 0, columns: plan.network.inputs)
        trainingPasses = Dictionary(
            uniqueKeysWithValues: network.shapes.filter(\.trains).map {
                ($0.samples, Pass(.training, $0))
            })
        inferencePasses = Dictionary(
            uniqueKeysWithValues: network.shapes.map { ($0.samples, Pass(.inference, $0)) })
        func reduction(_ length: Int) -> StatisticsReduction {
            StatisticsReduction(
                communicator, shards: shards, group: shards, length: length, moments: false,
                kind: .metrics, layer: -1)
        }
        metrics = reduction(Self.ownMetrics + network.sharedStatisticsLength)
        evaluation = reduction(2)
        // Team-mates read this worker's tensors.
        communicator.keep(self)
        let crew = communicator.crew
        guard crew.members > 1 else { return }
        runUpdate = crew.prepare { [unowned self] member in
            guard let updating else { return }
            perform(updating.part(of: crew, member: member))
        }
        guard let norms = state.norms else { return }
        runMeasurement = crew.prepare { [unowned self] member in
            let part = crew.part(of: myChunks.count, member: member)
            norms.measure(
                myChunks.lowerBound + part.lowerBound..<myChunks.lowerBound + part.upperBound)
        }
    }

    /// The batch's samples of `network.inputShards`, [rows, inputs], and their classes; `load` fills
    /// them.
    package var input: Tensor { loader.input }
    private var labels: UnsafeMutablePointer<UInt8> { loader.labels }

    /// Values of a step's metrics before the statistics of layers.
    private static let ownMetrics = 4

    /// Values of a shard's part of the metrics, of which the first two are loss and correct answers.
    var metricsLength: Int { metrics.length }

    /// From here on keeps the metrics of the shard at `position`, for an audit; nil: no longer.
    func captureMetrics(_ position: Int?, into values: UnsafeMutablePointer<Double>) {
        metrics.captured = position.map { ($0, values) }
    }

    // MARK: the parts of a step

    /// The batch of step `step`: which samples, and how it falls on the shards.
    func batch(atStep step: Int) -> (batch: EpochSampler.Batch, pass: Pass) {
        let batch = sampler.batch(atStep: step)
        guard var pass = trainingPasses[batch.count] else {
            preconditionFailure("a batch of \(batch.count) samples was not planned")
        }
        pass.step = step
        return (batch, pass)
    }

    /// The batch's samples that this worker needs, as inputs and labels.
    func load(_ batch: EpochSampler.Batch) {
        loader.load(step: (batch.epoch - 1) * sampler.batchesPerEpoch + batch.index + 1)
    }

    /// The logits of the worker's samples.
    func forward(_ pass: Pass) throws -> Tensor { try network.forward(input, pass) }

    /// Their loss, and the metrics of the whole batch.
    func computeLoss(of logits: Tensor, _ pass: Pass) throws {
        let batch = ShardedBatch(samples: pass.samples, shards: plan.shards)
        // The loader may hold the samples of team-mates, too.
        let mine =
            labels + pass.shape.firstSample
            - batch.samples(ofShards: network.inputShards).lowerBound
        metrics.begin(batch)
        let wantsToStop = communicator.thread == 0 && wantsToStop?() == true
        let wantsToSave = wantsToSave?() == true
        for position in pass.shardRows.indices {
            let sums = network.loss.forward(logits, labels: mine, shard: position, pass)
            let leaf = metrics.leaf
            leaf[0] = sums.loss
            leaf[1] = Double(sums.correct)
            leaf[2] = position == 0 && wantsToStop ? 1 : 0
            leaf[3] = position == 0 && wantsToSave ? 1 : 0
            var offset = Self.ownMetrics
            for layer in network.normalizations where layer.sharedStatisticsLength > 0 {
                layer.shareStatistics(shard: position, into: leaf + offset)
                offset += layer.sharedStatisticsLength
            }
            metrics.push()
        }
        // The collective: everybody must know the loss of the whole batch, so that all decide
        // alike whether the step counts and is the last; running statistics of groups travel along.
        try metrics.finish()
        let result = metrics.result(ofGroup: 0)
        sums = SampleSums(samples: pass.samples, totalLoss: result[0], correct: result[1])
        isStopping = result[2] > 0
        isSaving = result[3] > 0
    }

    /// Gradients of the worker's shards, into its nodes of the tree.
    func backward(_ pass: Pass) throws {
        try network.backward(pass)
    }

    /// The gradients' sum, and the update of the parameters by it.
    func sumAndUpdate(at step: StepSettings) throws {
        guard let norms = state.norms else {
            // The collective: the sum over all shards; each worker gets and updates its slice.
            try network.sumGradients { range in update(.range(range), at: step) }
            return
        }
        try sumAndMeasure(norms)
        // All ranks have the same norm of the same sum.
        gradientIsFinite =
            plan.configuration.watch.nonFinite == .stop || norms.gradientNorm.isFinite
        if gradientIsFinite { update(.chunks(myChunks, norms), at: step) }
    }

    /// The gradients' sum, and the norms that a rule needs of all of it.
    private func sumAndMeasure(_ norms: ParameterNorms) throws {
        try network.sumGradients { _ in }
        // Norms are of the whole gradient, which the team has summed in slices.
        try communicator.teamBarrier()
        if let runMeasurement { try runMeasurement() } else { norms.measure(myChunks) }
        // Every worker adds up all chunks, once all are measured.
        try communicator.teamBarrier()
    }

    /// The running statistics of the batch, and what the next forward pass reads.
    func commit(_ pass: Pass) throws {
        precondition(gradientIsFinite, "a step without an update is left out")
        if communicator.thread == 0 { commitStatistics(pass) }
        // Nobody reads parameters before all slices are written.
        try communicator.teamBarrier()
        try network.prepareWeights()
    }

    /// Updates a part of the parameters, with the crew where it is large.
    private func update(_ part: Update.Part, at step: StepSettings) {
        let update = Update(what: part, step: step)
        guard let runUpdate, update.isLarge else { return perform(update) }
        updating = update
        defer { updating = nil }
        do {
            try runUpdate()
        } catch {
            preconditionFailure("updates throw nothing")
        }
    }

    private func perform(_ update: Update) {
        switch update.what {
        case .range(let range): state.update(range, at: update.step)
        case .chunks(let chunks, let norms):
            state.update(chunks: chunks, of: norms, at: update.step)
        }
    }

    private func commitStatistics(_ pass: Pass) {
        var offset = Self.ownMetrics
        for layer in network.normalizations {
            let length = layer.sharedStatisticsLength
            layer.commit(
                shared: length > 0 ? metrics.result(ofGroup: 0) + offset : nil,
                samples: pass.samples)
            offset += length
        }
    }

    /// Shards of a batch, and the first of this worker's.
    package var shards: Int { plan.shards }
    var firstShard: Int { myShards.lowerBound }

    /// What training changes, the rank's.
    package var stateTensors: [StateTensor] { StateTensor.all(network.replica, state) }

    // MARK: evaluation

    /// Loss and accuracy over all of `samples`, with running statistics, or with those of each
    /// batch in mode calibration. Every worker sums its shards' part of every batch; one collective
    /// brings the shards together.
    func evaluate(_ samples: SampleView, mode: Mode = .inference) throws -> Evaluation {
        let size = plan.configuration.batch.size
        var sums = Array(repeating: (loss: 0.0, correct: 0.0), count: myShards.count)
        var start = 0
        while start < samples.count {
            let count = min(size, samples.count - start)
            guard let planned = inferencePasses[count] else {
                preconditionFailure("a batch of \(count) samples was not planned")
            }
            let pass = Pass(mode, planned.shape)
            let part = ShardedBatch(samples: count, shards: plan.shards)
                .samples(ofShards: myShards)
            loader.loadForEvaluation(
                samples, at: start + part.lowerBound..<start + part.upperBound)
            let logits = try network.layers.forward(input, pass)
            for position in pass.shardRows.indices {
                let result = network.loss.forward(logits, labels: labels, shard: position, pass)
                sums[position].loss += result.loss
                sums[position].correct += Double(result.correct)
            }
            start += count
        }
        evaluation.begin(ShardedBatch(samples: samples.count, shards: plan.shards))
        for sum in sums {
            evaluation.leaf[0] = sum.loss
            evaluation.leaf[1] = sum.correct
            evaluation.push()
        }
        try evaluation.finish()
        let result = evaluation.result(ofGroup: 0)
        let all = SampleSums(samples: samples.count, totalLoss: result[0], correct: result[1])
        return Evaluation(loss: all.loss, accuracy: all.accuracy)
    }

    // MARK: agreement

    /// Worker 0's `value`, on every worker: what is decided by a clock must be decided by one.
    func agreed(_ value: Double) throws -> Double {
        try summed(communicator.isSpeaker ? value : 0)
    }

    /// The sum of all workers' values.
    func summed(_ value: Double) throws -> Double {
        evaluation.begin(ShardedBatch(samples: plan.shards, shards: plan.shards))
        for position in myShards.indices {
            evaluation.leaf[0] = position == myShards.lowerBound ? value : 0
            evaluation.leaf[1] = 0
            evaluation.push()
        }
        try evaluation.finish()
        return evaluation.result(ofGroup: 0)[0]
    }
}

extension TrainingWorker.Update {
    /// Whether it takes longer than to have others do it, too.
    fileprivate var isLarge: Bool {
        switch what {
        case .range(let range): range.count >= 1 << 14
        case .chunks(let chunks, _): chunks.count >= 4
        }
    }

    /// A member's part: of a range whole vectors.
    fileprivate func part(of crew: Crew, member: Int) -> Self {
        switch what {
        case .range(let range):
            let vectors = crew.part(of: (range.count + 15) / 16, member: member)
            return Self(
                what: .range(
                    range.lowerBound + 16
                        * vectors.lowerBound..<min(
                            range.lowerBound + 16 * vectors.upperBound, range.upperBound)),
                step: step)
        case .chunks(let chunks, let norms):
            let part = crew.part(of: chunks.count, member: member)
            return Self(
                what: .chunks(
                    chunks.lowerBound + part.lowerBound..<chunks.lowerBound + part.upperBound,
                    norms), step: step)
        }
    }
}
