#if MPI
    import Collectives
    import Foundation
    import TestSupport
    import Testing

    @testable import MPICollectives

    /// What `RankTransport` promises, between real ranks. Runs only in the ranks that
    /// `RankRunTests` starts; all ranks run the same tests in the same order.
    @Suite("rank contract", .serialized, .enabled(if: rankTestRanks != nil, "only in ranks"))
    struct RankContract {
        @Test("the session knows the ranks that mpirun started")
        @RankActor func session() throws {
            let session = RankActor.session
            #expect(session.ranks == rankTestRanks)
            #expect(0..<session.ranks ~= session.rank)
            #expect(session.localRanks == session.ranks)
            #expect((session.localCores ?? 0) >= 1)
            #expect(session.launcher.kind == .openMPI)
            #expect(session.launcher.processes == session.ranks)
            #expect(session.launcher.rank == session.rank)
        }

        @Test("records of any length reach every rank in the order of ranks")
        @RankActor func gather() throws {
            let session = RankActor.session
            for scale in [0, 1, 1000, 100_000] {
                // Rank 0's record is empty, the others' lengths differ.
                func record(_ rank: Int) -> [UInt8] {
                    (0..<rank * scale).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ rank) }
                }
                let records = try session.gather(record: record(session.rank), seconds: 20)
                #expect(records == (0..<session.ranks).map(record))
            }
        }

        @Test(
            "messages of any size cross between all pairs at once",
            arguments: [0, 1, 32, 4032, 100_000, 5_000_000])
        @RankActor func allPairs(_ count: Int) throws {
            try exchangeBetweenAllPairs(try transport(), count: count)
        }

        @Test("a message longer than MPI's count travels in parts")
        @RankActor func chunks() throws {
            let session = RankActor.session
            let small = MPITransport(
                rank: session.rank, ranks: session.ranks, yieldsEarly: true, chunkBytes: 64)
            for count in [0, 63, 64, 65, 1000] {
                try exchangeBetweenAllPairs(small, count: count)
            }
            let sums = Buffer(100 * 8)
            for i in 0..<100 { sums.doubles[i] = Double(i) }
            try small.sum(sums.doubles, seconds: 20) { false }
            #expect((0..<100).allSatisfy { sums.doubles[$0] == Double($0 * session.ranks) })
        }

        @Test("messages of one tag arrive in the order in which they were sent")
        @RankActor func order() throws {
            let transport = try transport()
            let next = (transport.rank + 1) % transport.ranks
            let previous = (transport.rank + transport.ranks - 1) % transport.ranks
            // Short ones travel with their envelope and long ones after it: the order must hold
            // across both, and across two tags at once.
            let sizes = [8, 200_000, 8, 64, 500_000, 8, 4032]
            var sent: [Buffer] = []
            var received: [Buffer] = []
            for (i, size) in sizes.enumerated() {
                for tag in 1...2 {
                    let out = Buffer(size, fill: UInt8(10 * tag + i))
                    try transport.send(out.read, to: next, tag: Int32(tag))
                    sent.append(out)
                }
            }
            for tag in 1...2 {
                for size in sizes {
                    let place = Buffer(size)
                    try transport.receive(into: place.write, from: previous, tag: Int32(tag))
                    received.append(place)
                }
            }
            try transport.wait(seconds: 20) { false }
            for tag in 1...2 {
                for i in sizes.indices {
                    let bytes = received[(tag - 1) * sizes.count + i].read
                    #expect(
                        bytes.allSatisfy { $0 == UInt8(10 * tag + i) }, "tag \(tag), message \(i)")
                }
            }
            withExtendedLifetime(sent) {}
        }

        @Test("sums of Float64 and Float32 are those of all ranks", arguments: [0, 1, 7, 67_000])
        @RankActor func sums(_ count: Int) throws {
            let transport = try transport()
            let ranks = transport.ranks
            let doubles = Buffer(count * 8)
            let floats = Buffer(count * 4)
            for i in 0..<count {
                doubles.doubles[i] = Double(i + transport.rank)
                floats.floats[i] = Float(i % 1000 + transport.rank)
            }
            try transport.sum(doubles.doubles, seconds: 20) { false }
            try transport.sum(floats.floats, seconds: 20) { false }
            let extra = ranks * (ranks - 1) / 2
            #expect((0..<count).allSatisfy { doubles.doubles[$0] == Double(ranks * $0 + extra) })
            #expect(
                (0..<count).allSatisfy {
                    floats.floats[$0] == Float(ranks * ($0 % 1000) + extra)
                })
        }

        @Test("past the deadline the silent ranks are named, and the wait can go on")
        @RankActor func deadline() throws {
            let transport = try transport()
            guard transport.ranks > 1 else { return }
            let silent = transport.ranks - 1
            let word = Buffer(8, fill: 5)
            if transport.rank == silent {
                usleep(600_000)
                for peer in 0..<silent { try transport.send(word.read, to: peer, tag: 3) }
                try transport.wait(seconds: 20) { false }
            } else {
                let others = (0..<transport.ranks).filter { $0 != transport.rank }
                let places = others.map { _ in Buffer(8) }
                for (peer, place) in zip(others, places) {
                    try transport.receive(into: place.write, from: peer, tag: 3)
                    if peer != silent { try transport.send(word.read, to: peer, tag: 3) }
                }
                let begin = ContinuousClock.now
                let error = #expect(throws: CollectiveError.self) {
                    try transport.wait(seconds: 0.3) { false }
                }
                let took = ContinuousClock.now - begin
                #expect(error == .timeout(waitingFor: [silent], seconds: 0.3, at: nil))
                #expect(took >= .milliseconds(300) && took < .milliseconds(590))
                try transport.wait(seconds: 20) { false }
                #expect(places.allSatisfy { $0.read.allSatisfy { $0 == 5 } })
            }
        }

        @Test(
            "a failed team-mate ends the wait long before the deadline", arguments: [false, true])
        @RankActor func interruption(yieldsEarly: Bool) throws {
            let session = RankActor.session
            let transport = MPITransport(
                rank: session.rank, ranks: session.ranks, yieldsEarly: yieldsEarly)
            let word = Buffer(8)
            let next = (session.rank + 1) % session.ranks
            let previous = (session.rank + session.ranks - 1) % session.ranks
            try transport.receive(into: word.write, from: previous, tag: 4)
            let begin = ContinuousClock.now
            let error = #expect(throws: CollectiveError.self) {
                try transport.wait(seconds: 20) {
                    ContinuousClock.now - begin > .milliseconds(50)
                }
            }
            #expect(error == .peerFailed)
            // The failure comes after 50 ms; a busy machine may give the core to others first.
            #expect(ContinuousClock.now - begin < .milliseconds(500))
            try session.barrier(seconds: 20)
            let out = Buffer(8)
            try transport.send(out.read, to: next, tag: 4)
            try transport.wait(seconds: 20) { false }
            withExtendedLifetime((word, out)) {}
        }

        @Test("a message of another length than expected is an error that names its rank")
        @RankActor func wrongLength() throws {
            let transport = try transport()
            let next = (transport.rank + 1) % transport.ranks
            let previous = (transport.rank + transport.ranks - 1) % transport.ranks
            for expected in [32, 8] {
                let out = Buffer(16)
                let place = Buffer(expected)
                try transport.send(out.read, to: next, tag: 5)
                try transport.receive(into: place.write, from: previous, tag: 5)
                let error = #expect(throws: CollectiveError.self) {
                    try transport.wait(seconds: 20) { false }
                }
                guard case .transport(let text) = error else {
                    Issue.record("got \(String(describing: error))")
                    continue
                }
                #expect(text.contains("rank \(previous)"), "\(text)")
            }
        }

        @RankActor private func transport() throws -> any RankTransport {
            try #require(RankActor.session.transport)
        }
    }

    /// Every rank sends every other a message of its own, both ways at once.
    @RankActor private func exchangeBetweenAllPairs(
        _ transport: any RankTransport, count: Int
    ) throws {
        func byte(from: Int, to: Int, at i: Int) -> UInt8 {
            UInt8(truncatingIfNeeded: i &* 7 &+ i >> 8 &+ 13 &* from &+ 101 &* to)
        }
        let rank = transport.rank
        let others = (0..<transport.ranks).filter { $0 != rank }
        let places = others.map { _ in Buffer(count) }
        let messages = others.map { peer in
            let out = Buffer(count)
            for i in 0..<count { out.write[i] = byte(from: rank, to: peer, at: i) }
            return out
        }
        for (i, peer) in others.enumerated() {
            try transport.send(messages[i].read, to: peer, tag: 6)
            try transport.receive(into: places[i].write, from: peer, tag: 6)
        }
        try transport.wait(seconds: 20) { false }
        for (i, peer) in others.enumerated() {
            let bytes = places[i].read
            let right = (0..<count).allSatisfy { bytes[$0] == byte(from: peer, to: rank, at: $0) }
            #expect(right, "\(count) bytes from rank \(peer) to rank \(rank)")
        }
        withExtendedLifetime(messages) {}
    }

    /// Memory that stays where it is while a message is under way.
    private final class Buffer {
        let write: UnsafeMutableRawBufferPointer
        var read: UnsafeRawBufferPointer { UnsafeRawBufferPointer(write) }
        var doubles: UnsafeMutableBufferPointer<Double> { write.bindMemory(to: Double.self) }
        var floats: UnsafeMutableBufferPointer<Float> { write.bindMemory(to: Float.self) }

        init(_ count: Int, fill: UInt8 = 0) {
            write = .allocate(byteCount: count, alignment: 64)
            write.initializeMemory(as: UInt8.self, repeating: fill)
        }

        deinit { write.deallocate() }
    }
#endif
