import Kernels

/// Layer-wise adaptive rate scaling: SGD with momentum whose rate is, for each tensor of weights,
/// proportional to its own size over that of its gradient; formula in `larsUpdate` and
/// `larsLocalRate`.
///
/// Biases and the normalisations' γ and β move as `SGD` moves them: their norms say little about
/// how far they may go (You et al. train them so).
///
/// State: one velocity as long as the parameters, if there is momentum.
public struct LARS: Sendable, Equatable {
    /// The share μ of the velocity that a step keeps, 0 ..< 1; 0 for no velocity.
    public var momentum: Double

    /// λ: how much of a parameter is added to its gradient.
    public var weightDecay: Double

    /// η: which part of a tensor's norm a step at learning rate 1 may move it by; above 0.
    public var trustCoefficient: Double

    /// Added to the gradient's norm, which divides; at least 0.
    public var epsilon: Double

    /// An optimizer of this configuration.
    public init(
        momentum: Double = 0.9, weightDecay: Double = 0, trustCoefficient: Double = 0.001,
        epsilon: Double = 1e-8
    ) {
        precondition(momentum >= 0 && momentum < 1, "momentum is outside 0 ..< 1")
        precondition(weightDecay >= 0, "weight decay is negative")
        precondition(trustCoefficient > 0, "the trust coefficient is not above 0")
        precondition(epsilon >= 0, "ε is negative")
        self.momentum = momentum
        self.weightDecay = weightDecay
        self.trustCoefficient = trustCoefficient
        self.epsilon = epsilon
    }

    /// The rate of a tensor of weights, a factor on the learning rate.
    package func localRate(parameterNorm: Double, gradientNorm: Double) -> Double {
        larsLocalRate(
            parameterNorm: parameterNorm, gradientNorm: gradientNorm,
            trustCoefficient: trustCoefficient, weightDecay: weightDecay, epsilon: epsilon)
    }

    /// Updates the parameters in `range`, of one tensor; `localRate` is nil where it is no weight.
    func update(
        _ buffers: ParameterBuffers, range: Range<Int>, decays: Bool, localRate: Double?,
        at step: StepSettings
    ) {
        guard let localRate else {
            SGD(momentum: momentum, weightDecay: weightDecay).update(
                buffers, range: range, decays: decays, at: step)
            return
        }
        larsUpdate(
            parameters: buffers.parameters + range.lowerBound,
            gradient: buffers.gradient + range.lowerBound,
            velocity: buffers.first.map { $0 + range.lowerBound }, count: range.count,
            rate: Float(step.learningRate * localRate), momentum: Float(step.momentum),
            weightDecay: decays ? Float(weightDecay) : 0)
    }
}
