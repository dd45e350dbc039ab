import TensorCore

/// Memory for copies of weights in the layouts of passes, made anew after each update.
package final class WeightCopies: Sendable {
    /// The copies behind one another, each at a multiple of 16 floats.
    nonisolated(unsafe) package let pointer: UnsafeMutablePointer<Float>

    /// Floats behind `pointer`.
    package let count: Int

    /// The ranks whose workers fill them together; none but the replica's own where it is empty.
    package let ranks: [Int]

    /// Who owns the memory; nil where it is this object's.
    private let owner: (any AnyObject & Sendable)?

    /// Zeroed memory for one worker, or one rank's workers.
    package init(count: Int) {
        pointer = alignedAllocation(of: Float.self, count: count)
        pointer.initialize(repeating: 0, count: max(count, 1))
        self.count = count
        ranks = []
        owner = nil
    }

    /// `owner`'s memory, which several ranks share.
    package init(
        _ pointer: UnsafeMutablePointer<Float>, count: Int, ranks: [Int],
        owner: any AnyObject & Sendable
    ) {
        self.pointer = pointer
        self.count = count
        self.ranks = ranks
        self.owner = owner
    }

    deinit { if owner == nil { pointer.deallocate() } }
}
