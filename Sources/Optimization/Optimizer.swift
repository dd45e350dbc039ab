/// How parameters follow their gradients over a run: a rule, its learning rates, and how long a
/// gradient may be.
public struct Optimizer: Sendable, Equatable {
    /// The rules there are.
    public enum Rule: Sendable, Equatable {
        /// Stochastic gradient descent.
        case sgd(SGD)
        /// Adam and AdamW.
        case adam(Adam)
        /// Layer-wise adaptive rates.
        case lars(LARS)
    }

    /// The rule.
    public var rule: Rule

    /// The learning rate of every step, and the momentum where it changes.
    public var schedule: Schedule

    /// The largest norm of the whole gradient; longer ones are shortened to it. nil: any.
    ///
    /// As torch.nn.utils.clip_grad_norm_: a factor of clipNorm / (‖g‖ + 1e-6) where that is below
    /// 1, on the gradient before weight decay.
    public var clipNorm: Double?

    /// An optimizer of these parts.
    public init(_ rule: Rule, schedule: Schedule, clipNorm: Double? = nil) {
        precondition(clipNorm.map { $0 > 0 } ?? true, "the largest norm is not above 0")
        self.rule = rule
        self.schedule = schedule
        self.clipNorm = clipNorm
    }

    /// Flat buffers, as long as the parameters, that the rule keeps from step to step: 0, 1 or 2.
    public var stateCount: Int {
        switch rule {
        case .sgd(let sgd): sgd.momentum == 0 ? 0 : 1
        case .adam: 2
        case .lars(let lars): lars.momentum == 0 ? 0 : 1
        }
    }

    /// Whether an update needs norms of the gradient, and so all of it before it can begin.
    public var needsNorms: Bool {
        if case .lars = rule { return true }
        return clipNorm != nil
    }

    /// Whether the rule decays anything.
    public var hasWeightDecay: Bool {
        switch rule {
        case .sgd(let sgd): sgd.weightDecay > 0
        case .adam(let adam): adam.weightDecay > 0
        case .lars(let lars): lars.weightDecay > 0
        }
    }

    /// The factor that brings a gradient of this norm down to `clipNorm`; 1 if it is short enough,
    /// NaN for a norm that is not finite: what has diverged must not go on quietly.
    public func clipFactor(norm: Double) -> Double {
        guard let clipNorm else { return 1 }
        guard norm.isFinite else { return .nan }
        return min(1, clipNorm / (norm + 1e-6))
    }

    /// What step `step` of `totalSteps` is done with.
    public func settings(step: Int, of totalSteps: Int) -> StepSettings {
        let momentum =
            switch rule {
            case .sgd(let sgd): sgd.momentum
            case .adam(let adam): adam.beta1
            case .lars(let lars): lars.momentum
            }
        return StepSettings(
            step: step, learningRate: schedule.rate(step: step, of: totalSteps),
            momentum: schedule.momentum(momentum, step: step, of: totalSteps))
    }

}

extension Optimizer.Rule {
    /// Updates the parameters in `range`.
    ///
    /// Disjoint ranges may be updated at the same time and in any order: bits do not depend on
    /// how the parameters are cut.
    ///
    /// - Parameters:
    ///   - range: the elements to update; with LARS, of one tensor.
    ///   - decays: whether weight decay applies to this range.
    ///   - localRate: LARS's, for weights.
    package func update(
        _ buffers: ParameterBuffers, range: Range<Int>, decays: Bool, localRate: Double? = nil,
        at step: StepSettings
    ) {
        switch self {
        case .sgd(let sgd): sgd.update(buffers, range: range, decays: decays, at: step)
        case .adam(let adam): adam.update(buffers, range: range, decays: decays, at: step)
        case .lars(let lars):
            lars.update(buffers, range: range, decays: decays, localRate: localRate, at: step)
        }
    }
}

/// What one step is done with.
public struct StepSettings: Sendable, Equatable {
    /// The step, from 1 on.
    public let step: Int

    /// Its learning rate.
    public let learningRate: Double

    /// Its momentum μ, for Adam β1.
    public let momentum: Double

    /// The same with another learning rate.
    public func scaled(by factor: Double) -> StepSettings {
        StepSettings(step: step, learningRate: learningRate * factor, momentum: momentum)
    }

    /// The settings of a step.
    public init(step: Int, learningRate: Double, momentum: Double) {
        precondition(step >= 1, "steps are counted from 1")
        self.step = step
        self.learningRate = learningRate
        self.momentum = momentum
    }
}

/// The flat buffers of one replica that an update reads and writes, all of the same length.
package struct ParameterBuffers {
    package let parameters: UnsafeMutablePointer<Float>
    package let gradient: UnsafePointer<Float>
    /// What the rule keeps, `stateCount` of them: velocity, or Adam's m and v. Zeros before step 1.
    package let first: UnsafeMutablePointer<Float>?
    package let second: UnsafeMutablePointer<Float>?

    package init(
        parameters: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        first: UnsafeMutablePointer<Float>? = nil, second: UnsafeMutablePointer<Float>? = nil
    ) {
        self.parameters = parameters
        self.gradient = gradient
        self.first = first
        self.second = second
    }
}
