/// Exchanges between ranks: worker 0's part of a collective.
///
/// The first message between two ranks in a collective is always a frame of `frameBytes`, whatever
/// the collective is: the fingerprint, then as much of the payload as fits (BN statistics of up to
/// 250 channels do). The fingerprint is checked before the rest of the payload is asked for, so two
/// ranks that meet in different collectives find out instead of mistaking each other's numbers.
final class RankExchange {
    /// Below Open MPI's eager limit for shared memory (4 096 bytes with its header).
    static let frameBytes = 4032
    static let headerBytes = 32
    static let inlineBytes = frameBytes - headerBytes

    private let frameTag: Int32
    private let payloadTag: Int32

    let transport: any RankTransport
    private let timeout: Double
    private let interrupted: () -> Bool
    private let outgoing: UnsafeMutableRawPointer
    private let incoming: UnsafeMutableRawPointer
    private let everyoneElse: [Int]
    private var hasFailed = false

    /// Whether a first half waits for its second.
    private(set) var isUnderWay = false

    /// - Parameter line: exchanges of different lines do not hear each other.
    init(
        transport: any RankTransport, line: Int32 = 0, timeout: Double,
        interrupted: @escaping () -> Bool
    ) {
        self.transport = transport
        frameTag = 2 * line + 1
        payloadTag = 2 * line + 2
        self.timeout = timeout
        self.interrupted = interrupted
        let bytes = transport.ranks * Self.frameBytes
        outgoing = .allocate(byteCount: bytes, alignment: 64)
        incoming = .allocate(byteCount: bytes, alignment: 64)
        outgoing.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        incoming.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        let rank = transport.rank
        everyoneElse = (0..<transport.ranks).filter { $0 != rank }
    }

    deinit {
        // After a failure receives may still be pending, and the library may yet write here: the
        // process is about to end, and its frames end with it.
        guard !hasFailed, (try? transport.isComplete()) == true else { return }
        outgoing.deallocate()
        incoming.deallocate()
    }

    var rank: Int { transport.rank }
    var ranks: Int { transport.ranks }

    /// Sends `bytes` to `peer`, and waits for nobody: `finishSwap` follows before anything else.
    func startSwap(
        with peer: Int, _ fingerprint: Fingerprint, sending bytes: UnsafeRawBufferPointer
    ) throws(CollectiveError) {
        try openFrame(to: peer, fingerprint, bytes)
        isUnderWay = true
    }

    /// Receives `reply.count` bytes from `peer`, which has been sent `bytes`.
    func finishSwap(
        with peer: Int, _ fingerprint: Fingerprint, sending bytes: UnsafeRawBufferPointer,
        receiving reply: UnsafeMutableRawBufferPointer
    ) throws(CollectiveError) {
        try wait(fingerprint)
        try check(frameFrom: peer, fingerprint)
        try post(restOf: bytes, to: peer)
        try unpack(from: peer, into: reply)
        try wait(fingerprint)
        isUnderWay = false
    }

    /// Sends `bytes` to every other rank and receives from each into `place(rank)`.
    func gather(
        _ fingerprint: Fingerprint, sending bytes: UnsafeRawBufferPointer,
        into place: (Int) -> UnsafeMutableRawBufferPointer
    ) throws(CollectiveError) {
        try startGather(fingerprint, sending: bytes)
        try finishGather(fingerprint, sending: bytes, into: place)
    }

    /// The first half of `gather`, which waits for nobody: `finishGather` follows before anything else.
    func startGather(
        _ fingerprint: Fingerprint, sending bytes: UnsafeRawBufferPointer
    ) throws(CollectiveError) {
        for peer in everyoneElse { try openFrame(to: peer, fingerprint, bytes) }
        isUnderWay = true
    }

    /// The second half of `gather`.
    func finishGather(
        _ fingerprint: Fingerprint, sending bytes: UnsafeRawBufferPointer,
        into place: (Int) -> UnsafeMutableRawBufferPointer
    ) throws(CollectiveError) {
        try wait(fingerprint)
        for peer in everyoneElse { try check(frameFrom: peer, fingerprint) }
        for peer in everyoneElse {
            try post(restOf: bytes, to: peer)
            try unpack(from: peer, into: place(peer))
        }
        try wait(fingerprint)
        isUnderWay = false
    }

    /// A second line to the same ranks, on which exchanges go on beside those of this one.
    func beside() -> RankExchange {
        RankExchange(
            transport: transport.beside(), line: 1, timeout: timeout, interrupted: interrupted)
    }

    /// Whether all that was started is complete; never waits.
    func isComplete() throws(CollectiveError) -> Bool { try transport.isComplete() }

    /// Starts an `open` with some peers: `checkOpening` follows when it is complete.
    func startOpening(
        _ fingerprint: Fingerprint, with peers: [Int]
    ) throws(CollectiveError) {
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        for peer in peers { try openFrame(to: peer, fingerprint, nothing) }
    }

    /// Whether those peers are in the same collective.
    func checkOpening(_ fingerprint: Fingerprint, with peers: [Int]) throws(CollectiveError) {
        for peer in peers { try check(frameFrom: peer, fingerprint) }
    }

    /// Meets every other rank with frames that carry no payload: a barrier, or the opening of a
    /// collective whose payload follows with `send`, `receive` and `wait`.
    func open(_ fingerprint: Fingerprint) throws(CollectiveError) {
        try open(fingerprint, with: everyoneElse)
    }

    /// The same with some peers, who do so with each other.
    func open(_ fingerprint: Fingerprint, with peers: [Int]) throws(CollectiveError) {
        try startOpening(fingerprint, with: peers)
        try wait(fingerprint)
        try checkOpening(fingerprint, with: peers)
    }

    /// Every rank but this one.
    var peers: [Int] { everyoneElse }

    /// Starts sending payload after an `open`.
    func send(_ bytes: UnsafeRawBufferPointer, to peer: Int) throws(CollectiveError) {
        if !bytes.isEmpty { try transport.send(bytes, to: peer, tag: payloadTag) }
    }

    /// Starts receiving payload after an `open`.
    func receive(
        into bytes: UnsafeMutableRawBufferPointer, from peer: Int
    ) throws(CollectiveError) {
        if !bytes.isEmpty { try transport.receive(into: bytes, from: peer, tag: payloadTag) }
    }

    /// Waits for all that was started.
    func wait(_ fingerprint: Fingerprint) throws(CollectiveError) {
        do {
            try transport.wait(seconds: timeout, interrupted: interrupted)
        } catch {
            throw failed(error, fingerprint)
        }
    }

    /// MPI_Allreduce, for the baseline. It alone is not opened by frames: their price would count
    /// against the baseline. The fingerprint only says where a timeout happened.
    func sum(
        _ values: UnsafeMutableBufferPointer<Double>, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        do {
            try transport.sum(values, seconds: timeout, interrupted: interrupted)
        } catch {
            throw failed(error, fingerprint)
        }
    }

    /// MPI_Allreduce, for the baseline.
    func sum(
        _ values: UnsafeMutableBufferPointer<Float>, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        do {
            try transport.sum(values, seconds: timeout, interrupted: interrupted)
        } catch {
            throw failed(error, fingerprint)
        }
    }

    /// The error with the collective it happened in.
    private func failed(_ error: CollectiveError, _ fingerprint: Fingerprint) -> CollectiveError {
        hasFailed = true
        guard case .timeout(let ranks, let seconds, _) = error else { return error }
        return .timeout(waitingFor: ranks, seconds: seconds, at: fingerprint)
    }

    // MARK: frames

    private func openFrame(
        to peer: Int, _ fingerprint: Fingerprint, _ bytes: UnsafeRawBufferPointer
    ) throws(CollectiveError) {
        let frame = outgoing + peer * Self.frameBytes
        fingerprint.write(to: frame)
        if let start = bytes.baseAddress {
            (frame + Self.headerBytes).copyMemory(
                from: start, byteCount: min(bytes.count, Self.inlineBytes))
        }
        try transport.receive(
            into: UnsafeMutableRawBufferPointer(
                start: incoming + peer * Self.frameBytes, count: Self.frameBytes),
            from: peer, tag: frameTag)
        try transport.send(
            UnsafeRawBufferPointer(start: frame, count: Self.frameBytes), to: peer,
            tag: frameTag)
    }

    private func check(
        frameFrom peer: Int, _ fingerprint: Fingerprint
    ) throws(CollectiveError) {
        let theirs = Fingerprint(reading: incoming + peer * Self.frameBytes)
        guard theirs == fingerprint else {
            guard let theirs else {
                throw .transport("rank \(peer) sent a message that is not a frame")
            }
            throw .mismatch(here: rank, mine: fingerprint, there: peer, theirs: theirs)
        }
    }

    private func post(
        restOf bytes: UnsafeRawBufferPointer, to peer: Int
    ) throws(CollectiveError) {
        guard bytes.count > Self.inlineBytes else { return }
        try send(UnsafeRawBufferPointer(rebasing: bytes[Self.inlineBytes...]), to: peer)
    }

    private func unpack(
        from peer: Int, into bytes: UnsafeMutableRawBufferPointer
    ) throws(CollectiveError) {
        guard let start = bytes.baseAddress else { return }
        let payload = incoming + peer * Self.frameBytes + Self.headerBytes
        start.copyMemory(from: payload, byteCount: min(bytes.count, Self.inlineBytes))
        guard bytes.count > Self.inlineBytes else { return }
        try receive(
            into: UnsafeMutableRawBufferPointer(rebasing: bytes[Self.inlineBytes...]), from: peer)
    }
}

extension Fingerprint {
    /// Writes the 32 bytes of the wire form.
    func write(to frame: UnsafeMutableRawPointer) {
        frame.storeBytes(of: step, as: Int64.self)
        frame.storeBytes(of: layer, toByteOffset: 8, as: Int32.self)
        frame.storeBytes(of: kind.rawValue, toByteOffset: 12, as: Int32.self)
        frame.storeBytes(of: length, toByteOffset: 16, as: Int64.self)
        frame.storeBytes(of: Self.magic, toByteOffset: 24, as: UInt64.self)
    }

    /// Reads the wire form; nil where the bytes are none.
    init?(reading frame: UnsafeRawPointer) {
        guard frame.load(fromByteOffset: 24, as: UInt64.self) == Self.magic,
            let kind = Kind(rawValue: frame.load(fromByteOffset: 12, as: Int32.self))
        else { return nil }
        self.init(
            step: Int(frame.load(as: Int64.self)),
            layer: Int(frame.load(fromByteOffset: 8, as: Int32.self)), kind: kind,
            length: Int(frame.load(fromByteOffset: 16, as: Int64.self)))
    }

    /// "bn-train", to tell a frame from anything else.
    private static var magic: UInt64 { 0x6e69_6172_742d_6e62 }
}
