import Collectives
import Kernels
import Layers
import Models
import TensorCore

/// Follows the gradient of one batch some way down, and comes back: the measures of Santurkar,
/// Tsipras, Ilyas, Madry, "How does batch normalization help optimization?", 2018, figure 4.
final class Landscape {
    private unowned let worker: TrainingWorker
    /// The weights and the gradient where the way begins; the rank's, on its thread 0.
    private let weights: Tensor
    private let gradient: Tensor

    /// How far the way goes, in learning rates.
    static let distances = stride(from: 0.5, through: 4, by: 0.5)

    init(_ worker: TrainingWorker) {
        self.worker = worker
        let length = worker.communicator.thread == 0 ? worker.network.replica.layout.length : 1
        weights = Tensor(rows: 1, columns: length)
        gradient = Tensor(rows: 1, columns: length)
    }

    /// - Returns: the members of the record; nil where the loss is not finite from the start.
    func follow(_ pass: Pass, learningRate: Double) throws -> JSONObject? {
        let replica = worker.network.replica
        let length = replica.layout.length
        guard try computeGradient(pass) else { return nil }
        try alone {
            weights.pointer.update(from: replica.parameters, count: length)
            gradient.pointer.update(from: replica.gradient, count: length)
        }
        var losses: [Double] = []
        var changes: [Double] = []
        var smoothness = 0.0
        for distance in Self.distances {
            let step = distance * learningRate
            try alone {
                for i in 0..<length {
                    replica.parameters[i] = weights.pointer[i] - Float(step) * gradient.pointer[i]
                }
            }
            try worker.network.prepareWeights()
            guard try computeGradient(pass) else { break }
            losses.append(worker.loss)
            try alone {
                let (change, norm) = distanceAndNorm(length)
                changes.append(change)
                if norm > 0 { smoothness = max(smoothness, change / (step * norm)) }
            }
        }
        try alone { replica.parameters.update(from: weights.pointer, count: length) }
        try worker.network.prepareWeights()
        func range(_ values: [Double]) -> JSONValue {
            [
                "min": values.min().map { .double($0) } ?? .null,
                "max": values.max().map { .double($0) } ?? .null,
            ]
        }
        return [
            "loss": range(losses), "gradient distance": range(changes),
            "smoothness": .double(smoothness),
        ]
    }

    /// The loss and the summed gradient at the present weights; false where the loss is not finite,
    /// which all workers see alike.
    private func computeGradient(_ pass: Pass) throws -> Bool {
        try worker.computeLoss(of: try worker.forward(pass), pass)
        guard worker.loss.isFinite else { return false }
        try worker.backward(pass)
        try worker.network.sumGradients { _ in }
        return true
    }

    /// ‖g(w − ηg) − g(w)‖ and ‖g(w)‖; padding is 0 in both.
    private func distanceAndNorm(_ length: Int) -> (distance: Double, norm: Double) {
        let present = worker.network.replica.gradient
        var (distance, norm) = (0.0, 0.0)
        for i in 0..<length {
            let g = Double(gradient.pointer[i])
            let difference = Double(present[i]) - g
            distance += difference * difference
            norm += g * g
        }
        return (distance.squareRoot(), norm.squareRoot())
    }

    /// Does on the rank's thread 0 what concerns what its workers share, when all others wait.
    private func alone(_ work: () -> Void) throws {
        try worker.communicator.teamBarrier()
        if worker.communicator.thread == 0 { work() }
        try worker.communicator.teamBarrier()
    }
}
