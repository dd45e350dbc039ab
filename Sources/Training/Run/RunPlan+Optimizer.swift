import Configuration
import Optimization

extension Optimizer {
    /// What a configuration asks for.
    init(_ configuration: RunConfiguration) {
        let optimizer = configuration.optimizer
        let decay = optimizer.weightDecay
        let rule: Rule =
            switch optimizer.rule {
            case .sgd(let momentum, let nesterov):
                .sgd(SGD(momentum: momentum, nesterov: nesterov, weightDecay: decay))
            case .adam(let beta1, let beta2, let epsilon):
                .adam(
                    Adam(beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: decay))
            case .adamW(let beta1, let beta2, let epsilon):
                .adam(
                    Adam(
                        beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: decay,
                        decoupled: true))
            case .lars(let momentum, let trustCoefficient, let epsilon):
                .lars(
                    LARS(
                        momentum: momentum, weightDecay: decay,
                        trustCoefficient: trustCoefficient, epsilon: epsilon))
            }
        self.init(rule, schedule: Schedule(configuration), clipNorm: optimizer.clipNorm)
    }
}

extension Schedule {
    /// What a configuration asks for. With a rate that is scaled by the batch, the warm-up rises
    /// from the rate that is not (Goyal et al. 2017); a smaller batch's falls, and needs none.
    fileprivate init(_ configuration: RunConfiguration) {
        let schedule = configuration.schedule
        let course: Course =
            switch schedule.kind {
            case .constant: .constant
            case .step(let milestones, let factor): .step(milestones: milestones, factor: factor)
            case .cosine(let minimum): .cosine(minimum: minimum)
            case .oneCycle(let cycle):
                .oneCycle(
                    OneCycle(
                        pctStart: cycle.pctStart, divFactor: cycle.divFactor,
                        finalDivFactor: cycle.finalDivFactor,
                        minimumMomentum: cycle.minimumMomentum))
            }
        let base = configuration.scaledLearningRate
        self.init(
            base: base, course: course, warmupSteps: schedule.warmupSteps,
            warmupStart: schedule.scaleWithBatch == nil
                ? 0 : min(base, configuration.optimizer.learningRate))
    }
}
