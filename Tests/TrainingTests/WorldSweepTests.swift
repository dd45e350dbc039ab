import Collectives
import Configuration
import Datasets
import Models
import TensorCore
import TestSupport
import Testing

@testable import Training

/// Short runs of small networks drawn from a seed.
private struct DrawnRun {
    let plan: RunPlan
    let shards: Int
    let settings: [String]

    private static let optimizers = [
        "{name: 'sgd'}", "{name: 'sgd', momentum: 0.9}",
        "{name: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0.01}", "{name: 'adam'}",
        "{name: 'adamw', weightDecay: 0.1}", "{name: 'sgd', clipNorm: 0.5}",
    ]

    /// The first run of stream `index` that is one: a scope may leave a group with one value a
    /// channel, a network may not fit its images.
    init(_ index: Int, isConvolutional: Bool) throws {
        let random = CounterRandom(
            seed: isConvolutional ? 43 : 42, purpose: .benchmark, index: UInt64(index))
        var position = 0
        func draw(_ range: ClosedRange<Int>) -> Int {
            defer { position += 1 }
            return range.lowerBound + random.integer(below: range.count, at: position)
        }
        func pick<Value>(_ values: [Value]) -> Value { values[draw(0...values.count - 1)] }
        while true {
            let batch = draw(4...(isConvolutional ? 24 : 64))
            let shards = draw(1...min(8, batch))
            let classes = draw(2...12)
            let image =
                isConvolutional
                ? ImageShape(height: draw(8...18), width: draw(8...18), channels: draw(1...3))
                : pick([
                    ImageShape(height: 1, width: draw(1...300), channels: 1),
                    ImageShape(height: draw(2...17), width: draw(2...17), channels: 1),
                ])
            let divisors = (1...shards).filter { shards % $0 == 0 }
            var settings = [
                "batch.size=\(batch)", "batch.shards=\(shards)", "data.validation=0",
                "epochs=1", "seed=\(draw(1...1000))",
                "model.placement=\(pick(["before", "after", "inputs"]))",
                "model.normalization.scope="
                    + pick(["\"global\"", "\"global\"", "\"shard\"", "{group: \(pick(divisors))}"]),
                "optimizer=\(pick(Self.optimizers))", "optimizer.learningRate=0.05",
                "data.scaling=\(pick(["none", "unit", "standardize"]))",
                "data.dropLast=\(pick(["true", "false"]))",
            ]
            if isConvolutional {
                settings.append("model.name=\(pick(["lenet", "mnist-cnn", "resnet8"]))")
                settings.removeAll { $0.hasPrefix("model.placement") }
            } else {
                let hidden = (0..<draw(1...3)).map { _ in "\(draw(1...100))" }
                settings += [
                    "model.hidden=[\(hidden.joined(separator: ", "))]",
                    "model.activation=\(pick(["sigmoid", "tanh", "relu"]))",
                ]
            }
            // Three batches, of which the last may be short.
            let samples = 2 * batch + draw(1...batch)
            func dataset(_ count: Int, _ index: UInt64) throws -> Dataset {
                let pixels = CounterRandom(seed: 5, purpose: .benchmark, index: index)
                return try Dataset(
                    name: "random", height: image.height, width: image.width,
                    channels: image.channels, classes: classes,
                    images: (0..<count * image.count).map {
                        UInt8(pixels.integer(below: 256, at: $0))
                    }, labels: (0..<count).map { UInt8($0 % classes) }, source: "random")
            }
            do {
                plan = try RunPlan(
                    RunConfiguration.load(file: nil, settings: settings),
                    data: DatasetPair(training: dataset(samples, 0), test: dataset(3, 1)))
            } catch is ConfigurationError {
                continue
            } catch is ModelError {
                continue
            }
            self.shards = shards
            self.settings = settings + ["\(image), \(classes) classes, \(samples) samples"]
            return
        }
    }

    /// Threads 1…S, ranks, and both.
    var worlds: [(ranks: Int, threads: Int)] {
        (2...8).map { (1, $0) }.filter { $0.1 <= shards }
            + [(2, 1), (3, 1), (5, 1), (2, 2), (3, 2)].filter { $0.0 * $0.1 <= shards }
    }
}

@Suite("The same bits of any small network in any world")
struct WorldSweepTests {
    @Test("perceptrons of any size", arguments: [0, 1])
    func perceptrons(half: Int) throws {
        try expectOneDigest(
            (0..<TestCases.count(usually: 300)).filter { $0 % 2 == half }, isConvolutional: false)
    }

    @Test("small networks for images")
    func convolutions() throws {
        try expectOneDigest(0..<TestCases.count(usually: 300) / 5, isConvolutional: true)
    }

    private func expectOneDigest(_ indices: some Sequence<Int>, isConvolutional: Bool) throws {
        var worlds = 0
        for index in indices {
            let run = try DrawnRun(index, isConvolutional: isConvolutional)
            let alone = try SmallRun.digests(run.plan, ranks: 1, threads: 1)[0]
            for world in run.worlds {
                for digest in try SmallRun.digests(
                    run.plan, ranks: world.ranks, threads: world.threads)
                {
                    #expect(
                        digest == alone,
                        "run \(index), \(world.ranks)×\(world.threads): \(run.settings)")
                }
                worlds += 1
            }
        }
        // A draw that gives shards to one worker alone would compare nothing.
        #expect(worlds > 0)
    }
}
