/// One step of LARS over a run of one tensor, whose local rate λ the caller knows:
///
///     v ← momentum·v + learningRate·λ·(gradient + weightDecay·w)
///     w ← w − v
///
/// Unlike `sgdUpdate`'s, the velocity contains the learning rate, as in the paper's algorithm 1.
/// Every element is computed alone: threads that update disjoint slices make the same bits as one
/// that updates all. What becomes subnormal becomes 0.
///
/// You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017.
///
/// - Parameters:
///   - parameters: w, [count]
///   - gradient: [count]
///   - velocity: v, [count], zeros before the first step; nil without momentum.
///   - rate: learningRate·λ.
public func larsUpdate(
    parameters: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    velocity: UnsafeMutablePointer<Float>?, count: Int, rate: Float, momentum: Float,
    weightDecay: Float
) {
    var i = 0
    while i < count {
        let lanes = min(laneCount, count &- i)
        let w = loadLanes(parameters + i, lanes)
        var v = loadLanes(gradient + i, lanes).addingProduct(w, weightDecay) * rate
        if let velocity {
            v.addProduct(loadLanes(velocity + i, lanes), momentum)
            storeLanes(flushed(v), velocity + i, lanes)
        }
        storeLanes(flushed(w - v), parameters + i, lanes)
        i &+= laneCount
    }
}

/// λ, the local rate of LARS:
///
///     λ = trustCoefficient·‖w‖ / (‖g‖ + weightDecay·‖w‖ + epsilon)
///
/// Edge cases: 1 where the tensor or its gradient is all zeros: a tensor of zeros would otherwise
/// never leave them.
public func larsLocalRate(
    parameterNorm: Double, gradientNorm: Double, trustCoefficient: Double, weightDecay: Double,
    epsilon: Double
) -> Double {
    if parameterNorm == 0 || gradientNorm == 0 { return 1 }
    return trustCoefficient * parameterNorm
        / (gradientNorm + weightDecay * parameterNorm + epsilon)
}
