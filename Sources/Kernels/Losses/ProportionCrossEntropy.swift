import TensorCore

/// The bounds that Keras keeps probabilities in before it takes their logarithm: 1e-7 … 1 − 1e-7.
public let probabilityBounds = 1e-7...1 - 1e-7

/// Cross-entropy of outputs that are divided by their sum first, forward and backward, of a shard's
/// rows:
///
///     p = x / S,  S = Σx,  c = p kept within `probabilityBounds`
///     loss = −Σ q·log c,  g = −q/p where p is within the bounds, else 0
///     dx = (g − Σ g·p)/S·gradientScale
///
/// with the target q of `softmaxCrossEntropy`. This is Keras's `categorical_crossentropy` with
/// `from_logits=False`, and its gradient as TensorFlow derives it: the bounds let none through
/// where they cut, the division by the sum is derived as well.
///
/// Outputs need not be positive, nor S: a label whose p is cut teaches its sample nothing. Rows are
/// functions of themselves alone; their losses are summed in order, in Float64, and not divided.
///
/// Edge cases: a row with NaN, or with S = 0 and a 0 at the label, has loss NaN; with S = 0, or
/// infinities, the gradient is NaN.
///
/// - Parameters:
///   - outputs: x, [rows, classes]
///   - labels: [rows], each below `classes`.
///   - gradientScale: 1 / the global count.
///   - labelSmoothing: s, 0 ..< 1.
///   - outputGradient: dx, [rows, classes], or nil where only the loss is wanted; may be `outputs`.
/// - Returns: the sum of the rows' losses, and how many rows have their (first) largest output at
///   the label.
public func proportionCrossEntropy(
    outputs: UnsafePointer<Float>, rows: Int, classes: Int, labels: UnsafePointer<UInt8>,
    gradientScale: Float, labelSmoothing: Double = 0,
    outputGradient: UnsafeMutablePointer<Float>?
) -> (lossSum: Double, correct: Int) {
    let elsewhere = labelSmoothing / Double(classes)
    var lossSum = 0.0
    var correct = 0
    for row in 0..<rows {
        let x = outputs + row * classes
        let label = Int(labels[row])
        precondition(label < classes, "a label is not below the number of classes")
        let maximum = rowMaximum(x, classes)
        if x[label] == maximum && !(0..<label).contains(where: { x[$0] == maximum }) {
            correct += 1
        }
        let sum = rowSum(x, classes)
        /// −q/p, or 0; without smoothing only of the label.
        func slope(_ k: Int) -> Double {
            let p = Double(x[k]) / sum
            let q = elsewhere + (k == label ? 1 - labelSmoothing : 0)
            return q == 0 || p < probabilityBounds.lowerBound || p > probabilityBounds.upperBound
                ? 0 : -q / p
        }
        var loss = 0.0
        /// Σ g·p: minus the targets of what is not cut.
        var mean = 0.0
        for k in labelSmoothing == 0 ? label..<label + 1 : 0..<classes {
            let p = Double(x[k]) / sum
            let q = elsewhere + (k == label ? 1 - labelSmoothing : 0)
            loss -= q * Portable.log(bounded(p))
            mean += slope(k) * p
        }
        lossSum += loss
        guard let gradient = outputGradient.map({ $0 + row * classes }) else { continue }
        let scale = Double(gradientScale) / sum
        for k in 0..<classes { gradient[k] = Float((slope(k) - mean) * scale) }
    }
    return (lossSum, correct)
}

/// What `proportionCrossEntropy` takes outputs for: x / Σx within `probabilityBounds`.
///
/// - Parameters:
///   - outputs: x, [rows, classes]
///   - probabilities: [rows, classes]; may be `outputs`.
public func proportionProbabilities(
    outputs: UnsafePointer<Float>, rows: Int, classes: Int,
    probabilities: UnsafeMutablePointer<Float>
) {
    for row in 0..<rows {
        let x = outputs + row * classes
        let sum = rowSum(x, classes)
        for k in 0..<classes {
            probabilities[row * classes + k] = Float(bounded(Double(x[k]) / sum))
        }
    }
}

/// The nearest value within `probabilityBounds`; NaN stays NaN.
@inline(__always)
private func bounded(_ p: Double) -> Double {
    if p < probabilityBounds.lowerBound { return probabilityBounds.lowerBound }
    return p > probabilityBounds.upperBound ? probabilityBounds.upperBound : p
}
