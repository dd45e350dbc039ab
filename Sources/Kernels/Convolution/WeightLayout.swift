/// Where the values of a convolution's weight lie in memory: what turns a file's order into that
/// of parameters and gradients, and back.
///
/// A file's order is PyTorch's: [K, C / groups, R, S], row by row. In memory a dimension may be cut
/// into blocks, which lie innermost, and be padded to whole blocks; padding is always 0, so that
/// optimizers, sums and norms may run over all `count` Floats.
public struct WeightLayout: Hashable, Sendable {
    /// One blocked dimension.
    public struct Block: Hashable, Sendable {
        /// Index into `dims`.
        public let dimension: Int
        /// Neighbouring indices that lie in one block.
        public let size: Int
    }

    /// [K, C, R, S], or [groups, K / groups, C / groups, R, S]; the file's order either way.
    public let dims: [Int]

    /// Floats from one block of each dimension to the next.
    public let strides: [Int]

    /// The blocks, innermost last.
    public let blocks: [Block]

    /// Floats in memory, padding included.
    public let count: Int

    init(dims: [Int], strides: [Int], blocks: [Block], count: Int) {
        self.dims = dims
        self.strides = strides
        self.blocks = blocks
        self.count = count
    }

    /// The place in memory of the value at `index` of the file's order.
    public func offset(ofFileIndex index: Int) -> Int {
        var offset = 0
        var rest = index
        for dimension in dims.indices.reversed() {
            var position = rest % dims[dimension]
            rest /= dims[dimension]
            // A block's neighbours lie as far apart as all blocks inside it are large.
            var stride = 1
            for block in blocks.reversed() {
                if block.dimension == dimension {
                    offset += position % block.size * stride
                    position /= block.size
                }
                stride *= block.size
            }
            offset += position * strides[dimension]
        }
        return offset
    }
}
