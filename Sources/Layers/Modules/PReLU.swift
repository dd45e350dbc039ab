public import TensorCore

/// ReLU with a slope that is learnt for negative values: y = x where x > 0, else a·x.
///
/// He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015.
///
/// - weight a: [C], or [1] for all channels, 0.25 at first; it does not decay unless asked
public struct PReLU: Module {
    /// Whether each channel has a slope of its own.
    public var perChannel: Bool

    /// One slope, or one for each channel.
    public init(perChannel: Bool = false) { self.perChannel = perChannel }

    /// The slope jumps where a ≠ 1.
    public var hasEdge: Bool { true }

    /// a.
    public func tensors(at place: ModulePlace) -> [ModelLayout.Declaration] {
        [
            .parameter(
                name: "weight", shape: [perChannel ? place.input.channels : 1], role: .other,
                isReduced: true, start: 0.25)
        ]
    }

    /// A `PReLULayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        PReLULayer(
            name: place.name, slope: worker.parameter("weight", of: place), input: place.input,
            rows: worker.rows, replica: worker.replica, gradients: worker.gradients)
    }

    // MARK: reference

    private func slope(_ context: ReferenceContext, _ index: Int) -> Double {
        let slopes = context.parameters["weight"] ?? []
        return slopes[index % slopes.count]
    }

    /// y = max(x, 0) + a·min(x, 0).
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        var output = input
        for (i, x) in input.values.enumerated() where !(x > 0) {
            output.values[i] = slope(context, i) * x
        }
        return output
    }

    /// dx = dy where x > 0, else a·dy; da = Σ dy·x over x ≤ 0.
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        var result = outputGradient
        var slopes = [Double](repeating: 0, count: context.parameters["weight"]?.count ?? 0)
        for (i, x) in input.values.enumerated() {
            let isPositive = abs(x) < context.edge ? !(x > 0) : x > 0
            guard !isPositive else { continue }
            slopes[i % slopes.count] += outputGradient.values[i] * x
            result.values[i] *= slope(context, i)
        }
        return ReferenceGradients(result, ["weight": slopes])
    }
}

/// The layer of a ``PReLU``.
///
/// - input, output [N·H·W, C]; a [C] or [1]
/// - backward: dx, and of each shard da, summed over the tree
public final class PReLULayer: Layer {
    /// The name in messages and files.
    public let name: String

    /// Values of one sample's output.
    public let outputs: Int

    /// y, as the input.
    public let output: Tensor

    /// dx may be written over dy; a has a gradient.
    public let traits: LayerTraits

    private let channels: Int
    private let parameter: Parameter
    private let replica: Replica
    private let gradients: GradientAccumulator
    /// da of each of this worker's shards by channel, [shards, C], and a by channel, [C].
    private let sums: UnsafeMutablePointer<Double>
    private let slopes: Tensor

    /// - Parameter rows: the most samples of a pass.
    init(
        name: String, slope: Parameter, input: ImageShape, rows: Int, replica: Replica,
        gradients: GradientAccumulator
    ) {
        self.name = name
        outputs = input.count
        channels = input.channels
        output = Tensor(rows: rows * input.positions, columns: input.channels)
        var traits = LayerTraits(imageValues: input.positions > 1 ? input.count : nil)
        traits.worksInPlace = true
        traits.weights = .collected
        self.traits = traits
        parameter = slope
        self.replica = replica
        self.gradients = gradients
        sums = .allocate(capacity: max(gradients.shards * input.channels, 1))
        sums.initialize(repeating: 0, count: max(gradients.shards * input.channels, 1))
        slopes = Tensor(rows: 1, columns: input.channels)
    }

    deinit { sums.deallocate() }

    /// Where the C values of each pixel of some samples begin.
    private func pixels(of rows: Range<Int>) -> StrideTo<Int> {
        stride(from: rows.lowerBound * outputs, to: rows.upperBound * outputs, by: channels)
    }

    /// y, of the block's rows.
    public func forward(_ input: Tensor, _ block: Block, _ pass: Pass) {
        let a = replica.parameters + parameter.range.lowerBound
        for c in 0..<channels { slopes.pointer[c] = a[parameter.shape.count == 1 ? 0 : c] }
        for pixel in pixels(of: block.rows) {
            let (x, y) = (input.pointer + pixel, output.pointer + pixel)
            for c in 0..<channels { y[c] = x[c] > 0 ? x[c] : slopes.pointer[c] * x[c] }
        }
    }

    /// dx, of the block's rows, and their part of da.
    public func backward(
        _ input: Tensor, _ outputGradient: Tensor, into inputGradient: Tensor?, _ block: Block,
        _ pass: Pass
    ) {
        for part in block.parts(pass) {
            let sum = sums + part.shard * channels
            if part.isFirst { sum.update(repeating: 0, count: channels) }
            for pixel in pixels(of: part.rows) {
                let (x, dy) = (input.pointer + pixel, outputGradient.pointer + pixel)
                for c in 0..<channels where !(x[c] > 0) { sum[c] += Double(dy[c]) * Double(x[c]) }
                guard let inputGradient else { continue }
                let dx = inputGradient.pointer + pixel
                for c in 0..<channels { dx[c] = x[c] > 0 ? dy[c] : slopes.pointer[c] * dy[c] }
            }
        }
    }

    /// da of every shard, to the accumulator.
    public func backwardWeights(_ input: Tensor, _ outputGradient: Tensor, _ pass: Pass) {
        gradients.accumulate(parameter.range) { shard, destination in
            let sum = sums + shard * channels
            if parameter.shape.count == 1 {
                destination.pointee = Float((0..<channels).reduce(0.0) { $0 + sum[$1] })
            } else {
                for c in 0..<channels { destination[c] = Float(sum[c]) }
            }
        }
    }
}
