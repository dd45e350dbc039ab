/// The extents of a tensor, outermost dimension first: `[N, C]`, `[N, H, W, C]`, `[out, in]`.
public struct Shape: Hashable, Sendable, CustomStringConvertible, ExpressibleByArrayLiteral {
    /// The extents, outermost first. None is negative; one may be zero.
    public let dimensions: [Int]

    /// A shape with these extents.
    ///
    /// Edge cases: no extents at all is a scalar, of one element; an extent of zero is a tensor of
    /// no elements.
    public init(_ dimensions: [Int]) {
        precondition(dimensions.allSatisfy { $0 >= 0 }, "an extent is negative: \(dimensions)")
        self.dimensions = dimensions
    }

    /// A shape with these extents.
    public init(arrayLiteral elements: Int...) { self.init(elements) }

    /// The number of elements: the product of the extents.
    public var count: Int { dimensions.reduce(1, *) }

    /// The extent of dimension `axis`.
    public subscript(axis: Int) -> Int { dimensions[axis] }

    /// As PyTorch prints it: `[128, 784]`.
    public var description: String { "\(dimensions)" }
}
