import Glibc
import Layers

// The losses as formulas in Float64, independent of every kernel.

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
