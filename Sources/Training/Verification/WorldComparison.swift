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

    /// A network on images of random pixels.
    private struct Small {
        var name: String
        var image: ImageShape
        var classes: Int
        var settings: [String]
    }

    /// Sizes of which some, on CPUs without AVX-512, once ended in other bits in other worlds, and a
    /// small network for images.
    private static let small = [
        Small(
            name: "perceptron 9-5-3", image: ImageShape(height: 3, width: 3, channels: 1),
            classes: 3, settings: ["batch.size=12", "batch.shards=3", "model.hidden=[5]"]),
        Small(
            name: "perceptron 81-8-2", image: ImageShape(height: 9, width: 9, channels: 1),
            classes: 2, settings: ["batch.size=20", "batch.shards=3", "model.hidden=[8]"]),
        Small(
            name: "perceptron 100-33-17-7",
            image: ImageShape(height: 10, width: 10, channels: 1), classes: 7,
            settings: [
                "batch.size=29", "batch.shards=4", "model.hidden=[33, 17]",
                "model.activation=relu",
            ]),
        Small(
            name: "resnet8 on 11×10×3", image: ImageShape(height: 11, width: 10, channels: 3),
            classes: 5, settings: ["batch.size=14", "batch.shards=4", "model.name=resnet8"]),
    ]

    /// Teams whose trees meet at other places.
    private static let threads = [1, 2, 3, 4, 7, 8]

    private let plans: [(name: String, plan: RunPlan)]

    /// The small networks, and the one that `configuration` describes, called `name`; `steps` steps each.
    ///
    /// - Throws: as `RunPlan`.
    package init(_ configuration: RunConfiguration, name: String, steps: Int = 10) throws {
        func plan(
            _ configuration: RunConfiguration, _ image: ImageShape, classes: Int
        ) throws -> RunPlan {
            let samples = configuration.batch.size * steps
            return try RunPlan(
                configuration, data: .random(image, classes: classes, samples: samples))
        }
        var plans: [(String, RunPlan)] = try Self.small.map { network in
            let settings = network.settings + ["steps=\(steps)", "data.validation=0"]
            return (
                network.name,
                try plan(
                    .load(file: nil, settings: settings), network.image, classes: network.classes)
            )
        }
        var short = configuration
        short.length = .steps(steps)
        short.data.contentDigest = nil
        short.data.limit = nil
        short.data.validation = 0
        let (image, classes) = configuration.model.usualInput
        plans.append((name, try plan(short, image, classes: classes)))
        self.plans = plans
    }

    /// Runs as many of the worlds as begin within `seconds`.
    ///
    /// - Parameter arithmetic: `tree` makes the promise; `mpi`, the baseline, does not.
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
