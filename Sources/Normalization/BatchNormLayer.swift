public import Collectives
public import Kernels
public import Layers
public import TensorCore

/// Synchronised batch normalisation, with the activation behind it fused in.
///
///     y = f(γ·(x − μ)/√(σ² + ε) + β + addend),   μ, σ² over the m values of a statistics group
///     dz = dy·f′(y)
///     dx = γ/√(σ² + ε)·(dz − Σdz/m − (x − μ)·Σdz(x − μ)/(m(σ² + ε)))
///     dβ = Σdz,  dγ = Σdz(x − μ)/√(σ² + ε)
///
/// - input, output [N·positions, C]: [N, C], or [N, H, W, C] with positions = H·W
/// - γ, β, running mean and variance [C]
///
/// Forward and backward each meet the other workers once: this is the only layer that does. σ² is
/// the biased variance, as in all frameworks. Where σ² + ε = 0 the output is exactly f(β), and the
/// input gradient 0. Ioffe, Szegedy, "Batch normalization", 2015; shard statistics are merged by
/// Chan's formula.
public final class BatchNormLayer: MeetingLayer, AddingLayer, RecomputedLayer {
    /// The name in messages and files: `layers.1`.
    public let name: String

    /// Values of one sample's output, C·positions.
    public let outputs: Int
    let channels: Int

    /// What a training pass normalises by.
    public enum Statistics: Hashable, Sendable {
        /// The batch's own.
        case batch
        /// The running ones, which stay as they are: a frozen layer.
        case frozen
    }

    /// Where this layer's tensors lie in the replica's flat buffers.
    public struct Placement: Hashable, Sendable {
        /// γ, nil without affine.
        public let scale: Range<Int>?
        /// β, nil without affine.
        public let shift: Range<Int>?
        /// The running means.
        public let mean: Range<Int>
        /// The running variances.
        public let variance: Range<Int>
        /// Where the number of batches stands; see `RunningStatistics.index`.
        public let index: Int

        /// A layer's tensors.
        public init(scale: Parameter?, shift: Parameter?, running: RunningStatistics) {
            self.scale = scale?.range
            self.shift = shift?.range
            mean = running.mean
            variance = running.variance
            index = running.index
        }
    }

    let settings: BatchNormSettings
    let statistics: Statistics
    let activation: ActivationKind
    let positions: Int
    private let adds: Bool
    private let rows: Int
    let shards: Int
    let communicator: Communicator
    let replica: Replica
    let gradients: GradientAccumulator
    let placement: Placement
    let isLiteral: Bool

    /// Forward and backward collectives; nil in frozen layers, which meet nobody.
    let moments: StatisticsReduction
    let sums: StatisticsReduction

    /// y, [N·positions, C].
    public var output: Tensor { ownOutput }
    private lazy var ownOutput = Tensor(rows: rows * positions, columns: channels)

    /// The other summand before the activation, [N·positions, C].
    public var addend: Tensor?

    /// Whether passes of mode calibration take the batch's statistics.
    package var isCalibrating = true

    /// Whether this layer computes one shard again, in a network of that shard alone.
    let isAudit: Bool

    /// Where it has the statistics from that other shards contribute to, too: a layer of the run and
    /// one of its groups. Nil where the shard is a group by itself.
    package var audited: (layer: BatchNormLayer, group: Int)?

    /// What each part of a shard contributes, forward and backward, [2·C].
    var momentParts: StatisticsParts
    var gradientParts: StatisticsParts

    /// Per statistics group that this worker has a shard of, its coefficients [groups, C].
    let coefficients: [GroupCoefficients]
    let firstGroup: Int

    /// Σdz and Σdz(x − μ) of each of this worker's shards, [shards, 2·C]; nil unless frozen.
    let shardSums: UnsafeMutablePointer<Double>?

    /// γ where there is none: 1; β: 0.
    private let ones: Tensor
    private let zeros: Tensor

    /// - Parameters:
    ///   - activation: what follows at once, `.identity` for nothing.
    ///   - adds: whether there will be an `addend`.
    ///   - positions: values a channel of one sample, H·W.
    ///   - ordinal: counts the layers that communicate, for fingerprints.
    ///   - shards: the number of shards of every batch.
    ///   - rows: the most samples of a pass on this worker.
    ///   - isAudit: whether single shards are computed again, in a world of one: `shards` is 1.
    public init(
        name: String, channels: Int, settings: BatchNormSettings,
        statistics: Statistics = .batch, activation: ActivationKind = .identity,
        adds: Bool = false, positions: Int = 1, ordinal: Int, shards: Int, rows: Int,
        placement: Placement,
        communicator: Communicator, replica: Replica, gradients: GradientAccumulator,
        isAudit: Bool = false
    ) {
        self.name = name
        self.isAudit = isAudit
        outputs = channels * positions
        self.channels = channels
        self.settings = settings
        self.statistics = statistics
        self.activation = activation
        self.adds = adds
        self.positions = positions
        self.shards = shards
        self.communicator = communicator
        self.replica = replica
        self.gradients = gradients
        self.placement = placement
        isLiteral = communicator.world.arithmetic == .mpi
        let group = isAudit ? 1 : settings.scope.groupSize(shards: shards)
        moments = StatisticsReduction(
            communicator, shards: shards, group: group, length: 2 * channels, moments: true,
            kind: .moments, layer: ordinal)
        sums = StatisticsReduction(
            communicator, shards: shards, group: group, length: 2 * channels, moments: false,
            kind: .momentGradients, layer: ordinal)
        self.rows = rows
        momentParts = StatisticsParts(length: 2 * channels)
        gradientParts = StatisticsParts(length: 2 * channels)
        let first = moments.group(ofShard: moments.shards.lowerBound)
        let last = moments.group(ofShard: moments.shards.upperBound - 1)
        firstGroup = first
        coefficients = (first...last).map { _ in GroupCoefficients(channels: channels) }
        shardSums =
            statistics == .frozen
            ? communicator.buffer(of: Double.self, count: moments.shards.count * 2 * channels)
                .pointer : nil
        ones = Tensor(rows: 1, columns: channels)
        ones.pointer.update(repeating: 1, count: channels)
        zeros = Tensor(rows: 1, columns: channels)
        // Over the whole batch every worker knows dγ and dβ; otherwise they are summed with the
        // other gradients, and must lie among them.
        let travels = statistics == .frozen || group < shards
        precondition(
            isAudit
                || [placement.scale, placement.shift].allSatisfy {
                    $0.map { ($0.upperBound <= replica.layout.reduced) == travels } ?? true
                }, "γ and β lie among the summed gradients exactly where they are summed")
    }

    /// Time counts as that of normalisations.
    public var kind: LayerKind { .normalization }

    /// Images come block by block.
    public var samplesPerBlock: Int? {
        positions > 1 ? imagesPerBlock(values: outputs) : nil
    }

    /// dx may be written over dz.
    public var worksInPlace: Bool { true }

    /// Blocks share nothing.
    public var takesBlocksTogether: Bool { true }

    /// dz is written over dy, but where backward can find it again.
    public var writesObservedGradient: Bool { activation != .identity && !findsSlopeAgain }

    /// Whether ReLU's slope is found from the input: x is read anyway, y and dz then need not be.
    /// With an addend dz is that one's gradient, and z more than x tells.
    private var findsSlopeAgain: Bool { activation == .relu && !adds }

    /// Whether the worker's rows, 8 MiB or more of each tensor, have left the caches by the time that
    /// a pass comes back to the first. Measured on Zen 4, 1 MiB of cache a core and 32 MiB together.
    private var isFar: Bool { rows * outputs >= 1 << 21 }

    var scale: UnsafePointer<Float> {
        UnsafePointer(
            placement.scale.map { replica.parameters + $0.lowerBound } ?? ones.pointer)
    }

    private var shift: UnsafePointer<Float> {
        UnsafePointer(
            placement.shift.map { replica.parameters + $0.lowerBound } ?? zeros.pointer)
    }

    /// Only slopes other than ReLU's, and ReLU's of a sum, are found from the output.
    public var readsOutputBackward: Bool { activation != .identity && !findsSlopeAgain }

    /// Puts y elsewhere.
    public func writeOutput(toWindowOf memory: Tensor) {
        ownOutput = Tensor(window: memory, rows: rows * positions, columns: channels)
    }

    /// dz is the addend's gradient, and found from y.
    public var readsAddendBackward: Bool { false }

    // MARK: forward

    /// Makes room for the moments of all parts.
    public func observes(in blocks: [[Block]]) { momentParts.plan(blocks) }

    /// Makes room for the sums of all parts.
    public func observesGradient(in blocks: [[Block]]) { gradientParts.plan(blocks) }

    /// Takes the block's rows into the moments of their shards.
    public func observe(_ input: Tensor, _ block: Block, _ pass: Pass) {
        guard takesBatch(pass) else { return }
        observeMoments(input, block, pass)
    }

    /// μ and σ², of the batch or running.
    public func meet(_ pass: Pass) throws {
        if takesBatch(pass) {
            try reduceMoments(pass)
        } else {
            setRunning(coefficients[0])
        }
    }

    private func takesBatch(_ pass: Pass) -> Bool {
        switch pass.mode {
        case .training: statistics == .batch
        case .inference: false
        case .calibration: isCalibrating
        }
    }

    /// y = f(((x − μhi) − μlo)·factor + β + addend), of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        forEachGroup(of: block, pass) { group, rows in
            let first = rows.lowerBound * outputs
            normalizeForward(
                input: input.pointer + first, rows: rows.count * positions, channels: channels,
                meanHigh: group.meanHigh.pointer, meanLow: group.meanLow.pointer,
                factor: group.factor.pointer, shift: shift, activation: activation,
                output: output.pointer + first,
                addend: addend.map { UnsafePointer($0.pointer + first) }, isFar: isFar)
        }
    }

    /// The parts of a block that share statistics.
    private func forEachGroup(
        of block: Block, _ pass: Pass, _ body: (GroupCoefficients, Range<Int>) -> Void
    ) {
        guard takesBatch(pass) else {
            body(coefficients[0], block.rows)
            return
        }
        for (index, group) in coefficients.enumerated() where group.count > 0 {
            let rows = rows(ofGroup: firstGroup + index, pass).clamped(to: block.rows)
            if !rows.isEmpty { body(group, rows) }
        }
    }

    private func setRunning(_ group: GroupCoefficients) {
        let mean = replica.statistics + placement.mean.lowerBound
        let variance = replica.statistics + placement.variance.lowerBound
        for c in 0..<channels {
            group.mean[c] = Double(mean[c])
            group.variance[c] = Double(variance[c])
        }
        group.update(epsilon: settings.epsilon, scale: scale)
    }

    /// This worker's samples in statistics group `group`.
    func rows(ofGroup group: Int, _ pass: Pass) -> Range<Int> {
        let shards = moments.shards.clamped(to: moments.shards(ofGroup: group))
        let first = moments.shards.lowerBound
        return pass.shardRows[shards.lowerBound - first]
            .lowerBound..<pass.shardRows[shards.upperBound - 1 - first].upperBound
    }

    // MARK: backward

    /// dz over `outputGradient`, if it `writesObservedGradient`, and the block's part of the sums of its shards.
    public func observeGradient(
        _ input: Tensor, _ outputGradient: Tensor, second: Tensor?, _ block: Block, _ pass: Pass
    ) {
        for (position, index) in block.parts {
            let rows = pass.shardRows[position].clamped(to: block.rows)
            let first = rows.lowerBound * outputs
            let group = coefficients[group(ofShard: position) - firstGroup]
            let part = gradientParts[index]
            normalizeBackwardSums(
                input: input.pointer + first, output: output.pointer + first,
                outputGradient: outputGradient.pointer + first,
                rows: rows.count * positions, channels: channels,
                meanHigh: group.meanHigh.pointer, meanLow: group.meanLow.pointer,
                activation: activation, sumGradient: part, sumProduct: part + channels,
                secondGradient: second.map { UnsafePointer($0.pointer + first) },
                forward: findsSlopeAgain
                    ? RectifiedForward(factor: group.factor.pointer, shift: shift) : nil,
                isFar: isFar)
        }
    }

    /// The statistics group of this worker's shard `position`.
    private func group(ofShard position: Int) -> Int {
        statistics == .frozen
            ? firstGroup : sums.group(ofShard: sums.shards.lowerBound + position)
    }

    /// This worker's sums are complete, and may travel; frozen layers meet nobody.
    public func startMeetingBackward(_ pass: Pass) throws {
        addParts(pass)
        if statistics == .batch { try sums.start() }
    }

    /// The sums over the groups, and dγ and dβ; frozen layers meet nobody.
    public func meetBackward(_ pass: Pass) throws {
        if statistics == .frozen {
            addFrozenGradients()
        } else {
            try reduceSums()
        }
    }

    /// dx, of the block's rows, from dz; may be written over it.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        guard let inputGradient else { return }
        forEachGroup(of: block, pass) { group, rows in
            let first = rows.lowerBound * outputs
            normalizeBackward(
                input: input.pointer + first, gradient: outputGradient.pointer + first,
                rows: rows.count * positions, channels: channels,
                meanHigh: group.meanHigh.pointer, meanLow: group.meanLow.pointer,
                factor: group.factor.pointer, meanGradient: group.meanGradient.pointer,
                projection: group.projection.pointer, inputGradient: inputGradient.pointer + first,
                shift: findsSlopeAgain ? shift : nil, isFar: isFar)
        }
    }
}

/// What one statistics group is normalised by, forward and backward; [C] each.
final class GroupCoefficients {
    /// μ and σ², Float64.
    let mean: UnsafeMutablePointer<Double>
    let variance: UnsafeMutablePointer<Double>
    /// 1/√(σ² + ε), 0 where σ² + ε = 0.
    let inverseDeviation: UnsafeMutablePointer<Double>
    /// μ as two Float32.
    let meanHigh: Tensor
    let meanLow: Tensor
    /// γ/√(σ² + ε), 0 where σ² + ε = 0.
    let factor: Tensor
    /// Σdz/m and Σdz(x − μ)/(m(σ² + ε)).
    let meanGradient: Tensor
    let projection: Tensor
    /// Values a channel, m; 0 for a group of empty shards.
    var count = 0

    let channels: Int

    init(channels: Int) {
        self.channels = channels
        func zeros() -> UnsafeMutablePointer<Double> {
            let memory = alignedAllocation(of: Double.self, count: channels)
            memory.initialize(repeating: 0, count: channels)
            return memory
        }
        mean = zeros()
        variance = zeros()
        inverseDeviation = zeros()
        meanHigh = Tensor(rows: 1, columns: channels)
        meanLow = Tensor(rows: 1, columns: channels)
        factor = Tensor(rows: 1, columns: channels)
        meanGradient = Tensor(rows: 1, columns: channels)
        projection = Tensor(rows: 1, columns: channels)
    }

    deinit {
        mean.deallocate()
        variance.deallocate()
        inverseDeviation.deallocate()
    }

    /// Sets what the forward pass needs from `mean` and `variance`.
    func update(epsilon: Double, scale: UnsafePointer<Float>) {
        normalizationCoefficients(
            mean: mean, variance: variance, epsilon: epsilon, scale: scale, channels: channels,
            meanHigh: meanHigh.pointer, meanLow: meanLow.pointer, factor: factor.pointer,
            inverseDeviation: inverseDeviation)
    }

    /// Sets what the backward pass needs from the group's Σdz and Σdz(x − μ).
    func update(
        epsilon: Double, sumGradient: UnsafePointer<Double>, sumProduct: UnsafePointer<Double>
    ) {
        normalizationGradientCoefficients(
            sumGradient: sumGradient, sumProduct: sumProduct, count: count, variance: variance,
            epsilon: epsilon, channels: channels, meanGradient: meanGradient.pointer,
            projection: projection.pointer)
    }
}

extension BatchNormLayer: ActivatedLayer {
    package var activationKind: ActivationKind { activation }
}
