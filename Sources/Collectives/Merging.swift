/// How two neighbouring nodes of the tree become one.
enum Merging: Sendable {
    /// Element by element: left + right.
    case sum

    /// Per channel, mean and M2 = Σ(x − mean)², laid out `[mean: C][M2: C]`, with the counts of
    /// both sides known: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for
    /// computing sample variances", 1979.
    ///
    ///     δ = mean₂ − mean₁,  mean = mean₁ + δ·n₂/n,  M2 = M2₁ + M2₂ + δ²·n₁·n₂/n
    ///
    /// An empty side leaves the other one's bits as they are.
    case moments
}

/// Writes the merge of `left` and `right` (`length` values each) to `output`, which may be either.
func merge(
    _ merging: Merging, left: UnsafePointer<Double>, right: UnsafePointer<Double>,
    leftCount: Int, rightCount: Int, length: Int, into output: UnsafeMutablePointer<Double>
) {
    switch merging {
    case .sum:
        for i in 0..<length { output[i] = left[i] + right[i] }
    case .moments:
        if rightCount == 0 {
            if output != left { output.update(from: left, count: length) }
            return
        }
        if leftCount == 0 {
            if output != right { output.update(from: right, count: length) }
            return
        }
        let channels = length / 2
        let total = Double(leftCount + rightCount)
        let rightShare = Double(rightCount) / total
        let weight = Double(leftCount) * rightShare
        for c in 0..<channels {
            let difference = right[c] - left[c]
            let squares = left[channels + c] + right[channels + c]
            output[c] = left[c] + difference * rightShare
            output[channels + c] = squares + difference * difference * weight
        }
    }
}

/// output = left + right, element by element; the order of a tree's node.
@inline(__always)
func add(
    left: UnsafePointer<Float>, right: UnsafePointer<Float>, count: Int,
    into output: UnsafeMutablePointer<Float>
) {
    for i in 0..<count { output[i] = left[i] + right[i] }
}
