// Normalisations of each sample by itself as formulas in Float64, independent of every kernel.
// A matrix holds [samples, H·W·C]; a group is some neighbours of the C channels at all positions.

/// The values of each group in a row of `columns`, by their places.
private func groupMembers(columns: Int, channels: Int, groups: Int) -> [[Int]] {
    var members = Array(repeating: [Int](), count: groups)
    for i in 0..<columns { members[i % channels * groups / channels].append(i) }
    return members
}

/// Mean and √(variance + ε) of some values of a row.
private func moments(
    _ input: ReferenceMatrix, _ row: Int, _ members: [Int], epsilon: Double
) -> (mean: Double, deviation: Double) {
    let m = Double(members.count)
    let mean = members.reduce(0) { $0 + input[row, $1] } / m
    let variance =
        members.reduce(0) { $0 + (input[row, $1] - mean) * (input[row, $1] - mean) } / m
    return (mean, (variance + epsilon).squareRoot())
}

/// output = (input − mean) / √(variance + ε) · scale + shift, with the moments of the sample's group.
func referenceGroupNorm(
    _ input: ReferenceMatrix, channels: Int, groups: Int, scale: [Double], shift: [Double],
    epsilon: Double
) -> ReferenceMatrix {
    var output = input
    for members in groupMembers(columns: input.columns, channels: channels, groups: groups) {
        for row in 0..<input.rows {
            let (mean, deviation) = moments(input, row, members, epsilon: epsilon)
            for i in members {
                let c = i % channels
                output[row, i] = (input[row, i] - mean) / deviation * scale[c] + shift[c]
            }
        }
    }
    return output
}

/// With x̂ = (x − mean)/σ, h = scale · g and means over a sample's group, of g = `outputGradient`:
///
///     inputGradient = 1/σ · (h − mean(h) − x̂ · mean(h·x̂))
///     scaleGradient = Σ g·x̂, shiftGradient = Σ g        over samples and positions
func referenceGroupNormBackward(
    _ outputGradient: ReferenceMatrix, input: ReferenceMatrix, groups: Int, scale: [Double],
    epsilon: Double
) -> (inputGradient: ReferenceMatrix, scaleGradient: [Double], shiftGradient: [Double]) {
    let channels = scale.count
    var inputGradient = outputGradient
    var scaleGradient = [Double](repeating: 0, count: channels)
    var shiftGradient = scaleGradient
    for members in groupMembers(columns: input.columns, channels: channels, groups: groups) {
        let m = Double(members.count)
        for row in 0..<input.rows {
            let (mean, deviation) = moments(input, row, members, epsilon: epsilon)
            var sum = 0.0
            var product = 0.0
            for i in members {
                let (g, c) = (outputGradient[row, i], i % channels)
                let normalized = (input[row, i] - mean) / deviation
                scaleGradient[c] += g * normalized
                shiftGradient[c] += g
                sum += g * scale[c]
                product += g * scale[c] * normalized
            }
            for i in members {
                let normalized = (input[row, i] - mean) / deviation
                inputGradient[row, i] =
                    (outputGradient[row, i] * scale[i % channels] - sum / m
                        - normalized * product / m) / deviation
            }
        }
    }
    return (inputGradient, scaleGradient, shiftGradient)
}
