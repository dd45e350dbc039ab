import Collectives
import Configuration
import Datasets
import FaultInjection
import Foundation
import Layers
import Models
import TensorCore
import TestSupport
import Testing

@testable import Training

@Suite("The trainer")
struct TrainerTests {
    /// What each worker of a world threw, in the order of workers, when it took step after step.
    private func errors(_ plan: RunPlan, ranks: Int, threads: Int) -> [String] {
        let trainers = (0..<ranks).map { _ in Trainer(plan) }
        let found = Found()
        _ = runWorld(ranks: ranks, threads: threads) { communicator in
            let trainer = trainers[communicator.world.rank]
            let worker = try trainer.makeWorker(communicator)
            do {
                for step in 1...plan.totalSteps { try worker.take(trainer.step(step, of: worker)) }
            } catch {
                found.lock.withLock { found.errors[communicator.worker] = "\(error)" }
            }
        }
        return found.errors.sorted { $0.key < $1.key }.map(\.value)
    }

    /// By worker; `lock` guards them. No `Mutex`, which ThreadSanitizer does not see.
    private final class Found: @unchecked Sendable {
        let lock = NSLock()
        var errors: [Int: String] = [:]
    }

    @Test("divergence names the step, the first layer and the rate, alike on all workers")
    func diverges() throws {
        // Step 1 makes all weights about 1e30 large; two layers on, step 2 passes 3e38.
        let plan = try SmallRun.plan(
            shards: 8, scope: "\"global\"", hidden: "[17, 9]",
            more: [
                "model.normalization.kind=none", "model.activation=relu",
                "optimizer.learningRate=1e30",
            ])
        let expected =
            "training diverged at step 2 (epoch 1): layer layers.2 was the first to give NaN or "
            + "Inf, in shard 0; lower optimizer.learningRate (now 1e+30), add "
            + "schedule.warmupSteps, or check the data's scaling"
        for (ranks, threads) in testWorlds where ranks * threads <= 8 {
            let errors = errors(plan, ranks: ranks, threads: threads)
            #expect(
                errors == Array(repeating: expected, count: ranks * threads),
                "\(ranks) × \(threads)")
        }
    }

    @Test("a run that diverges ends in the error of its step, not in a model")
    func divergedRun() throws {
        let plan = try SmallRun.plan(
            shards: 8, scope: "\"global\"",
            more: [
                "model.normalization.kind=none", "model.activation=relu",
                "optimizer.learningRate=1e30",
            ])
        for threads in [1, 3] {
            let error = #expect(throws: WorkerFailure.self) {
                try Trainer(plan).run(
                    in: World(threadsPerRank: threads), spinning: false)
            }
            let found = NonFinite(value: .loss, layer: "layers.2", shard: 0)
            guard case .diverged(2, 1, found, 1e30)? = error?.error as? TrainingError else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test("what a worker throws in a step carries the step, the epoch and the worker")
    func failures() throws {
        let plan = try SmallRun.plan(shards: 8, scope: "\"global\"")
        for (worker, step, epoch) in [(0, 1, 1), (2, 3, 1), (1, 7, 2)] {
            var trainer = Trainer(plan)
            trainer.furtherInstruments =
                PlantedFault.thrown(worker: worker, step: step).instruments
            let failing = trainer
            let error = #expect(throws: WorkerFailure.self) {
                try failing.run(in: World(threadsPerRank: 3), spinning: false)
            }
            #expect(error?.worker == worker)
            guard case .failed(step, epoch, let cause)? = error?.error as? TrainingError,
                cause is PlantedFault.Failure
            else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test("a rank whose peer is gone says in which step it waited for whom")
    func lostRank() throws {
        let plan = try SmallRun.plan(shards: 8, scope: "\"global\"")
        let network = InMemoryNetwork(ranks: 2)
        let errors = try runRanks(2) { rank in
            var trainer = Trainer(plan)
            trainer.furtherInstruments = PlantedFault.thrown(worker: 1, step: 4).instruments
            do throws(WorkerFailure) {
                _ = try trainer.run(
                    in: World(ranks: 2, rank: rank), transport: network.transport(rank: rank),
                    timeout: 0.3, spinning: false)
                return "no error"
            } catch {
                return "\(error.error)"
            }
        }
        #expect(errors[1] == "epoch 1, step 4: a planted fault")
        #expect(errors[0].hasPrefix("epoch 1, step 4: timeout(waitingFor: [1], seconds: 0.3"))
    }

    // MARK: evaluation and files

    @Test("an evaluation is a plain count over single predictions, in every world")
    func evaluation() throws {
        let plan = try SmallRun.plan(shards: 8, scope: "\"global\"", epochs: 8)
        let trainer = Trainer(plan)
        let outcome = try trainer.run(in: World(), spinning: false)
        let predictions = try trainer.predict(Array(0..<plan.split.test.count))
        var (right, loss) = (0, 0.0)
        for (index, prediction) in predictions.enumerated() {
            let probabilities = prediction.probabilities
            #expect(prediction.index == index)
            #expect(prediction.label == plan.split.test.label(at: index))
            #expect(abs(probabilities.reduce(0, +) - 1) < 1e-6)
            let largest = probabilities.indices.max { probabilities[$0] < probabilities[$1] }
            if largest == prediction.label { right += 1 }
            loss -= log(probabilities[prediction.label])
        }
        let count = Double(predictions.count)
        // Neither chance nor perfection: a count that is off by one shows.
        #expect(right > 10 && right < 40)
        let evaluated = try #require(outcome.last.test)
        #expect(evaluated.accuracy == Double(right) / count)
        #expect(abs(evaluated.loss - loss / count) < 1e-6 * evaluated.loss)
        for (ranks, threads) in testWorlds where ranks * threads <= 8 {
            let network = InMemoryNetwork(ranks: ranks)
            let found = try runRanks(ranks) { rank in
                try trainer.evaluate(
                    in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                    transport: ranks > 1 ? network.transport(rank: rank) : nil, spinning: false)
            }
            #expect(found == Array(repeating: evaluated, count: ranks))
        }
    }

    @Test(
        "a model file gives back every bit and has the replica's digest",
        arguments: [
            [String](), ["model.placement=after"], ["model.normalization.kind=none"],
            ["model.normalization.affine=false"],
            ["model.normalization.kind=layer"],
        ])
    func files(more: [String]) throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", hidden: "[17, 9]", epochs: 1, more: more)
        let trainer = Trainer(plan)
        let outcome = try trainer.run(in: World(threadsPerRank: 2), spinning: false)
        try withTemporaryFolder { folder in
            let path = "\(folder)/model.safetensors"
            try trainer.replica.file(configuration: plan.configuration).write(to: path)
            let file = try SafetensorsFile(contentsOf: path)
            #expect(file.parametersDigest == trainer.replica.digest)
            #expect(file.parametersDigest == outcome.last.digest)
            #expect(file.metadata["parameters_digest"] == outcome.last.digest)

            let copy = Replica(plan.layout)
            #expect(copy.digest != trainer.replica.digest)
            try copy.load(file)
            #expect(copy.digest == trainer.replica.digest)
            #expect(copy.batchesTracked.allSatisfy { $0 == 5 })
            #expect(
                copy.file(configuration: plan.configuration).metadata
                    == trainer.replica.file(configuration: plan.configuration).metadata)
            // In memory, too, so that training would go on with the same bits.
            for index in 0..<plan.layout.length {
                #expect(
                    copy.parameters[index].bitPattern
                        == trainer.replica.parameters[index].bitPattern)
            }
            for index in 0..<plan.layout.statisticsLength {
                #expect(
                    copy.statistics[index].bitPattern
                        == trainer.replica.statistics[index].bitPattern)
            }
        }
    }

    @Test("an MLP with BN passes 98 % on synthetic digits within seconds")
    func learns() throws {
        let configuration = try RunConfiguration.load(
            file: nil,
            settings: [
                "steps=600", "model.activation=relu", "schedule={kind: \"cosine\"}",
                "data.samples=10000",
            ])
        let pair = SyntheticDigits.pair(
            seed: configuration.seed, trainingCount: 10_000, testCount: 2_000, threads: 2)
        let outcome = try Trainer(RunPlan(configuration, data: pair)).run(
            in: World(threadsPerRank: 2), spinning: false)
        #expect(try #require(outcome.last.test).accuracy > 0.98)
    }

    @Test("training figures are those of the samples, also where the last batch is short")
    func samplesWeighAlike() throws {
        // 60 samples and 2; the weights stay where they are, so that the test samples, the same ones,
        // have the same loss and accuracy.
        for (samples, batch) in [(62, 60), (103, 24), (5, 4)] {
            let random = CounterRandom(seed: 8, purpose: .benchmark, index: 1)
            let dataset = try Dataset(
                name: "random", height: 3, width: 4, channels: 1, classes: 3,
                images: (0..<samples * 12).map { UInt8(random.integer(below: 256, at: $0)) },
                labels: (0..<samples).map { UInt8($0 % 3) }, source: "random")
            let plan = try RunPlan(
                RunConfiguration.load(
                    file: nil,
                    settings: [
                        "batch.size=\(batch)", "batch.shards=3", "epochs=1", "data.validation=0",
                        "optimizer.learningRate=1e-30", "model.hidden=[5]",
                        "model.normalization.kind=none",
                        "model.initialization={kind: 'normal', scale: 2}",
                    ]), data: DatasetPair(training: dataset, test: dataset))
            let outcome = try Trainer(plan).run(threads: 2)
            let test = try #require(outcome.last.test)
            #expect(outcome.last.trainingAccuracy == test.accuracy)
            #expect(abs(outcome.last.trainingLoss - test.loss) < 1e-12)
            #expect(abs(outcome.trainingLoss - test.loss) < 1e-12)
        }
    }
}
