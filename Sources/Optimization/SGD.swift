import Kernels

/// Stochastic gradient descent with momentum, Nesterov's or plain, and weight decay, on ranges of
/// flat buffers; conventions and formula are those of `sgdUpdate` (torch.optim.SGD).
///
/// State: one velocity as long as the parameters, if there is momentum.
public struct SGD: Sendable, Equatable {
    /// The learning rate of every step.
    public var schedule: Schedule

    /// The share μ of the velocity that a step keeps, 0 ..< 1; 0 for no velocity.
    public var momentum: Double

    /// Whether a step looks ahead by one more velocity.
    public var nesterov: Bool

    /// λ: how much of a parameter is added to its gradient.
    public var weightDecay: Double

    /// An optimizer of this configuration.
    ///
    /// Edge cases: without momentum, Nesterov changes nothing.
    public init(
        schedule: Schedule, momentum: Double = 0, nesterov: Bool = false, weightDecay: Double = 0
    ) {
        precondition(momentum >= 0 && momentum < 1, "momentum is outside 0 ..< 1")
        precondition(weightDecay >= 0, "weight decay is negative")
        self.schedule = schedule
        self.momentum = momentum
        self.nesterov = nesterov
        self.weightDecay = weightDecay
    }

    /// Whether `update` needs a velocity.
    public var needsVelocity: Bool { momentum != 0 }

    /// Updates the parameters in `range` at `learningRate`.
    ///
    /// Disjoint ranges may be updated at the same time and in any order: bits do not depend on
    /// how the parameters are cut.
    ///
    /// - Parameters:
    ///   - parameters: all parameters, flat.
    ///   - gradient: their gradient, as long.
    ///   - velocity: as long, of any content before step 1; needed if `needsVelocity`.
    ///   - range: the elements to update.
    ///   - decays: whether weight decay applies to this range.
    ///   - learningRate: this step's, from `schedule`.
    ///   - isFirstStep: whether no step has written `velocity` yet.
    package func update(
        parameters: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        velocity: UnsafeMutablePointer<Float>?, range: Range<Int>, decays: Bool,
        learningRate: Double, isFirstStep: Bool
    ) {
        precondition(!needsVelocity || velocity != nil, "momentum needs a velocity")
        sgdUpdate(
            parameters: parameters + range.lowerBound, gradient: gradient + range.lowerBound,
            velocity: needsVelocity ? velocity.map { $0 + range.lowerBound } : nil,
            count: range.count, learningRate: Float(learningRate), momentum: Float(momentum),
            nesterov: nesterov, weightDecay: decays ? Float(weightDecay) : 0,
            isFirstStep: isFirstStep)
    }
}
