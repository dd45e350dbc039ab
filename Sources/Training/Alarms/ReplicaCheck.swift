import Collectives
import Configuration
import Layers

/// Compares the ranks' replicas: parameters, running statistics and what the optimizer keeps.
///
/// After every update all replicas have the same bits. Where they do not, a host computes or stores
/// wrongly, or the MPI library has given different sums to different ranks (mpich #6538); every
/// rank would go on from its own, and nothing else would notice.
///
/// One a rank, shared by its workers, who hash the tensors between them; ranks exchange 8 bytes a
/// tensor. Every rank sees all hashes and comes to the same finding.
final class ReplicaCheck: Sendable {
    private let everySteps: Int
    private let plan: RunPlan
    private let replica: Replica
    private let world: World
    private let hosts: HostNames

    private let tensors: [StateTensor]
    // Written by the rank's workers, each its own tensors', between two meetings of the team.
    nonisolated(unsafe) private let mine: UnsafeMutableBufferPointer<UInt64>
    nonisolated(unsafe) private let all: UnsafeMutableBufferPointer<UInt64>

    /// Nil where a rank is alone, or nothing is to be compared.
    init?(
        _ plan: RunPlan, _ replica: Replica, _ optimizer: OptimizerState, world: World,
        hosts: HostNames
    ) {
        everySteps = plan.configuration.watch.checkReplicas
        guard world.ranks > 1, everySteps > 0 else { return nil }
        self.plan = plan
        self.replica = replica
        self.world = world
        self.hosts = hosts
        tensors = StateTensor.all(replica, optimizer)
        // The last ones are the numbers of batches.
        mine = .allocate(capacity: tensors.count + replica.batchesTracked.count)
        mine.initialize(repeating: 0)
        all = .allocate(capacity: world.ranks * mine.count)
        all.initialize(repeating: 0)
    }

    deinit {
        mine.deallocate()
        all.deallocate()
    }

    /// Whether the replicas are compared after `step`: every so many steps, before the run is saved,
    /// and at its end.
    func isDue(_ step: Int, isSavedOrLast: Bool) -> Bool {
        isSavedOrLast || step % everySteps == 0
            || plan.configuration.checkpoint.isDue(step, stepsPerEpoch: plan.stepsPerEpoch)
    }

    /// Compares the replicas after the update of `step`; all workers call it.
    ///
    /// - Throws: `TrainingError.replicasDiffer`, alike on all workers.
    func compare(_ step: Int, epoch: Int, _ communicator: Communicator) throws {
        for index in stride(
            from: communicator.thread, to: tensors.count, by: world.threadsPerRank)
        {
            mine[index] = tensors[index].hash
        }
        if communicator.thread == 0 {
            for (index, batches) in replica.batchesTracked.enumerated() {
                mine[tensors.count + index] = UInt64(truncatingIfNeeded: batches)
            }
        }
        try communicator.gather(
            UnsafeRawBufferPointer(mine), into: UnsafeMutableRawBufferPointer(all), .digest)
        let isEqual = (1..<world.ranks).allSatisfy { row($0).elementsEqual(row(0)) }
        guard !isEqual else { return }
        // All workers have read the same and are here.
        let first = mine.indices.first { tensor in
            (1..<world.ranks).contains { row($0)[tensor] != row(0)[tensor] }
        }
        let (named, others) = Self.suspects((0..<world.ranks).map { Array(row($0)) })
        throw TrainingError.replicasDiffer(
            step: step, epoch: epoch,
            tensor: first.map(name) ?? "",
            ranks: named.map { RankOnHost(rank: $0, host: hosts[$0]) }, others: others)
    }

    private func name(ofHash index: Int) -> String {
        index < tensors.count
            ? tensors[index].name
            : replica.layout.statistics[index - tensors.count].name + ".num_batches_tracked"
    }

    /// The hashes of rank `rank`.
    private func row(_ rank: Int) -> UnsafeMutableBufferPointer<UInt64> {
        UnsafeMutableBufferPointer(rebasing: all[rank * mine.count..<(rank + 1) * mine.count])
    }

    /// The ranks that are not like the majority, and how many those are; all where more than half
    /// of them have nothing in common.
    static func suspects(_ hashes: [[UInt64]]) -> (named: [Int], others: Int) {
        for candidate in hashes.indices {
            let alike = hashes.indices.filter { hashes[$0] == hashes[candidate] }
            guard 2 * alike.count > hashes.count else { continue }
            return (hashes.indices.filter { !alike.contains($0) }, alike.count)
        }
        return (Array(hashes.indices), 0)
    }
}
