/// output = the mean of every channel over an image's positions, summed in order in Float64.
///
/// - Parameters:
///   - positions: H·W, at least 1
///   - input: [images, positions, channels]
///   - output: [images, channels]
public func globalAveragePool(
    images: Int, positions: Int, channels: Int, input: UnsafePointer<Float>,
    output: UnsafeMutablePointer<Float>
) {
    precondition(positions > 0, "an average needs positions")
    let scale = 1 / Double(positions)
    for image in 0..<images {
        var c = 0
        while c < channels {
            let lanes = min(laneCount, channels &- c)
            var sum = SIMD16<Double>()
            var pixel = input + (image &* positions &* channels &+ c)
            for _ in 0..<positions {
                sum += widen(loadLanes(pixel, lanes))
                pixel += channels
            }
            storeLanes(narrow(sum * scale), output + (image &* channels &+ c), lanes)
            c &+= laneCount
        }
    }
}

/// Each channel's gradient over the number of positions, to all of them.
///
/// - Parameters:
///   - positions: H·W, at least 1
///   - outputGradient: [images, channels]
///   - inputGradient: [images, positions, channels], overwritten
public func globalAveragePoolBackward(
    images: Int, positions: Int, channels: Int, outputGradient: UnsafePointer<Float>,
    inputGradient: UnsafeMutablePointer<Float>
) {
    precondition(positions > 0, "an average needs positions")
    let scale = 1 / Float(positions)
    for image in 0..<images {
        var c = 0
        while c < channels {
            let lanes = min(laneCount, channels &- c)
            let share = loadLanes(outputGradient + (image &* channels &+ c), lanes) * scale
            var pixel = inputGradient + (image &* positions &* channels &+ c)
            for _ in 0..<positions {
                storeLanes(share, pixel, lanes)
                pixel += channels
            }
            c &+= laneCount
        }
    }
}
