import Kernels
public import Layers
public import TensorCore

/// Batch normalisation by running statistics that stay as they are, also in training: an affine map of
/// each channel, with the activation behind it fused in, that meets nobody.
///
///     y = f(γ·(x − μ)/√(σ² + ε) + β + addend),   μ, σ² the running ones
///     dz = dy·f′(y),  dx = γ/√(σ² + ε)·dz,  dβ = Σdz,  dγ = Σdz(x − μ)/√(σ² + ε)
///
/// - input, output [N·positions, C]; γ, β, μ, σ² [C]
public final class FrozenBatchNormLayer: Layer {
    /// The name in messages and files: `layers.1`.
    public let name: String
    /// Values of one sample's output, C·positions.
    public let outputs: Int
    /// y, [N·positions, C].
    public let output: Tensor
    /// The other summand before the activation, [N·positions, C].
    public var addend: Tensor?

    private let activation: ActivationKind
    private let epsilon: Double
    private let channels: Int
    private let positions: Int
    private let replica: Replica
    private let gradients: GradientAccumulator
    private let parameters: AffineParameters
    private let running: RunningStatistics
    /// μ, σ² and what comes of them; no gradient flows into these.
    private let coefficients: GroupCoefficients
    /// Σdz and Σdz(x − μ) of the part at hand, [2·C], and of each of this worker's shards.
    private let partSums: UnsafeMutablePointer<Double>
    private let shardSums: UnsafeMutablePointer<Double>
    /// dz where it has no other place, [N·positions, C]: of a network's first module.
    private let gradient: Tensor

    /// - Parameter place: whose `fusion` says which activation follows at once, and whether it adds.
    public init(_ settings: BatchNormSettings, at place: ModulePlace, _ worker: WorkerContext) {
        name = place.name
        outputs = place.input.count
        channels = place.input.channels
        positions = place.input.positions
        epsilon = settings.epsilon
        activation = place.fusion.activation
        output = Tensor(rows: worker.rows * positions, columns: channels)
        replica = worker.replica
        gradients = worker.gradients
        parameters = AffineParameters(settings.affine, at: place, worker)
        running = worker.runningStatistics(of: place)
        coefficients = GroupCoefficients(channels: channels)
        gradient = Tensor(
            rows: place.readsNetworkInput ? worker.rows * positions : 0, columns: channels)
        func zeros(_ count: Int) -> UnsafeMutablePointer<Double> {
            let memory = alignedAllocation(of: Double.self, count: count)
            memory.initialize(repeating: 0, count: count)
            return memory
        }
        partSums = zeros(2 * channels)
        shardSums = zeros(2 * channels * max(gradients.shards, 1))
    }

    deinit {
        partSums.deallocate()
        shardSums.deallocate()
    }

    /// Images come block by block; dx may be written over dy. dz is the addend's gradient, dx the input's.
    public var traits: LayerTraits {
        var traits = LayerTraits.normalization((outputs, positions), activation)
        traits.weights = parameters.scaleRange == nil ? .none : .collected
        return traits
    }

    /// y, of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        coefficients.update(
            mean: replica.statistics + running.mean.lowerBound,
            variance: replica.statistics + running.variance.lowerBound, epsilon: epsilon,
            scale: parameters.scale)
        let first = block.rows.lowerBound * outputs
        normalizeForward(
            input: input.pointer + first, rows: block.rows.count * positions, channels: channels,
            meanHigh: coefficients.meanHigh.pointer, meanLow: coefficients.meanLow.pointer,
            factor: coefficients.factor.pointer, shift: parameters.shift,
            activation: activation, output: output.pointer + first,
            addend: addend.map { UnsafePointer($0.pointer + first) })
    }

    /// dx, of the block's rows, and their part of dγ and dβ; with an addend, dz over the output
    /// gradient.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        // What the addend's gradient is stays where it was; else dz is needed no longer than here.
        let target =
            addend != nil || activation == .identity
            ? outputGradient : inputGradient ?? gradient
        let (high, low) = (coefficients.meanHigh.pointer, coefficients.meanLow.pointer)
        for part in block.parts(pass) {
            let (first, rows) = (part.rows.lowerBound * outputs, part.rows.count * positions)
            let (x, dz) = (input.pointer + first, target.pointer + first)
            normalizeBackwardSums(
                input: x, output: output.pointer + first,
                outputGradient: outputGradient.pointer + first, rows: rows, channels: channels,
                meanHigh: high, meanLow: low, activation: activation, sumGradient: partSums,
                sumProduct: partSums + channels, gradient: dz)
            let total = shardSums + part.shard * 2 * channels
            if part.isFirst {
                total.update(from: partSums, count: 2 * channels)
            } else {
                add(partSums, into: total, count: 2 * channels)
            }
            guard let inputGradient else { continue }
            normalizeBackward(
                input: x, gradient: dz, rows: rows, channels: channels, meanHigh: high,
                meanLow: low, factor: coefficients.factor.pointer,
                meanGradient: coefficients.meanGradient.pointer,
                projection: coefficients.projection.pointer,
                inputGradient: inputGradient.pointer + first)
        }
    }

    /// dγ and dβ of every shard, to the accumulator.
    public func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) {
        guard let scale = parameters.scaleRange, let shift = parameters.shiftRange else { return }
        gradients.accumulate(scale) { shard, destination in
            let product = shardSums + (2 * shard + 1) * channels
            for c in 0..<channels {
                destination[c] = Float(product[c] * coefficients.inverseDeviation[c])
            }
        }
        gradients.accumulate(shift) { shard, destination in
            let gradient = shardSums + 2 * shard * channels
            for c in 0..<channels { destination[c] = Float(gradient[c]) }
        }
    }
}
