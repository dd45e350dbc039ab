import Collectives
import Configuration
import Datasets
import Foundation
import Models
import TensorCore
import Testing

@testable import Training

@Suite struct BatchLoaderTests {
    private static let augmented =
        "data.augment=[{kind: 'padCrop', padding: 3}, 'flip', {kind: 'cutout', size: 9}]"

    private func plan(_ more: [String]) throws -> RunPlan {
        try SmallRun.plan(shards: 5, scope: "\"global\"", more: ["data.scaling=standardize"] + more)
    }

    /// What the loader is to give for a step: one sample after the other.
    private func expected(_ plan: RunPlan, shards: Range<Int>, step: Int) throws -> ([Float], [Int])
    {
        let sampler = try EpochSampler(plan)
        let batch = sampler.batch(atStep: step)
        let row = Tensor(rows: 1, columns: plan.network.inputs)
        var (inputs, labels) = ([Float](), [Int]())
        let positions = ShardedBatch(samples: batch.count, shards: plan.shards)
            .samples(ofShards: shards)
        for position in positions {
            sampler.withSamples(at: position..<position + 1, of: batch) {
                plan.fill(row, withTrainingSamples: $0, epoch: batch.epoch)
                labels.append(plan.split.training.label(at: Int($0[0])))
            }
            inputs += row.elements
        }
        return (inputs, labels)
    }

    @Test(
        "every step's samples come, whoever fills them and in whatever order steps are asked for",
        arguments: [[], [augmented]], [0, 300, 3_000])
    func samples(more: [String], pause: UInt32) throws {
        let plan = try plan(more)
        let shards = 1..<4
        let loader = try BatchLoader(
            plan, shards: shards, rows: 24, columns: plan.network.inputs)
        #expect(loader.runsAhead == !more.isEmpty)
        // In turn, again, back, far ahead, over the end of an epoch, and to the end of the run.
        let last = plan.totalSteps
        for step in [1, 2, 3, 3, 4, 5, 6, 2, 7, 8, last, last, 1, 2, last - 1, last] {
            loader.load(step: step)
            let (inputs, labels) = try expected(plan, shards: shards, step: step)
            // The background may be at work on the next step, or late, while this one is used.
            usleep(pause)
            #expect(Array(loader.input.elements.prefix(inputs.count)) == inputs, "step \(step)")
            #expect((0..<labels.count).map { Int(loader.labels[$0]) } == labels, "step \(step)")
        }
    }

    @Test("an evaluation between two steps leaves the next batch alone")
    func evaluation() throws {
        let plan = try plan([Self.augmented])
        let loader = try BatchLoader(
            plan, shards: 0..<5, rows: 24, columns: plan.network.inputs)
        for step in 1...plan.totalSteps {
            loader.load(step: step)
            let (inputs, _) = try expected(plan, shards: 0..<5, step: step)
            #expect(Array(loader.input.elements.prefix(inputs.count)) == inputs)
            loader.loadForEvaluation(plan.split.test, at: 3..<20)
            let row = Tensor(rows: 1, columns: plan.network.inputs)
            plan.scaling.fill(row, from: plan.split.test, at: 19..<20)
            #expect(
                Array(loader.input.elements[16 * row.columns..<17 * row.columns]) == row.elements)
            #expect(loader.labels[16] == UInt8(plan.split.test.label(at: 19)))
        }
    }

    @Test("a loader may go away while its queue is at work")
    func abandoned() throws {
        let plan = try plan([Self.augmented])
        for _ in 0..<200 {
            let loader = try BatchLoader(
                plan, shards: 0..<5, rows: 24, columns: plan.network.inputs)
            loader.load(step: 1)
        }
    }

    @Test("augmentation that does not fit the images is refused with the plan")
    func geometry() {
        let error = #expect(throws: DatasetError.self) {
            _ = try plan(["data.augment=[{kind: 'cutout', size: 29}]"])
        }
        #expect(
            error?.description
                == "augment has cutout size 29, but the images are 28 × 28: give 1…28")
        #expect(error?.category == .settings)
    }
}
