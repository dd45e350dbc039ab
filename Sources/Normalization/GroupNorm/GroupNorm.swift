public import Layers
public import TensorCore

/// A normalisation of each sample by itself, over groups of channels: see ``GroupNormLayer``.
///
/// - weight and bias (γ, β) [C] where it is affine
public struct GroupNorm: Module {
    /// How it works.
    public var settings: GroupNormSettings
    /// Whether γ is 0 at first, rather than 1.
    public var startsAtZero: Bool

    /// Layer, instance or group normalisation.
    public init(_ settings: GroupNormSettings, startsAtZero: Bool = false) {
        self.settings = settings
        self.startsAtZero = startsAtZero
    }

    /// An activation behind it is part of its layer.
    public var fusesActivation: Bool { true }

    private func groups(_ input: ImageShape) -> Int {
        settings.grouping.count(ofChannels: input.channels)
    }

    /// As the input, whose channels the groups divide, with two values each at least.
    public func output(of input: ImageShape) throws(ModuleError) -> ImageShape {
        let groups = groups(input)
        guard input.channels % groups == 0 else {
            throw .groupsDoNotDivide(channels: input.channels, groups: groups)
        }
        guard input.count / groups > 1 else { throw .singleValueGroup(groups: groups) }
        return input
    }

    /// γ and β, whose gradients are summed like those of weights.
    public func tensors(at place: ModulePlace) -> [ModelLayout.Declaration] {
        affineTensors(
            settings.affine, channels: place.input.channels, isReduced: true,
            startsAtZero: startsAtZero)
    }

    /// A `GroupNormLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        GroupNormLayer(settings, at: place, worker)
    }

    // MARK: reference

    /// The values of each group in a sample, by their places.
    private func members(_ place: ModulePlace) -> [[Int]] {
        let (channels, groups) = (place.input.channels, groups(place.input))
        var members = Array(repeating: [Int](), count: groups)
        for i in 0..<place.input.count { members[i % channels * groups / channels].append(i) }
        return members
    }

    /// μ and √(σ² + ε) of some values of a row.
    private func moments(
        _ input: ReferenceMatrix, _ row: Int, _ members: [Int]
    ) -> (mean: Double, deviation: Double) {
        let m = Double(members.count)
        let mean = members.reduce(0) { $0 + input[row, $1] } / m
        let variance =
            members.reduce(0) { $0 + (input[row, $1] - mean) * (input[row, $1] - mean) } / m
        return (mean, (variance + settings.epsilon).squareRoot())
    }

    /// y = (x − μ)/√(σ² + ε)·γ + β, with the moments of the sample's group.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        let (scale, shift) = (context.scale, context.shift)
        var output = input
        for members in members(context.place) {
            for row in 0..<input.rows {
                let (mean, deviation) = moments(input, row, members)
                for i in members {
                    let c = i % scale.count
                    output[row, i] = (input[row, i] - mean) / deviation * scale[c] + shift[c]
                }
            }
        }
        return output
    }

    /// With x̂ = (x − μ)/σ, h = γ·dy and means over a sample's group:
    ///
    ///     dx = 1/σ·(h − mean(h) − x̂·mean(h·x̂)),  dγ = Σ dy·x̂,  dβ = Σ dy
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        let scale = context.scale
        var inputGradient = outputGradient
        var scaleGradient = [Double](repeating: 0, count: scale.count)
        var shiftGradient = scaleGradient
        for members in members(context.place) {
            let m = Double(members.count)
            for row in 0..<input.rows {
                let (mean, deviation) = moments(input, row, members)
                var (sum, product) = (0.0, 0.0)
                for i in members {
                    let (g, c) = (outputGradient[row, i], i % scale.count)
                    let normalized = (input[row, i] - mean) / deviation
                    scaleGradient[c] += g * normalized
                    shiftGradient[c] += g
                    sum += g * scale[c]
                    product += g * scale[c] * normalized
                }
                for i in members {
                    let normalized = (input[row, i] - mean) / deviation
                    inputGradient[row, i] =
                        (outputGradient[row, i] * scale[i % scale.count] - sum / m
                            - normalized * product / m) / deviation
                }
            }
        }
        return ReferenceGradients(
            inputGradient, ["weight": scaleGradient, "bias": shiftGradient])
    }
}
