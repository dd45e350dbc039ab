/// How a `ReferenceTrainer` follows its gradients.
extension ReferenceTrainer {
    /// The update of each parameter w, of its gradient g at rate lr, with the whole gradient first
    /// shortened to `clipNorm`:
    ///
    ///     sgd:   g ← g + λw;  v ← μv + g;  w ← w − lr·v, with Nesterov w ← w − lr·(g + μv)
    ///     adam:  g ← g + λw, decoupled w ← w − lr·λw;  m ← β1·m + (1 − β1)·g;
    ///            s ← β2·s + (1 − β2)·g²;  w ← w − lr·m/(1 − β1ᵗ) / (√(s/(1 − β2ᵗ)) + ε)
    ///     lars:  weights: v ← μv + lr·η‖w‖/(‖g‖ + λ‖w‖ + ε)·(g + λw);  w ← w − v;  others as sgd
    public struct Optimizer: Equatable, Sendable {
        /// Which of them.
        public enum Rule: Equatable, Sendable {
            /// Gradient descent.
            case sgd(nesterov: Bool)
            /// Adam and AdamW; β1 is `momentum`.
            case adam(beta2: Double, epsilon: Double, decoupled: Bool)
            /// Layer-wise rates; η is the trust coefficient.
            case lars(trustCoefficient: Double, epsilon: Double)
        }

        /// Which of them.
        public var rule: Rule
        /// μ or β1.
        public var momentum: Double
        /// λ.
        public var weightDecay: Double
        /// Whether biases and BatchNorm's scale and shift decay, too.
        public var decaysAll: Bool
        /// The largest norm of the whole gradient.
        public var clipNorm: Double?

        /// An optimizer with these settings.
        public init(
            _ rule: Rule = .sgd(nesterov: false), momentum: Double = 0, weightDecay: Double = 0,
            decaysAll: Bool = false, clipNorm: Double? = nil
        ) {
            self.rule = rule
            self.momentum = momentum
            self.weightDecay = weightDecay
            self.decaysAll = decaysAll
            self.clipNorm = clipNorm
        }
    }
}

/// What a reference optimizer remembers, and its step.
struct ReferenceOptimizerState: Sendable {
    private var steps = 0
    /// v or m, by name.
    private var velocities: [String: [Double]] = [:]
    /// Adam's s, by name.
    private var squares: [String: [Double]] = [:]

    /// The gradients, shortened together where they are longer than `clipNorm`.
    static func clipped(
        _ gradients: [String: [Double]], to clipNorm: Double?
    ) -> [String: [Double]] {
        guard let clipNorm else { return gradients }
        // In the order of names: that of a dictionary changes from run to run.
        let all = gradients.sorted { $0.key < $1.key }.flatMap(\.value)
        let factor = min(1, clipNorm / (norm(all) + 1e-6))
        return gradients.mapValues { $0.map { factor * $0 } }
    }

    /// Begins the next step.
    mutating func begin() { steps += 1 }

    /// Updates one parameter.
    ///
    /// - Parameters:
    ///   - isWeight: whether LARS has a rate for it.
    ///   - decay: λ, 0 where it does not decay.
    ///   - kept: rounds what is remembered.
    mutating func update(
        _ name: String, _ w: inout [Double], gradient: [Double], isWeight: Bool, decay: Double,
        _ rule: ReferenceTrainer.Optimizer.Rule, learningRate: Double, momentum: Double,
        kept: (Double) -> Double
    ) {
        var v = velocities[name] ?? Array(repeating: 0, count: w.count)
        switch rule {
        case .adam(let beta2, let epsilon, let decoupled):
            var s = squares[name] ?? Array(repeating: 0, count: w.count)
            for i in w.indices {
                let g = gradient[i] + (decoupled ? 0 : decay * w[i])
                if decoupled { w[i] -= learningRate * decay * w[i] }
                v[i] = kept(momentum * v[i] + (1 - momentum) * g)
                s[i] = kept(beta2 * s[i] + (1 - beta2) * g * g)
                let mean = v[i] / (1 - power(momentum))
                let square = s[i] / (1 - power(beta2))
                w[i] = kept(w[i] - learningRate * mean / (square.squareRoot() + epsilon))
            }
            squares[name] = s
        case .lars(let trust, let epsilon) where isWeight:
            let (size, slope) = (Self.norm(w), Self.norm(gradient))
            let local =
                size == 0 || slope == 0 ? 1 : trust * size / (slope + decay * size + epsilon)
            for i in w.indices {
                v[i] = kept(momentum * v[i] + learningRate * local * (gradient[i] + decay * w[i]))
                w[i] = kept(w[i] - v[i])
            }
        case .sgd, .lars:
            for i in w.indices {
                let g = gradient[i] + decay * w[i]
                v[i] = kept(momentum * v[i] + g)
                let direction = rule == .sgd(nesterov: true) ? g + momentum * v[i] : v[i]
                w[i] = kept(w[i] - learningRate * direction)
            }
        }
        velocities[name] = v
    }

    /// baseˢᵗᵉᵖˢ.
    private func power(_ base: Double) -> Double {
        (0..<steps).reduce(1) { result, _ in result * base }
    }

    private static func norm(_ values: [Double]) -> Double {
        values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }
}
