extension RunConfiguration {
    /// Softmax cross-entropy.
    public struct Loss: Sendable, Hashable {
        /// The share of each target that all classes have alike, from 0 to below 1.
        public var labelSmoothing: Double
    }

    /// The update rule, in PyTorch's conventions.
    public struct Optimizer: Sendable, Hashable {
        /// The rule and what it alone has.
        public var rule: Rule

        /// The learning rate before the schedule, above 0.
        public var learningRate: Double

        /// λ in g += λw, with AdamW in w −= learningRate·λw; 0 or more.
        public var weightDecay: Double

        /// Whether λ also decays BN's γ and β and all biases.
        public var decayAll: Bool

        /// The largest norm of the whole gradient, above 0; nil: any.
        public var clipNorm: Double?

        /// The rule, and what it alone has.
        public enum Rule: Sendable, Hashable {
            /// Stochastic gradient descent: μ in v = μv + g, from 0 to below 1; whether the step
            /// looks ahead along it.
            case sgd(momentum: Double, nesterov: Bool)
            /// β1 and β2, from 0 to below 1, and ε; the decay is part of the gradient.
            case adam(beta1: Double, beta2: Double, epsilon: Double)
            /// Adam whose decay shrinks the parameters themselves.
            case adamW(beta1: Double, beta2: Double, epsilon: Double)
            /// A rate for each tensor of weights, by its norm and its gradient's.
            case lars(momentum: Double, trustCoefficient: Double, epsilon: Double)
        }

        /// The rules there are.
        public enum Name: String, Sendable, Hashable, CaseIterable {
            /// Stochastic gradient descent.
            case sgd
            /// Kingma and Ba 2015.
            case adam
            /// Loshchilov and Hutter 2019.
            case adamW = "adamw"
            /// You, Gitman and Ginsburg 2017.
            case lars

            /// The learning rate where none is set.
            var defaultLearningRate: Double {
                switch self {
                case .sgd, .lars: 0.5
                case .adam, .adamW: 0.001
                }
            }
        }

        /// The name of the rule.
        public var name: Name {
            switch rule {
            case .sgd: .sgd
            case .adam: .adam
            case .adamW: .adamW
            case .lars: .lars
            }
        }

        /// What of the last update goes into the next one: μ, of Adam β1.
        public var momentum: Double {
            switch rule {
            case .sgd(let momentum, _), .lars(let momentum, _, _): momentum
            case .adam(let beta1, _, _), .adamW(let beta1, _, _): beta1
            }
        }
    }

    /// The learning rate over the steps.
    public struct Schedule: Sendable, Hashable {
        /// Its course after the warm-up.
        public var kind: Kind

        /// Steps over which the learning rate first rises linearly; 0: none, as with `oneCycle`.
        public var warmupSteps: Int

        /// The batch that `optimizer.learningRate` is meant for; nil: any.
        public var scaleWithBatch: Int?

        /// The courses there are.
        public enum Kind: Sendable, Hashable {
            /// The optimizer's learning rate throughout.
            case constant
            /// Times `factor` at each milestone: steps in rising order.
            case step(milestones: [Int], factor: Double)
            /// Down a half cosine, to `minimum` at the last step.
            case cosine(minimum: Double)
            /// Up to the optimizer's learning rate and down again.
            case oneCycle(OneCycle)
        }

        /// PyTorch's OneCycleLR.
        public struct OneCycle: Sendable, Hashable {
            /// The share of the steps in which the rate rises, above 0 and at most 1.
            public var pctStart: Double

            /// The highest rate over the first, above 0.
            public var divFactor: Double

            /// The first rate over the last, above 0.
            public var finalDivFactor: Double

            /// The momentum at the highest rate; nil: the optimizer's throughout.
            public var minimumMomentum: Double?
        }

        enum Name: String, CaseIterable {
            case constant, step, cosine
            case oneCycle = "one-cycle"
        }
    }

    /// The learning rate that the schedule works with: the optimizer's or, with `scaleWithBatch`,
    /// that times batch / reference (Goyal et al. 2017).
    public var scaledLearningRate: Double {
        guard let reference = schedule.scaleWithBatch else { return optimizer.learningRate }
        return optimizer.learningRate * Double(batch.size) / Double(reference)
    }
}

extension RunConfiguration.Loss {
    init(_ settings: Settings) throws(ConfigurationError) {
        labelSmoothing = try settings.value(Keys.labelSmoothing)
    }
}

extension RunConfiguration.Optimizer {
    init(_ settings: Settings) throws(ConfigurationError) {
        let name = try settings.value(Keys.optimizer)
        func momentum() throws(ConfigurationError) -> Double {
            try settings.value(Keys.optimizerMomentum)
        }
        let betas = try settings.value(Keys.betas)
        let epsilon = try settings.value(Keys.optimizerEpsilon)
        switch name {
        case .sgd:
            rule = .sgd(momentum: try momentum(), nesterov: try settings.value(Keys.nesterov))
        case .adam: rule = .adam(beta1: betas[0], beta2: betas[1], epsilon: epsilon)
        case .adamW: rule = .adamW(beta1: betas[0], beta2: betas[1], epsilon: epsilon)
        case .lars:
            rule = .lars(
                momentum: try momentum(),
                trustCoefficient: try settings.value(Keys.trustCoefficient), epsilon: epsilon)
        }
        learningRate = try settings.optional(Keys.learningRate) ?? name.defaultLearningRate
        weightDecay = try settings.value(Keys.weightDecay)
        decayAll = try settings.value(Keys.decayAll)
        clipNorm = try settings.optional(Keys.clipNorm)
    }
}

extension RunConfiguration.Schedule {
    init(_ settings: Settings) throws(ConfigurationError) {
        switch try settings.value(Keys.schedule) {
        case .constant: kind = .constant
        case .step:
            let milestones = try settings.value(Keys.milestones)
            if milestones.isEmpty {
                throw settings.error(
                    .missingValue(
                        key: Keys.milestones.path, because: "schedule.kind \"step\"",
                        what: "a list of steps like [10000, 20000]"),
                    at: [Keys.schedule.path, Keys.milestones.path])
            }
            kind = .step(milestones: milestones, factor: try settings.value(Keys.factor))
        case .cosine: kind = .cosine(minimum: try settings.value(Keys.minimum))
        case .oneCycle:
            kind = .oneCycle(
                OneCycle(
                    pctStart: try settings.value(Keys.pctStart),
                    divFactor: try settings.value(Keys.divFactor),
                    finalDivFactor: try settings.value(Keys.finalDivFactor),
                    minimumMomentum: try settings.optional(Keys.minimumMomentum)))
        }
        warmupSteps = try settings.value(Keys.warmupSteps)
        scaleWithBatch = try settings.optional(Keys.scaleWithBatch)
    }
}

extension RunConfiguration {
    /// Values of optimizer and schedule that do not go together, and the keys they come from.
    var optimizationConflict: (problem: ConfigurationError.Problem, paths: [String])? {
        if case .sgd(momentum: 0, nesterov: true) = optimizer.rule {
            return (
                .nesterovWithoutMomentum, [Keys.nesterov.path, Keys.optimizerMomentum.path]
            )
        }
        switch schedule.kind {
        case .constant, .step: return nil
        case .cosine(let minimum):
            if minimum <= scaledLearningRate { return nil }
            return (
                .minimumAboveLearningRate(minimum: minimum, learningRate: scaledLearningRate),
                [Keys.minimum.path, Keys.learningRate.path, Keys.scaleWithBatch.path]
            )
        case .oneCycle(let cycle):
            if schedule.warmupSteps > 0 {
                // Only in a configuration that was changed in code: files are refused before.
                return (
                    .doesNotApply(
                        key: Keys.warmupSteps.path, condition: Keys.schedule.path,
                        names: Keys.warmupSteps.condition?.names ?? []), [Keys.warmupSteps.path]
                )
            }
            guard let minimum = cycle.minimumMomentum, minimum > optimizer.momentum else {
                return nil
            }
            let isAdam = optimizer.name == .adam || optimizer.name == .adamW
            let key = isAdam ? Keys.betas.path : Keys.optimizerMomentum.path
            return (
                .minimumAboveMomentum(minimum: minimum, momentum: optimizer.momentum, key: key),
                [Keys.minimumMomentum.path, key]
            )
        }
    }
}
