import TensorCore
import Testing

@testable import Kernels

@Suite("Transposing 16×16 values")
struct TransposeTests {
    @Test(
        "rows become columns, and nothing is written between them", arguments: [16, 32, 48],
        [16, 17, 40])
    func transposes(stride: Int, sourceStride: Int) {
        var values = [Float](repeating: -2, count: 15 * sourceStride + 16)
        for i in 0..<256 { values[i / 16 * sourceStride + i % 16] = Float(i) }
        let source = GuardedBuffer(values)
        let count = 15 * stride + 16
        let target = GuardedBuffer<Float>(Array(repeating: -1, count: count))
        transpose(
            source.pointer, sourceStride: sourceStride, into: target.pointer, stride: stride)
        for i in 0..<count {
            let (row, column) = (i / stride, i % stride)
            let expected = column < 16 ? Float(column * 16 + row) : -1
            #expect(target.pointer[i] == expected, "row \(row), column \(column)")
        }
        #expect(target.isIntact)
    }
}
