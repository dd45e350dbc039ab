/// Random numbers that are a pure function of where they are used: no state, no order.
///
/// A value depends on (seed, purpose, index, position) and nothing else, so that it is the same on
/// every worker, in every world, and after a restart. The generator is Philox4x32-10: Salmon,
/// Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
///
/// - key: seed (64 bits);
/// - counter: block (32 bits), purpose (32 bits), index (64 bits).
public struct CounterRandom: Sendable {
    /// What a stream of random numbers is for. Streams of different purposes never meet.
    public enum Purpose: UInt32, Sendable {
        /// Initial weights; index = the ordinal of the weighted layer.
        case initialWeights = 1
        /// The order of an epoch; index = the epoch.
        case order = 2
        /// Augmentation; index = epoch and sample.
        case augmentation = 3
        /// Dropout masks; index = step and sample.
        case dropout = 4
        /// The drawing of synthetic samples; index = the sample.
        case synthesis = 5
        /// Random data for benchmarks and tests; index = free.
        case benchmark = 6
        /// Which shard a step's audit computes again, and who does; index = the step.
        case audit = 7
        /// Noise behind normalisations; index = step, layer and sample.
        case noise = 8
    }

    private let key: (UInt32, UInt32)
    private let purpose: UInt32
    private let index: UInt64

    /// The stream of (seed, purpose, index).
    public init(seed: UInt64, purpose: Purpose, index: UInt64) {
        key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        self.purpose = purpose.rawValue
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
