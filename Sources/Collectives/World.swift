/// Who computes: ranks × threads, and where in it this process stands.
///
/// Worker index = rank × threadsPerRank + thread.
public struct World: Hashable, Sendable {
    /// How partial results are brought together.
    public enum Arithmetic: String, Sendable {
        /// Along one fixed tree over the shards: the same bits in every world.
        case tree
        /// As the library takes them: left to right in a worker and in a team, MPI_Allreduce
        /// between ranks. The baseline; its bits move with the world.
        case mpi
    }

    /// The number of processes.
    public let ranks: Int

    /// Workers of each process, each a thread.
    public let threadsPerRank: Int

    /// Threads of each process that compute: those of its workers, and where there are more threads than
    /// shards others that share a worker's shards with it.
    public let computingThreadsPerRank: Int

    /// This process, 0 ..< ranks.
    public let rank: Int

    /// How partial results are brought together.
    public let arithmetic: Arithmetic

    /// A world as this process sees it.
    ///
    /// - Parameter computingThreadsPerRank: nil for the workers' own.
    public init(
        ranks: Int = 1, threadsPerRank: Int = 1, computingThreadsPerRank: Int? = nil, rank: Int = 0,
        arithmetic: Arithmetic = .tree
    ) {
        precondition(ranks > 0 && threadsPerRank > 0, "a world has at least one worker")
        precondition(
            computingThreadsPerRank ?? threadsPerRank >= threadsPerRank,
            "every worker has a thread")
        self.computingThreadsPerRank = computingThreadsPerRank ?? threadsPerRank
        precondition(rank >= 0 && rank < ranks, "the rank is outside the world")
        self.ranks = ranks
        self.threadsPerRank = threadsPerRank
        self.rank = rank
        self.arithmetic = arithmetic
    }

    /// A world of `ranks` of `threads` each, with as many workers as have shards; threads beyond these
    /// share the workers' shards.
    ///
    /// - Parameter shards: at least one a rank.
    public init(
        ranks: Int = 1, threads: Int, sharing shards: Int, rank: Int = 0,
        arithmetic: Arithmetic = .tree
    ) {
        self.init(
            ranks: ranks, threadsPerRank: min(threads, max(1, shards / ranks)),
            computingThreadsPerRank: threads, rank: rank, arithmetic: arithmetic)
    }

    /// All workers of all ranks.
    public var workers: Int { ranks * threadsPerRank }

    /// Threads that compute the shards of a rank's worker `thread`.
    func members(ofThread thread: Int) -> Int {
        let all = computingThreadsPerRank
        return (thread + 1) * all / threadsPerRank - thread * all / threadsPerRank
    }

    /// The shards of worker `worker` when there are `shards` of them:
    /// [⌊w·S/W⌋, ⌊(w+1)·S/W⌋).
    public func shards(ofWorker worker: Int, of shards: Int) -> Range<Int> {
        worker * shards / workers..<(worker + 1) * shards / workers
    }

    /// The shards of all workers of rank `rank`.
    public func shards(ofRank rank: Int, of shards: Int) -> Range<Int> {
        let first = self.shards(ofWorker: rank * threadsPerRank, of: shards).lowerBound
        let last = self.shards(ofWorker: (rank + 1) * threadsPerRank - 1, of: shards).upperBound
        return first..<last
    }
}

/// How the samples of one global batch fall on shards.
///
/// Shard i of S holds samples [⌊i·b/S⌋, ⌊(i+1)·b/S⌋): sizes differ by at most one, and a batch of
/// fewer samples than shards leaves some shards empty.
public struct ShardedBatch: Hashable, Sendable {
    /// Samples in the global batch.
    public let samples: Int

    /// The number of shards, whatever the world.
    public let shards: Int

    /// A batch of `samples` on `shards`.
    public init(samples: Int, shards: Int) {
        precondition(samples >= 0 && shards > 0, "a batch has samples and shards")
        self.samples = samples
        self.shards = shards
    }

    /// The samples of shards `shards`, as positions in the global batch.
    public func samples(ofShards range: Range<Int>) -> Range<Int> {
        range.lowerBound * samples / shards..<range.upperBound * samples / shards
    }

    /// The samples of shard `shard`, as positions in the global batch.
    public func samples(ofShard shard: Int) -> Range<Int> {
        samples(ofShards: shard..<shard + 1)
    }
}
