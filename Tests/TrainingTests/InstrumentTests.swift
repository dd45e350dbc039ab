import Collectives
import FaultInjection
import Foundation
import TestSupport
import Testing

@testable import Training

/// What instruments were called for, by worker. No `Mutex`, which ThreadSanitizer does not see.
private final class Calls: @unchecked Sendable {
    private let lock = NSLock()
    private var calls: [Int: [String]] = [:]
    private var gone = 0

    func add(_ call: String, of worker: Int) {
        lock.withLock { calls[worker, default: []].append(call) }
    }

    func leave() { lock.withLock { gone += 1 } }

    /// In their order.
    func of(_ worker: Int) -> [String] { lock.withLock { calls[worker] ?? [] } }

    /// Instruments that are no more.
    var departed: Int { lock.withLock { gone } }
}

/// Notes what it is called for.
private final class Recorder: Instrument {
    private let name: String
    private let worker: Int
    private let calls: Calls

    init(_ name: String, _ worker: TrainingWorker, _ calls: Calls) {
        self.name = name
        self.worker = worker.communicator.worker
        self.calls = calls
    }

    deinit { calls.leave() }

    func before(_ phase: StepPhase, of step: TrainingStep) {
        calls.add("\(step.number) \(name) before \(phase)", of: worker)
    }

    func after(_ phase: StepPhase, of step: TrainingStep) {
        calls.add("\(step.number) \(name) after \(phase)", of: worker)
    }
}

@Suite("Instruments stand around a step")
struct InstrumentTests {
    /// The calls of instrument a for some phases of a step.
    private func calls(_ step: Int, _ phases: [String]) -> [String] {
        phases.flatMap { ["\(step) a before \($0)", "\(step) a after \($0)"] }
    }

    private let phases = ["load", "forward", "loss", "backward", "update", "commit"]

    @Test("the phases come in their order, and the outer instrument stands around the inner")
    func order() throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", epochs: 1, more: ["evaluate.everySteps=3"])
        #expect(plan.totalSteps == 5)
        let plain = try SmallRun.digests(plan, ranks: 1, threads: 1)
        for threads in [1, 3] {
            let seen = Calls()
            var trainer = Trainer(plan)
            trainer.furtherInstruments = {
                [Recorder("a", $0, seen), Recorder("b", $0, seen)]
            }
            _ = try trainer.run(in: World(threadsPerRank: threads), spinning: false)
            #expect([trainer.replica.digest] == plain)
            var expected: [String] = []
            for step in 1...5 {
                var phases = phases
                if step == 3 || step == 5 { phases.append("evaluation") }
                if step < 5 { phases.append("saving") }
                for phase in phases {
                    expected += ["before", "after"].flatMap { moment in
                        (moment == "before" ? ["a", "b"] : ["b", "a"]).map {
                            "\(step) \($0) \(moment) \(phase)"
                        }
                    }
                }
            }
            for worker in 0..<threads { #expect(seen.of(worker) == expected) }
        }
    }

    @Test("a skipped step ends where it was found not to be finite: nothing is committed")
    func skipped() throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", epochs: 1,
            more: ["watch.nonFinite=skip", "watch.auditShards=1", "evaluate.everySteps=9"])
        // The search repeats the step for each shard where the gradient is at fault.
        let repeated = Array(repeating: "repeatedBackward", count: 5)
        for (layer, expected) in [
            ("input", Array(phases[..<3])), ("loss", phases[..<5] + repeated),
        ] {
            for threads in [1, 3] {
                let seen = Calls()
                var trainer = Trainer(plan)
                let fault = PlantedFault.notANumber(shard: 2, step: 2, layer: layer).instruments
                trainer.furtherInstruments = { [Recorder("a", $0, seen)] + fault($0) }
                _ = try trainer.run(in: World(threadsPerRank: threads), spinning: false)
                for worker in 0..<threads {
                    let second = seen.of(worker).filter { $0.hasPrefix("2 ") }
                    #expect(second == calls(2, expected + ["saving"]), "\(layer)")
                    let third = seen.of(worker).filter { $0.hasPrefix("3 ") }
                    #expect(third == calls(3, phases + ["saving"]))
                }
            }
        }
    }

    @Test("the run's own stand in one order, a further one is innermost, and all end with the run")
    func own() throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", epochs: 1,
            more: [
                "watch.auditShards=1",
                "probes={everySteps: 2, landscape: true, path: {x: 'layers.0.weight[1,0]', y: "
                    + "'layers.0.weight[0,0]'}}",
            ])
        let seen = Calls()
        var trainer = Trainer(plan)
        trainer.furtherInstruments = { [Recorder("a", $0, seen)] }
        let audits = try #require(
            AuditTable(plan, world: World(), hosts: HostNames("", ranks: 1)))
        let equipped = trainer
        let names = try Team.run(World(), spinning: false) { communicator in
            try equipped.makeWorker(communicator, probing: .configured, audits: audits)
                .instruments.map { "\(type(of: $0))" }
        }
        #expect(names == ["NonFiniteSearch", "Probing", "ShardAudit", "Recorder"])
        #expect(seen.departed == 1)
        _ = try trainer.run(in: World(threadsPerRank: 2), spinning: false)
        #expect(seen.departed == 3)
    }
}
