import Collectives
import Configuration
import Datasets
import Layers
import Models
import TensorCore

/// The training loss in a plane through the present parameters, and its lowest point. All workers
/// walk through it in step, and decide alike: they see the same losses.
final class PlaneSearch {
    private let worker: TrainingWorker
    private let plane: Plane
    private let samples: SampleView
    private let mode: Mode
    /// The weights to come back to; the rank's, on its thread 0.
    private let weights: Tensor

    /// Where the search begins, and the loss there.
    let end: (x: Double, y: Double)
    private(set) var endLoss = 0.0

    /// How far along each axis the loss changes visibly.
    private(set) var scales = (x: 1.0, y: 1.0)

    /// A point with its loss.
    struct Point {
        var x: Double
        var y: Double
        var loss: Double
    }

    /// A change of the loss that is visible: what lengths are measured by.
    private static let visible = 0.02
    private static let (steps, tolerance) = (160, 1e-9)

    init(_ worker: TrainingWorker, _ plan: RunPlan, _ plane: Plane) throws {
        self.worker = worker
        self.plane = plane
        let training = plan.split.training
        let size = plan.configuration.batch.size
        // Whole batches, as training planned for them.
        let count = training.count >= size ? training.count / size * size : training.count
        samples = training.prefix(count)
        mode = plan.network.isNormalized ? .calibration : .inference
        let replica = worker.network.replica
        let length = worker.communicator.thread == 0 ? replica.layout.length : 1
        weights = Tensor(rows: 1, columns: length)
        end = (plane.x.value(replica), plane.y.value(replica))
        if worker.communicator.thread == 0 {
            weights.pointer.update(from: replica.parameters, count: length)
        }
        endLoss = try loss(end.x, end.y)
    }

    /// The loss at a point; all workers ask for the same one.
    func loss(_ x: Double, _ y: Double) throws -> Double {
        let replica = worker.network.replica
        try alone {
            replica.parameters.update(from: weights.pointer, count: weights.columns)
            if x != end.x { plane.x.add(x - end.x, to: replica) }
            if y != end.y { plane.y.add(y - end.y, to: replica) }
        }
        try worker.network.prepareWeights()
        return try worker.evaluate(samples, mode: mode).loss
    }

    /// Makes the parameters what they were.
    func restore() throws {
        try alone {
            worker.network.replica.parameters.update(
                from: weights.pointer, count: weights.columns)
        }
        try worker.network.prepareWeights()
    }

    /// Does on the rank's thread 0 what concerns what its workers share, when all others wait.
    private func alone(_ work: () -> Void) throws {
        try worker.communicator.teamBarrier()
        if worker.communicator.thread == 0 { work() }
        try worker.communicator.teamBarrier()
    }

    // MARK: the lowest point

    /// The lowest point found, and there √(λ₁/λ₂) of the Hessian, nil without a bowl.
    func lowest() throws -> (point: Point, ratio: Double?) {
        scales = try visibleScales(end.x, end.y)
        let point = try descend()
        scales = try visibleScales(point.x, point.y)
        return (point, try ratio(at: point))
    }

    private func visibleScales(_ x: Double, _ y: Double) throws -> (x: Double, y: Double) {
        let here = try loss(x, y)
        func scale(_ change: (Double) throws -> Double) throws -> Double {
            var length = 1e-12
            while length < 1e12 {
                let there = max(abs(try change(length) - here), abs(try change(-length) - here))
                if !(there < Self.visible) { break }
                length *= 2
            }
            return length
        }
        return (
            try scale { try loss(x + $0, y) }, try scale { try loss(x, y + $0) }
        )
    }

    /// Nelder and Mead, "A simplex method for function minimization", 1965, from the end of the path.
    private func descend() throws -> Point {
        func point(_ x: Double, _ y: Double) throws -> Point {
            let loss = try loss(x, y)
            return Point(x: x, y: y, loss: loss.isFinite ? loss : .infinity)
        }
        var simplex = [
            Point(x: end.x, y: end.y, loss: endLoss), try point(end.x + scales.x, end.y),
            try point(end.x, end.y + scales.y),
        ]
        for _ in 0..<Self.steps {
            simplex.sort { $0.loss < $1.loss }
            if simplex[2].loss - simplex[0].loss < Self.tolerance { break }
            let (worst, middle) = (
                simplex[2], ((simplex[0].x + simplex[1].x) / 2, (simplex[0].y + simplex[1].y) / 2)
            )
            func moved(_ factor: Double) throws -> Point {
                try point(
                    middle.0 + factor * (middle.0 - worst.x),
                    middle.1 + factor * (middle.1 - worst.y))
            }
            let reflected = try moved(1)
            if reflected.loss < simplex[0].loss {
                let expanded = try moved(2)
                simplex[2] = expanded.loss < reflected.loss ? expanded : reflected
            } else if reflected.loss < simplex[1].loss {
                simplex[2] = reflected
            } else {
                let contracted = try moved(reflected.loss < worst.loss ? 0.5 : -0.5)
                if contracted.loss < min(reflected.loss, worst.loss) {
                    simplex[2] = contracted
                } else {
                    for i in 1...2 {
                        simplex[i] = try point(
                            (simplex[0].x + simplex[i].x) / 2, (simplex[0].y + simplex[i].y) / 2)
                    }
                }
            }
        }
        return simplex.min { $0.loss < $1.loss } ?? simplex[0]
    }

    /// √(λ₁/λ₂), from central differences over a quarter of what the loss needs to change visibly.
    private func ratio(at point: Point) throws -> Double? {
        let (h, k) = (scales.x / 4, scales.y / 4)
        func at(_ i: Double, _ j: Double) throws -> Double {
            try loss(point.x + i * h, point.y + j * k)
        }
        let xx = (try at(1, 0) - 2 * point.loss + at(-1, 0)) / (h * h)
        let yy = (try at(0, 1) - 2 * point.loss + at(0, -1)) / (k * k)
        let xy = (try at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * h * k)
        let mean = (xx + yy) / 2
        let largest = mean + ((xx - yy) * (xx - yy) / 4 + xy * xy).squareRoot()
        // The product of both: their difference would cancel.
        let smallest = (xx * yy - xy * xy) / largest
        return smallest > 0 && largest.isFinite ? (largest / smallest).squareRoot() : nil
    }
}
