/// A hash of the bits of Float32 values, at about the speed of memory: for comparing what must be
/// equal to the last bit, not for guarding against anybody.
///
/// Sixteen lanes each fold every sixteenth word into 32 bits, h ← (h ⊕ w)·odd, h ← h ⊕ h ≫ 15, and
/// are then folded into 64 bits alike. Every step maps states one to one: two arrays that differ in
/// one word always have different hashes, others but for a chance of about 2⁻³².
///
/// - Parameter values: [count]
package func bitHash(_ values: UnsafePointer<Float>, count: Int) -> UInt64 {
    var lanes = SIMD16<UInt32>(repeating: 0x9e37_79b9)
    let words = UnsafeRawPointer(values)
    var i = 0
    while i &+ 16 <= count {
        lanes = mixed(lanes, words.loadUnaligned(fromByteOffset: i &* 4, as: SIMD16<UInt32>.self))
        i &+= 16
    }
    if i < count {
        var rest = SIMD16<UInt32>()
        for lane in 0..<count &- i {
            rest[lane] = words.loadUnaligned(fromByteOffset: (i &+ lane) &* 4, as: UInt32.self)
        }
        lanes = mixed(lanes, rest)
    }
    var hash = UInt64(truncatingIfNeeded: count)
    for lane in 0..<16 { hash = bitHash(hash, adding: UInt64(lanes[lane])) }
    return hash
}

/// The hash of Float64 values: of their words.
///
/// - Parameter values: [count]
package func bitHash(_ values: UnsafePointer<Double>, count: Int) -> UInt64 {
    values.withMemoryRebound(to: Float.self, capacity: 2 * count) { bitHash($0, count: 2 * count) }
}

/// `hash` and one more word.
package func bitHash(_ hash: UInt64, adding word: UInt64) -> UInt64 {
    var hash = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
    hash ^= hash >> 32
    return hash
}

@inline(__always)
private func mixed(_ lanes: SIMD16<UInt32>, _ words: SIMD16<UInt32>) -> SIMD16<UInt32> {
    let product = (lanes ^ words) &* SIMD16(repeating: 0x85eb_ca6b)
    return product ^ (product &>> 15)
}
