extension Communicator {
    /// Brings every rank's bytes to all of them. All workers call it; what a rank sends and where it
    /// receives are shared by its workers, and written and read between the meetings it makes.
    ///
    /// - Parameters:
    ///   - mine: this rank's, as many on all ranks.
    ///   - all: [ranks, mine.count]; every rank's in turn, this one's too.
    package func gather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer,
        _ kind: Fingerprint.Kind
    ) throws(CollectiveError) {
        precondition(all.count == world.ranks * mine.count, "there is room for every rank's bytes")
        let fingerprint = Fingerprint(step: step, layer: -1, kind: kind, length: mine.count)
        // What team-mates add to `mine` must be there.
        try meetTeam(nil, fingerprint)
        func place(_ rank: Int) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(
                rebasing: all[rank * mine.count..<(rank + 1) * mine.count])
        }
        if thread == 0 {
            place(world.rank).copyMemory(from: mine)
            if let exchange { try exchange.gather(fingerprint, sending: mine, into: place) }
        }
        try meetTeam(nil, fingerprint)
    }
}
