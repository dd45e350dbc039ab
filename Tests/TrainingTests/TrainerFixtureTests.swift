import Collectives
import Optimization
import TestSupport
import Testing

@testable import Training

/// The trainer against PyTorch: 20 steps over batches of 12 or 24 samples and a short last one of 7
/// or 19, relative to each tensor's largest magnitude. The worst that was reached, over all worlds:
///
/// | against PyTorch's | losses | gradients 1 | state 1 | gradients 20 | state 20 | inference |
/// |---|---|---|---|---|---|---|
/// | Float64 | 1e-7 | 8e-7 | 4e-7 | 3e-6 | 5e-7 | 7e-7 |
/// | Float32 | 2e-7 | 2e-6 | 4e-7 | 3e-6 | 8e-7 | 2e-6 |
///
/// The two cases with batches of 24, nesterov and groups, would compare rounding with rounding at
/// 12: there statistics are taken over two to four samples, or over the few of 7 that ReLU leaves
/// above zero, and PyTorch's own Float32 gradients of step 20 are 7e-5 and 1.4e-5 off its Float64.
@Suite("The trainer against PyTorch")
struct TrainerFixtureTests {
    @Test(
        "losses, gradients, statistics, parameters and outputs are PyTorch's, in every world",
        arguments: MLPFixture.names)
    func agreesWithPyTorch(name: String) throws {
        let fixture = try MLPFixture(name)
        let last = fixture.learningRates.count
        for shards in [6, 12] {
            for (ranks, threads) in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)] {
                let run = try FixtureRun(fixture, shards: shards, ranks: ranks, threads: threads)
                for precision in Fixture.Precision.allCases {
                    let place: Comment = "\(ranks) × \(threads), \(shards) shards, \(precision)"
                    let losses = relativeDifference(run.losses, try fixture.losses(precision))
                    #expect(losses < 1e-6, place)
                    for step in [1, last] {
                        let gradients = relativeDifference(
                            run.gradients[step] ?? [:],
                            try fixture.gradients(step: step, precision))
                        let state = relativeDifference(
                            run.states[step] ?? [:], try fixture.state(afterStep: step, precision))
                        #expect(gradients < (step == 1 ? 5e-6 : 1e-5), place)
                        #expect(state < (step == 1 ? 1e-6 : 1e-5), place)
                    }
                    let inference = relativeDifference(
                        run.inference, try fixture.inference(precision))
                    #expect(inference < 1e-5, place)
                }
            }
        }
    }

    @Test(
        "rates and momenta of one cycle are those of PyTorch's OneCycleLR",
        arguments: ["one-cycle", "adam-one-cycle"])
    func oneCycle(name: String) throws {
        let fixture = try MLPFixture(name)
        let plan = try fixture.plan(shards: 6)
        #expect(fixture.learningRates.count == 20 && fixture.momenta.count == 20)
        for step in 1...20 {
            let settings = plan.optimizer.settings(step: step, of: 20)
            let rate = fixture.learningRates[step - 1]
            #expect(abs(settings.learningRate - rate) <= 1e-12 * rate)
            #expect(abs(settings.momentum - fixture.momenta[step - 1]) <= 1e-12)
        }
    }

    @Test("the steps of these tests are the trainer's: a run of it ends in the same bits")
    func sameSteps() throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", more: ["optimizer.momentum=0.9"])
        let digests = runWorld(ranks: 1, threads: 2) { [trainer = Trainer(plan)] communicator in
            let worker = try trainer.makeWorker(communicator)
            for step in 1...plan.totalSteps {
                let (batch, pass) = worker.batch(atStep: step)
                worker.load(batch)
                try FixtureRun.finish(step, pass, worker, plan)
            }
            try communicator.barrier()
            return trainer.replica.digest
        }
        #expect(try digests[0].get() == SmallRun.digests(plan, ranks: 1, threads: 1)[0])
    }
}
