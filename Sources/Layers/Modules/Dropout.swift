public import TensorCore

/// Sets a share of all values to zero in training: see ``DropoutLayer``.
public struct Dropout: Module {
    /// The share, 0 ≤ rate < 1.
    public var rate: Double

    /// Dropout of a share of all values.
    public init(_ rate: Double) { self.rate = rate }

    /// A `DropoutLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        DropoutLayer(
            name: place.name, rate: rate, seed: worker.seed, ordinal: place.index,
            columns: place.input.channels, positions: place.input.positions, rows: worker.rows)
    }

    /// y = x·m / (1 − rate).
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        mask(input, context).map(input.times) ?? input
    }

    /// dx = dy·m / (1 − rate).
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        ReferenceGradients(mask(input, context).map(outputGradient.times) ?? outputGradient)
    }

    /// 0, or 1 / (1 − rate), for each value; nil in inference.
    private func mask(_ input: ReferenceMatrix, _ context: ReferenceContext) -> ReferenceMatrix? {
        guard let step = context.step else { return nil }
        var mask = input
        for row in 0..<input.rows {
            let random = CounterRandom(
                seed: context.seed, purpose: .dropout, step: step, layer: context.place.index,
                sample: row)
            for column in 0..<input.columns {
                mask[row, column] = random.uniform(at: column) < rate ? 0 : 1 / (1 - rate)
            }
        }
        return mask
    }
}

/// Sets a share of all values to zero in training, and scales the others up to make up for it.
///
///     y = x·m / (1 − rate),  m = 1 with probability 1 − rate, else 0
///
/// The mask is a pure function of (seed, step, layer, the sample's place in the global batch,
/// position): the same in every world. Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov,
/// "Dropout: a simple way to prevent neural networks from overfitting", 2014.
///
/// - input, output [N, C] or [N·H·W, C]
public final class DropoutLayer: Layer {
    /// The name in messages.
    public let name: String

    /// Values of one sample.
    public let outputs: Int

    /// y, as the input.
    public let output: Tensor

    /// dx may be written over dy; blocks share nothing.
    public let traits: LayerTraits
    private let threshold: UInt32
    private let scale: Float
    private let seed: UInt64
    private let ordinal: Int
    /// 0 or 1 / (1 − rate), as the output.
    private let mask: Tensor

    /// - Parameters:
    ///   - rate: the share of values that become zero, 0 ≤ rate < 1.
    ///   - ordinal: tells the dropout layers of a network apart.
    ///   - columns: channels, C.
    ///   - positions: values a channel of one sample, H·W.
    ///   - rows: the most samples of a pass.
    public init(
        name: String, rate: Double, seed: UInt64, ordinal: Int, columns: Int, positions: Int = 1,
        rows: Int
    ) {
        precondition(rate >= 0 && rate < 1, "a share of the values")
        self.name = name
        self.seed = seed
        self.ordinal = ordinal
        outputs = columns * positions
        // A word below it drops the value.
        threshold = UInt32((rate * 0x1p32).rounded(.down))
        scale = Float(1 / (1 - rate))
        output = Tensor(rows: rows * positions, columns: columns)
        mask = Tensor(rows: rows * positions, columns: columns)
        var traits = LayerTraits(imageValues: positions > 1 ? columns * positions : nil)
        traits.worksInPlace = true
        traits.takesBlocksTogether = true
        self.traits = traits
    }

    /// y, of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        let range = block.rows.lowerBound * outputs..<block.rows.upperBound * outputs
        guard pass.mode == .training else {
            (output.pointer + range.lowerBound).update(
                from: input.pointer + range.lowerBound, count: range.count)
            return
        }
        for row in block.rows { drawMask(row, pass) }
        for i in range { output.pointer[i] = input.pointer[i] * mask.pointer[i] }
    }

    private func drawMask(_ row: Int, _ pass: Pass) {
        let sample = pass.shape.firstSample + row
        let random = CounterRandom(
            seed: seed, purpose: .dropout, step: pass.step, layer: ordinal, sample: sample)
        let values = mask.pointer + row * outputs
        for block in 0..<(outputs + 3) / 4 {
            let words = random.words(block: UInt32(block))
            for lane in 0..<min(4, outputs - block * 4) {
                values[block * 4 + lane] = words[lane] < threshold ? 0 : scale
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
            inputGradient.pointer[i] = outputGradient.pointer[i] * mask.pointer[i]
        }
    }
}
