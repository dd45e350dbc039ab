import TensorCore

/// Softmax cross-entropy of a shard, forward and backward in one pass over its rows:
///
///     p = e^(x − max x) / Σe^(x − max x)
///     loss = log Σe^(x − max x) + max x − Σ q·x,  dx = (p − q)·gradientScale
///
/// with the target q = onehot(label), or with label smoothing s over K classes,
/// q = (1 − s)·onehot(label) + s/K (Szegedy et al. 2016; PyTorch's definition).
///
/// Each row's gradient is a function of that row alone. The loss is summed in row order, in
/// Float64, and is not divided: the caller divides once, by the global count.
///
/// Edge cases: a row with NaN, with +∞, or of nothing but −∞ has loss NaN and counts as wrong.
///
/// - Parameters:
///   - logits: x, [rows, classes]
///   - labels: [rows], each below `classes`.
///   - gradientScale: 1 / the global count.
///   - labelSmoothing: s, 0 ..< 1.
///   - logitsGradient: dx, [rows, classes], or nil where only the loss is wanted; may be `logits`.
/// - Returns: the sum of the rows' losses, and how many rows have their (first) largest logit at
///   the label.
public func softmaxCrossEntropy(
    logits: UnsafePointer<Float>, rows: Int, classes: Int, labels: UnsafePointer<UInt8>,
    gradientScale: Float, labelSmoothing: Double = 0,
    logitsGradient: UnsafeMutablePointer<Float>?
) -> (lossSum: Double, correct: Int) {
    let elsewhere = labelSmoothing / Double(classes)
    var lossSum = 0.0
    var correct = 0
    for row in 0..<rows {
        let x = logits + row * classes
        let label = Int(labels[row])
        precondition(label < classes, "a label is not below the number of classes")
        let labelLogit = x[label]
        let maximum = rowMaximum(x, classes)
        if labelLogit == maximum && !(0..<label).contains(where: { x[$0] == maximum }) {
            correct += 1
        }
        // Before the gradient, which may take the place of the logits.
        let target =
            labelSmoothing == 0
            ? Double(labelLogit)
            : (1 - labelSmoothing) * Double(labelLogit) + elsewhere * rowSum(x, classes)
        let sum: Double
        if let gradient = logitsGradient.map({ $0 + row * classes }) {
            sum = rowExponentials(x, classes, maximum, gradient)
            let inverse = Float(1 / sum)
            // Not p·scale − scale, which would round p·scale before the cancellation at p ≈ 1.
            let onLabel = labelSmoothing == 0 ? 1 : Float(1 - labelSmoothing + elsewhere)
            let labelGradient = (gradient[label] * inverse - onLabel) * gradientScale
            if labelSmoothing == 0 {
                scaleRow(gradient, classes, inverse * gradientScale)
            } else {
                scaleRow(gradient, classes, inverse, Float(elsewhere), gradientScale)
            }
            gradient[label] = labelGradient
        } else {
            sum = rowExponentials(x, classes, maximum, nil)
        }
        lossSum += Portable.log(sum) + (Double(maximum) - target)
    }
    return (lossSum, correct)
}

/// Class probabilities of every row: p = e^(x − max x) / Σe^(x − max x).
///
/// - Parameters:
///   - logits: x, [rows, classes]
///   - probabilities: p, [rows, classes]; may be `logits`.
public func softmax(
    logits: UnsafePointer<Float>, rows: Int, classes: Int,
    probabilities: UnsafeMutablePointer<Float>
) {
    for row in 0..<rows {
        let x = logits + row * classes
        let p = probabilities + row * classes
        let sum = rowExponentials(x, classes, rowMaximum(x, classes), p)
        scaleRow(p, classes, Float(1 / sum))
    }
}

/// The gradient of what `softmax` was taken of: dx = p·(dy − Σ dy·p), the sum in Float64.
///
/// - Parameters:
///   - probabilities: p, [rows, classes]
///   - outputGradient: dy, [rows, classes]
///   - logitsGradient: dx, [rows, classes]; may be `outputGradient`.
public func softmaxBackward(
    probabilities: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>, rows: Int,
    classes: Int, logitsGradient: UnsafeMutablePointer<Float>
) {
    for row in 0..<rows {
        let (p, dy) = (probabilities + row * classes, outputGradient + row * classes)
        let dx = logitsGradient + row * classes
        var sum = SIMD16<Double>()
        var c = 0
        while c < classes {
            let lanes = min(laneCount, classes &- c)
            sum.addProduct(widen(loadLanes(p + c, lanes)), widen(loadLanes(dy + c, lanes)))
            c &+= laneCount
        }
        let mean = Float(laneSum(sum))
        c = 0
        while c < classes {
            let lanes = min(laneCount, classes &- c)
            storeLanes(loadLanes(p + c, lanes) * (loadLanes(dy + c, lanes) - mean), dx + c, lanes)
            c &+= laneCount
        }
    }
}

/// The largest of the values that are not NaN.
@inline(__always)
func rowMaximum(_ x: UnsafePointer<Float>, _ classes: Int) -> Float {
    var maximum = SIMD16<Float>(repeating: -.infinity)
    var c = 0
    while c < classes {
        let lanes = min(laneCount, classes &- c)
        maximum = larger(maximum, loadLanes(x + c, lanes, padding: -.infinity))
        c &+= laneCount
    }
    return laneMaximum(maximum)
}

/// Σe^(x − maximum) in Float64; the exponentials themselves go to `output` if there is one.
@inline(__always)
private func rowExponentials(
    _ x: UnsafePointer<Float>, _ classes: Int, _ maximum: Float,
    _ output: UnsafeMutablePointer<Float>?
) -> Double {
    var sum = SIMD16<Double>()
    var c = 0
    while c < classes {
        let lanes = min(laneCount, classes &- c)
        let e = exponential(loadLanes(x + c, lanes, padding: -.infinity) - maximum)
        sum += widen(e)
        if let output { storeLanes(e, output + c, lanes) }
        c &+= laneCount
    }
    return laneSum(sum)
}

@inline(__always)
private func scaleRow(_ x: UnsafeMutablePointer<Float>, _ count: Int, _ factor: Float) {
    var c = 0
    while c < count {
        let lanes = min(laneCount, count &- c)
        storeLanes(loadLanes(x + c, lanes) * factor, x + c, lanes)
        c &+= laneCount
    }
}

/// x ← (x·factor − subtrahend)·scale: a row of exponentials becomes that of smoothed gradients.
@inline(__always)
private func scaleRow(
    _ x: UnsafeMutablePointer<Float>, _ count: Int, _ factor: Float, _ subtrahend: Float,
    _ scale: Float
) {
    let offset = SIMD16(repeating: -subtrahend)
    var c = 0
    while c < count {
        let lanes = min(laneCount, count &- c)
        storeLanes(offset.addingProduct(loadLanes(x + c, lanes), factor) * scale, x + c, lanes)
        c &+= laneCount
    }
}

/// Σx in Float64.
@inline(__always)
func rowSum(_ x: UnsafePointer<Float>, _ classes: Int) -> Double {
    var sum = SIMD16<Double>()
    var c = 0
    while c < classes {
        sum += widen(loadLanes(x + c, min(laneCount, classes &- c)))
        c &+= laneCount
    }
    return laneSum(sum)
}
