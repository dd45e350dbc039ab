import Foundation
import Testing

@testable import Configuration

/// The repository, found from this file.
let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// The configuration in a file of configs/.
func configuration(_ name: String) throws -> RunConfiguration {
    try RunConfiguration.load(
        file: repository.appending(path: "configs/\(name)").path, settings: [])
}

struct DefaultTests {
    @Test("configs/default.json5 is the embedded default, letter by letter")
    func defaultFile() throws {
        let file = repository.appending(path: "configs/default.json5")
        #expect(try String(contentsOf: file, encoding: .utf8) == RunConfiguration.defaultText)
        #expect(try configuration("default.json5") == RunConfiguration.default)
    }

    @Test("every key of default.json5 stands below its doc comment, and no key is missing")
    func everyKeyIsDocumented() throws {
        let lines = RunConfiguration.defaultText.split(separator: "\n").map {
            $0.trimmingCharacters(in: .whitespaces)
        }
        var place: [Substring] = []
        var found: [String] = []
        for (i, line) in lines.enumerated() where !line.hasPrefix("//") {
            if line.hasPrefix("}") { _ = place.popLast() }
            guard let colon = line.firstIndex(of: ":") else { continue }
            #expect(lines[i - 1].hasPrefix("// "), "no comment above \(line)")
            place.append(line[..<colon])
            if line.hasSuffix("{") { continue }
            let path = place.joined(separator: ".")
            found.append(path)
            let entry = RunConfiguration.documentation.first { $0.key == path }
            #expect(lines[i - 1] == "// " + (entry?.doc ?? "missing"))
            #expect(line == "\(place.removeLast()): \(entry?.default ?? "missing"),")
        }
        #expect(found == RunConfiguration.documentation.map(\.key))
    }

    @Test("the documentation covers every key that the canonical form can have")
    func documentationIsComplete() throws {
        let keys = Set(RunConfiguration.documentation.map(\.key))
        #expect(keys.count == RunConfiguration.documentation.count)
        #expect(RunConfiguration.documentation.allSatisfy { !$0.doc.contains("\n") })
        var used: Set<String> = []
        for settings in variants {
            let configuration = try RunConfiguration.load(file: nil, settings: settings)
            let source = Source(
                name: "", bytes: Array(configuration.canonicalJSON.utf8), origin: .file,
                directory: "")
            for entry in try Settings.entries(of: try JSON5Parser.parse(source)) {
                used.insert(entry.path)
            }
        }
        #expect(used == keys)
    }

    @Test("the embedded default is what the design says")
    func values() {
        let it = RunConfiguration.default
        #expect(it.seed == 1)
        #expect(it.model.name == .mlp)
        #expect(it.model.hidden == [128, 128, 128])
        #expect(it.model.activation == .sigmoid)
        #expect(it.model.placement == .before)
        #expect(
            it.model.normalization
                == .batch(
                    .init(
                        scope: .global, momentum: .weight(0.1), epsilon: 1e-5,
                        runningVariance: .unbiased, affine: true)))
        #expect(it.data.source == .syntheticDigits(samples: 20_000, testSamples: 4_000))
        #expect(it.data.scaling == .unit)
        #expect(it.data.limit == nil)
        #expect(it.batch == .init(size: 60, shards: .auto))
        #expect(it.loss.labelSmoothing == 0)
        #expect(it.optimizer.rule == .sgd(momentum: 0, nesterov: false))
        #expect((it.optimizer.learningRate, it.scaledLearningRate) == (0.5, 0.5))
        #expect(it.optimizer.decayAll == false)
        #expect(it.optimizer.clipNorm == nil)
        #expect(it.schedule == .init(kind: .constant, warmupSteps: 0))
        #expect(it.collectives == .tree)
    }

    @Test("null is a learning rate that suits the rule, and scales with the batch where asked to")
    func learningRates() throws {
        func rates(_ settings: String...) throws -> (Double, Double) {
            let it = try RunConfiguration.load(file: nil, settings: settings)
            return (it.optimizer.learningRate, it.scaledLearningRate)
        }
        #expect(try rates("optimizer.name=lars") == (0.5, 0.5))
        #expect(try rates("optimizer.name=adam") == (0.001, 0.001))
        #expect(try rates("optimizer.name=adamw") == (0.001, 0.001))
        #expect(
            try rates(
                "batch.size=1024", "schedule.scaleWithBatch=256", "optimizer.learningRate=0.1")
                == (0.1, 0.4))
        #expect(try rates("batch.size=64", "schedule.scaleWithBatch=256") == (0.5, 0.125))
    }

    @Test(
        "every file in configs/ loads and can be trained",
        arguments: try FileManager.default.contentsOfDirectory(
            atPath: repository.appending(path: "configs").path
        ).filter { $0.hasSuffix(".json5") }.sorted())
    func files(name: String) throws {
        let configuration = try configuration(name)
        try configuration.checkStatisticsGroups(trainingSamples: 55_000)
        try configuration.validate(ranks: 4)
    }

    @Test("the MNIST runs differ in what their names say and in nothing else")
    func mnistRuns() throws {
        let base = try configuration("mnist-mlp.json5")
        #expect(base.length == .steps(50_000))
        #expect(base.optimizer.learningRate == 0.01)
        #expect(base.model.initialization == .init(kind: .normal, scale: 0.05))
        #expect(base.data.validation == 5_000)
        #expect(base.batch.size == 60)
        let directory = repository.resolvingSymlinksInPath().appending(path: "data/mnist").path
        #expect(base.data.source == .idx(directory: directory))

        var other = base
        other.model.normalization = .none
        #expect(try configuration("mnist-mlp-no-bn.json5") == other)
        guard case .batch(var normalization) = base.model.normalization else {
            Issue.record("mnist-mlp has no BN")
            return
        }
        other.batch.shards = .count(4)
        for (name, scope) in [
            ("global", RunConfiguration.BatchNormalization.Scope.global), ("group", .group(2)),
            ("shard", .shard),
        ] {
            normalization.scope = scope
            other.model.normalization = .batch(normalization)
            #expect(try configuration("mnist-mlp-scope-\(name).json5") == other)
        }
    }
}

/// Settings that together use every key and every kind of value.
let variants: [[String]] = [
    [],
    ["seed=18446744073709551615", "data.name=idx", "data.directory=/data/\"q\"\\b"],
    [
        "data={name: 'cifar10', directory: '/c', augment: [{kind: 'padCrop', padding: 4}, 'flip']}",
        "data.scaling={mean: [0.49, 0.48, 0.45], std: [0.25, 0.24, 0.26]}",
    ],
    ["data={name: 'cifar100', directory: '/c', augment: [{kind: 'cutout', size: 16}]}"],
    ["model.hidden=[]", "model.activation=tanh", "model.placement=after"],
    ["model={name: 'resnet18', stem: 'imagenet', zeroInitialBlocks: true, dropout: 0.1}"],
    ["model={name: 'resnet110', shortcut: 'A'}"],
    ["model={name: 'vgg11', stem: 'imagenet'}"],
    ["model.normalization.kind=none", "model.initialization.kind=he", "model.activation=relu"],
    [
        "model.normalization={scope: {group: 2}, momentum: 'cumulative', affine: false}",
        "batch.shards=4",
    ],
    ["model.normalization.kind=layer", "model.normalization.epsilon=1e-3"],
    ["model.normalization={kind: 'instance', affine: false}", "model.name=resnet20"],
    ["model.normalization={kind: 'group', groups: 32}", "model.name=resnet18"],
    ["model.normalization.kind=group"],
    ["model.normalization.scope=shard", "model.normalization.runningVariance=biased"],
    ["model.normalization.noise={mean: 0, deviation: 1, spread: 0.25}", "model.placement=inputs"],
    ["model.normalization.epsilon=0", "model.initialization={kind: 'normal'}"],
    ["data.scaling={mean: [0.1307], std: [0.3081]}", "data.shuffle=false", "data.dropLast=true"],
    ["data.scaling=standardize", "data.limit=1000", "data.validation=100", "data.samples=1e3"],
    ["data.scaling=standardizeFeatures"], ["data.scaling=pca"], ["data.scaling=zca"],
    ["data.scaling={whiten: 'zca', epsilon: 1e-6}", "model.name=lenet"],
    ["data.testShift={brightness: -0.25, contrast: 1.5}", "evaluate.statistics=exact"],
    ["data.scaling=none", "batch={size: 128, shards: 8}", "evaluate.everySteps=7"],
    ["optimizer={momentum: 0.9, nesterov: true, weightDecay: 1e-4, decayAll: true}"],
    ["optimizer={name: 'adam', betas: [0, 0.5], epsilon: 1e-30, clipNorm: 0.1}"],
    ["optimizer.name=adamw", "loss.labelSmoothing=0.99", "schedule.scaleWithBatch=256"],
    ["optimizer={name: 'lars', momentum: 0.9, trustCoefficient: 1e-4, epsilon: 1}"],
    ["schedule={kind: 'one-cycle', pctStart: 1, divFactor: 1, finalDivFactor: 1e300}"],
    [
        "optimizer={name: 'adamw', betas: [0.95, 0.99]}",
        "schedule={kind: 'one-cycle', minimumMomentum: 0.85}",
    ],
    ["schedule={kind: 'step', milestones: [10, 20], factor: 0.3333333333333333}"],
    ["schedule.kind=cosine", "schedule.minimum=1e-300", "schedule.warmupSteps=5"],
    ["probes={everySteps: 50, landscape: true}"],
    [
        "probes={everySteps: 1, path: {x: 'conv1.weight[0,1,2,3] + a.b_2[4]', y: 'fc.bias[0] - fc.bias[1]'}}"
    ],
    ["data={name: 'two-features', samples: 10, testSamples: 7, scaling: 'none'}"],
    ["checkpoint={everySteps: 500, everyEpochs: 2, everyMinutes: 0.5, keep: 1, onError: 'stop'}"],
    ["watch={checkReplicas: 0, auditShards: 100, nonFinite: 'skip'}"],
    ["watch={nonFinite: 'rollback', rollbackFactor: 0.1, digestSteps: 7}"],
    ["freeze=['layers.0', 'layers.1.weight']"],
    ["steps=12345", "collectives=mpi", "optimizer.learningRate=4.9e-324"],
]
