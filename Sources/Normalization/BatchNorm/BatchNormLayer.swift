import Collectives
import Kernels
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
/// Forward and backward each meet the other workers once: no other layer's values depend on their
/// samples (an `InputLinearLayer` meets its team, for speed alone). σ² is the biased variance, as in
/// all frameworks. Where σ² + ε = 0 the output is exactly f(β), and the input gradient 0. Ioffe,
/// Szegedy, "Batch normalization", 2015; shard statistics are merged by Chan's formula.
public final class BatchNormLayer: MeetingLayer {
    /// The name in messages and files: `layers.1`.
    public let name: String
    /// Values of one sample's output, C·positions.
    public let outputs: Int
    /// The other summand before the activation, [N·positions, C].
    public var addend: Tensor?

    let settings: BatchNormSettings
    let channels: Int
    let positions: Int
    let activation: ActivationKind
    let adds: Bool
    let rows: Int
    let replica: Replica
    private let gradients: GradientAccumulator
    let parameters: AffineParameters
    let running: RunningStatistics

    /// How μ and σ² are taken of the batch, and what shards contribute to them.
    private let method: any BatchMoments
    let moments: ShardStatistics
    /// What shards contribute to Σdz and Σdz(x − μ).
    let sums: ShardStatistics
    /// Of each statistics group that this worker has a shard of.
    let groups: [GroupCoefficients]

    /// Whether passes of mode calibration take the batch's statistics.
    package var isCalibrating = true
    /// Where a shard is computed again, whose statistics others contribute to, too: a layer of the run and
    /// one of its groups. Nil where the shard is a group by itself.
    package var audited: (layer: BatchNormLayer, group: Int)?

    lazy var ownOutput = Tensor(rows: rows * positions, columns: channels)

    /// - Parameters:
    ///   - place: whose `fusion` says which activation follows at once, and whether it adds.
    ///   - worker: of several, each has a shard.
    public init(_ settings: BatchNormSettings, at place: ModulePlace, _ worker: WorkerContext) {
        name = place.name
        outputs = place.input.count
        channels = place.input.channels
        positions = place.input.positions
        self.settings = settings
        activation = place.fusion.activation
        adds = place.fusion.adds
        rows = worker.rows
        replica = worker.replica
        gradients = worker.gradients
        parameters = AffineParameters(settings.affine, at: place, worker)
        running = worker.runningStatistics(of: place)
        let isLiteral = worker.communicator.world.arithmetic == .mpi
        method = isLiteral ? LiteralMoments() : CentredMoments()
        func statistics(moments: Bool) -> ShardStatistics {
            ShardStatistics(
                worker.communicator, shards: place.shards,
                group: min(settings.scope.groupSize(shards: place.shards), place.shards),
                channels: place.input.channels, positions: place.input.positions,
                moments: moments, ordinal: place.ordinal)
        }
        moments = statistics(moments: true)
        sums = statistics(moments: false)
        groups = moments.groups.map { GroupCoefficients($0, channels: place.input.channels) }
    }

    // MARK: forward

    /// What the block has of each shard contributes to μ and σ².
    public func observe(_ input: Tensor, _ block: Block, _ pass: Pass) {
        guard takesBatch(pass) else { return }
        for part in block.parts(pass) {
            method.take(
                input.pointer + part.rows.lowerBound * outputs, rows: part.rows.count * positions,
                channels: channels, into: moments[part])
        }
    }

    /// μ and σ² of every statistics group this worker belongs to, or the running ones.
    ///
    /// The collective: a shard sees only its own samples, and the group's mean and M2 are needed
    /// before anything can be normalised. All workers call it at the same place because layers run
    /// in order; a worker whose shards are empty joins all the same.
    public func meet(_ pass: Pass) throws {
        guard takesBatch(pass) else {
            groups[0].update(
                mean: replica.statistics + running.mean.lowerBound,
                variance: replica.statistics + running.variance.lowerBound,
                epsilon: settings.epsilon, scale: parameters.scale)
            return
        }
        moments.bringTogether(pass)
        try moments.finish()
        if let audited { return groups[0].takeForward(audited.layer.group(audited.group)) }
        for group in groups {
            let (count, sum) = moments.result(ofGroup: group.number)
            group.count = count
            guard count > 0 else { continue }
            method.moments(
                of: sum, count: count, channels: channels, mean: group.mean,
                variance: group.variance)
            group.update(epsilon: settings.epsilon, scale: parameters.scale)
        }
    }

    /// y = f(((x − μhi) − μlo)·factor + β + addend), of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        forEachGroup(of: block, pass) { group, rows in
            let first = rows.lowerBound * outputs
            normalizeForward(
                input: input.pointer + first, rows: rows.count * positions, channels: channels,
                meanHigh: group.meanHigh.pointer, meanLow: group.meanLow.pointer,
                factor: group.factor.pointer, shift: parameters.shift, activation: activation,
                output: output.pointer + first,
                addend: addend.map { UnsafePointer($0.pointer + first) }, isFar: isFar)
        }
    }

    // MARK: backward

    /// dz over `outputGradient`, if it `writesObservedGradient`, and what the block has of each shard
    /// contributes to Σdz and Σdz(x − μ).
    public func observeGradient(
        _ input: Tensor, _ outputGradient: Tensor, second: Tensor?, _ block: Block, _ pass: Pass
    ) {
        for part in block.parts(pass) {
            let first = part.rows.lowerBound * outputs
            let group = group(sums.group(ofShard: part.shard))
            normalizeBackwardSums(
                input: input.pointer + first, output: output.pointer + first,
                outputGradient: outputGradient.pointer + first,
                rows: part.rows.count * positions, channels: channels,
                meanHigh: group.meanHigh.pointer, meanLow: group.meanLow.pointer,
                activation: activation, sumGradient: sums[part],
                sumProduct: sums[part] + channels,
                secondGradient: second.map { UnsafePointer($0.pointer + first) },
                forward: findsSlopeAgain
                    ? RectifiedForward(factor: group.factor.pointer, shift: parameters.shift)
                    : nil,
                isFar: isFar)
        }
    }

    /// This worker's sums are complete, and may travel.
    public func startMeetingBackward(_ pass: Pass) throws {
        sums.bringTogether(pass)
        try sums.start()
    }

    /// Σdz and Σdz(x − μ) of every statistics group, and from them what dx needs, and dγ and dβ.
    ///
    /// The collective: dx of one sample depends on the gradients of all samples of its group. In
    /// scope global the two sums are dβ and, scaled, dγ of the whole batch: every worker knows
    /// them, and they are not reduced again with the gradients. In the other scopes each group's
    /// own dγ and dβ travel with the gradients, as the contribution of the group's first shard.
    public func meetBackward(_ pass: Pass) throws {
        try sums.finish()
        if let audited { return groups[0].takeBackward(audited.layer.group(audited.group)) }
        for group in groups where group.count > 0 {
            let sum = sums.result(ofGroup: group.number).values
            // Divides by the group's count, the backward one of BN's two divisions.
            group.update(epsilon: settings.epsilon, sumGradient: sum, sumProduct: sum + channels)
        }
        addParameterGradients()
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
                shift: findsSlopeAgain ? parameters.shift : nil, isFar: isFar)
        }
    }

    /// dγ and dβ: of the whole batch every worker knows them; else a group's count as its first shard's,
    /// and the other shards contribute zeros.
    private func addParameterGradients() {
        guard let scale = parameters.scaleRange, let shift = parameters.shiftRange else { return }
        func writeScale(_ group: GroupCoefficients, _ destination: UnsafeMutablePointer<Float>) {
            let sum = sums.result(ofGroup: group.number).values
            for c in 0..<channels {
                destination[c] = Float(sum[channels + c] * group.inverseDeviation[c])
            }
        }
        func writeShift(_ group: GroupCoefficients, _ destination: UnsafeMutablePointer<Float>) {
            let sum = sums.result(ofGroup: group.number).values
            for c in 0..<channels { destination[c] = Float(sum[c]) }
        }
        contribute(scale, writeScale)
        contribute(shift, writeShift)
    }

    private func contribute(
        _ range: Range<Int>, _ write: (GroupCoefficients, UnsafeMutablePointer<Float>) -> Void
    ) {
        guard parameters.isReduced else { return gradients.give(range) { write(groups[0], $0) } }
        gradients.accumulate(range) { shard, destination in
            let group = group(sums.group(ofShard: shard))
            if sums.isFirst(shard) && group.count > 0 {
                write(group, destination)
            } else {
                destination.update(repeating: 0, count: channels)
            }
        }
    }

    // MARK: groups

    /// Group `number`, of which this worker has a shard.
    func group(_ number: Int) -> GroupCoefficients { groups[number - groups[0].number] }

    private func takesBatch(_ pass: Pass) -> Bool {
        switch pass.mode {
        case .training: true
        case .inference: false
        case .calibration: isCalibrating
        }
    }

    /// The rows of a block that are normalised alike.
    private func forEachGroup(
        of block: Block, _ pass: Pass, _ body: (GroupCoefficients, Range<Int>) -> Void
    ) {
        guard takesBatch(pass) else { return body(groups[0], block.rows) }
        for group in groups where group.count > 0 {
            let rows = moments.rows(ofGroup: group.number, pass).clamped(to: block.rows)
            if !rows.isEmpty { body(group, rows) }
        }
    }
}
