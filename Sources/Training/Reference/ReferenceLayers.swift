import Glibc

// The layers as formulas in Float64, f beside fBackward, independent of every kernel.

/// output = input·Wᵀ + b. `input` [n, inputs], `weight` [outputs, inputs], `bias` [outputs].
func referenceLinear(
    _ input: ReferenceMatrix, weight: ReferenceMatrix, bias: [Double]?
) -> ReferenceMatrix {
    var output = input * weight.transposed
    if let bias {
        for i in 0..<output.rows {
            for j in 0..<output.columns { output[i, j] += bias[j] }
        }
    }
    return output
}

/// inputGradient = g·W, weightGradient = gᵀ·input, biasGradient = Σ g, of g = `outputGradient`.
func referenceLinearBackward(
    _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, weight: ReferenceMatrix
) -> (inputGradient: ReferenceMatrix, weightGradient: ReferenceMatrix, biasGradient: [Double]) {
    (
        outputGradient * weight, outputGradient.transposed * input,
        outputGradient.columnSums
    )
}

/// Mean and biased variance of each channel over `rows` of a batch; the unit of a scope.
struct ReferenceMoments: Sendable {
    let rows: Range<Int>
    /// [C].
    let mean: [Double]
    /// [C], divided by the number of rows.
    let variance: [Double]
}

extension ReferenceMoments {
    /// mean = Σ x / m, variance = Σ (x − mean)² / m over the m `rows` of `input` [n, C].
    init(of input: ReferenceMatrix, rows: Range<Int>) {
        let m = Double(rows.count)
        var mean = [Double](repeating: 0, count: input.columns)
        var variance = mean
        for c in 0..<input.columns where !rows.isEmpty {
            for i in rows { mean[c] += input[i, c] }
            mean[c] /= m
            for i in rows { variance[c] += (input[i, c] - mean[c]) * (input[i, c] - mean[c]) }
            variance[c] /= m
        }
        self.init(rows: rows, mean: mean, variance: variance)
    }
}

/// output = (input − mean) / √(variance + ε) · scale + shift, with each row's own group's moments.
func referenceBatchNorm(
    _ input: ReferenceMatrix, _ groups: [ReferenceMoments], scale: [Double], shift: [Double],
    epsilon: Double
) -> ReferenceMatrix {
    var output = input
    for group in groups {
        for c in 0..<input.columns {
            let deviation = (group.variance[c] + epsilon).squareRoot()
            for i in group.rows {
                output[i, c] = (input[i, c] - group.mean[c]) / deviation * scale[c] + shift[c]
            }
        }
    }
    return output
}

/// With x̂ = (x − mean)/σ and means over the m rows of a group, of g = `outputGradient`:
///
///     inputGradient = scale/σ · (g − mean(g) − x̂ · mean(g·x̂))
///     scaleGradient = Σ g·x̂, shiftGradient = Σ g        over all groups
func referenceBatchNormBackward(
    _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, _ groups: [ReferenceMoments],
    scale: [Double], epsilon: Double
) -> (inputGradient: ReferenceMatrix, scaleGradient: [Double], shiftGradient: [Double]) {
    var inputGradient = outputGradient
    var scaleGradient = [Double](repeating: 0, count: input.columns)
    var shiftGradient = scaleGradient
    for group in groups {
        let m = Double(group.rows.count)
        for c in 0..<input.columns {
            let deviation = (group.variance[c] + epsilon).squareRoot()
            func normalized(_ i: Int) -> Double { (input[i, c] - group.mean[c]) / deviation }
            var sum = 0.0
            var product = 0.0
            for i in group.rows {
                sum += outputGradient[i, c]
                product += outputGradient[i, c] * normalized(i)
            }
            for i in group.rows {
                inputGradient[i, c] =
                    scale[c] / deviation
                    * (outputGradient[i, c] - sum / m - normalized(i) * product / m)
            }
            scaleGradient[c] += product
            shiftGradient[c] += sum
        }
    }
    return (inputGradient, scaleGradient, shiftGradient)
}

/// The activation of a hidden layer.
public enum ReferenceActivation: String, Sendable {
    /// 1 / (1 + e⁻ˣ).
    case sigmoid
    /// The hyperbolic tangent.
    case tanh
    /// max(x, 0).
    case relu
    /// x: the sum that ends a block without an activation.
    case identity

    /// The function.
    func value(_ x: Double) -> Double {
        switch self {
        // Each branch takes the exponential that cannot overflow.
        case .sigmoid: x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))
        case .tanh: Glibc.tanh(x)
        case .relu: x > 0 ? x : 0
        case .identity: x
        }
    }

    /// The derivative where the function has the value `y`.
    func derivative(ofValue y: Double) -> Double {
        switch self {
        case .sigmoid: y * (1 - y)
        case .tanh: 1 - y * y
        case .relu: y > 0 ? 1 : 0
        case .identity: 1
        }
    }
}

/// loss = mean over the rows of −Σⱼ qⱼ·log pⱼ, p = softmax, gradient = (p − q) / n, with q one-hot
/// but for the share `labelSmoothing`, which all classes have alike.
func referenceSoftmaxCrossEntropy(
    _ logits: ReferenceMatrix, _ labels: [Int], _ labelSmoothing: Double
) -> (loss: Double, gradient: ReferenceMatrix) {
    let n = Double(logits.rows)
    var loss = 0.0
    var gradient = logits
    for i in 0..<logits.rows {
        let row = (0..<logits.columns).map { logits[i, $0] }
        let largest = row.max() ?? 0
        let sum = row.reduce(0) { $0 + exp($1 - largest) }
        for j in 0..<logits.columns {
            let target =
                labelSmoothing / Double(logits.columns)
                + (j == labels[i] ? 1 - labelSmoothing : 0)
            loss += target * (log(sum) + largest - row[j]) / n
            gradient[i, j] = (exp(row[j] - largest) / sum - target) / n
        }
    }
    return (loss, gradient)
}

/// output = e^x / Σe^x over each row.
func referenceSoftmax(_ input: ReferenceMatrix) -> ReferenceMatrix {
    var output = input
    for i in 0..<input.rows {
        let row = (0..<input.columns).map { input[i, $0] }
        let largest = row.max() ?? 0
        let sum = row.reduce(0) { $0 + exp($1 - largest) }
        for j in 0..<input.columns { output[i, j] = exp(row[j] - largest) / sum }
    }
    return output
}

/// inputGradient[j] = Σₖ g[k]·p[k]·(δⱼₖ − p[j]), of g = `outputGradient` and p = softmax.
func referenceSoftmaxBackward(
    _ outputGradient: ReferenceMatrix, input: ReferenceMatrix
) -> ReferenceMatrix {
    let p = referenceSoftmax(input)
    var inputGradient = p
    for i in 0..<p.rows {
        for j in 0..<p.columns {
            inputGradient[i, j] = (0..<p.columns).reduce(0) {
                $0 + outputGradient[i, $1] * p[i, $1] * ((j == $1 ? 1 : 0) - p[i, j])
            }
        }
    }
    return inputGradient
}

/// loss = mean over the rows of −Σₖ qₖ·log cₖ, cₖ = xₖ/Σx within 1e-7 … 1 − 1e-7, where the bounds let
/// no gradient through; q as for `referenceSoftmaxCrossEntropy`.
func referenceProportionCrossEntropy(
    _ outputs: ReferenceMatrix, _ labels: [Int], _ labelSmoothing: Double
) -> (loss: Double, gradient: ReferenceMatrix) {
    let n = Double(outputs.rows)
    let classes = 0..<outputs.columns
    var loss = 0.0
    var gradient = ReferenceMatrix(rows: outputs.rows, columns: outputs.columns)
    for i in 0..<outputs.rows {
        let sum = classes.reduce(0) { $0 + outputs[i, $1] }
        for k in classes {
            let target =
                labelSmoothing / Double(outputs.columns) + (k == labels[i] ? 1 - labelSmoothing : 0)
            let share = outputs[i, k] / sum
            loss -= target * log(min(max(share, 1e-7), 1 - 1e-7)) / n
            guard share >= 1e-7 && share <= 1 - 1e-7 else { continue }
            for j in classes {
                gradient[i, j] -= target / share * ((j == k ? 1 : 0) - share) / sum / n
            }
        }
    }
    return (loss, gradient)
}
