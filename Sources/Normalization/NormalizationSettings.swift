/// Over which samples BN takes its statistics.
public enum StatisticsScope: Hashable, Sendable {
    /// The whole global batch: synchronised BN.
    case global
    /// This many consecutive shards.
    case group(Int)
    /// One shard: "ghost" BN, what unsynchronised data-parallel BN does.
    case shard

    /// Shards of one statistics group, of `shards` in all.
    public func groupSize(shards: Int) -> Int {
        switch self {
        case .global: shards
        case .group(let size): size
        case .shard: 1
        }
    }
}

/// How running statistics move towards a batch's.
public enum RunningAverage: Hashable, Sendable {
    /// running ← (1 − weight)·running + weight·batch; the weight is the new value's, as PyTorch's.
    case momentum(Double)
    /// The plain average over all batches so far (PyTorch's momentum = None).
    case cumulative

    /// The weight of the new value when `batches` have been seen before it.
    public func weight(afterBatches batches: Int) -> Double {
        switch self {
        case .momentum(let weight): weight
        case .cumulative: 1 / Double(batches + 1)
        }
    }
}

/// How batch normalisation is done.
public struct BatchNormSettings: Hashable, Sendable {
    /// Over which samples statistics are taken.
    public var scope: StatisticsScope

    /// How running statistics move.
    public var average: RunningAverage

    /// Added to the variance, ε.
    public var epsilon: Double

    /// Whether the running variance takes Σ(x−μ)²/(m−1) rather than /m (TensorFlow's).
    public var unbiasedRunningVariance: Bool

    /// Whether there are γ and β.
    public var affine: Bool

    /// PyTorch's defaults, over the global batch.
    public init(
        scope: StatisticsScope = .global, average: RunningAverage = .momentum(0.1),
        epsilon: Double = 1e-5, unbiasedRunningVariance: Bool = true, affine: Bool = true
    ) {
        self.scope = scope
        self.average = average
        self.epsilon = epsilon
        self.unbiasedRunningVariance = unbiasedRunningVariance
        self.affine = affine
    }
}

/// How normalisations are done that take each sample by itself; see ``GroupNormLayer``.
public struct GroupNormSettings: Hashable, Sendable {
    /// Which of a sample's channels share a mean and a variance.
    public enum Grouping: Hashable, Sendable {
        /// All of them: layer normalisation.
        case layer
        /// None: instance normalisation.
        case instance
        /// This many groups, each of neighbours.
        case groups(Int)

        /// Groups of `channels`.
        public func count(ofChannels channels: Int) -> Int {
            switch self {
            case .layer: 1
            case .instance: channels
            case .groups(let count): count
            }
        }
    }

    /// Which channels share statistics.
    public var grouping: Grouping

    /// Added to the variance, ε.
    public var epsilon: Double

    /// Whether there are γ and β.
    public var affine: Bool

    /// PyTorch's defaults.
    public init(_ grouping: Grouping, epsilon: Double = 1e-5, affine: Bool = true) {
        self.grouping = grouping
        self.epsilon = epsilon
        self.affine = affine
    }
}
