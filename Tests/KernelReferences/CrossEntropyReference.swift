import Foundation
import Kernels

/// `softmaxCrossEntropy` in its readable form, for one row.
///
/// - Parameter logits: [classes]
/// - Returns: the loss, and p [classes], of which the gradient is (p − q)·gradientScale.
package func softmaxCrossEntropyReference(
    logits: [Double], label: Int, labelSmoothing: Double = 0
) -> (loss: Double, probabilities: [Double]) {
    let maximum = logits.max() ?? 0
    let exponentials = logits.map { exp($0 - maximum) }
    let sum = exponentials.reduce(0, +)
    // −log p of each class.
    let losses = logits.map { log(sum) + maximum - $0 }
    let mean = losses.reduce(0, +) / Double(logits.count)
    return (
        (1 - labelSmoothing) * losses[label] + labelSmoothing * mean,
        exponentials.map { $0 / sum }
    )
}

/// `proportionCrossEntropy` in its readable form, for one row.
///
/// - Parameter outputs: [classes]
/// - Returns: the loss, and its gradient with respect to the outputs, [classes].
package func proportionCrossEntropyReference(
    outputs: [Double], label: Int, labelSmoothing: Double = 0
) -> (loss: Double, gradient: [Double]) {
    let sum = outputs.reduce(0, +)
    let targets = outputs.indices.map {
        labelSmoothing / Double(outputs.count) + ($0 == label ? 1 - labelSmoothing : 0)
    }
    let shares = outputs.map { $0 / sum }
    let clipped = shares.map {
        min(max($0, probabilityBounds.lowerBound), probabilityBounds.upperBound)
    }
    let loss = zip(targets, clipped).reduce(0) { $0 - $1.0 * log($1.1) }
    // ∂loss/∂share, and through share_k = x_k / Σx: ∂share_k/∂x_j = (δ_kj − share_k) / Σx.
    let slopes = shares.indices.map { clipped[$0] == shares[$0] ? -targets[$0] / shares[$0] : 0 }
    let mean = zip(slopes, shares).reduce(0) { $0 + $1.0 * $1.1 }
    return (loss, slopes.map { ($0 - mean) / sum })
}
