package import Collectives
public import Configuration
import Datasets
import Kernels
import Layers
import Models
public import TensorCore

/// Steps of a network on random data in memory, for their speed.
public struct Benchmark: Sendable {
    /// What was measured.
    public struct Result: Sendable {
        /// Samples a second: the median over repetitions.
        public let imagesPerSecond: Double
        /// The slowest and the fastest repetition.
        public let range: ClosedRange<Double>
        /// Repetitions.
        public let repetitions: Int
        /// Steps of each repetition.
        public let stepsPerRepetition: Int
        /// How the time of worker 0's steps divides, per step.
        public let division: StepDivision
        /// Fused multiply-adds in Float32 of one worker alone, GFLOP/s.
        public let peakOfOne: Double
        /// Those of all workers of this rank at once, GFLOP/s.
        public let peakOfAll: Double
        /// Seconds in which all workers meet, with nothing else to do.
        public let meeting: Double
        /// Floating-point operations of one step's products.
        public let operationsPerStep: Double
    }

    private let trainer: Trainer
    private let plan: RunPlan

    /// A benchmark of the network and batch that `configuration` describes, on random samples.
    ///
    /// - Throws: as `RunPlan`.
    public init(_ configuration: RunConfiguration) throws {
        var configuration = configuration
        configuration.data.contentDigest = nil
        plan = try RunPlan(configuration, data: try Self.randomData(configuration))
        trainer = Trainer(plan)
    }

    /// Shards of a batch.
    public var shards: Int { plan.shards }

    /// The resolved run.
    public var runPlan: RunPlan { plan }

    /// Random bytes, enough for several batches.
    private static func randomData(_ configuration: RunConfiguration) throws -> DatasetPair {
        let (image, classes) = configuration.model.usualInput
        let batch = configuration.batch.size
        let samples = min(batch * 64, max(16_384 * 784 / image.count, batch * 4))
        return try .random(image, classes: classes, samples: samples / batch * batch)
    }

    /// Measures for about `seconds`.
    package func run(
        in world: World, transport: (any RankTransport)? = nil, timeout: Double = 300,
        spinning: Bool = true, seconds: Double
    ) throws(WorkerFailure) -> Result {
        try Team.run(world, transport: transport, timeout: timeout, spinning: spinning) {
            communicator in
            try measure(try trainer.makeWorker(communicator), seconds: seconds)
        }
    }

    private func measure(_ worker: TrainingWorker, seconds: Double) throws -> Result {
        let communicator = worker.communicator
        let (one, all) = try peaks(communicator, rows: worker)
        let meeting = try meetingTime(worker)
        let clock = ContinuousClock()
        var step = 0
        func steps(_ count: Int) throws -> Double {
            try communicator.barrier()
            let start = clock.now
            for _ in 0..<count {
                step += 1
                try worker.take(trainer.step(step, of: worker))
            }
            return (clock.now - start) / .seconds(1)
        }
        // Caches, clock frequency, page faults: at least a tenth of the time.
        var warm = 0.0
        var chunk = 4
        while warm < seconds * 0.1 {
            warm += try worker.agreed(try steps(chunk))
            chunk *= 2
        }
        let last = try worker.agreed(try steps(chunk))
        let repetitions = 9
        let count = max(1, Int(Double(chunk) * seconds * 0.8 / Double(repetitions) / last))
        var rates: [Double] = []
        for _ in 0..<repetitions {
            let time = try worker.agreed(try steps(count))
            rates.append(Double(count * plan.configuration.batch.size) / time)
        }
        let profile = StepProfile(worker)
        let profiled = max(1, count / 2)
        _ = try steps(profiled)
        profile.detach()
        rates.sort()
        return Result(
            imagesPerSecond: rates[repetitions / 2], range: rates[0]...rates[repetitions - 1],
            repetitions: repetitions, stepsPerRepetition: count,
            division: profile.division.divided(by: Double(profiled)), peakOfOne: one,
            peakOfAll: all, meeting: meeting, operationsPerStep: operationsPerStep)
    }

    /// The first worker of the rank alone, then all of the rank together.
    private func peaks(
        _ communicator: Communicator, rows worker: TrainingWorker
    ) throws -> (Double, Double) {
        var one = 0.0
        if communicator.thread == 0 { one = measureFMAPeak(seconds: 0.05) }
        try communicator.barrier()
        let mine = measureFMAPeak(seconds: 0.05)
        try communicator.barrier()
        return (one, try worker.summed(mine) / Double(communicator.world.ranks))
    }

    /// Seconds of a meeting of all workers: the median of a few runs.
    private func meetingTime(_ worker: TrainingWorker) throws -> Double {
        let (repetitions, meetings) = (9, 200)
        let clock = ContinuousClock()
        var times: [Double] = []
        for _ in 0..<repetitions {
            let start = clock.now
            for _ in 0..<meetings { try worker.communicator.barrier() }
            times.append((clock.now - start) / .seconds(1) / Double(meetings))
        }
        return try worker.agreed(times.sorted()[repetitions / 2])
    }

    /// Floating-point operations of one step's products, two for each multiply-add: forward, weights
    /// backward, and, but for the first layer, inputs backward.
    public var operationsPerStep: Double {
        let batch = Double(plan.configuration.batch.size)
        let network = plan.network
        return network.nodes.reduce(0) { total, node in
            let passes = node.input == 0 ? 2.0 : 3
            let products = node.module.multiplyAdds(of: network.extents[node.input])
            return total + 2 * batch * Double(products) * passes
        }
    }
}

extension DatasetPair {
    /// Random pixels, and one sample to test.
    ///
    /// - Throws: as `Dataset`.
    static func random(_ image: ImageShape, classes: Int, samples: Int) throws -> DatasetPair {
        func dataset(_ count: Int, _ index: UInt64) throws -> Dataset {
            let random = CounterRandom(seed: 1, purpose: .benchmark, index: index)
            let pixels = count * image.count
            var images = [UInt8](repeating: 0, count: pixels)
            for block in 0..<(pixels + 15) / 16 {
                let words = random.words(block: UInt32(block))
                for byte in 0..<min(16, pixels - block * 16) {
                    images[block * 16 + byte] = UInt8(
                        truncatingIfNeeded: words[byte / 4] >> UInt32(byte % 4 * 8))
                }
            }
            return try Dataset(
                name: "random", height: image.height, width: image.width,
                channels: image.channels, classes: classes, images: images,
                labels: (0..<count).map { UInt8($0 % min(classes, 256)) }, source: "random data")
        }
        return DatasetPair(training: try dataset(samples, 0), test: try dataset(1, 1))
    }
}

extension StepDivision {
    fileprivate func divided(by count: Double) -> StepDivision {
        StepDivision(
            products: products / count, normalization: normalization / count,
            other: other / count, normalizationCollectives: normalizationCollectives / count,
            gradientCollectives: gradientCollectives / count, update: update / count,
            data: data / count)
    }
}

extension RunConfiguration.Model {
    /// What a network is measured on where there is no data: ImageNet's extents with the large stem,
    /// else CIFAR's or MNIST's.
    public var usualInput: (image: ImageShape, classes: Int) {
        switch name {
        case .mlp, .mnistCNN: (ImageShape(height: 28, width: 28, channels: 1), 10)
        case .lenet, .resnet8, .resnet20, .resnet32, .resnet44, .resnet56, .resnet110:
            (ImageShape(height: 32, width: 32, channels: 3), 10)
        case .vgg11, .resnet18, .resnet34, .resnet50:
            stem == .cifar
                ? (ImageShape(height: 32, width: 32, channels: 3), 10)
                : (ImageShape(height: 224, width: 224, channels: 3), 1000)
        }
    }
}
