package import Collectives
import Configuration
import Datasets
import Kernels
import Layers
import Models
import TensorCore

extension Trainer {
    /// What the model says of one sample.
    public struct Prediction: Sendable {
        /// The sample, in the test set.
        public let index: Int
        /// Its true class.
        public let label: Int
        /// The class with the (first) largest output.
        public let predicted: Int
        /// What the loss takes for the probability of each class. They sum to 1, unless the network
        /// ends behind a softmax; see `CrossEntropy.probabilities`.
        public let probabilities: [Double]
    }

    /// Loss and accuracy on the test samples, over all workers.
    ///
    /// - Parameter byBatches: with the statistics of each test batch instead of the running ones.
    package func evaluate(
        byBatches: Bool = false, in world: World, transport: (any RankTransport)? = nil,
        timeout: Double = 300, spinning: Bool = true
    ) throws(WorkerFailure) -> Evaluation {
        try Team.run(world, transport: transport, timeout: timeout, spinning: spinning) {
            communicator in
            try makeWorker(communicator).evaluate(
                plan.split.test, mode: byBatches ? .calibration : .inference)
        }
    }

    /// Class probabilities of test samples, on the calling thread.
    package func predict(_ indices: [Int]) throws -> [Prediction] {
        // One sample at a time: its bits do not depend on who else was asked for.
        try predict(runs: indices.map { $0..<$0 + 1 })
    }

    /// Class probabilities of all test samples, many at a time, on the calling thread.
    package func predictTestSamples() throws -> [Prediction] {
        let count = plan.split.test.count
        return try predict(
            runs: stride(from: 0, to: count, by: 100).map { $0..<min($0 + 100, count) })
    }

    /// - Parameter runs: test samples that are taken through the network together.
    private func predict(runs: [Range<Int>]) throws -> [Prediction] {
        guard let most = runs.map(\.count).max() else { return [] }
        return try Team.run(World()) { communicator in
            let sizes = Set(runs.map(\.count)).sorted(by: >)
            let network = try Network(
                plan.network, replica: replica, communicator: communicator, shards: 1,
                batches: sizes.map { ($0, false) })
            let classes = plan.network.classes
            let input = Tensor(rows: most, columns: plan.network.inputs)
            let probabilities = Tensor(rows: most, columns: classes)
            var predictions: [Prediction] = []
            for run in runs {
                guard let shape = network.shapes.first(where: { $0.samples == run.count }) else {
                    preconditionFailure("a run of \(run.count) samples was not planned")
                }
                plan.scaling.fill(input, from: plan.split.test, at: run)
                let outputs = try network.layers.forward(input, Pass(.inference, shape))
                network.loss.probabilities(of: outputs, rows: run.count, into: probabilities)
                for (row, index) in run.enumerated() {
                    predictions.append(
                        Prediction(
                            index: index, label: plan.split.test.label(at: index),
                            predicted: (1..<classes).reduce(0) {
                                let values = outputs.row(row)
                                return values[$1] > values[$0] ? $1 : $0
                            },
                            probabilities: (0..<classes).map {
                                Double(probabilities.pointer[row * classes + $0])
                            }))
                }
            }
            return predictions
        }
    }
}
