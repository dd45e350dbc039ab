import Collectives
import Configuration
import Datasets
import Foundation
import Layers
import Models
import Optimization
import TensorCore
import TestSupport

@testable import Training

/// What the real trainer makes of a fixture, in some world; as rank 0 has it.
struct FixtureRun: Sendable {
    /// One a step.
    var losses: [Double] = []
    /// Gradients by step and name: of the first step and the last.
    var gradients: [Int: [String: [Double]]] = [:]
    /// Parameters and running statistics by step and name.
    var states: [Int: [String: [Double]]] = [:]
    /// The logits of all samples after the last step, with the running statistics.
    var inference: [Double] = []

    /// Trains `fixture` with the trainer's own worker. Bytes of a data set cannot hold the
    /// fixture's inputs: they take the place of what `load` has scaled.
    init(_ fixture: MLPFixture, shards: Int, ranks: Int, threads: Int) throws {
        let plan = try fixture.plan(shards: shards)
        let trainers = (0..<ranks).map { _ in Trainer(plan) }
        for trainer in trainers {
            for parameter in trainer.replica.layout.parameters {
                let values = fixture.initial[parameter.name] ?? []
                trainer.replica.setValues(values.map { Float($0) }, of: parameter)
            }
        }
        let logits = RowTable(rows: fixture.samples.count, columns: fixture.widths.last!)
        let results = runWorld(ranks: ranks, threads: threads) { communicator in
            let trainer = trainers[communicator.world.rank]
            let worker = try trainer.makeWorker(communicator)
            let run = try FixtureRun(fixture, trainer, worker)
            try Self.infer(fixture, trainer.plan, worker, into: logits)
            return run
        }
        self = try results.map { try $0.get() }[0]
        inference = logits.values
    }

    private init(_ fixture: MLPFixture, _ trainer: Trainer, _ worker: TrainingWorker) throws {
        let (plan, communicator) = (trainer.plan, worker.communicator)
        for step in 1...plan.totalSteps {
            communicator.step = step
            let (batch, pass) = worker.batch(atStep: step)
            worker.load(batch)
            fixture.fill(worker, rows: fixture.rows(ofStep: step), shards: plan.shards)
            try Self.finish(step, pass, worker, plan)
            losses.append(worker.loss)
            guard communicator.thread == 0 && (step == 1 || step == plan.totalSteps) else {
                continue
            }
            gradients[step] = trainer.replica.namedGradients
            states[step] = trainer.replica.tensors
        }
        try communicator.barrier()
    }

    /// What a step of the trainer does once its samples are loaded.
    static func finish(
        _ step: Int, _ pass: Pass, _ worker: TrainingWorker, _ plan: RunPlan
    ) throws {
        try worker.computeLoss(of: try worker.forward(pass), pass)
        try worker.backward(pass)
        try worker.sumAndUpdate(
            at: plan.optimizer.settings(step: step, of: plan.totalSteps))
        try worker.commit(pass)
    }

    private static func infer(
        _ fixture: MLPFixture, _ plan: RunPlan, _ worker: TrainingWorker, into logits: RowTable
    ) throws {
        for start in stride(from: 0, to: fixture.samples.count, by: fixture.batch) {
            let rows = start..<min(start + fixture.batch, fixture.samples.count)
            let mine = fixture.fill(worker, rows: rows, shards: plan.shards)
            guard let shape = worker.network.shapes.first(where: { $0.samples == rows.count })
            else { preconditionFailure("a batch was not planned") }
            let output = try worker.network.layers.forward(worker.input, Pass(.inference, shape))
            logits.set(mine, output)
        }
    }
}

/// Rows that several workers fill.
final class RowTable: Sendable {
    private let columns: Int
    private let lock = NSLock()
    nonisolated(unsafe) private var table: [Double]

    init(rows: Int, columns: Int) {
        self.columns = columns
        table = Array(repeating: .nan, count: rows * columns)
    }

    /// Takes over the first rows of `tensor`, as `rows` of the table.
    func set(_ rows: Range<Int>, _ tensor: Tensor) {
        lock.withLock {
            for index in 0..<rows.count * columns {
                table[rows.lowerBound * columns + index] = Double(tensor.pointer[index])
            }
        }
    }

    var values: [Double] { lock.withLock { table } }
}

extension MLPFixture {
    /// The fixture as a run of the trainer, but for its inputs.
    func plan(shards: Int) throws -> RunPlan {
        let hidden = widths.dropFirst().dropLast().map(String.init).joined(separator: ", ")
        var settings = [
            "data.validation=0", "data.shuffle=false", "batch.size=\(batch)",
            "batch.shards=\(shards)", "model.hidden=[\(hidden)]",
            "model.activation=\(activation)", "steps=\(learningRates.count)",
            "optimizer.name=\(optimizer)", "optimizer.learningRate=\(try learningRate)",
            "optimizer.weightDecay=\(weightDecay)", "optimizer.decayAll=\(decaysAll)",
            "loss.labelSmoothing=\(labelSmoothing)",
        ]
        if optimizer == "sgd" {
            settings += ["optimizer.momentum=\(momentum)", "optimizer.nesterov=\(nesterov)"]
        } else {
            settings += [
                "optimizer.betas=\(betas)", "optimizer.epsilon=\(optimizerEpsilon ?? 0)",
            ]
        }
        if let clipNorm { settings.append("optimizer.clipNorm=\(clipNorm)") }
        if placement == "none" {
            settings.append("model.normalization.kind=none")
        } else {
            let momentum = runningMomentum.map { "\($0)" } ?? "cumulative"
            settings += [
                "model.placement=\(placement)", "model.normalization.epsilon=\(epsilon)",
                "model.normalization.momentum=\(momentum)",
                "model.normalization.affine=\(isAffine)",
            ]
            if groups > 1 {
                settings.append("model.normalization.scope={group: \(shards / groups)}")
            }
        }
        if let oneCycle {
            settings.append("schedule=\(oneCycle)")
        } else if let change = learningRates.firstIndex(where: { $0 != learningRates[0] }) {
            let factor = learningRates[change] / learningRates[0]
            settings += ["schedule={kind: \"step\", milestones: [\(change)], factor: \(factor)}"]
        }
        let data = try Dataset(
            name: "fixture", height: 1, width: widths[0], channels: 1, classes: widths.last!,
            images: Array(repeating: 0, count: samples.count * widths[0]),
            labels: labels.map { UInt8($0) }, source: fixture.name)
        return try RunPlan(
            .load(file: nil, settings: settings), data: DatasetPair(training: data, test: data))
    }

    /// Writes the worker's part of `rows` over its input, and says which samples those are.
    @discardableResult
    func fill(_ worker: TrainingWorker, rows: Range<Int>, shards: Int) -> Range<Int> {
        let communicator = worker.communicator
        let part = ShardedBatch(samples: rows.count, shards: shards).samples(
            ofShards: communicator.world.shards(ofWorker: communicator.worker, of: shards))
        let mine = rows.lowerBound + part.lowerBound..<rows.lowerBound + part.upperBound
        for (row, sample) in mine.enumerated() {
            for (column, value) in samples[sample].enumerated() {
                worker.input.pointer[row * widths[0] + column] = Float(value)
            }
        }
        return mine
    }
}

extension Replica {
    /// The gradients in the layout of files, by name.
    var namedGradients: [String: [Double]] {
        Dictionary(
            uniqueKeysWithValues: layout.parameters.map {
                ($0.name, gradient(of: $0).map(Double.init))
            })
    }
}
