import Collectives
import Layers
import Models
import Normalization

/// How the time of a worker's steps divides, in seconds.
public struct StepDivision: Sendable {
    /// Products and convolutions, forward and backward.
    public var products = 0.0
    /// Normalisation kernels, with the activations fused into them.
    public var normalization = 0.0
    /// Everything else: activations, the loss, calls.
    public var other = 0.0
    /// BN's collectives: what they do, and waiting in them.
    public var normalizationCollectives = 0.0
    /// The gradients' sum and the metrics': what they do, and waiting in them.
    public var gradientCollectives = 0.0
    /// The optimizer, and waiting for it.
    public var update = 0.0
    /// Filling the inputs.
    public var data = 0.0

    /// All of it.
    public var total: Double { parts.reduce(0) { $0 + $1.seconds } }

    /// The parts by name, as `bench --json` gives them.
    public var parts: [(name: String, seconds: Double)] {
        [
            ("products", products), ("normalization", normalization), ("other", other),
            ("normalization_collectives", normalizationCollectives),
            ("gradient_collectives", gradientCollectives), ("update", update), ("data", data),
        ]
    }
}

/// Measures one worker's steps. A look at the clock takes some 30 ns, and a step of a small network
/// has about 40 of them: the throughput is measured without a profile.
final class StepProfile: CollectiveTimer, Instrument {
    private(set) var division = StepDivision()
    private let clock = ContinuousClock()
    private var last: ContinuousClock.Instant
    private unowned let worker: TrainingWorker

    /// From here on measures the worker's steps.
    init(_ worker: TrainingWorker) {
        self.worker = worker
        last = clock.now
        worker.instruments.append(self)
        worker.communicator.collectiveTimer = self
        worker.network.layers.finished = { [unowned self] kind in
            switch kind {
            case .product: add(to: \.products)
            case .normalization: add(to: \.normalization)
            case .other: add(to: \.other)
            }
        }
    }

    /// Measures no longer.
    func detach() {
        worker.instruments.removeAll { $0 === self }
        worker.communicator.collectiveTimer = nil
        worker.network.layers.finished = nil
    }

    func after(_ phase: StepPhase, of step: TrainingStep) {
        switch phase {
        case .load: add(to: \.data)
        case .commit: add(to: \.update)
        default: break
        }
    }

    /// Counts the time since the last look as `part`.
    private func add(to part: WritableKeyPath<StepDivision, Double>) {
        let now = clock.now
        division[keyPath: part] += (now - last) / .seconds(1)
        last = now
    }

    func began(_ kind: Fingerprint.Kind) {
        switch kind {
        case .moments, .momentGradients: add(to: \.normalization)
        case .gradients: add(to: \.update)
        default: add(to: \.other)
        }
    }

    func ended(_ kind: Fingerprint.Kind) {
        switch kind {
        case .moments, .momentGradients: add(to: \.normalizationCollectives)
        default: add(to: \.gradientCollectives)
        }
    }
}
