import Foundation
import TestSupport
import Testing

@testable import Kernels

@Suite("Hashes of bits")
struct BitHashTests {
    @Test("one flipped bit of any value changes the hash, at every length and place")
    func everyBit() {
        for count in [1, 2, 15, 16, 17, 31, 33, 100] {
            var values = (0..<count).map { Float($0) * 0.37 - 3 }
            let hash = bitHash(values, count: count)
            #expect(bitHash(values, count: count) == hash)
            for index in 0..<count {
                for bit in 0..<32 {
                    let value = values[index]
                    values[index] = Float(bitPattern: value.bitPattern ^ 1 << UInt32(bit))
                    #expect(bitHash(values, count: count) != hash, "\(count), \(index), \(bit)")
                    values[index] = value
                }
            }
        }
    }

    @Test("order, length, the sign of zero and the bits of NaN count")
    func differences() {
        func hash(_ values: [Float]) -> UInt64 { bitHash(values, count: values.count) }
        #expect(hash([1, 2]) != hash([2, 1]))
        #expect(hash([0]) != hash([0, 0]))
        #expect(hash([]) != hash([0]))
        #expect(hash([0]) != hash([-0.0]))
        #expect(hash([.nan]) != hash([Float(bitPattern: Float.nan.bitPattern + 1)]))
        // Values that change places between lanes, and a long array of equal ones.
        let long = [Float](repeating: 1, count: 4096)
        var other = long
        other[0] = 2
        var another = long
        another[1] = 2
        #expect(Set([hash(long), hash(other), hash(another), hash(long.dropLast())]).count == 4)
    }

    @Test("Float64 values are hashed by all of their bits")
    func doubles() {
        var values: [Double] = [1, -2.5, 1e300]
        let hash = bitHash(values, count: 3)
        for index in values.indices {
            for bit in 0..<64 {
                let value = values[index]
                values[index] = Double(bitPattern: value.bitPattern ^ 1 << UInt64(bit))
                #expect(bitHash(values, count: 3) != hash)
                values[index] = value
            }
        }
    }
}
