package import Collectives
package import Configuration
import Layers
import TensorCore

/// The same few steps on random data, by teams of several sizes: whether this CPU, and the libraries
/// here, keep the promise of the same bits in any world. The short form of `verify --worlds`.
package struct WorldComparison {
    /// What was compared.
    package struct Case: Equatable, Sendable {
        /// "mlp 784-128-10", "perceptron 81-8-2".
        package var name: String
        /// The teams that have run.
        package var threads: [Int]
        /// Those that ended in other bits than the first.
        package var different: [Int]

        package init(name: String, threads: [Int], different: [Int]) {
            self.name = name
            self.threads = threads
            self.different = different
        }
    }

    /// Sizes of which some, on CPUs without AVX-512, once ended in other bits in other worlds, and a
    /// small network for images.
    private static let small: [(name: String, image: ImageShape, classes: Int, settings: [String])] = [
        (
            "perceptron 9-5-3", ImageShape(height: 3, width: 3, channels: 1), 3,
            ["batch.size=12", "batch.shards=3", "model.hidden=[5]"]
        ),
        (
            "perceptron 81-8-2", ImageShape(height: 9, width: 9, channels: 1), 2,
            ["batch.size=20", "batch.shards=3", "model.hidden=[8]"]
        ),
        (
            "perceptron 100-33-17-7", ImageShape(height: 10, width: 10, channels: 1), 7,
            ["batch.size=29", "batch.shards=4", "model.hidden=[33, 17]", "model.activation=relu"]
        ),
        (
            "resnet8 on 11×10×3", ImageShape(height: 11, width: 10, channels: 3), 5,
            ["batch.size=14", "batch.shards=4", "model.name=resnet8"]
        ),
    ]

    /// Teams whose trees meet at other places.
    private static let threads = [1, 2, 3, 4, 7, 8]

    private let plans: [(name: String, plan: RunPlan)]

    /// The small networks, and the one that `configuration` describes, called `name`; `steps` steps each.
    ///
    /// - Throws: as `RunPlan`.
    package init(_ configuration: RunConfiguration, name: String, steps: Int = 10) throws {
        var plans: [(String, RunPlan)] = try Self.small.map { name, image, classes, settings in
            let own = try RunConfiguration.load(
                file: nil, settings: settings + ["steps=\(steps)", "data.validation=0"])
            let samples = own.batch.size * steps
            return (
                name, try RunPlan(own, data: .random(image, classes: classes, samples: samples))
            )
        }
        var short = configuration
        short.length = .steps(steps)
        short.data.limit = nil
        short.data.validation = 0
        let (image, classes) = configuration.model.usualInput
        plans.append(
            (
                name,
                try RunPlan(
                    short,
                    data: .random(image, classes: classes, samples: short.batch.size * steps))
            ))
        self.plans = plans
    }

    /// Runs as many of the worlds as begin within `seconds`.
    ///
    /// - Parameter arithmetic: `tree`; others are for tests that must see a difference.
    package func run(seconds: Double, arithmetic: World.Arithmetic = .tree) throws -> [Case] {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: .seconds(seconds))
        var cases: [Case] = []
        for (name, plan) in plans {
            var result = Case(name: name, threads: [], different: [])
            var first: String?
            for threads in Self.threads where threads <= plan.shards && clock.now < end {
                let trainer = Trainer(plan)
                _ = try trainer.run(
                    in: World(threadsPerRank: threads, arithmetic: arithmetic), spinning: false)
                let digest = trainer.replica.digest
                result.threads.append(threads)
                if digest != first ?? digest { result.different.append(threads) }
                first = first ?? digest
            }
            if !result.threads.isEmpty { cases.append(result) }
        }
        return cases
    }
}
