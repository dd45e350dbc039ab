/// `channelMoments` in its readable form: two passes.
///
/// - Parameter input: [rows, channels]
/// - Returns: mean and M2, [channels] each.
package func channelMomentsReference(
    input: [Double], channels: Int
) -> (mean: [Double], m2: [Double]) {
    let rows = input.count / channels
    var mean = [Double](repeating: 0, count: channels)
    var m2 = mean
    guard rows > 0 else { return (mean, m2) }
    for c in 0..<channels {
        for row in 0..<rows { mean[c] += input[row * channels + c] }
        mean[c] /= Double(rows)
        for row in 0..<rows {
            let d = input[row * channels + c] - mean[c]
            m2[c] += d * d
        }
    }
    return (mean, m2)
}

/// `channelSums` in its readable form.
///
/// - Parameter input: [rows, channels]
/// - Returns: Σx and Σx², [channels] each.
package func channelSumsReference(
    input: [Double], channels: Int
) -> (sum: [Double], squares: [Double]) {
    var sum = [Double](repeating: 0, count: channels)
    var squares = sum
    for (i, x) in input.enumerated() {
        sum[i % channels] += x
        squares[i % channels] += x * x
    }
    return (sum, squares)
}
