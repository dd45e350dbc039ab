import Collectives
import FaultInjection
import Foundation
import TestSupport
import Testing

@testable import Training

@Suite("Replicas are compared")
struct ReplicaCheckTests {
    /// 10 steps of an optimizer that keeps something, compared every 4.
    private func plan(_ more: [String] = []) throws -> RunPlan {
        try SmallRun.plan(
            shards: 8, scope: "\"global\"",
            more: ["optimizer.momentum=0.9", "watch.checkReplicas=4"] + more)
    }

    /// What every rank of a world ends with when one bit flips.
    private func errors(
        _ plan: RunPlan, _ fault: PlantedFault, ranks: Int, threads: Int, folder: String? = nil
    ) throws -> [String] {
        let network = InMemoryNetwork(ranks: ranks)
        return try runRanks(ranks) { rank in
            var trainer = Trainer(plan)
            trainer.furtherInstruments = fault.instruments
            trainer.host = "node\(rank)"
            do throws(WorkerFailure) {
                _ = try trainer.run(
                    in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                    transport: network.transport(rank: rank), timeout: 60, spinning: false,
                    checkpoints: try! folder.map {
                        Checkpointing(try RunFolder(creating: $0))
                    })
                return "no error"
            } catch {
                return "\(error.error)"
            }
        }
    }

    @Test(
        "one flipped bit anywhere in a replica names the rank, its host and the first tensor",
        arguments: [
            ("layers.0.weight", 100, 0), ("layers.1.bias", 3, 31), ("layers.1.running_mean", 7, 22),
            ("layers.1.running_var", 11, 1), ("layers.3.bias", 9, 30),
            ("optimizer.momentum_buffer.layers.3.weight", 41, 12),
        ])
    func flippedBit(tensor: String, index: Int, bit: Int) throws {
        let plan = try plan()
        for (ranks, threads, rank) in [(3, 1, 1), (4, 1, 3), (3, 2, 0), (5, 1, 2)] {
            let fault = PlantedFault.replica(
                rank: rank, step: 8, tensor: tensor, index: index, bit: bit)
            let expected =
                "the replicas are not equal after step 8 (epoch 2): in \(tensor) rank \(rank) "
                + "(node\(rank)) differs from the \(ranks - 1) others; the step is not saved: "
                + "test memory and processor of its host, or another MPI library, and go on "
                + "from the last checkpoint with --resume auto"
            let errors = try errors(plan, fault, ranks: ranks, threads: threads)
            #expect(errors == Array(repeating: expected, count: ranks))
        }
    }

    @Test("two ranks have no majority, and both are named")
    func twoRanks() throws {
        let fault = PlantedFault.replica(
            rank: 1, step: 4, tensor: "layers.1.weight", index: 5, bit: 9)
        for threads in [1, 2] {
            let errors = try errors(try plan(), fault, ranks: 2, threads: threads)
            let expected =
                "the replicas are not equal after step 4 (epoch 1): in layers.1.weight ranks 0 "
                + "(node0) and 1 (node1) differ, and no majority says who is right; the step is "
                + "not saved: test memory and processor of their hosts, or another MPI library, "
                + "and go on from the last checkpoint with --resume auto"
            #expect(errors == [expected, expected])
        }
    }

    @Test("a difference is found at the next comparison, and at the end of the run at the latest")
    func when() throws {
        for (step, found, every) in [(5, 8, 4), (9, 10, 4), (2, 10, 500), (10, 10, 3)] {
            let fault = PlantedFault.replica(
                rank: 2, step: step, tensor: "layers.3.weight", index: 0, bit: 3)
            let plan = try plan(["watch.checkReplicas=\(every)"])
            for error in try errors(plan, fault, ranks: 3, threads: 1) {
                #expect(error.hasPrefix("the replicas are not equal after step \(found) "))
            }
        }
        let never = try plan(["watch.checkReplicas=0"])
        let fault = PlantedFault.replica(
            rank: 2, step: 2, tensor: "layers.3.weight", index: 0, bit: 3)
        #expect(
            try errors(never, fault, ranks: 3, threads: 1) == ["no error", "no error", "no error"])
    }

    @Test("of replicas that differ nothing is saved, and what was saved before stays")
    func notSaved() throws {
        let plan = try plan(["checkpoint.everySteps=2", "watch.checkReplicas=500"])
        try withTemporaryFolder { folder in
            let fault = PlantedFault.replica(
                rank: 0, step: 5, tensor: "layers.0.weight", index: 0, bit: 3)
            let errors = try errors(plan, fault, ranks: 3, threads: 1, folder: folder)
            // Found because step 6 would be saved.
            #expect(errors[0].hasPrefix("the replicas are not equal after step 6 (epoch 2): in "))
            let kept = try CheckpointFolder(of: RunFolder(creating: folder, overwrite: true))
                .steps()
            #expect(kept == [2, 4])
        }
    }

    @Test("nor of replicas that differ where it is the clock that saves")
    func notSavedByTheClock() throws {
        let plan = try plan(["checkpoint.everyMinutes=1e-9", "watch.checkReplicas=500"])
        try withTemporaryFolder { folder in
            let fault = PlantedFault.replica(
                rank: 1, step: 5, tensor: "layers.0.weight", index: 0, bit: 3)
            let errors = try errors(plan, fault, ranks: 3, threads: 2, folder: folder)
            #expect(errors[0].hasPrefix("the replicas are not equal after step 5 "))
            let kept = try CheckpointFolder(of: RunFolder(creating: folder, overwrite: true))
                .steps()
            #expect(kept.max() == 4)
        }
    }

    @Test("comparing moves no bit")
    func sameBits() throws {
        let digests = try ["0", "1", "3"].flatMap {
            try SmallRun.digests(plan(["watch.checkReplicas=\($0)"]), ranks: 3, threads: 2)
        }
        #expect(Set(digests).count == 1)
    }

    @Test("who is named: the minority, or everybody where none has more than half")
    func suspects() {
        func named(_ values: [UInt64]) -> [Int] { ReplicaCheck.suspects(values.map { [$0] }).named }
        #expect(named([1, 1, 2]) == [2])
        #expect(named([2, 1, 1, 1, 3]) == [0, 4])
        #expect(named([1, 2]) == [0, 1])
        #expect(named([1, 1, 2, 2]) == [0, 1, 2, 3])
        #expect(named([1, 1, 2, 3]) == [0, 1, 2, 3])
        #expect(ReplicaCheck.suspects([[1], [1], [2]]).others == 2)
        #expect(ReplicaCheck.suspects([[1], [2]]).others == 0)
    }
}
