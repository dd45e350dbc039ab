package import Collectives

/// What precedes every record: 16 bytes, in the byte order of the host.
private struct RecordHeader {
    /// Tells our ranks from those of another program or version before a length is believed.
    static let ours: UInt64 = 0x626e_7472_6169_6e31  // "bntrain1"

    var mark: UInt64
    var length: Int64
}

private let headerBytes = MemoryLayout<RecordHeader>.size

extension RankTransport {
    /// Every rank's record, in the order of ranks, on every rank: what ranks compare at the start.
    /// Records may differ in length and may be empty.
    ///
    /// They meet at rank 0, which alone can tell who is missing; the others give it 5 s more to say
    /// so before they give up on rank 0 itself. On an error the buffers of messages still under way
    /// are not freed, because MPI may yet write to them.
    ///
    /// - Parameter tag: a tag that nothing else uses.
    /// - Throws: `.timeout` naming the silent ranks, `.transport` for a rank that is not ours.
    package func gather(
        record: [UInt8], tag: Int32, seconds: Double
    ) throws(CollectiveError) -> [[UInt8]] {
        if ranks == 1 { return [record] }
        return rank == 0
            ? try gatherHere(record, tag: tag, seconds: seconds)
            : try gatherAtRankZero(record, tag: tag, seconds: seconds + 5)
    }

    private func gatherHere(
        _ record: [UInt8], tag: Int32, seconds: Double
    ) throws(CollectiveError) -> [[UInt8]] {
        let headers = allocate(ranks * headerBytes)
        store(record.count, in: headers)
        for peer in 1..<ranks {
            try receive(into: part(headers, peer * headerBytes, headerBytes), from: peer, tag: tag)
        }
        try wait(seconds: seconds) { false }

        var lengths: [Int] = []
        for peer in 0..<ranks {
            lengths.append(try length(part(headers, peer * headerBytes, headerBytes), from: peer))
        }
        // All lengths, then all records: what every rank receives.
        let table = ranks * MemoryLayout<Int64>.stride
        let all = allocate(table + lengths.reduce(0, +))
        var offset = table
        for peer in 0..<ranks {
            all.storeBytes(of: Int64(lengths[peer]), toByteOffset: peer * 8, as: Int64.self)
            let place = part(all, offset, lengths[peer])
            if peer == 0 {
                place.copyBytes(from: record)
            } else {
                try receive(into: place, from: peer, tag: tag)
            }
            offset += lengths[peer]
        }
        try wait(seconds: seconds) { false }

        store(all.count, in: headers)
        for peer in 1..<ranks {
            try send(UnsafeRawBufferPointer(part(headers, 0, headerBytes)), to: peer, tag: tag)
            try send(UnsafeRawBufferPointer(all), to: peer, tag: tag)
        }
        try wait(seconds: seconds) { false }
        defer {
            headers.deallocate()
            all.deallocate()
        }
        return try split(all)
    }

    private func gatherAtRankZero(
        _ record: [UInt8], tag: Int32, seconds: Double
    ) throws(CollectiveError) -> [[UInt8]] {
        let mine = allocate(headerBytes + record.count)
        let header = allocate(headerBytes)
        store(record.count, in: mine)
        let payload = part(mine, headerBytes, record.count)
        payload.copyBytes(from: record)
        try send(UnsafeRawBufferPointer(part(mine, 0, headerBytes)), to: 0, tag: tag)
        try send(UnsafeRawBufferPointer(payload), to: 0, tag: tag)
        try receive(into: header, from: 0, tag: tag)
        try wait(seconds: seconds) { false }

        let all = allocate(try length(header, from: 0))
        try receive(into: all, from: 0, tag: tag)
        try wait(seconds: seconds) { false }
        defer {
            mine.deallocate()
            header.deallocate()
            all.deallocate()
        }
        return try split(all)
    }

    /// The records behind the table of their lengths.
    private func split(_ all: UnsafeMutableRawBufferPointer) throws(CollectiveError) -> [[UInt8]] {
        var records: [[UInt8]] = []
        var offset = ranks * MemoryLayout<Int64>.stride
        for peer in 0..<ranks {
            let length = Int(all.load(fromByteOffset: peer * 8, as: Int64.self))
            guard length >= 0, length <= all.count - offset else {
                throw .transport("rank 0 sent a malformed table of \(ranks) records")
            }
            records.append([UInt8](part(all, offset, length)))
            offset += length
        }
        return records
    }

    private func length(
        _ header: UnsafeMutableRawBufferPointer, from peer: Int
    ) throws(CollectiveError) -> Int {
        let header = header.load(as: RecordHeader.self)
        let shortest = peer == 0 && rank != 0 ? ranks * MemoryLayout<Int64>.stride : 0
        guard header.mark == RecordHeader.ours, header.length >= shortest else {
            throw .transport("rank \(peer) runs another program, or another version of this one")
        }
        return Int(header.length)
    }

    private func store(_ length: Int, in bytes: UnsafeMutableRawBufferPointer) {
        let header = RecordHeader(mark: RecordHeader.ours, length: Int64(length))
        bytes.storeBytes(of: header, as: RecordHeader.self)
    }

    private func allocate(_ count: Int) -> UnsafeMutableRawBufferPointer {
        .allocate(byteCount: count, alignment: MemoryLayout<RecordHeader>.alignment)
    }

    private func part(
        _ bytes: UnsafeMutableRawBufferPointer, _ offset: Int, _ count: Int
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }
}
