import KernelReferences
import TestSupport
import Testing

@testable import Kernels

@Suite("channel moments")
struct ChannelMomentsTests {
    static func moments(
        _ input: [Float], channels: Int, offset: Int = 0
    ) -> (mean: [Double], m2: [Double]) {
        let input = GuardedBuffer(input, offset: offset)
        let mean = GuardedBuffer<Double>(count: channels, offset: offset % 3)
        let m2 = GuardedBuffer<Double>(count: channels)
        channelMoments(
            input: input.pointer, rows: input.values.count / channels, channels: channels,
            mean: mean.pointer, m2: m2.pointer)
        #expect(mean.isIntact && m2.isIntact && input.isIntact)
        return (mean.values, m2.values)
    }

    @Test("they are those of the Float64 reference", arguments: channelShapes)
    func reference(rows: Int, channels: Int) {
        let input = normals(rows * channels, mean: 3, index: 1)
        let actual = Self.moments(input, channels: channels, offset: channels % 4)
        let expected = channelMomentsReference(input: doubles(input), channels: channels)
        #expect(largestDifference(actual.mean, expected.mean) < 1e-14)
        #expect(largestDifference(actual.m2, expected.m2) < 1e-13)
        #expect(actual.m2.allSatisfy { $0 >= 0 })
    }

    @Test("plain sums are those of the reference", arguments: channelShapes)
    func sums(rows: Int, channels: Int) {
        let values = normals(rows * channels, mean: 1, index: 2)
        let input = GuardedBuffer(values, offset: 1)
        let sum = GuardedBuffer<Double>(count: channels)
        let squares = GuardedBuffer<Double>(count: channels, offset: 1)
        channelSums(
            input: input.pointer, rows: rows, channels: channels, sum: sum.pointer,
            squares: squares.pointer)
        let expected = channelSumsReference(input: doubles(values), channels: channels)
        #expect(largestDifference(sum.values, expected.sum) < 1e-14)
        #expect(largestDifference(squares.values, expected.squares) < 1e-14)
        #expect(sum.isIntact && squares.isIntact)
    }

    @Test("alignment changes no bit", arguments: [1, 17, 100])
    func alignment(channels: Int) {
        let input = normals(33 * channels, index: 3)
        let aligned = Self.moments(input, channels: channels)
        for offset in [1, 2, 5, 15] {
            let moved = Self.moments(input, channels: channels, offset: offset)
            #expect(bits(moved.mean) == bits(aligned.mean))
            #expect(bits(moved.m2) == bits(aligned.m2))
        }
    }

    @Test("a channel does not depend on its neighbours or its place in the row")
    func neighbours() {
        let rows = 15
        let input = normals(rows * 37, index: 4)
        let whole = Self.moments(input, channels: 37)
        for c in [0, 15, 16, 31, 32, 36] {
            let alone = Self.moments((0..<rows).map { input[$0 * 37 + c] }, channels: 1)
            #expect(alone.mean[0].bitPattern == whole.mean[c].bitPattern)
            #expect(alone.m2[0].bitPattern == whole.m2[c].bitPattern)
        }
    }

    @Test("a constant channel gives exactly its value and 0", arguments: [0.1, -1e30, 1e-30, 0])
    func constant(value: Float) {
        for rows in [1, 2, 3, 7, 33, 1001] {
            let moments = Self.moments(Array(repeating: value, count: rows * 17), channels: 17)
            #expect(moments.mean == Array(repeating: Double(value), count: 17))
            #expect(moments.m2 == Array(repeating: 0, count: 17))
        }
    }

    @Test("no rows give 0 and 0")
    func empty() {
        let moments = Self.moments([], channels: 19)
        #expect(moments.mean == Array(repeating: 0, count: 19))
        #expect(moments.m2 == Array(repeating: 0, count: 19))
    }

    @Test(
        "NaN and infinity reach M2, of their own channel only", arguments: [Float.nan, .infinity])
    func nonFinite(value: Float) {
        var input = normals(7 * 18, index: 5)
        input[3 * 18 + 17] = value
        let moments = Self.moments(input, channels: 18)
        #expect(moments.m2[17].isNaN)
        #expect(moments.m2[..<17].allSatisfy { $0.isFinite })
    }

    @Test("a first row far from the others costs what the documentation says")
    func outlier() {
        var input = normals(1000, deviation: 1e-3, index: 6)
        input[0] = 1e6
        let actual = Self.moments(input, channels: 1)
        let expected = channelMomentsReference(input: doubles(input), channels: 1)
        #expect(largestDifference(actual.m2, expected.m2) < 1e6 * 0x1p-53)
    }
}
