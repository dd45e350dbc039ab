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
        /// The probability of each class; they sum to 1.
        public let probabilities: [Double]
    }

    /// Loss and accuracy on the test samples, over all workers.
    package func evaluate(
        in world: World, transport: (any RankTransport)? = nil, timeout: Double = 300,
        spinning: Bool = true
    ) throws(WorkerFailure) -> Evaluation {
        try Team.run(world, transport: transport, timeout: timeout, spinning: spinning) {
            communicator in
            try makeWorker(communicator).evaluate(plan.split.test)
        }
    }

    /// Class probabilities of test samples, on the calling thread.
    package func predict(_ indices: [Int]) throws -> [Prediction] {
        guard !indices.isEmpty else { return [] }
        return try Team.run(World()) { communicator in
            OneDNN.useOneThread()
            // One sample at a time: its bits do not depend on who else was asked for.
            let network = try Network(
                plan.network, replica: replica, communicator: communicator, shards: 1,
                batches: [(1, false)])
            let input = Tensor(rows: 1, columns: plan.network.inputs)
            let probabilities = Tensor(rows: 1, columns: plan.network.classes)
            return try indices.map { index in
                plan.scaling.fill(input, from: plan.split.test, at: index..<index + 1)
                let logits = try network.layers.forward(
                    input, Pass(.inference, network.shapes[0]))
                softmax(
                    logits: logits.pointer, rows: 1, classes: plan.network.classes,
                    probabilities: probabilities.pointer)
                return Prediction(
                    index: index, label: plan.split.test.label(at: index),
                    probabilities: probabilities.elements.map(Double.init))
            }
        }
    }
}
