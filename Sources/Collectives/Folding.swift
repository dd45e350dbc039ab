/// Carries out a `FoldPlan` on Float64 vectors: a stack of nodes, merged as the plan says.
///
/// Inputs are read where they lie; merged nodes are written to this object's own slots, so that
/// nobody's published node changes while others read it.
final class StatisticsFold {
    private let plan: FoldPlan
    private let merging: Merging
    private let length: Int
    private let slots: UnsafeMutablePointer<Double>
    private let slotStride: Int
    private var stack: [UnsafePointer<Double>] = []

    /// - Parameter slots: memory for `plan.depth` nodes, `slotStride` values apart.
    init(
        _ plan: FoldPlan, merging: Merging, length: Int, slots: UnsafeMutablePointer<Double>,
        slotStride: Int
    ) {
        self.plan = plan
        self.merging = merging
        self.length = length
        self.slots = slots
        self.slotStride = slotStride
        stack.reserveCapacity(plan.depth + 1)
    }

    /// The nodes left after a `run`, as `plan.results`.
    var results: [UnsafePointer<Double>] { stack }

    /// Folds all inputs. `count` tells how many values a run of shards holds per channel.
    func run(
        input: (Int) -> UnsafePointer<Double>, count: (Range<Int>) -> Int
    ) {
        stack.removeAll(keepingCapacity: true)
        for index in plan.inputs.indices {
            stack.append(input(index))
            mergeDue(after: index, count: count)
        }
    }

    /// Where input `index` of a fold in place goes: the slot on top of the stack.
    var top: UnsafeMutablePointer<Double> { slots + stack.count * slotStride }

    /// Starts a fold in place, of inputs written to `top`.
    func start() { stack.removeAll(keepingCapacity: true) }

    /// Takes input `index` that was written to `top`, and merges what is due.
    func push(_ index: Int, count: (Range<Int>) -> Int) {
        stack.append(UnsafePointer(top))
        mergeDue(after: index, count: count)
    }

    private func mergeDue(after index: Int, count: (Range<Int>) -> Int) {
        for due in plan.merges[index] {
            let right = stack.removeLast()
            let left = stack.removeLast()
            let output = top
            merge(
                merging, left: left, right: right, leftCount: count(due.left),
                rightCount: count(due.right), length: length, into: output)
            stack.append(UnsafePointer(output))
        }
    }
}

/// Carries out a `FoldPlan` for sums of Float32 vectors, chunk by chunk of a slice, so that what
/// is added is still in the first-level cache when it is used.
final class GradientFold {
    /// 8 KB a node: a handful of nodes and the parameters fit into a first-level cache.
    static let chunk = 2048

    private let plan: FoldPlan
    private let scratch: UnsafeMutablePointer<Float>
    private var stack: [UnsafePointer<Float>] = []

    init(_ plan: FoldPlan) {
        self.plan = plan
        let count = max(plan.depth, 1) * Self.chunk
        scratch = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Float>.stride, alignment: 64
        ).bindMemory(to: Float.self, capacity: count)
        scratch.initialize(repeating: 0, count: count)
        stack.reserveCapacity(plan.depth + 1)
    }

    deinit { scratch.deallocate() }

    /// Folds elements `slice` of all inputs into `outputs`, one for each of `plan.results`, and
    /// calls `done` after each chunk with the elements that are finished.
    func run(
        _ slice: Range<Int>, input: (Int) -> UnsafePointer<Float>,
        output: (Int) -> UnsafeMutablePointer<Float>, done: (Range<Int>) -> Void
    ) {
        var lower = slice.lowerBound
        while lower < slice.upperBound {
            let upper = min(lower + Self.chunk, slice.upperBound)
            fold(lower..<upper, input: input, output: output)
            done(lower..<upper)
            lower = upper
        }
    }

    private func fold(
        _ range: Range<Int>, input: (Int) -> UnsafePointer<Float>,
        output: (Int) -> UnsafeMutablePointer<Float>
    ) {
        let results = plan.results.count
        // A node at height h of the stack is either a result or merged away later: it may lie
        // where result h will be.
        func slot(_ height: Int) -> UnsafeMutablePointer<Float> {
            height < results
                ? output(height) + range.lowerBound : scratch + height * Self.chunk
        }
        stack.removeAll(keepingCapacity: true)
        for index in plan.inputs.indices {
            stack.append(input(index) + range.lowerBound)
            for _ in plan.merges[index] {
                let right = stack.removeLast()
                let left = stack.removeLast()
                let place = slot(stack.count)
                add(left: left, right: right, count: range.count, into: place)
                stack.append(UnsafePointer(place))
            }
        }
        for (height, node) in stack.enumerated() where node != UnsafePointer(slot(height)) {
            slot(height).update(from: node, count: range.count)
        }
    }
}
