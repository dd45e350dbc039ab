import Glibc
public import TensorCore

/// Moves and scales all values at random in training: see ``NoiseLayer``.
public struct Noise: Module {
    /// Where the values' factors and summands come from.
    public struct Distribution: Hashable, Sendable {
        /// The largest |μ|; 0 or more.
        public var mean: Double
        /// The largest σ; 1 or more.
        public var deviation: Double
        /// How far values of a channel differ; 0 or more.
        public var spread: Double

        /// A distribution of distributions.
        public init(mean: Double, deviation: Double, spread: Double) {
            self.mean = mean
            self.deviation = deviation
            self.spread = spread
        }
    }

    /// Of factors and summands.
    public var distribution: Distribution

    /// Noise.
    public init(_ distribution: Distribution) { self.distribution = distribution }

    /// A `NoiseLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        NoiseLayer(
            name: place.name, distribution, seed: worker.seed, ordinal: place.ordinal,
            columns: place.input.channels, positions: place.input.positions, rows: worker.rows)
    }

    /// y = s·x + m.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        guard let step = context.step else { return input }
        let noise = draw(input, context, step)
        return input.times(noise.factor) + noise.summand
    }

    /// dx = s·dy.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        guard let step = context.step else { return ReferenceGradients(outputGradient) }
        return ReferenceGradients(outputGradient.times(draw(input, context, step).factor))
    }

    /// s and m.
    private func draw(
        _ input: ReferenceMatrix, _ context: ReferenceContext, _ step: Int
    ) -> (factor: ReferenceMatrix, summand: ReferenceMatrix) {
        func stream(_ sample: Int) -> CounterRandom {
            CounterRandom(
                seed: context.seed, purpose: .noise, step: step, layer: context.place.ordinal,
                sample: sample)
        }
        let (ofChannels, spread) = (stream(CounterRandom.noSample), distribution.spread)
        var (factor, summand) = (input, input)
        for row in 0..<input.rows {
            let random = stream(row)
            for column in 0..<input.columns {
                let c = column % context.place.input.channels
                let mean = ofChannels.uniform(
                    in: -distribution.mean...distribution.mean, at: 2 * c)
                let deviation = ofChannels.uniform(in: 1...distribution.deviation, at: 2 * c + 1)
                // Four numbers serve two columns.
                let start = column / 2 * 4
                let angle = 2 * Double.pi * random.uniform(at: start + 1)
                let normal =
                    (-2 * log(1 - random.uniform(at: start))).squareRoot()
                    * (column % 2 == 0 ? cos(angle) : sin(angle))
                factor[row, column] = deviation + spread * normal
                summand[row, column] =
                    mean + random.uniform(in: -spread...spread, at: start + 2 + column % 2)
            }
        }
        return (factor, summand)
    }
}

/// Moves and scales all values at random in training: what puts distributions in motion again behind
/// a batch normalisation.
///
///     y = s·x + m,  s from N(σ, spread²),  m uniform in μ ± spread
///     μ uniform in ± mean,  σ uniform in 1…deviation, anew for each channel in each step
///     dx = s·dy
///
/// All draws are pure functions of (seed, step, layer, channel or the sample's place in the global
/// batch, position): the same in every world. Inference is without noise. Santurkar, Tsipras, Ilyas,
/// Madry, "How does batch normalization help optimization?", 2018, "noisy" BatchNorm.
///
/// - input, output [N, C] or [N·H·W, C]
public final class NoiseLayer: Layer {
    /// The name in messages.
    public let name: String

    /// Values of one sample.
    public let outputs: Int

    /// y, as the input.
    public let output: Tensor

    /// dx may be written over dy.
    public let traits: LayerTraits
    private let distribution: Noise.Distribution
    private let seed: UInt64
    private let ordinal: Int
    private let channels: Int

    /// s, as the output.
    private let factor: Tensor

    /// μ and σ of each channel in `drawnStep`, [2·C].
    private let moments: UnsafeMutablePointer<Double>
    private var drawnStep = -1

    /// - Parameters:
    ///   - ordinal: tells the noises of a network apart.
    ///   - columns: channels, C.
    ///   - positions: values a channel of one sample, H·W.
    ///   - rows: the most samples of a pass.
    public init(
        name: String, _ distribution: Noise.Distribution, seed: UInt64, ordinal: Int, columns: Int,
        positions: Int = 1, rows: Int
    ) {
        precondition(
            distribution.mean >= 0 && distribution.deviation >= 1 && distribution.spread >= 0,
            "a noise has no negative width")
        self.name = name
        self.distribution = distribution
        self.seed = seed
        self.ordinal = ordinal
        channels = columns
        outputs = columns * positions
        output = Tensor(rows: rows * positions, columns: columns)
        factor = Tensor(rows: rows * positions, columns: columns)
        moments = alignedAllocation(of: Double.self, count: 2 * columns)
        moments.initialize(repeating: 0, count: 2 * columns)
        var traits = LayerTraits(imageValues: positions > 1 ? columns * positions : nil)
        traits.worksInPlace = true
        self.traits = traits
    }

    deinit { moments.deallocate() }

    /// y, of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        let first = block.rows.lowerBound * outputs
        guard pass.mode == .training else {
            (output.pointer + first).update(
                from: input.pointer + first, count: block.rows.count * outputs)
            return
        }
        if drawnStep != pass.step { drawMoments(pass.step) }
        for row in block.rows { add(to: input, row, pass) }
    }

    /// The stream of a sample, or, with `noSample`, of the channels.
    private func random(_ step: Int, _ sample: Int) -> CounterRandom {
        CounterRandom(seed: seed, purpose: .noise, step: step, layer: ordinal, sample: sample)
    }

    private func drawMoments(_ step: Int) {
        let random = random(step, CounterRandom.noSample)
        for c in 0..<channels {
            moments[2 * c] = distribution.mean * (2 * random.uniform(at: 2 * c) - 1)
            moments[2 * c + 1] =
                1 + (distribution.deviation - 1) * random.uniform(at: 2 * c + 1)
        }
        drawnStep = step
    }

    private func add(to input: Tensor, _ row: Int, _ pass: Pass) {
        let random = random(pass.step, pass.shape.firstSample + row)
        let (x, y) = (input.pointer + row * outputs, output.pointer + row * outputs)
        let s = factor.pointer + row * outputs
        var c = 0
        // A block of four words: a pair of normal numbers by Box and Muller, and two uniform ones.
        for place in stride(from: 0, to: outputs, by: 2) {
            let words = random.words(block: UInt32(place / 2))
            let radius = (-2 * Portable.log(1 - Double(words[0]) * 0x1p-32)).squareRoot()
            // In units of π.
            let angle = Double(words[1]) * 0x1p-31
            for lane in 0..<min(2, outputs - place) {
                let normal =
                    radius * (lane == 0 ? Portable.cosPi(angle) : Portable.sinPi(angle))
                let uniform = 2 * (Double(words[2 + lane]) * 0x1p-32) - 1
                let scale = Float(moments[2 * c + 1] + distribution.spread * normal)
                s[place + lane] = scale
                y[place + lane] =
                    scale * x[place + lane]
                    + Float(moments[2 * c] + distribution.spread * uniform)
                c = c + 1 == channels ? 0 : c + 1
            }
        }
    }

    /// dx, of the block's rows.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        guard let inputGradient else { return }
        for i in block.rows.lowerBound * outputs..<block.rows.upperBound * outputs {
            inputGradient.pointer[i] = outputGradient.pointer[i] * factor.pointer[i]
        }
    }
}
