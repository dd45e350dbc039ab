import Kernels

/// Adam and AdamW on ranges of flat buffers; conventions and formula are those of `adamUpdate`
/// (torch.optim.Adam and AdamW).
///
/// State: the running means of the gradient and of its square, each as long as the parameters.
public struct Adam: Sendable, Equatable {
    /// β1, the share of the gradient's running mean that a step keeps, 0 ..< 1.
    public var beta1: Double

    /// β2, the share of the squared gradient's running mean that a step keeps, 0 ..< 1.
    public var beta2: Double

    /// ε, added to the root of the second mean; above 0.
    public var epsilon: Double

    /// λ: how much of a parameter is added to its gradient or, decoupled, taken from itself.
    public var weightDecay: Double

    /// Whether the decay shrinks the parameters themselves, by learningRate·λ: AdamW.
    public var decoupled: Bool

    /// An optimizer of this configuration.
    public init(
        beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
        weightDecay: Double = 0, decoupled: Bool = false
    ) {
        precondition(beta1 >= 0 && beta1 < 1, "β1 is outside 0 ..< 1")
        precondition(beta2 >= 0 && beta2 < 1, "β2 is outside 0 ..< 1")
        precondition(Float(epsilon).isNormal && epsilon > 0, "ε is not above 0 in Float32")
        precondition(weightDecay >= 0, "weight decay is negative")
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.decoupled = decoupled
    }

    /// Updates the parameters in `range`.
    func update(
        _ buffers: ParameterBuffers, range: Range<Int>, decays: Bool, at step: StepSettings
    ) {
        guard let mean = buffers.first, let square = buffers.second else {
            preconditionFailure("Adam needs two buffers")
        }
        adamUpdate(
            parameters: buffers.parameters + range.lowerBound,
            gradient: buffers.gradient + range.lowerBound, firstMoment: mean + range.lowerBound,
            secondMoment: square + range.lowerBound, count: range.count,
            AdamFactors(
                step: step.step, learningRate: step.learningRate, beta1: step.momentum,
                beta2: beta2, epsilon: epsilon, weightDecay: decays ? weightDecay : 0,
                decoupled: decoupled))
    }
}
