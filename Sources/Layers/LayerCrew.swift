/// The threads that a worker's layers run on: the worker's own, member 0, and others where there are more
/// threads than shards. What they compute has the same bits on any of them.
package protocol LayerCrew: AnyObject {
    /// Threads.
    var members: Int { get }

    /// Prepares what all members will do at the same time, each its part; once, before the first step.
    ///
    /// - Returns: what member 0 calls to have it done, by all.
    func prepare(_ work: @escaping (_ member: Int) throws -> Void) -> () throws -> Void
}

/// A member's share of a piece of work that divides into units.
public struct Share {
    /// Which thread of the crew it is.
    public let member: Int
    /// Threads of the crew.
    public let members: Int
    /// The member's turn: work of few units goes to other members from one layer to the next.
    private let turn: Int

    /// Of layer number `layer`.
    package init(member: Int, of members: Int, layer: Int) {
        (self.member, self.members) = (member, members)
        turn = (member + layer) % members
    }

    /// All of it.
    public static var whole: Share { Share(member: 0, of: 1, layer: 0) }

    /// Its part of `units`.
    public func part(of units: Int) -> Range<Int> {
        turn * units / members..<(turn + 1) * units / members
    }

    /// Whether it is the first: that of little more to do, where units are fewer than members.
    public var isFirst: Bool { turn == 0 }
}
