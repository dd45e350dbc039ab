/// What a collective is: sent ahead of its payload, and equal on all workers or an error.
///
/// 32 bytes on the wire: step, layer, kind, length, in this order, in the byte order of the host.
public struct Fingerprint: Hashable, Sendable {
    /// What is being reduced or exchanged.
    public enum Kind: Int32, Sendable, CaseIterable {
        /// BN forward: per-channel count, mean and M2.
        case moments = 1
        /// BN backward: per-channel sums over the output gradient.
        case momentGradients = 2
        /// Gradients of parameters.
        case gradients = 3
        /// Losses, metrics and running statistics.
        case metrics = 4
        /// Nothing but meeting.
        case barrier = 5
        /// Digests of replicas.
        case digest = 6
        /// What ranks compare at the start.
        case start = 7
    }

    /// The optimizer step, from 1; 0 before the first.
    public var step: Int64

    /// The ordinal of the layer among those that communicate; -1 where no layer is concerned.
    public var layer: Int32

    /// What is being reduced.
    public var kind: Kind

    /// Payload values per node of the tree.
    public var length: Int64

    /// A fingerprint.
    public init(step: Int, layer: Int, kind: Kind, length: Int) {
        self.step = Int64(step)
        self.layer = Int32(layer)
        self.kind = kind
        self.length = Int64(length)
    }
}
