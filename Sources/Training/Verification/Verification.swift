public import Layers
import Synchronization

/// How far a trained replica is from the Float64 large-batch trainer, tensor by tensor.
///
/// With a the trainer's tensor after k steps, b the reference's, r that of the same reference with
/// everything it keeps rounded to Float32, and e that of one which takes the other side of ReLU's
/// edge wherever rounding may,
///
///     max|a − b| ≤ 128 · max|r − b| + 4 · max|e − b| + 2⁻²⁰ · max|b|
///
/// is allowed, and the same for the loss of each step, with the largest differences so far. What
/// rounding amounts to after k steps differs by many powers of ten between runs: large weights and
/// a small learning rate would hide a wrong gradient from any fixed tolerance, and statistics over
/// two or three samples amplify the last bit in every step. So it is measured, in the run in
/// question.
///
/// 128: r rounds each value once, where a Float32 product rounds each of some hundred additions.
/// Measured over networks, scopes, batches and activations, max|a − b| is 1 to 20 times
/// max|r − b|, and up to 60 times with groups of two or three samples. Against it stand faults: a
/// learning rate off by one part in a hundred, a biased variance or an ε of 1e-3 for 1e-5 exceed
/// what is allowed 100 times and more.
public struct Verification: Sendable {
    /// One tensor of the model, or the losses.
    public struct Difference: Sendable {
        /// `layers.0.weight`; "loss".
        public let name: String
        /// Extents in files; of the losses, the number of steps.
        public let shape: [Int]
        /// max|a − b|; infinite where something is not a number, or the reference has no such
        /// tensor.
        public let absolute: Double
        /// max|a − b| / max|b|, 0 for two tensors of zeros.
        public let relative: Double
        /// max|b|.
        public let magnitude: Double
        /// What max|a − b| may be.
        public let allowed: Double

        /// The part of what is allowed; above 1 the tensors differ.
        public var share: Double { absolute == 0 ? 0 : absolute / allowed }

        /// Whether the difference is no more than Float32 explains.
        public var isAllowed: Bool { absolute <= allowed }
    }

    /// Steps compared.
    public let steps: Int

    /// Every parameter and running statistic, in the order of files.
    public let tensors: [Difference]

    /// The losses, each held against its own size: the step of the largest difference, from 1, and
    /// what it is.
    public let loss: (step: Int, difference: Difference)

    /// Compares what a run left behind with the reference after as many steps.
    ///
    /// - Parameters:
    ///   - replica: the trained one.
    ///   - losses: the trainer's, one a step.
    /// - Precondition: the reference has done as many steps, of the same run.
    public init(of replica: Replica, losses: [Double], against reference: ReferenceRun) {
        precondition(losses.count == reference.steps, "the runs differ in length")
        steps = losses.count
        let (expected, trained) = (reference.tensors, replica.tensors)
        let (rounded, edged) = (reference.roundedTensors, reference.edgedTensors)
        tensors = replica.fileContents.compactMap { content in
            guard let a = trained[content.name] else { return nil }
            let b = expected[content.name] ?? []
            return Difference(
                name: content.name, shape: content.shape, a, b,
                rounding: distance(rounded[content.name] ?? [], b),
                edges: distance(edged[content.name] ?? [], b))
        }
        var (rounding, edges) = (0.0, 0.0)
        let all = losses.indices.map { index in
            let b = reference.losses[index]
            rounding = max(rounding, abs(reference.roundedLosses[index] - b))
            edges = max(edges, abs(reference.edgedLosses[index] - b))
            return Difference(
                name: "loss", shape: [losses.count], [losses[index]], [b],
                rounding: rounding, edges: edges)
        }
        let worst = all.indices.max { all[$0].share < all[$1].share } ?? 0
        loss = (worst + 1, all[worst])
    }

    /// The losses and the tensors, the largest share of what is allowed first.
    public var differences: [Difference] {
        (tensors + [loss.difference]).sorted { $0.share > $1.share }
    }

    /// The tensor that rounding alone may change by more than a tenth of its size in so many steps:
    /// nothing sharp can be said of it.
    public var blurred: Difference? {
        differences.first { $0.allowed > $0.magnitude / 10 }
    }

    /// Whether no difference is more than Float32 explains.
    public var isAllowed: Bool { differences.allSatisfy(\.isAllowed) }
}

extension Verification.Difference {
    fileprivate init(
        name: String, shape: [Int], _ a: [Double], _ b: [Double], rounding: Double,
        edges: Double
    ) {
        let (absolute, magnitude) = (distance(a, b), largest(b))
        self.init(
            name: name, shape: shape, absolute: absolute,
            relative: absolute == 0 ? 0 : absolute / magnitude, magnitude: magnitude,
            allowed: 128 * rounding + 4 * edges + 0x1p-20 * magnitude)
    }
}

/// max|a − b|, infinite where there are not as many values.
func distance(_ a: [Double], _ b: [Double]) -> Double {
    a.count == b.count ? largest(zip(a, b).map { $0 - $1 }) : .infinity
}

/// max|v|, infinite where some value is not a number.
private func largest(_ values: [Double]) -> Double {
    values.reduce(0) { $1.isNaN ? .infinity : max($0, abs($1)) }
}

/// An observer that keeps the loss of every step.
public final class LossRecord: TrainingObserver {
    private let kept = Mutex<[Double]>([])

    /// A record without losses.
    public init() {}

    /// The losses so far, one a step.
    public var losses: [Double] { kept.withLock { $0 } }

    /// Keeps the step's loss.
    public func stepped(_ report: StepReport) { kept.withLock { $0.append(report.loss) } }

    /// Evaluations are not kept.
    public func evaluated(_ report: EvaluationReport) {}
}
