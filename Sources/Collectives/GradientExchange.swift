/// Sums buckets of a long Float32 vector over ranks, one after the other, along the tree: worker 0's
/// part of `GradientReduction`, which goes on while the worker computes.
///
/// In aligned power-of-two worlds ranks halve and double: each ends up with a slice of the sum, then
/// slices are passed on. Others send each rank its slice of every node. A bucket is a few rounds of
/// messages; `progress` takes the next as soon as one is complete. All ranks take the same rounds in
/// the same order, on a line of their own, so it does not matter what else they exchange meanwhile.
final class GradientExchange {
    /// Messages that are under way together, and what follows when they are complete.
    private struct Round {
        /// Those whose fingerprints are compared first; none where they were in the round before.
        var opens: [Int] = []
        var receives: [(peer: Int, into: UnsafeMutableRawBufferPointer)] = []
        var sends: [(peer: Int, bytes: UnsafeRawBufferPointer)] = []
        var finish: () -> Void = {}
    }

    private enum Phase {
        case between
        case opening
        case moving
    }

    private let exchange: RankExchange
    private let plan: ReductionPlan
    private let buckets: [Range<Int>]
    private var rounds: [[Round]] = []
    private let result: UnsafeMutablePointer<Float>
    private let finalFold: GradientFold

    /// Where the exchange stands.
    private var bucket = 0
    private var round = 0
    private var phase = Phase.between
    /// Buckets that may be summed.
    private var started = 0
    private var step = 0

    /// - Parameters:
    ///   - exchange: messages to the other ranks; this exchange opens a line beside it.
    ///   - buckets: the parts of the vector, in the order in which they are summed.
    ///   - result: where the sum goes.
    ///   - nodes: the rank's nodes, the whole vector each.
    ///   - buffer: memory for so many values.
    init(
        _ exchange: RankExchange, plan: ReductionPlan, buckets: [Range<Int>],
        result: UnsafeMutablePointer<Float>, nodes: (Int) -> UnsafeMutablePointer<Float>,
        buffer: (Int) -> UnsafeMutablePointer<Float>
    ) {
        self.exchange = exchange.beside()
        self.plan = plan
        self.buckets = buckets
        self.result = result
        finalFold = GradientFold(plan.final)
        rounds = buckets.map {
            plan.doubling ? halveAndDouble($0, buffer) : exchangeSlices($0, nodes, buffer)
        }
    }

    /// Lets bucket `index` be summed, of which this rank's part is there.
    func start(bucket index: Int, step: Int) throws(CollectiveError) {
        self.step = step
        started = index + 1
        try progress()
    }

    /// Goes on as far as that needs no waiting.
    func progress() throws(CollectiveError) {
        while bucket < started {
            if phase != .between, !(try exchange.isComplete()) { return }
            try advance()
        }
    }

    /// Sums what is left, the last bucket included.
    func finish(step: Int) throws(CollectiveError) {
        self.step = step
        started = buckets.count
        while bucket < started {
            if phase != .between { try exchange.wait(fingerprint) }
            try advance()
        }
        (bucket, started) = (0, 0)
    }

    private var fingerprint: Fingerprint {
        Fingerprint(step: step, layer: -1, kind: .gradients, length: buckets[bucket].count)
    }

    /// The next thing to do when nothing is under way.
    private func advance() throws(CollectiveError) {
        guard round < rounds[bucket].count else {
            (bucket, round, phase) = (bucket + 1, 0, .between)
            return
        }
        let current = rounds[bucket][round]
        switch phase {
        case .between where !current.opens.isEmpty:
            try exchange.startOpening(fingerprint, with: current.opens)
            phase = .opening
        case .between, .opening:
            try exchange.checkOpening(fingerprint, with: current.opens)
            for (peer, bytes) in current.receives { try exchange.receive(into: bytes, from: peer) }
            for (peer, bytes) in current.sends { try exchange.send(bytes, to: peer) }
            phase = .moving
        case .moving:
            current.finish()
            (round, phase) = (round + 1, .between)
        }
    }

    // MARK: rounds

    /// Recursive halving at distances 1, 2, 4, …, as the tree has it, then doubling back.
    private func halveAndDouble(
        _ whole: Range<Int>, _ buffer: (Int) -> UnsafeMutablePointer<Float>
    ) -> [Round] {
        let (rank, vector) = (exchange.rank, result)
        let arrivals = buffer(whole.count)
        var rounds: [Round] = []
        var back: [Round] = []
        var kept = whole
        var distance = 1
        while distance < exchange.ranks {
            let peer = rank ^ distance
            let (lower, upper) = (kept.part(0, of: 2), kept.part(1, of: 2))
            let keepsLower = rank < peer
            let (mine, other) = keepsLower ? (lower, upper) : (upper, lower)
            let arrived = arrivals + (mine.lowerBound - whole.lowerBound)
            rounds.append(
                Round(
                    opens: [peer], receives: [(peer, bytes(into: arrived, 0..<mine.count))],
                    sends: [(peer, bytes(of: vector, other))]
                ) {
                    let own = vector + mine.lowerBound
                    add(
                        left: keepsLower ? own : arrived, right: keepsLower ? arrived : own,
                        count: mine.count, into: own)
                })
            back.append(
                Round(
                    receives: [(peer, bytes(into: vector, other))],
                    sends: [(peer, bytes(of: vector, mine))]))
            kept = mine
            distance *= 2
        }
        return rounds + back.reversed()
    }

    /// Each rank finishes one slice of the tree from everybody's nodes, then passes it on.
    private func exchangeSlices(
        _ whole: Range<Int>, _ ownNode: (Int) -> UnsafeMutablePointer<Float>,
        _ buffer: (Int) -> UnsafeMutablePointer<Float>
    ) -> [Round] {
        let (rank, ranks, result) = (exchange.rank, exchange.ranks, result)
        func part(_ rank: Int) -> Range<Int> { whole.part(rank, of: ranks) }
        let mine = part(rank)
        let stride = (mine.count + 15) / 16 * 16
        let arrivals = buffer(plan.final.inputs.count * stride)
        var places = plan.shared.map { nodes in nodes.map { _ in arrivals } }
        var input = 0
        for (rank, nodes) in plan.shared.enumerated() {
            for node in nodes.indices {
                places[rank][node] = arrivals + input * stride
                input += 1
            }
        }
        var gather = Round(opens: exchange.peers)
        var pass = Round()
        for peer in exchange.peers {
            for place in places[peer] {
                gather.receives.append((peer, bytes(into: place, 0..<mine.count)))
            }
            for node in plan.shared[rank] {
                gather.sends.append((peer, bytes(of: ownNode(node), part(peer))))
            }
            pass.receives.append((peer, bytes(into: result, part(peer))))
            pass.sends.append((peer, bytes(of: result, mine)))
        }
        let own = zip(places[rank], plan.shared[rank]).map { ($0, ownNode($1)) }
        gather.finish = { [finalFold] in
            for (place, node) in own {
                place.update(from: node + mine.lowerBound, count: mine.count)
            }
            finalFold.run(
                0..<mine.count, input: { UnsafePointer(arrivals + $0 * stride) },
                output: { _ in result + mine.lowerBound }, done: { _ in })
        }
        return [gather, pass]
    }

    private func bytes(
        of vector: UnsafeMutablePointer<Float>, _ range: Range<Int>
    ) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(bytes(into: vector, range))
    }

    private func bytes(
        into vector: UnsafeMutablePointer<Float>, _ range: Range<Int>
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: vector + range.lowerBound, count: range.count * MemoryLayout<Float>.stride)
    }
}

extension Range<Int> {
    /// Part `index` of `parts` of it, cut at cache lines counted from its start.
    func part(_ index: Int, of parts: Int) -> Range {
        let lines = (count + 15) / 16
        return lowerBound + Swift.min(index * lines / parts * 16, count)..<lowerBound
            + Swift.min((index + 1) * lines / parts * 16, count)
    }
}
