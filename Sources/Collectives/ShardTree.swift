/// The fixed binary tree over a run of shards, along which every sum over samples is taken.
///
///     node(lo, hi) = node(lo, mid) ⊕ node(mid, hi),  mid = lo + the largest power of two < hi − lo
///
/// A worker adds up the nodes that lie wholly in its range, as large as they come; whoever holds
/// both children of a node can finish it. The order of additions is therefore a property of the
/// shards alone, and the worker count cannot change a bit of the sum.
struct ShardTree: Hashable, Sendable {
    /// The shards under the root.
    let shards: Range<Int>

    /// Where node(lo, hi) is cut, for hi − lo ≥ 2.
    static func middle(of node: Range<Int>) -> Int {
        precondition(node.count >= 2, "a leaf is not cut")
        var half = 1
        while half * 2 < node.count { half *= 2 }
        return node.lowerBound + half
    }

    /// Whether `left` and `right` are the two children of one node.
    func areSiblings(_ left: Range<Int>, _ right: Range<Int>) -> Bool {
        guard left.upperBound == right.lowerBound else { return false }
        guard shards.lowerBound <= left.lowerBound, right.upperBound <= shards.upperBound else {
            return false
        }
        let parent = left.lowerBound..<right.upperBound
        var node = shards
        while node != parent {
            guard node.count >= 2 else { return false }
            let middle = Self.middle(of: node)
            if parent.upperBound <= middle {
                node = node.lowerBound..<middle
            } else if parent.lowerBound >= middle {
                node = middle..<node.upperBound
            } else {
                return false
            }
        }
        return Self.middle(of: parent) == left.upperBound
    }
}

/// One tree for each statistics group: `group` consecutive shards each.
struct ShardForest: Hashable, Sendable {
    /// All shards.
    let shards: Int

    /// Shards of a group; divides `shards`.
    let group: Int

    init(shards: Int, group: Int) {
        precondition(shards > 0 && group > 0 && shards % group == 0, "groups divide the shards")
        self.shards = shards
        self.group = group
    }

    /// The number of groups.
    var groups: Int { shards / group }

    /// The group that holds shard `shard`.
    func group(ofShard shard: Int) -> Int { shard / group }

    /// The shards of group `index`.
    func shards(ofGroup index: Int) -> Range<Int> { index * group..<(index + 1) * group }

    /// Whether `node` is the root of its group's tree.
    func isRoot(_ node: Range<Int>) -> Bool {
        node == shards(ofGroup: group(ofShard: node.lowerBound))
    }

    /// Whether `left` and `right` are the two children of one node of one tree.
    func areSiblings(_ left: Range<Int>, _ right: Range<Int>) -> Bool {
        ShardTree(shards: shards(ofGroup: group(ofShard: left.lowerBound)))
            .areSiblings(left, right)
    }
}

/// The order in which one holder of partial results (a worker of its shards, a team of its
/// workers' nodes, the world of its ranks' nodes) brings them together: a binary counter.
///
/// Inputs are pushed on a stack in shard order; after a push, siblings on top are merged. What is
/// left at the end are the maximal subtrees of the range.
struct FoldPlan: Hashable, Sendable {
    /// Bring the node on top of the stack together with the one below it.
    struct Merge: Hashable, Sendable {
        let left: Range<Int>
        let right: Range<Int>
    }

    /// The nodes that are pushed, in shard order.
    let inputs: [Range<Int>]

    /// What is merged after each push.
    let merges: [[Merge]]

    /// The nodes that are left, in shard order.
    let results: [Range<Int>]

    /// The largest number of nodes on the stack.
    let depth: Int

    /// A plan for `inputs`.
    ///
    /// - Parameter meet: says of two neighbours whether they are to be merged.
    init(inputs: [Range<Int>], meet: (Range<Int>, Range<Int>) -> Bool) {
        var stack: [Range<Int>] = []
        var merges: [[Merge]] = []
        var depth = 0
        for input in inputs {
            stack.append(input)
            depth = max(depth, stack.count)
            var now: [Merge] = []
            while stack.count >= 2, meet(stack[stack.count - 2], stack[stack.count - 1]) {
                let right = stack.removeLast()
                let left = stack.removeLast()
                now.append(Merge(left: left, right: right))
                stack.append(left.lowerBound..<right.upperBound)
            }
            merges.append(now)
        }
        self.inputs = inputs
        self.merges = merges
        self.results = stack
        self.depth = depth
    }
}
