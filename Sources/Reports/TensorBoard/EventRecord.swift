/// One event of a TensorBoard event file: numbers and histograms at a step.
///
/// An event file is a sequence of TFRecords, each of which holds one `Event` of TensorFlow's
/// protocol buffers (event.proto, summary.proto): length (8 bytes), its checksum, the event, its
/// checksum. All numbers are little-endian.
public struct EventRecord: Sendable, Equatable {
    /// When it happened, in seconds since 1970.
    public var time: Double

    /// Optimizer steps done.
    public var step: Int

    /// What happened.
    public var content: Content

    /// An event.
    public init(time: Double, step: Int, content: Content) {
        self.time = time
        self.step = step
        self.content = content
    }

    /// What an event says.
    public enum Content: Sendable, Equatable {
        /// The first event of a file: the version of the format.
        case version(String)
        /// Named values.
        case summary([Value])
        /// A run begins, or goes on, with the event's step: what older events say of this step and later
        /// ones no longer holds.
        case sessionStart
    }

    /// A named value.
    public struct Value: Sendable, Equatable {
        /// The name; slashes make groups.
        public var tag: String
        /// The number or the histogram.
        public var kind: Kind

        /// A named value.
        public init(_ tag: String, _ kind: Kind) {
            self.tag = tag
            self.kind = kind
        }

        /// The kinds of values.
        public enum Kind: Sendable, Equatable {
            /// A number.
            case scalar(Float)
            /// How many numbers.
            case histogram(EventHistogram)
        }
    }

    /// The version that today's readers expect in the first event of a file.
    public static let version = "brain.Event:2"

    /// The TFRecord that holds this event.
    public var bytes: [UInt8] {
        let event = encoded
        let length = littleEndian(UInt64(event.count))
        return length + littleEndian(CRC32C.masked(length)) + event
            + littleEndian(CRC32C.masked(event))
    }

    /// The event in the encoding of protocol buffers.
    private var encoded: [UInt8] {
        var message = ProtobufMessage()
        message.add(1, time)
        message.add(2, step)
        switch content {
        case .version(let text): message.add(3, text)
        case .sessionStart:
            var session = ProtobufMessage()
            session.add(1, 1)
            message.add(7, session)
        case .summary(let values):
            var summary = ProtobufMessage()
            for value in values {
                var part = ProtobufMessage()
                part.add(1, value.tag)
                switch value.kind {
                case .scalar(let number): part.add(2, number)
                case .histogram(let histogram): part.add(5, histogram.message)
                }
                summary.add(1, part)
            }
            message.add(5, summary)
        }
        return message.bytes
    }
}

/// How many of many numbers lie in each of the ranges that TensorBoard's own writers use: from
/// 1e-12 on, each 1.1 times as wide as the last, and the same below zero.
public struct EventHistogram: Sendable, Equatable {
    /// The smallest number.
    public var minimum: Double
    /// The largest number.
    public var maximum: Double
    /// How many there are.
    public var count: Double
    /// Their sum.
    public var sum: Double
    /// The sum of their squares.
    public var sumOfSquares: Double
    /// The upper ends of the ranges that are kept, ascending.
    public var limits: [Double]
    /// How many numbers lie in each.
    public var counts: [Double]

    private static let positive: [Double] = {
        var limits: [Double] = []
        var value = 1e-12
        while value < 1e20 {
            limits.append(value)
            value *= 1.1
        }
        return limits
    }()
    private static let allLimits =
        positive.reversed().map { -$0 } + [0] + positive + [.greatestFiniteMagnitude]

    /// The histogram of the finite ones among `values`; nil without any.
    public init?(_ values: [Float]) {
        let finite = values.lazy.filter(\.isFinite).map(Double.init)
        guard let first = finite.first else { return nil }
        (minimum, maximum, count, sum, sumOfSquares) = (first, first, 0, 0, 0)
        var all = [Double](repeating: 0, count: Self.allLimits.count)
        for value in finite {
            minimum = min(minimum, value)
            maximum = max(maximum, value)
            count += 1
            sum += value
            sumOfSquares += value * value
            all[Self.range(of: value)] += 1
        }
        // Only what is between the first and the last number, with an empty range before it, so
        // that readers know where it starts.
        let used = all.indices.filter { all[$0] > 0 }
        let start = max(0, (used.first ?? 0) - 1)
        let end = used.last ?? 0
        limits = Array(Self.allLimits[start...end])
        counts = Array(all[start...end])
    }

    /// The first range whose upper end is above `value`.
    private static func range(of value: Double) -> Int {
        var (low, high) = (0, allLimits.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if allLimits[middle] > value { high = middle } else { low = middle + 1 }
        }
        return low
    }

    fileprivate var message: ProtobufMessage {
        var message = ProtobufMessage()
        for (field, value) in [minimum, maximum, count, sum, sumOfSquares].enumerated() {
            message.add(field + 1, value)
        }
        message.add(6, packed: limits)
        message.add(7, packed: counts)
        return message
    }
}

/// A message in the encoding of protocol buffers, as far as events need it.
private struct ProtobufMessage {
    private(set) var bytes: [UInt8] = []

    private mutating func addKey(_ field: Int, type: Int) { addVariable(UInt64(field << 3 | type)) }

    private mutating func addVariable(_ value: UInt64) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(value))
    }

    mutating func add(_ field: Int, _ value: Int) {
        addKey(field, type: 0)
        addVariable(UInt64(bitPattern: Int64(value)))
    }

    mutating func add(_ field: Int, _ value: Double) {
        addKey(field, type: 1)
        bytes += littleEndian(value.bitPattern)
    }

    mutating func add(_ field: Int, _ value: Float) {
        addKey(field, type: 5)
        bytes += littleEndian(value.bitPattern)
    }

    mutating func add(_ field: Int, _ text: String) { add(field, content: Array(text.utf8)) }

    mutating func add(_ field: Int, _ message: ProtobufMessage) {
        add(field, content: message.bytes)
    }

    mutating func add(_ field: Int, packed values: [Double]) {
        add(field, content: values.flatMap { littleEndian($0.bitPattern) })
    }

    private mutating func add(_ field: Int, content: [UInt8]) {
        addKey(field, type: 2)
        addVariable(UInt64(content.count))
        bytes += content
    }
}

private func littleEndian<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
    (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Number($0 * 8)) }
}
