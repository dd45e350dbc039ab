import Kernels

/// Stochastic gradient descent with momentum, Nesterov's or plain, and weight decay, on ranges of
/// flat buffers; conventions and formula are those of `sgdUpdate` (torch.optim.SGD).
///
/// State: one velocity as long as the parameters, if there is momentum.
public struct SGD: Sendable, Equatable {
    /// The share μ of the velocity that a step keeps, 0 ..< 1; 0 for no velocity.
    public var momentum: Double

    /// Whether a step looks ahead by one more velocity.
    public var nesterov: Bool

    /// λ: how much of a parameter is added to its gradient.
    public var weightDecay: Double

    /// An optimizer of this configuration.
    ///
    /// Edge cases: without momentum, Nesterov changes nothing.
    public init(momentum: Double = 0, nesterov: Bool = false, weightDecay: Double = 0) {
        precondition(momentum >= 0 && momentum < 1, "momentum is outside 0 ..< 1")
        precondition(weightDecay >= 0, "weight decay is negative")
        self.momentum = momentum
        self.nesterov = nesterov
        self.weightDecay = weightDecay
    }

    /// Updates the parameters in `range`.
    func update(
        _ buffers: ParameterBuffers, range: Range<Int>, decays: Bool, at step: StepSettings
    ) {
        sgdUpdate(
            parameters: buffers.parameters + range.lowerBound,
            gradient: buffers.gradient + range.lowerBound,
            velocity: buffers.first.map { $0 + range.lowerBound }, count: range.count,
            learningRate: Float(step.learningRate), momentum: Float(step.momentum),
            nesterov: nesterov, weightDecay: decays ? Float(weightDecay) : 0,
            isFirstStep: step.step == 1)
    }
}
