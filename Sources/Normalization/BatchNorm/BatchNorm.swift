public import Layers
import TensorCore

/// Batch normalisation: see ``BatchNormLayer``.
///
/// - weight and bias (γ, β) where it is affine, running_mean, running_var [C]
public struct BatchNorm: Module {
    /// How it works.
    public var settings: BatchNormSettings
    /// Whether γ is 0 at first, rather than 1.
    public var startsAtZero: Bool

    /// Batch normalisation.
    public init(_ settings: BatchNormSettings = BatchNormSettings(), startsAtZero: Bool = false) {
        self.settings = settings
        self.startsAtZero = startsAtZero
    }

    /// An activation behind it is part of its layer.
    public var fusesActivation: Bool { true }

    /// γ, β and the running statistics.
    ///
    /// Normalised over all shards, γ and β have gradients that every worker knows without a further
    /// reduction.
    public func tensors(at place: ModulePlace) -> [ModelLayout.Declaration] {
        let channels = place.input.channels
        let isGlobal = settings.scope.groupSize(shards: place.shards) == place.shards
        return affineTensors(
            settings.affine, channels: channels, isReduced: !isGlobal || place.isFrozen,
            startsAtZero: startsAtZero) + [.statistics(name: "", channels: channels)]
    }

    /// A `BatchNormLayer`; frozen, a `FrozenBatchNormLayer`.
    public func layer(at place: ModulePlace, _ worker: WorkerContext) -> any Layer {
        place.isFrozen
            ? FrozenBatchNormLayer(settings, at: place, worker)
            : BatchNormLayer(settings, at: place, worker)
    }

    // MARK: reference

    /// What each group of samples is normalised by.
    public func referenceMoments(
        _ input: ReferenceMatrix, _ groups: [Range<Int>], at place: ModulePlace
    ) -> [ReferenceMoments] {
        let positions = place.input.positions
        let pixels = input.asRows(of: place.input.channels)
        return groups.map {
            ReferenceMoments(
                of: pixels, rows: $0.lowerBound * positions..<$0.upperBound * positions)
        }
    }

    /// y = (x − μ)/√(σ² + ε)·γ + β, with each row's own group's moments.
    public func reference(
        _ input: ReferenceMatrix, _ context: ReferenceContext
    ) -> ReferenceMatrix {
        let (scale, shift) = (context.scale, context.shift)
        var output = input.asRows(of: context.place.input.channels)
        for group in context.moments {
            for c in 0..<output.columns {
                let deviation = (group.variance[c] + settings.epsilon).squareRoot()
                for i in group.rows {
                    output[i, c] = (output[i, c] - group.mean[c]) / deviation * scale[c] + shift[c]
                }
            }
        }
        return output.asRows(of: input.columns)
    }

    /// With x̂ = (x − μ)/σ and means over the m rows of a group:
    ///
    ///     dx = γ/σ·(dy − mean(dy) − x̂·mean(dy·x̂)),  dγ = Σ dy·x̂,  dβ = Σ dy
    public func referenceBackward(
        _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, output: ReferenceMatrix,
        _ context: ReferenceContext
    ) -> ReferenceGradients {
        let scale = context.scale
        let x = input.asRows(of: scale.count)
        let dy = outputGradient.asRows(of: scale.count)
        var inputGradient = dy
        var scaleGradient = [Double](repeating: 0, count: scale.count)
        var shiftGradient = scaleGradient
        for group in context.moments {
            let m = Double(group.rows.count)
            for c in scale.indices {
                let deviation = (group.variance[c] + settings.epsilon).squareRoot()
                func normalized(_ i: Int) -> Double { (x[i, c] - group.mean[c]) / deviation }
                var (sum, product) = (0.0, 0.0)
                for i in group.rows {
                    sum += dy[i, c]
                    product += dy[i, c] * normalized(i)
                }
                for i in group.rows {
                    inputGradient[i, c] =
                        scale[c] / deviation
                        * (dy[i, c] - sum / m - normalized(i) * product / m)
                }
                scaleGradient[c] += product
                shiftGradient[c] += sum
            }
        }
        return ReferenceGradients(
            inputGradient.asRows(of: input.columns),
            ["weight": scaleGradient, "bias": shiftGradient])
    }
}

/// γ and β, where there are any.
func affineTensors(
    _ affine: Bool, channels: Int, isReduced: Bool, startsAtZero: Bool
) -> [ModelLayout.Declaration] {
    guard affine else { return [] }
    return [
        .parameter(
            name: "weight", shape: [channels], role: .scale, isReduced: isReduced,
            start: startsAtZero ? 0 : 1),
        .parameter(name: "bias", shape: [channels], role: .shift, isReduced: isReduced),
    ]
}
