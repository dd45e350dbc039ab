import Layers
import TensorCore

/// What each part of a shard contributes to statistics, until they are brought together in order: parts
/// may be computed in any order, and at the same time.
struct StatisticsParts: ~Copyable {
    private let length: Int
    private var values: UnsafeMutablePointer<Double>?
    private var blocksOfShapes: [[Block]] = []

    /// Parts of `length` Float64 values; `plan` makes room for them.
    init(length: Int) { self.length = length }

    deinit { values?.deallocate() }

    /// Makes room for the parts of `blocks`, by the index of their shape.
    mutating func plan(_ blocks: [[Block]]) {
        values?.deallocate()
        let parts = blocks.map { $0.reduce(0) { $0 + $1.shards.count } }.max() ?? 0
        let memory = alignedAllocation(of: Double.self, count: parts * length)
        memory.initialize(repeating: 0, count: parts * length)
        values = memory
        blocksOfShapes = blocks
    }

    /// The blocks of a pass, in order.
    func blocks(_ pass: Pass) -> [Block] { blocksOfShapes[pass.shape.index] }

    /// Part `index`.
    subscript(index: Int) -> UnsafeMutablePointer<Double> {
        guard let values else { preconditionFailure("statistics have planned their parts") }
        return values + index * length
    }
}
