import Glibc
public import Kernels
public import TensorCore

/// A function of each value, of the sum of two where it ends a residual block.
public struct Activation: Module {
    /// Which.
    public var kind: ActivationKind

    /// An activation.
    public init(_ kind: ActivationKind) { self.kind = kind }

    /// ReLU's slope jumps.
    public var hasEdge: Bool { kind == .relu }

    /// An `ActivationLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        ActivationLayer(
            name: place.name, kind, columns: place.input.channels,
            positions: place.input.positions, rows: worker.rows)
    }

    /// y = f(x).
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix { input.map(value) }

    /// dx = dy·f′, from y.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        var result = outputGradient
        for i in result.values.indices {
            let slope = slope(ofValue: output.values[i])
            let isOther = hasEdge && abs(input.values[i]) < context.edge
            result.values[i] *= isOther ? 1 - slope : slope
        }
        return ReferenceGradients(result)
    }

    private func value(_ x: Double) -> Double {
        switch kind {
        // Each branch takes the exponential that cannot overflow.
        case .sigmoid: x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))
        case .tanh: Glibc.tanh(x)
        case .relu: x > 0 ? x : 0
        case .identity: x
        }
    }

    private func slope(ofValue y: Double) -> Double {
        switch kind {
        case .sigmoid: y * (1 - y)
        case .tanh: 1 - y * y
        case .relu: y > 0 ? 1 : 0
        case .identity: 1
        }
    }
}

/// An element-wise activation, of a sum where it ends a residual block: y = f(x + addend).
///
/// - input, addend, output [N, C] or [N·H·W, C]
/// - backward: dx = dy·f′, from the output: y(1 − y), 1 − y², or y > 0; the addend's is the same.
public final class ActivationLayer: Layer {
    /// The name in messages: `layers.1`.
    public let name: String

    /// Values of one sample's output.
    public let outputs: Int

    /// y, as the input.
    public let output: Tensor

    /// The other summand, of the input's shape.
    public var addend: Tensor?

    /// dx may be written over dy; blocks share nothing.
    public let traits: LayerTraits
    private let activation: ActivationKind

    /// - Parameters:
    ///   - columns: channels, C.
    ///   - positions: values a channel of one sample, H·W.
    ///   - rows: the most samples of a pass.
    public init(
        name: String, _ activation: ActivationKind, columns: Int, positions: Int = 1, rows: Int
    ) {
        self.name = name
        self.activation = activation
        outputs = columns * positions
        output = Tensor(rows: rows * positions, columns: columns)
        var traits = LayerTraits(imageValues: positions > 1 ? columns * positions : nil)
        traits.worksInPlace = true
        traits.takesBlocksTogether = true
        traits.activation = activation
        traits.addition = .sharesInputGradient
        self.traits = traits
    }

    /// y, of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        let first = block.rows.lowerBound * outputs
        let count = block.rows.count * outputs
        var x = UnsafePointer(input.pointer + first)
        let y = output.pointer + first
        if let addend {
            sum(x, UnsafePointer(addend.pointer + first), into: y, count: count)
            x = UnsafePointer(y)
        }
        activate(input: x, count: count, activation: activation, output: y)
    }

    /// dx, of the block's rows.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        guard let inputGradient else { return }
        let first = block.rows.lowerBound * outputs
        activateBackward(
            output: output.pointer + first, outputGradient: outputGradient.pointer + first,
            count: block.rows.count * outputs, activation: activation,
            inputGradient: inputGradient.pointer + first)
    }
}
