package import Kernels
package import TensorCore

/// The workers of a rank, as they compute the first product and sum up the gradients of all
/// products together: each a slice of every weight, over the rows of all of them.
///
/// A worker that computed its own rows' whole gradient would write as many values as there are
/// weights, and read as many again from its team-mates' caches; inputs and output gradients are far
/// fewer. The bits are the same: shards are summed one by one and added along the tree.
package protocol GradientTeam: AnyObject {
    /// Workers of the rank, and which of them this is.
    var threads: Int { get }
    var thread: Int { get }

    /// The rank's nodes; their shards count from the rank's first.
    var nodes: [GradientAccumulator.Node] { get }

    /// The most rows, and the shards, of the whole rank.
    var rows: Int { get }
    var shards: Int { get }

    /// The rows of each thread, counted from the rank's first, for the batch of shape `index`.
    func threadRows(ofShape index: Int) -> [Range<Int>]

    /// The shard whose own gradients are kept, too; counted from the rank's first.
    var captured: ShardCapture? { get }

    /// Takes a product into the team, before the first step; returns its number.
    func join(_ product: any TeamProduct) -> Int

    /// Leaves this worker's rows of product `number` to be summed up when those of all are there:
    /// after the whole backward pass, so that the team meets once for all products.
    func leave(_ number: Int, input: Tensor, outputGradient: Tensor, shape: Int)

    /// Every thread's `tensor` of the same layer; all call it, before the first step. Team-mates
    /// may write to it for as long as the team lives.
    func share(_ tensor: Tensor) throws -> [UnsafeMutablePointer<Float>]

    /// Waits for all workers of the rank.
    func meet() throws

    /// What this worker is about to read of its team-mates, for kernels that can hide how it comes;
    /// nil where there are none.
    var prefetchQueue: PrefetchQueue? { get }
}

/// A product whose weight gradient a team sums up.
package protocol TeamProduct: AnyObject {
    /// Values in a row of its input and of its output.
    var columns: (input: Int, output: Int) { get }

    /// The parts of the flat gradient that this worker sums up, and then updates.
    var slices: [Range<Int>] { get }

    /// Those of the weight that team-mates sum up.
    var othersSlices: [Range<Int>] { get }

    /// The columns of the inputs that `slices` take.
    var inputSlice: Range<Int> { get }

    /// Whether its sums take so long that what the other products need of team-mates can be fetched
    /// meanwhile.
    var hidesFetching: Bool { get }

    /// Sums up this worker's slices over the rows of all shards of the rank.
    func sumSlices(of shards: UnsafeBufferPointer<WeightGradients.Operands>)
}

extension LayerTraits {
    /// Those of a product over all rows, whose weight gradient `team` may sum up.
    static func product(of team: (any GradientTeam)?) -> LayerTraits {
        var traits = LayerTraits()
        traits.time = .product
        traits.weights = .product
        traits.keepsOutputGradient = team != nil
        return traits
    }
}

extension GradientTeam {
    /// The part of a weight's inputs that this worker sums up.
    package func slice(ofInputs inputs: Int) -> Range<Int> {
        thread * inputs / threads..<(thread + 1) * inputs / threads
    }

    /// Where the captured shard's gradients go, if it is one of `node`'s.
    ///
    /// - Parameter places: of weight and bias in the flat vector.
    package func capture(
        in node: GradientAccumulator.Node,
        places: (UnsafeMutablePointer<Float>) -> (
            weight: UnsafeMutablePointer<Float>, bias: UnsafeMutablePointer<Float>?
        )
    ) -> WeightGradients.Capture? {
        guard let captured, node.shards.contains(captured.shard) else { return nil }
        let (weight, bias) = places(captured.values)
        return WeightGradients.Capture(
            shard: captured.shard - node.shards.lowerBound, weightGradient: weight,
            biasGradient: bias)
    }

    /// Whether this worker sums up the biases.
    package var sumsBiases: Bool { thread == 0 }
}

/// Where one shard's own contributions to the gradients are kept, beside being added to others:
/// for an audit.
package struct ShardCapture {
    /// The shard.
    package let shard: Int
    /// A flat vector, laid out like the parameters.
    package let values: UnsafeMutablePointer<Float>

    package init(shard: Int, values: UnsafeMutablePointer<Float>) {
        self.shard = shard
        self.values = values
    }

    /// Keeps some values, `run`, of the contribution to a parameter in `slot`.
    ///
    /// - Parameter first: the first value of the parameter, which lies at `slot`.
    fileprivate func take(_ run: Range<Int>, of first: Int, from slot: UnsafeMutablePointer<Float>)
    {
        (values + first + run.lowerBound).update(from: slot + run.lowerBound, count: run.count)
    }
}

/// A worker's share of the gradient tree: adds up what its shards contribute, as they come.
///
/// A binary counter. A shard's contribution to a parameter is written to the slot on top of a
/// stack; then the top two are merged as often as the tree says. The lowest slots end up as the
/// worker's nodes, which other workers read; the others are scratch, as large as the largest
/// parameter and shared by all of them.
public final class GradientAccumulator {
    /// One of the worker's nodes: a maximal subtree of the tree over all shards.
    package struct Node {
        /// Its shards, counted from the worker's first.
        package let shards: Range<Int>
        /// Its flat vector, laid out like the parameters.
        package let values: UnsafeMutablePointer<Float>

        package init(shards: Range<Int>, values: UnsafeMutablePointer<Float>) {
            self.shards = shards
            self.values = values
        }
    }

    /// The worker's nodes, in shard order. A kernel that can add up several shards by itself
    /// writes here directly, along the same tree.
    package let nodes: [Node]

    /// The workers of the rank as they sum up the gradients of products together; nil where each
    /// sums up its own shards' into `nodes`.
    package let team: (any GradientTeam)?

    /// The shard whose own gradients are kept, too; counted from the worker's first.
    package var captured: ShardCapture?

    /// The rank's gradient, for the worker who writes what all know; nil for its team-mates.
    private let known: UnsafeMutablePointer<Float>?

    private let merges: [Int]
    /// Slots in use before each of this worker's shards.
    private let heights: [Int]
    /// By member of the worker's crew.
    private let scratch: [[Tensor]]

    /// - Parameters:
    ///   - nodes: this worker's nodes.
    ///   - merges: merges due after each of this worker's shards.
    ///   - depth: the largest height of the stack.
    ///   - largest: values of the largest parameter that goes through `accumulate`.
    ///   - team: sums up products' gradients together, if there is one.
    ///   - members: threads that add up parts of parameters at the same time.
    ///   - known: the rank's gradient, on one worker of it.
    package init(
        nodes: [Node], merges: [Int], depth: Int, largest: Int,
        team: (any GradientTeam)? = nil, members: Int = 1,
        known: UnsafeMutablePointer<Float>? = nil
    ) {
        self.known = known
        self.nodes = nodes
        self.team = team
        self.merges = merges
        var height = 0
        heights = merges.map { merges in
            defer { height += 1 - merges }
            return height
        }
        scratch = (0..<members).map { _ in
            (nodes.count..<max(depth, nodes.count)).map { _ in Tensor(rows: 1, columns: largest) }
        }
    }

    /// Gives the values `range` of the gradient, which every worker knows of the whole batch: one worker
    /// of the rank writes them; the others read them after the meeting that opens the sum of the others.
    package func give(
        _ range: Range<Int>, write: (_ destination: UnsafeMutablePointer<Float>) -> Void
    ) {
        if let known { write(known + range.lowerBound) }
    }

    /// The number of this worker's shards.
    public var shards: Int { merges.count }

    /// Adds up every shard's contribution to the values `range` of the flat gradient.
    ///
    /// - Parameter write: writes what shard `shard` (of this worker's) contributes; a shard
    ///   without samples contributes zeros, which it must write.
    @inline(__always)
    package func accumulate(
        _ range: Range<Int>,
        write: (_ shard: Int, _ destination: UnsafeMutablePointer<Float>) throws -> Void
    ) rethrows {
        try accumulate(
            range, WeightPart(count: range.count), of: merges.indices, member: 0, write: write)
    }

    /// Adds up the contributions of some shards to a part of the values `range`. Shards come in order,
    /// those of one call behind those of the call before it for that part.
    ///
    /// - Parameters:
    ///   - shards: by their positions among this worker's.
    ///   - member: of the worker's crew: members may work at the same time, on different parts.
    ///   - write: writes that part of what shard `shard` contributes; `destination` is the place of
    ///     the first of all values.
    @inline(__always)
    package func accumulate(
        _ range: Range<Int>, _ part: WeightPart, of shards: Range<Int>, member: Int,
        write: (_ shard: Int, _ destination: UnsafeMutablePointer<Float>) throws -> Void
    ) rethrows {
        func slot(_ height: Int) -> UnsafeMutablePointer<Float> {
            height < nodes.count
                ? nodes[height].values + range.lowerBound
                : scratch[member][height - nodes.count].pointer
        }
        for shard in shards {
            var height = heights[shard]
            try write(shard, slot(height))
            if let captured, captured.shard == shard {
                part.forEachRun {
                    captured.take($0, of: range.lowerBound, from: slot(height))
                }
            }
            height += 1
            for _ in 0..<merges[shard] {
                let (left, right) = (slot(height - 2), slot(height - 1))
                part.forEachRun {
                    add(right + $0.lowerBound, into: left + $0.lowerBound, count: $0.count)
                }
                height -= 1
            }
        }
    }
}
