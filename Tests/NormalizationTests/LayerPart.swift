import Layers
import Normalization
import TestSupport
import Testing

extension LayerCase.Part {
    /// The parts of all workers side by side; what the replica holds must be the same on all.
    static func joined(_ parts: [LayerCase.Part], channels: Int) -> LayerCase.Part {
        var whole = LayerCase.Part(rows: 0..<(parts.last?.rows.upperBound ?? 0))
        for part in parts {
            whole.output += part.output
            whole.inputGradient += part.inputGradient
            whole.moments.merge(part.moments) { first, _ in first }
        }
        whole.scaleGradient = parts[0].scaleGradient
        whole.shiftGradient = parts[0].shiftGradient
        whole.runningMean = parts[0].runningMean
        whole.runningVariance = parts[0].runningVariance
        return whole
    }

    /// Whether this worker saw exactly its part of `whole`.
    func hasBits(of whole: LayerCase.Part, channels: Int) -> Bool {
        let values = rows.lowerBound * channels..<rows.upperBound * channels
        let hasGradient = !whole.inputGradient.isEmpty
        return bits(output) == bits(Array(whole.output[values]))
            && bits(inputGradient) == bits(hasGradient ? Array(whole.inputGradient[values]) : [])
            && moments.allSatisfy { bits($0.value) == whole.moments[$0.key].map { bits($0) } }
            && bits(scaleGradient) == bits(whole.scaleGradient)
            && bits(shiftGradient) == bits(whole.shiftGradient)
            && bits(runningMean) == bits(whole.runningMean)
            && bits(runningVariance) == bits(whole.runningVariance)
    }
}

/// Asserts that a pass is the reference's, in Float64.
///
/// - Parameter tolerance: of the tensor's largest magnitude; input gradients cancel where a group
///   has few values, so that theirs is of the largest term.
func expectReference(
    _ part: LayerCase.Part, _ layer: LayerCase, tolerance: Double = 2e-6,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let expected = layer.reference()
    func near(_ actual: [Float], _ expected: [Double], _ what: String, magnitude: Double = 0) {
        let difference = largestDifference(actual, expected, magnitude: magnitude)
        #expect(difference < tolerance, "\(what)", sourceLocation: sourceLocation)
    }
    near(part.output, expected.output, "output")
    near(part.runningMean, expected.runningMean, "running mean")
    near(part.runningVariance, expected.runningVariance, "running variance")
    guard layer.mode == .training else { return }
    if layer.needsInputGradient {
        near(part.inputGradient, expected.inputGradient, "dx", magnitude: layer.largestTerm)
    }
    guard layer.settings.affine else { return }
    // Sums over rows cancel as well: their error is one of the addends, of size 1.
    near(part.scaleGradient, expected.scaleGradient, "dγ", magnitude: 1)
    near(part.shiftGradient, expected.shiftGradient, "dβ", magnitude: 1)
}

extension LayerCase {
    /// The largest |γ/√(σ² + ε)·dz|: the terms whose difference an input gradient is.
    var largestTerm: Double {
        let variances = reference().variance.flatMap { $0 }.filter { $0 > 0 }
        let inverse = 1 / ((variances.min() ?? 1) + settings.epsilon).squareRoot()
        let scale = settings.affine ? (self.scale.map { abs(Double($0)) }.max() ?? 0) : 1
        return (outputGradient.map { abs(Double($0)) }.max() ?? 0) * scale * inverse
    }
}
