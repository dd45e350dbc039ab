/// What a step of Adam multiplies by, in Float32, made in Float64 from the hyper-parameters.
public struct AdamFactors: Sendable, Equatable {
    /// λ of Adam, added to the gradient as λ·w; 0 in AdamW.
    let decay: Float
    /// 1 − learningRate·λ in AdamW, what is left of a parameter; 1 in Adam.
    let remainder: Float
    /// 1 − β1, β2 and 1 − β2.
    let firstWeight: Float, secondKept: Float, secondWeight: Float
    /// learningRate / (1 − β1ᵗ).
    let stepSize: Float
    /// 1 / √(1 − β2ᵗ).
    let rootCorrection: Float
    let epsilon: Float

    /// The factors of step `step`.
    ///
    /// - Parameters:
    ///   - step: t, from 1 on.
    ///   - beta1: the share of m that a step keeps, 0 ..< 1.
    ///   - beta2: the share of v that a step keeps, 0 ..< 1.
    ///   - epsilon: added to √v̂, above 0.
    ///   - weightDecay: λ.
    ///   - decoupled: whether λ shrinks the parameters themselves (AdamW).
    public init(
        step: Int, learningRate: Double, beta1: Double, beta2: Double, epsilon: Double,
        weightDecay: Double, decoupled: Bool
    ) {
        precondition(step >= 1, "steps are counted from 1")
        decay = decoupled ? 0 : Float(weightDecay)
        remainder = decoupled ? Float(1 - learningRate * weightDecay) : 1
        firstWeight = Float(1 - beta1)
        secondKept = Float(beta2)
        secondWeight = Float(1 - beta2)
        stepSize = Float(learningRate / (1 - power(beta1, step)))
        rootCorrection = Float(1 / (1 - power(beta2, step)).squareRoot())
        self.epsilon = Float(epsilon)
    }
}

/// One step of Adam or AdamW over a run of parameters, with PyTorch's conventions:
///
///     Adam:   g ← gradient + λ·w
///     AdamW:  g ← gradient,  w ← w·(1 − learningRate·λ)
///     m ← m + (1 − β1)·(g − m)
///     v ← β2·v + (1 − β2)·g²
///     w ← w − learningRate/(1 − β1ᵗ) · m / (√v/√(1 − β2ᵗ) + ε)
///
/// Every element is computed alone: threads that update disjoint slices make the same bits as one
/// that updates all. Zeros with a gradient of zero stay zeros, as ε is above 0. What becomes subnormal
/// becomes 0.
///
/// Kingma and Ba, "Adam", 2015; Loshchilov and Hutter, "Decoupled weight decay regularization",
/// 2019; in the form of torch.optim.Adam and AdamW.
///
/// - Parameters:
///   - parameters: w, [count]
///   - gradient: [count]
///   - firstMoment: m, [count], zeros before step 1.
///   - secondMoment: v, [count], zeros before step 1.
public func adamUpdate(
    parameters: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    firstMoment: UnsafeMutablePointer<Float>, secondMoment: UnsafeMutablePointer<Float>,
    count: Int, _ factors: AdamFactors
) {
    var i = 0
    while i < count {
        let lanes = min(laneCount, count &- i)
        let w = loadLanes(parameters + i, lanes)
        let g = loadLanes(gradient + i, lanes).addingProduct(w, factors.decay)
        let oldMean = loadLanes(firstMoment + i, lanes)
        let m = oldMean.addingProduct(g - oldMean, factors.firstWeight)
        let v = (loadLanes(secondMoment + i, lanes) * factors.secondKept)
            .addingProduct(g * factors.secondWeight, g)
        let divisor = squareRoot(v) * factors.rootCorrection + factors.epsilon
        storeLanes(flushed(m), firstMoment + i, lanes)
        storeLanes(flushed(v), secondMoment + i, lanes)
        let updated = (w * factors.remainder).addingProduct(m / divisor, -factors.stepSize)
        storeLanes(flushed(updated), parameters + i, lanes)
        i &+= laneCount
    }
}

/// baseᵉˣᵖᵒⁿᵉⁿᵗ by squaring.
private func power(_ base: Double, _ exponent: Int) -> Double {
    var (result, factor, rest) = (1.0, base, exponent)
    while rest > 0 {
        if rest & 1 != 0 { result *= factor }
        factor *= factor
        rest >>= 1
    }
    return result
}
