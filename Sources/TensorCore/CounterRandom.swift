/// Random numbers that are a pure function of where they are used: no state, no order.
///
/// A value depends on (seed, purpose, index, position) and nothing else, so that it is the same on
/// every worker, in every world, and after a restart. The generator is Philox4x32-10: Salmon,
/// Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
///
/// - key: seed (64 bits);
/// - counter: block (32 bits), purpose (8 bits), an index (64 bits), and what an index of steps or
///   epochs has no room for (24 bits).
public struct CounterRandom: Sendable {
    /// What a stream of random numbers is for. Streams of different purposes never meet.
    public enum Purpose: UInt32, Sendable {
        /// Initial weights; index = the ordinal of the weighted layer.
        case initialWeights = 1
        /// The order of an epoch; index = the epoch.
        case order = 2
        /// Augmentation; by epoch and sample.
        case augmentation = 3
        /// Dropout masks; by step, layer and sample.
        case dropout = 4
        /// The drawing of synthetic samples; index = the sample.
        case synthesis = 5
        /// Random data for benchmarks and tests; index = free.
        case benchmark = 6
        /// Which shard a step's audit computes again, and who does; index = the step.
        case audit = 7
        /// Noise behind normalisations; by step, layer and sample.
        case noise = 8
        /// Which training samples are held out for validation; index = 0.
        case holdout = 9
    }

    private let key: (UInt32, UInt32)
    /// The purpose, and above it the index's overflow.
    private let purpose: UInt32
    private let index: UInt64

    /// The stream of (seed, purpose, index).
    public init(seed: UInt64, purpose: Purpose, index: UInt64) {
        self.init(seed, purpose, overflow: 0, index)
    }

    /// The stream of a layer for a sample of the global batch in a step. No two (step, layer, sample)
    /// share one.
    ///
    /// The index is step, layer and sample in 24, 8 and 32 bits; of larger steps and layers the higher
    /// bits, 16 and 8, are its overflow.
    ///
    /// - Parameters:
    ///   - step: 0 ≤ step < 2⁴⁰
    ///   - layer: tells the layers of a network with this purpose apart, 0 ≤ layer < 2¹⁶
    ///   - sample: its place in the global batch, or ``noSample``.
    public init(seed: UInt64, purpose: Purpose, step: Int, layer: Int, sample: Int) {
        precondition(step >= 0 && step >> 40 == 0, "a step has 40 bits")
        precondition(layer >= 0 && layer >> 16 == 0, "a layer has 16 bits")
        self.init(
            seed, purpose, overflow: UInt32(step >> 24) << 8 | UInt32(layer >> 8),
            UInt64(step & 0xFF_FFFF) << 40 | UInt64(layer & 0xFF) << 32 | UInt64(Self.word(sample)))
    }

    /// The stream of a sample of the data set in an epoch. No two (epoch, sample) share one.
    ///
    /// - Parameters:
    ///   - epoch: 0 ≤ epoch < 2⁴⁰; of its bits over 32 the higher ones are the overflow
    ///   - sample: 0 ≤ sample < 2³²
    public init(seed: UInt64, purpose: Purpose, epoch: Int, sample: Int) {
        precondition(epoch >= 0 && epoch >> 40 == 0, "an epoch has 40 bits")
        self.init(
            seed, purpose, overflow: UInt32(epoch >> 32),
            UInt64(epoch & 0xFFFF_FFFF) << 32 | UInt64(Self.word(sample)))
    }

    /// The place of what all samples of a step share; none of a batch has it.
    public static let noSample = 0xFFFF_FFFF

    private static func word(_ sample: Int) -> UInt32 {
        guard let word = UInt32(exactly: sample) else {
            preconditionFailure("a sample has 32 bits")
        }
        return word
    }

    private init(_ seed: UInt64, _ purpose: Purpose, overflow: UInt32, _ index: UInt64) {
        key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        self.purpose = overflow << 8 | purpose.rawValue
        self.index = index
    }

    /// Four words of 32 random bits: block `block` of the stream.
    public func words(block: UInt32) -> SIMD4<UInt32> {
        philox4x32(
            counter: [
                block, purpose, UInt32(truncatingIfNeeded: index),
                UInt32(truncatingIfNeeded: index >> 32),
            ], key: key)
    }

    /// 32 random bits at `position` of the stream.
    public func word(at position: Int) -> UInt32 {
        words(block: UInt32(position >> 2))[position & 3]
    }

    /// A Float64 in 0 ..< 1, of 32 random bits, at `position` of the stream.
    public func uniform(at position: Int) -> Double {
        Double(word(at: position)) * 0x1p-32
    }

    /// A Float64 in `range`, at `position` of the stream.
    public func uniform(in range: ClosedRange<Double>, at position: Int) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * uniform(at: position)
    }

    /// An integer in 0 ..< `bound`, at `position` of the stream; bias below bound / 2³².
    public func integer(below bound: Int, at position: Int) -> Int {
        precondition(bound > 0 && bound <= Int(UInt32.max), "bound is out of range")
        return Int((UInt64(word(at: position)) * UInt64(bound)) >> 32)
    }
}

/// One block of Philox4x32-10.
@usableFromInline
func philox4x32(counter: SIMD4<UInt32>, key: (UInt32, UInt32)) -> SIMD4<UInt32> {
    var c = counter
    var k = key
    for _ in 0..<10 {
        let p0 = UInt64(c[0]) * 0xD251_1F53
        let p1 = UInt64(c[2]) * 0xCD9E_8D57
        c = [
            UInt32(truncatingIfNeeded: p1 >> 32) ^ c[1] ^ k.0, UInt32(truncatingIfNeeded: p1),
            UInt32(truncatingIfNeeded: p0 >> 32) ^ c[3] ^ k.1, UInt32(truncatingIfNeeded: p0),
        ]
        k.0 &+= 0x9E37_79B9
        k.1 &+= 0xBB67_AE85
    }
    return c
}
