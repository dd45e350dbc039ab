import Configuration
import Datasets
import Foundation
import Layers
import TensorCore
import TestSupport
import Testing

@testable import Training

/// Short runs whose parameters have these bits on every CPU: Fixtures/golden.txt, a line a run.
///
/// A run is a name and what it sets on top of a small perceptron on synthetic digits. Where bits are meant to
/// change, `BN_TEST_WRITE_GOLDEN=1 launch/test --filter Golden` writes the file anew; who does so says
/// in the changelog which bits changed, and why.
@Suite("Golden digests: the same bits on every CPU")
struct GoldenDigestTests {
    /// 20 steps of batches of 24, the last of each epoch of 7, in 6 shards.
    static let base = [
        "data.samples=103", "data.testSamples=10", "batch.size=24", "batch.shards=6",
        "model.hidden=[12, 7]", "steps=20",
    ]

    static let runs: [(name: String, settings: [String])] = [
        ("default", []),
        ("seed-2", ["seed=2"]),
        ("linear-classifier", ["model.hidden=[]"]),
        ("wide", ["model.hidden=[70, 33]"]),
        ("tanh", ["model.activation=tanh"]),
        ("relu", ["model.activation=relu"]),
        ("after", ["model.placement=after"]),
        ("after-tanh", ["model.placement=after", "model.activation=tanh"]),
        ("inputs", ["model.placement=inputs"]),
        ("scope-group", ["model.normalization.scope={group: 2}", "batch.size=30"]),
        (
            "scope-shard",
            ["model.normalization.scope=shard", "batch.size=30", "data.dropLast=true"]
        ),
        ("no-normalization", ["model.normalization.kind=none"]),
        ("layer-norm", ["model.normalization.kind=layer"]),
        (
            "group-norm",
            [
                "model.normalization.kind=group", "model.normalization.groups=4",
                "model.hidden=[12, 8]",
            ]
        ),
        ("cumulative", ["model.normalization.momentum=cumulative"]),
        ("biased", ["model.normalization.runningVariance=biased"]),
        ("no-affine", ["model.normalization.affine=false"]),
        ("noise", ["model.normalization.noise={mean: 0.5, deviation: 1.25, spread: 0.1}"]),
        ("dropout", ["model.dropout=0.3"]),
        ("normal-weights", ["model.initialization.kind=normal"]),
        ("he-weights", ["model.initialization.kind=he", "model.activation=relu"]),
        ("momentum", ["optimizer.momentum=0.9"]),
        (
            "nesterov",
            ["optimizer.momentum=0.9", "optimizer.nesterov=true", "optimizer.weightDecay=1e-3"]
        ),
        ("adam", ["optimizer.name=adam", "optimizer.weightDecay=1e-3"]),
        ("adamw", ["optimizer.name=adamw", "optimizer.weightDecay=1e-2"]),
        ("lars", ["optimizer.name=lars", "optimizer.momentum=0.9", "optimizer.weightDecay=1e-3"]),
        ("clipping", ["optimizer.clipNorm=0.3"]),
        (
            "step-schedule",
            ["schedule={kind: 'step', milestones: [3, 9], factor: 0.3, warmupSteps: 2}"]
        ),
        ("cosine", ["schedule={kind: 'cosine', minimum: 0.01}"]),
        (
            "one-cycle",
            ["schedule={kind: 'one-cycle', minimumMomentum: 0.8}", "optimizer.momentum=0.9"]
        ),
        ("label-smoothing", ["loss.labelSmoothing=0.1"]),
        ("standardized", ["data.scaling=standardize"]),
        ("standardized-features", ["data.scaling=standardizeFeatures"]),
        ("file-order", ["data.shuffle=false", "data.dropLast=true"]),
        ("validation", ["data.validation=20"]),
        (
            "augmented",
            ["data.augment=[{kind: 'padCrop', padding: 3}, 'flip', {kind: 'cutout', size: 5}]"]
        ),
        ("two-features", ["data.name=two-features", "data.scaling=standardizeFeatures"]),
        ("frozen", ["freeze=['layers.0']"]),
    ]

    /// Networks for images, on random ones: side, channels, and what is set on top of 3 steps of batches of
    /// 6 in 3 shards.
    static let imageRuns: [(name: String, side: Int, channels: Int, settings: [String])] = [
        ("lenet", 28, 1, ["model.name=lenet"]),
        ("lenet-colour", 32, 3, ["model.name=lenet", "loss.labelSmoothing=0.1"]),
        ("mnist-cnn", 28, 1, ["model.name=mnist-cnn", "optimizer.name=adam"]),
        ("vgg11", 32, 3, ["model.name=vgg11"]),
        (
            "resnet8", 32, 3,
            ["model.name=resnet8", "data.augment=[{kind: 'padCrop', padding: 4}, 'flip']"]
        ),
        ("resnet8-shortcut-a", 32, 3, ["model.name=resnet8", "model.shortcut=A"]),
        ("resnet20-group-norm", 32, 3, ["model.name=resnet20", "model.normalization.kind=group"]),
        ("resnet18", 32, 3, ["model.name=resnet18"]),
        ("resnet18-imagenet", 64, 3, ["model.name=resnet18", "model.stem=imagenet"]),
        ("resnet34", 40, 3, ["model.name=resnet34", "steps=1"]),
        ("resnet50", 40, 3, ["model.name=resnet50", "model.stem=imagenet", "steps=2"]),
    ]

    private static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Fixtures/golden.txt").path

    private func digest(_ settings: [String], threads: Int) throws -> String {
        let configuration = try RunConfiguration.load(file: nil, settings: Self.base + settings)
        let counts =
            switch configuration.data.source {
            case .syntheticDigits(let samples, let testSamples): (samples, testSamples, true)
            case .twoFeatures(let samples, let testSamples): (samples, testSamples, false)
            default: (0, 0, false)
            }
        let pair =
            counts.2
            ? SyntheticDigits.pair(
                seed: configuration.seed, trainingCount: counts.0, testCount: counts.1)
            : TwoFeatures.pair(
                seed: configuration.seed, trainingCount: counts.0, testCount: counts.1)
        let trainer = Trainer(try RunPlan(configuration, data: pair))
        _ = try trainer.run(threads: threads)
        return trainer.replica.digest
    }

    private func imageDigest(
        _ run: (name: String, side: Int, channels: Int, settings: [String]), threads: Int
    ) throws -> String {
        let common = [
            "batch.size=6", "batch.shards=3", "steps=3", "optimizer.learningRate=0.01",
            "optimizer.momentum=0.9",
        ]
        let hasOptimizer = run.settings.contains { $0.hasPrefix("optimizer") }
        let configuration = try RunConfiguration.load(
            file: nil,
            settings: common.filter { !(hasOptimizer && $0.hasPrefix("optimizer")) } + run.settings)
        func dataset(_ count: Int, _ index: UInt64) throws -> Dataset {
            let random = CounterRandom(seed: 9, purpose: .benchmark, index: index)
            return try Dataset(
                name: "random", height: run.side, width: run.side, channels: run.channels,
                classes: 10,
                images: (0..<count * run.side * run.side * run.channels).map {
                    UInt8(random.integer(below: 256, at: $0))
                }, labels: (0..<count).map { UInt8($0 % 10) }, source: "random")
        }
        let trainer = Trainer(
            try RunPlan(
                configuration, data: DatasetPair(training: dataset(14, 0), test: dataset(2, 1))))
        _ = try trainer.run(threads: threads)
        return trainer.replica.digest
    }

    @Test(
        "twenty steps of every activation, norm, scope, optimizer, schedule, loss and reader of pixels"
    )
    func golden() throws {
        var found: [String: String] = [:]
        for (number, run) in Self.runs.enumerated() {
            found[run.name] = try digest(run.settings, threads: 1 + number % 3)
        }
        for (number, run) in Self.imageRuns.enumerated() {
            found[run.name] = try imageDigest(run, threads: 1 + number % 5)
        }
        // Whoever writes other digests gives the arithmetic another number.
        found["arithmetic"] = "\(arithmeticVersion)"
        let names = ["arithmetic"] + Self.runs.map(\.name) + Self.imageRuns.map(\.name)
        #expect(found.count == names.count, "two runs have one name")
        if ProcessInfo.processInfo.environment["BN_TEST_WRITE_GOLDEN"] != nil {
            let text = names.map { "\($0) \(found[$0] ?? "")\n" }.joined()
            try text.write(toFile: Self.path, atomically: true, encoding: .utf8)
        }
        let lines = try String(contentsOfFile: Self.path, encoding: .utf8).split(separator: "\n")
        let golden = Dictionary(
            uniqueKeysWithValues: lines.map { line in
                let words = line.split(separator: " ").map(String.init)
                return (words[0], words.count > 1 ? words[1] : "")
            })
        #expect(golden.keys.sorted() == found.keys.sorted())
        // Every setting changes something.
        #expect(Set(golden.values).count == golden.count)
        for name in names {
            #expect(found[name] == golden[name], "\(name): the bits are others")
        }
    }
}
