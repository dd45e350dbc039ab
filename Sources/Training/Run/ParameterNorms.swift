import Kernels
import Layers

/// Norms of the gradient, as a whole and tensor by tensor, and of the parameters of one rank.
///
/// Sums of squares are taken over chunks that are counted from each tensor's start, and added up in
/// their order: how the workers divide the chunks among them changes no bit, and neither does the
/// number of ranks, each of which has the whole gradient.
///
/// Shared by the workers of the rank: each measures its own chunks, then all meet, then all read.
final class ParameterNorms: Sendable {
    /// A tensor in the flat buffers.
    struct Tensor: Sendable {
        /// Where it lies, with the zeros behind it.
        let range: Range<Int>
        let isWeight: Bool
        let decays: Bool
        /// Whether it stays as it is; its gradient then counts for nothing.
        var isFrozen = false
    }

    /// A part of a tensor, the unit of all sums.
    struct Chunk: Sendable {
        let range: Range<Int>
        let tensor: Int
    }

    /// Values of a chunk: 16 KB, so that gradient and parameters of one stay in the L1 cache.
    private static let chunkLength = 4096

    let tensors: [Tensor]
    let chunks: [Chunk]
    /// The chunks of each tensor.
    private let chunksOfTensor: [Range<Int>]
    private let replica: Replica
    private let measuresParameters: Bool

    /// Σg² and Σw² of every chunk, [chunks, 2].
    nonisolated(unsafe) private let sums: UnsafeMutablePointer<Double>

    /// - Parameters:
    ///   - tensors: all of the replica's, ascending.
    ///   - ofParameters: whether the parameters' norms are wanted beside the gradient's.
    init(tensors: [Tensor], replica: Replica, ofParameters: Bool) {
        self.tensors = tensors
        self.replica = replica
        measuresParameters = ofParameters
        var chunks: [Chunk] = []
        var chunksOfTensor: [Range<Int>] = []
        for (index, tensor) in tensors.enumerated() {
            let first = chunks.count
            for start in stride(
                from: tensor.range.lowerBound, to: tensor.range.upperBound, by: Self.chunkLength)
            {
                let end = min(start + Self.chunkLength, tensor.range.upperBound)
                chunks.append(Chunk(range: start..<end, tensor: index))
            }
            chunksOfTensor.append(first..<chunks.count)
        }
        self.chunks = chunks
        self.chunksOfTensor = chunksOfTensor
        sums = .allocate(capacity: max(2 * chunks.count, 1))
        sums.initialize(repeating: 0, count: max(2 * chunks.count, 1))
    }

    deinit { sums.deallocate() }

    /// The chunks that worker `thread` of `threads` of the rank measures and updates: those that
    /// begin in its part of the flat buffers.
    func chunks(ofThread thread: Int, of threads: Int) -> Range<Int> {
        let length = replica.layout.length
        func first(_ thread: Int) -> Int {
            chunks.firstIndex { $0.range.lowerBound * threads >= thread * length } ?? chunks.count
        }
        return first(thread)..<first(thread + 1)
    }

    /// Measures some chunks of the complete gradient.
    func measure(_ part: Range<Int>) {
        for index in part {
            let range = chunks[index].range
            if tensors[chunks[index].tensor].isFrozen { continue }
            sums[2 * index] = sumOfSquares(
                replica.gradient + range.lowerBound, count: range.count)
            if measuresParameters {
                sums[2 * index + 1] = sumOfSquares(
                    replica.parameters + range.lowerBound, count: range.count)
            }
        }
    }

    /// ‖g‖ over all parameters.
    var gradientNorm: Double { norm(chunks.indices, 0) }

    /// ‖g‖ and ‖w‖ of one tensor.
    func norms(ofTensor tensor: Int) -> (gradient: Double, parameter: Double) {
        (norm(chunksOfTensor[tensor], 0), norm(chunksOfTensor[tensor], 1))
    }

    private func norm(_ part: Range<Int>, _ column: Int) -> Double {
        var sum = 0.0
        for index in part { sum += sums[2 * index + column] }
        return sum.squareRoot()
    }

    /// Shortens the gradient in `range`.
    func scaleGradient(in range: Range<Int>, by factor: Double) {
        scale(replica.gradient + range.lowerBound, by: Float(factor), count: range.count)
    }
}
