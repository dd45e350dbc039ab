import Kernels
public import Layers
public import TensorCore

/// Normalises each sample by itself, with the activation behind it fused in: layer, instance and
/// group normalisation.
///
///     y = f(γ·(x − μ)/√(σ² + ε) + β + addend),   μ, σ² over the m values of a group of channels
///     dz = dy·f′(y),  dβ = Σdz,  dγ = Σdz(x − μ)/√(σ² + ε)
///     dx = (γ·dz − Σγdz/m − (x − μ)·Σγdz(x − μ)/(m(σ² + ε)))/√(σ² + ε)
///
/// - input, output [N·positions, C]: [N, C], or [N, H, W, C] with positions = H·W
/// - γ, β [C]
/// - m = positions·C/groups
///
/// One group is layer normalisation (Ba, Kiros, Hinton, 2016), over H, W and C with γ and β of each
/// channel, as PyTorch's `GroupNorm(1, C)`, and on [N, C] its `LayerNorm(C)`; as many groups as
/// channels are instance normalisation (Ulyanov, Vedaldi, Lempitsky, 2016); what lies between is
/// group normalisation (Wu, He, 2018). Training and inference are the same, there are no running
/// statistics, and no worker has to meet another: dγ and dβ are sums over samples, which travel
/// with the other gradients. Where σ² + ε = 0 the output is exactly f(β + addend), and dx is 0.
public final class GroupNormLayer: Layer {
    /// The name in messages and files: `layers.1`.
    public let name: String

    /// Values of one sample's output, C·positions.
    public let outputs: Int

    /// y, [N·positions, C].
    public let output: Tensor

    /// The other summand before the activation, [N·positions, C].
    public var addend: Tensor?

    private let channels: Int
    private let groups: Int
    private let positions: Int
    private let epsilon: Double
    private let activation: ActivationKind
    private let gradients: GradientAccumulator
    private let parameters: AffineParameters

    /// μ and 1/√(σ² + ε) of every sample of the pass, [N, groups].
    private let mean: UnsafeMutablePointer<Double>
    private let inverseDeviation: UnsafeMutablePointer<Double>

    /// dγ and dβ of each of this worker's shards, [shards, 2·C].
    private let shardSums: UnsafeMutablePointer<Double>

    /// Of the sample at hand: Σdz and Σdz(x − μ) [2·C]; coefficients [C]; dz [positions, C].
    private let sums: UnsafeMutablePointer<Double>
    private let meanHigh: Tensor
    private let meanLow: Tensor
    private let factor: Tensor
    private let offset: Tensor
    private let slope: Tensor
    private let gradient: Tensor

    /// - Parameter place: whose `fusion` says which activation follows at once.
    public init(_ settings: GroupNormSettings, at place: ModulePlace, _ worker: WorkerContext) {
        name = place.name
        outputs = place.input.count
        channels = place.input.channels
        groups = settings.grouping.count(ofChannels: place.input.channels)
        positions = place.input.positions
        epsilon = settings.epsilon
        activation = place.fusion.activation
        gradients = worker.gradients
        parameters = AffineParameters(settings.affine, at: place, worker)
        let (rows, channels) = (worker.rows, place.input.channels)
        output = Tensor(rows: rows * place.input.positions, columns: channels)
        func doubles(_ count: Int) -> UnsafeMutablePointer<Double> {
            let memory = alignedAllocation(of: Double.self, count: count)
            memory.initialize(repeating: 0, count: max(count, 1))
            return memory
        }
        mean = doubles(rows * groups)
        inverseDeviation = doubles(rows * groups)
        shardSums = doubles(worker.gradients.shards * 2 * channels)
        sums = doubles(2 * channels)
        func vector() -> Tensor { Tensor(rows: 1, columns: channels) }
        (meanHigh, meanLow, factor) = (vector(), vector(), vector())
        (offset, slope) = (vector(), vector())
        gradient = Tensor(rows: place.input.positions, columns: channels)
    }

    deinit {
        mean.deallocate()
        inverseDeviation.deallocate()
        shardSums.deallocate()
        sums.deallocate()
    }

    /// Images come block by block; dx may be written over dy. dz is the addend's gradient, dx the input's.
    public var traits: LayerTraits {
        var traits = LayerTraits.normalization((outputs, positions), activation)
        traits.weights = parameters.scaleRange == nil ? .none : .collected
        return traits
    }

    /// y, of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        for sample in block.rows {
            let first = sample * outputs
            groupMoments(
                input: input.pointer + first, rows: positions, channels: channels, groups: groups,
                mean: mean + sample * groups, variance: inverseDeviation + sample * groups,
                pivots: factor.pointer, sums: sums)
            inverseDeviations(
                inverseDeviation + sample * groups, count: groups, epsilon: epsilon)
            setCoefficients(ofSample: sample)
            normalizeForward(
                input: input.pointer + first, rows: positions, channels: channels,
                meanHigh: meanHigh.pointer, meanLow: meanLow.pointer, factor: factor.pointer,
                shift: parameters.shift, activation: activation, output: output.pointer + first,
                addend: addend.map { UnsafePointer($0.pointer + first) })
        }
    }

    private func setCoefficients(ofSample sample: Int) {
        groupCoefficients(
            mean: mean + sample * groups, inverseDeviation: inverseDeviation + sample * groups,
            scale: parameters.scale, channels: channels, groups: groups, meanHigh: meanHigh.pointer,
            meanLow: meanLow.pointer, factor: factor.pointer)
    }

    /// dx, of the block's rows, and their part of dγ and dβ; with an addend, dz over the output
    /// gradient.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        for part in block.parts(pass) {
            let total = shardSums + part.shard * 2 * channels
            if part.isFirst { total.update(repeating: 0, count: 2 * channels) }
            for sample in part.rows {
                backward(
                    input, outputGradient, into: inputGradient, sample: sample, sums: total)
            }
        }
    }

    private func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, sample: Int,
        sums total: UnsafeMutablePointer<Double>
    ) {
        let first = sample * outputs
        let x = UnsafePointer(input.pointer + first)
        let dy = outputGradient.pointer + first
        // What the addend's gradient is stays where it was; else dz is needed no longer than here.
        let dz = addend != nil || activation == .identity ? dy : gradient.pointer
        setCoefficients(ofSample: sample)
        normalizeBackwardSums(
            input: x, output: output.pointer + first, outputGradient: dy, rows: positions,
            channels: channels, meanHigh: meanHigh.pointer, meanLow: meanLow.pointer,
            activation: activation, sumGradient: sums, sumProduct: sums + channels, gradient: dz
        )
        groupGradientCoefficients(
            sumGradient: sums, sumProduct: sums + channels, scale: parameters.scale,
            inverseDeviation: inverseDeviation + sample * groups, rows: positions,
            channels: channels, groups: groups, offset: offset.pointer, slope: slope.pointer,
            scaleGradient: total, shiftGradient: total + channels)
        guard let inputGradient else { return }
        normalizeGroupsBackward(
            input: x, gradient: dz, rows: positions, channels: channels,
            meanHigh: meanHigh.pointer, meanLow: meanLow.pointer, factor: factor.pointer,
            offset: offset.pointer, slope: slope.pointer,
            inputGradient: inputGradient.pointer + first)
    }

    /// dγ and dβ of every shard, to the accumulator.
    public func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) {
        contribute(parameters.scaleRange, from: shardSums)
        contribute(parameters.shiftRange, from: shardSums + channels)
    }

    private func contribute(_ range: Range<Int>?, from sums: UnsafePointer<Double>) {
        guard let range else { return }
        gradients.accumulate(range) { shard, destination in
            let values = sums + 2 * shard * channels
            for c in 0..<channels { destination[c] = Float(values[c]) }
        }
    }
}
