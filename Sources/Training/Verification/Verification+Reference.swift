import Collectives
import Configuration
public import Datasets
import Kernels
import Layers
import Models
import Normalization
import Optimization
import TensorCore

/// The steps of a run, once more, by one plain Float64 trainer that takes each batch as a whole.
///
/// Initial weights, the order of samples, their scaling, the learning rates and which rows share
/// statistics are the run's. Nothing else is: no shards, workers, kernels, fusion, flat buffers or
/// layouts in memory. A second such trainer rounds all that it keeps to Float32: how far the two
/// come apart is what rounding does to this very run. With ReLU a third takes the other side of its
/// edge wherever rounding may.
public final class ReferenceRun {
    /// The run.
    public let plan: RunPlan

    /// The loss of each step done.
    public private(set) var losses: [Double] = []

    /// The losses of the same trainer with everything it keeps rounded to Float32.
    private(set) var roundedLosses: [Double] = []

    /// The losses of the same trainer with ReLU's edges taken the other way; else `losses`.
    private(set) var edgedLosses: [Double] = []

    private var trainer: ReferenceTrainer
    private var rounded: ReferenceTrainer
    /// With ReLU, a third one that takes the other side where rounding may.
    private var edged: ReferenceTrainer?
    private let sampler: EpochSampler

    /// A run before its first step.
    ///
    /// - Throws: `DatasetError` where an epoch has no batch.
    public init(_ plan: RunPlan) throws(DatasetError) {
        self.plan = plan
        let configuration = plan.configuration
        let replica = Replica(plan.layout)
        replica.initialize(plan.initialization, seed: configuration.seed)
        let names = Set(plan.layout.parameters.map(\.name))
        let parameters = replica.tensors.filter { names.contains($0.key) }
        func trainer(rounding: Bool) -> ReferenceTrainer {
            ReferenceTrainer(
                plan.network, seed: configuration.seed,
                optimizer: .init(plan.optimizer, decayAll: configuration.optimizer.decayAll),
                labelSmoothing: configuration.loss.labelSmoothing,
                parameters: parameters, roundsToFloat32: rounding)
        }
        self.trainer = trainer(rounding: false)
        rounded = trainer(rounding: true)
        let hasEdges = plan.network.nodes.contains { $0.module.hasEdge }
        edged = hasEdges ? trainer(rounding: false) : nil
        sampler = try EpochSampler(plan)
    }

    /// Steps done.
    public var steps: Int { losses.count }

    /// Does the next step.
    public func step() {
        let step = losses.count + 1
        let batch = sampler.batch(atStep: step)
        let training = plan.split.training
        let row = Tensor(rows: 1, columns: plan.network.inputs)
        var rows: [[Double]] = []
        var labels: [Int] = []
        for position in 0..<batch.count {
            let sample = sampler.sample(at: position, of: batch)
            sampler.withSamples(at: position..<position + 1, of: batch) {
                plan.fill(row, withTrainingSamples: $0, epoch: batch.epoch)
            }
            rows.append(row.elements.map(Double.init))
            labels.append(training.label(at: sample))
        }
        let groups = groups(samples: batch.count)
        let settings = plan.optimizer.settings(step: step, of: plan.totalSteps)
        let (rate, momentum) = (settings.learningRate, settings.momentum)
        let pass = trainer.step(
            rows: rows, labels: labels, groups: groups, learningRate: rate, momentum: momentum)
        let near = rounded.step(
            rows: rows, labels: labels, groups: groups, learningRate: rate, momentum: momentum)
        losses.append(pass.loss)
        roundedLosses.append(near.loss)
        // A unit that is nearer to ReLU's edge than rounding moves it, four times over.
        var edges: [Int: Double] = [:]
        for (index, values) in pass.activated {
            edges[index] = 4 * distance(values, near.activated[index] ?? [])
        }
        let other = edged?.step(
            rows: rows, labels: labels, groups: groups, learningRate: rate, momentum: momentum,
            edges: edges)
        edgedLosses.append(other?.loss ?? pass.loss)
    }

    /// Parameters and running statistics by name, in the layout of files.
    public var tensors: [String: [Double]] { trainer.tensors }

    /// The same of the trainer that rounds.
    var roundedTensors: [String: [Double]] { rounded.tensors }

    /// The same of the trainer that takes edges the other way; `tensors` where there are none.
    var edgedTensors: [String: [Double]] { edged?.tensors ?? tensors }

    /// The rows of a batch that share statistics: a scope in terms of samples.
    private func groups(samples: Int) -> [Range<Int>] {
        let batch = ShardedBatch(samples: samples, shards: plan.shards)
        let size = plan.network.normalization.scope.groupSize(shards: plan.shards)
        return stride(from: 0, to: plan.shards, by: size).map {
            batch.samples(ofShards: $0..<$0 + size)
        }
    }
}

extension ReferenceTrainer {
    /// Parameters and running statistics by name.
    fileprivate var tensors: [String: [Double]] {
        parameters.merging(runningStatistics) { first, _ in first }
    }
}

extension ReferenceTrainer.Optimizer {
    /// The optimizer of a run.
    fileprivate init(_ optimizer: Optimizer, decayAll: Bool) {
        let clipNorm = optimizer.clipNorm
        switch optimizer.rule {
        case .sgd(let sgd):
            self.init(
                .sgd(nesterov: sgd.nesterov), momentum: sgd.momentum,
                weightDecay: sgd.weightDecay, decaysAll: decayAll, clipNorm: clipNorm)
        case .adam(let adam):
            self.init(
                .adam(beta2: adam.beta2, epsilon: adam.epsilon, decoupled: adam.decoupled),
                momentum: adam.beta1, weightDecay: adam.weightDecay, decaysAll: decayAll,
                clipNorm: clipNorm)
        case .lars(let lars):
            self.init(
                .lars(trustCoefficient: lars.trustCoefficient, epsilon: lars.epsilon),
                momentum: lars.momentum, weightDecay: lars.weightDecay, decaysAll: decayAll,
                clipNorm: clipNorm)
        }
    }
}

extension Replica {
    /// Parameters and running statistics by name, in the layout of files.
    var tensors: [String: [Double]] {
        var found: [String: [Double]] = [:]
        for content in fileContents {
            if case .float32(let values) = content.values {
                found[content.name] = values.map(Double.init)
            }
        }
        return found
    }
}
