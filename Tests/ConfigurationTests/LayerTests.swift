import Foundation
import Testing

@testable import Configuration

/// Default, file and command line, one on top of the other.
struct LayerTests {
    private func load(_ text: String, _ settings: String...) throws -> RunConfiguration {
        try RunConfiguration.load(text: text, name: "run.json5", settings: settings)
    }

    @Test("a file goes over the default, --set over the file, a later --set over an earlier one")
    func precedence() throws {
        #expect(try load("{}").batch.size == 60)
        #expect(try load("{batch: {size: 32}}").batch.size == 32)
        #expect(try load("{batch: {size: 32}}", "batch.size=16").batch.size == 16)
        #expect(
            try load("{batch: {size: 32}}", "batch.size=16", "batch.size=24").batch.size == 24)
        // What a layer does not name stays.
        let both = try load("{optimizer: {learningRate: 0.1}}", "optimizer.momentum=0.9")
        #expect(both.optimizer.learningRate == 0.1)
        #expect(both.optimizer.momentum == 0.9)
        #expect(both.optimizer.name == .sgd)
    }

    @Test("what an older record does not say is as it was before there was a key for it")
    func recorded() throws {
        func load(_ text: String, _ settings: String...) throws -> RunConfiguration {
            try RunConfiguration.load(recorded: text, name: "config.json", settings: settings)
        }
        #expect(try load("{}").data.validationFrom == .end)
        #expect(try load(#"{"data": {"validation": 5}}"#).data.validationFrom == .end)
        #expect(try load(#"{"data": {"validationFrom": "spread"}}"#).data.validationFrom == .spread)
        #expect(try load("{}", "data.validationFrom=spread").data.validationFrom == .spread)
        #expect(try self.load("{}").data.validationFrom == .spread)
        var record = RunConfiguration.default
        #expect(try load(record.canonicalJSON) == record)
        record.data.validationFrom = .end
        #expect(try load(record.canonicalJSON) == record)
    }

    @Test("null takes a key, or a whole section, back to its default")
    func null() throws {
        #expect(try load("{batch: {size: 32}}", "batch.size=null").batch.size == 60)
        #expect(try load("{data: {limit: 10}}", "data.limit=null").data.limit == nil)
        let section = try load("{optimizer: {learningRate: 0.1, momentum: 0.5}}", "optimizer=null")
        #expect(section.optimizer == RunConfiguration.default.optimizer)
        #expect(try load("{batch: {size: null}}").batch.size == 60)
        #expect(try load("{model: null}", "model.hidden=[3]").model.hidden == [3])
    }

    @Test("steps replace the epochs of a lower layer, and epochs the steps")
    func length() throws {
        #expect(try load("{}").length == .epochs(10))
        #expect(try load("{steps: 5}").length == .steps(5))
        #expect(try load("{steps: 5}", "epochs=2").length == .epochs(2))
        #expect(try load("{epochs: 5}", "steps=2").length == .steps(2))
        #expect(try load("{steps: 5, epochs: null}").length == .steps(5))
        #expect(try load("{steps: 5}", "steps=null").length == .epochs(10))
        #expect(try load("{steps: 5}", "steps=null", "epochs=3").length == .epochs(3))
    }

    @Test("a bare word is a string, everything else JSON5")
    func bareWords() throws {
        #expect(try load("{}", "model.activation=relu").model.activation == .relu)
        #expect(try load("{}", "model.activation='relu'").model.activation == .relu)
        #expect(try load("{}", " seed = 0x10 ").seed == 16)
        #expect(try load("{}", "steps=5e4").length == .steps(50_000))
        #expect(try load("{}", "model.hidden=[64, 32,]").model.hidden == [64, 32])
        let idx = try load("{data: {name: 'idx'}}", "data.directory=/a=b/c d")
        #expect(idx.data.source == .idx(directory: "/a=b/c d"))
    }

    @Test("an object over an object replaces the members it names")
    func objects() throws {
        let text = "{data: {scaling: {mean: [0.1], std: [0.2]}}}"
        #expect(
            try load(text, "data.scaling.std=[0.3]").data.scaling
                == .fixed(mean: [0.1], deviation: [0.3]))
        #expect(try load(text, "data.scaling=unit").data.scaling == .unit)
        let group = try load("{batch: {shards: 4}}", "model.normalization.scope.group=2")
        guard case .batch(let normalization) = group.model.normalization else {
            Issue.record("no BN")
            return
        }
        #expect(normalization.scope == .group(2))
    }

    @Test("an object can be put together from several --set")
    func partsOfAnObject() throws {
        #expect(
            try load("{}", "data.scaling.mean=[0.1]", "data.scaling.std=[0.2]").data.scaling
                == .fixed(mean: [0.1], deviation: [0.2]))
    }

    @Test("another name in a later layer drops what belonged to the old one")
    func names() throws {
        let step = "{schedule: {kind: 'step', milestones: [5], factor: 0.5, warmupSteps: 2}}"
        #expect(
            try load(step, "schedule.kind=constant").schedule
                == .init(kind: .constant, warmupSteps: 2))
        #expect(
            try load(step, "schedule.kind=step").schedule
                == .init(kind: .step(milestones: [5], factor: 0.5), warmupSteps: 2))

        let sgd = "{optimizer: {learningRate: 0.1, momentum: 0.9, nesterov: true}}"
        let adam = try load(sgd, "optimizer.name=adam").optimizer
        #expect(adam.rule == .adam(beta1: 0.9, beta2: 0.999, epsilon: 1e-8))
        #expect(adam.learningRate == 0.1)
        #expect(
            try load(sgd, "optimizer.name=lars").optimizer.rule
                == .lars(momentum: 0.9, trustCoefficient: 0.001, epsilon: 1e-8))

        let normal = "{model: {initialization: {kind: 'normal', scale: 0.02}}}"
        #expect(try load(normal).model.initialization == .init(kind: .normal, scale: 0.02))
        #expect(
            try load(normal, "model.initialization.kind=he").model.initialization
                == .init(kind: .he, scale: 1))
        #expect(
            try load(normal, "model.initialization.scale=2", "model.initialization.kind=he")
                .model.initialization == .init(kind: .he, scale: 2))
        #expect(
            try load("{model: {initialization: {kind: 'normal'}}}").model.initialization.scale
                == 0.05)
        let synthetic = try load(
            "{data: {name: 'idx', directory: 'mnist'}}", "data.name=synthetic-digits")
        #expect(synthetic.data == RunConfiguration.default.data)
    }

    @Test("data paths start from the file's folder, in --set from the working directory")
    func paths() throws {
        func directory(_ name: String, _ text: String, _ settings: String...) throws -> String {
            let configuration = try RunConfiguration.load(
                text: text, name: name, settings: settings)
            guard case .idx(let directory) = configuration.data.source else { return "" }
            return directory
        }
        let here = FileManager.default.currentDirectoryPath
        let parent = String(here[..<(here.lastIndex(of: "/") ?? here.startIndex)])
        let home = FileManager.default.homeDirectoryForCurrentUser.path
        let text = { (path: String) in "{data: {name: 'idx', directory: '\(path)'}}" }
        #expect(try directory("/no/such/x.json5", text("mnist")) == "/no/such/mnist")
        #expect(try directory("/no/such/x.json5", text("../mnist/./a")) == "/no/mnist/a")
        #expect(try directory("/no/such/x.json5", text("/data/../mnist")) == "/data/../mnist")
        #expect(try directory("/x.json5", text("../../mnist")) == "/mnist")
        #expect(try directory("x.json5", text(".")) == here)
        #expect(try directory("sub/x.json5", text("mnist")) == here + "/sub/mnist")
        #expect(try directory("/no/x.json5", text("a"), "data.directory=../b") == parent + "/b")
        #expect(try directory("/no/x.json5", text("a"), "data.directory=~/b") == home + "/b")
    }

    @Test("a path through a linked folder means what the system takes it to mean")
    func linkedPaths() throws {
        let folder = FileManager.default.temporaryDirectory.resolvingSymlinksInPath()
            .appending(path: "bn-train-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let real = folder.appending(path: "real/configs")
        try FileManager.default.createDirectory(at: real, withIntermediateDirectories: true)
        let link = folder.appending(path: "link")
        try FileManager.default.createSymbolicLink(at: link, withDestinationURL: real)
        try "{data: {name: 'idx', directory: '../mnist'}}".write(
            to: real.appending(path: "run.json5"), atomically: true, encoding: .utf8)
        let configuration = try RunConfiguration.load(
            file: link.appending(path: "run.json5").path, settings: [])
        #expect(
            configuration.data.source
                == .idx(directory: folder.appending(path: "real/mnist").path))
    }

    @Test("the canonical JSON loads as an equal configuration", arguments: variants)
    func canonicalRoundTrip(settings: [String]) throws {
        let configuration = try RunConfiguration.load(file: nil, settings: settings)
        let text = configuration.canonicalJSON
        let again = try RunConfiguration.load(text: text, name: "elsewhere/config.json")
        #expect(again == configuration)
        #expect(again.canonicalJSON == text)
        // Strict JSON: other programs read it too.
        _ = try JSONSerialization.jsonObject(with: Foundation.Data(text.utf8))
    }

    @Test("equal configurations have equal canonical JSON, however they were written")
    func canonicalForm() throws {
        let a = try load("{steps: 1e3, optimizer: {momentum: -0, weightDecay: 0x0}, data: null}")
        let b = try load("{/* */ 'steps': +1000.}", "optimizer.momentum=0.0")
        #expect(a == b)
        #expect(a.canonicalJSON == b.canonicalJSON)
        #expect(
            RunConfiguration.default.canonicalJSON == """
                {
                  "seed": 1,
                  "model": {
                    "name": "mlp",
                    "hidden": [128, 128, 128],
                    "activation": "sigmoid",
                    "placement": "before",
                    "dropout": 0,
                    "initialization": {
                      "kind": "xavier",
                      "scale": 1
                    },
                    "normalization": {
                      "kind": "batch",
                      "scope": "global",
                      "momentum": 0.1,
                      "epsilon": 1e-05,
                      "runningVariance": "unbiased",
                      "affine": true
                    }
                  },
                  "data": {
                    "name": "synthetic-digits",
                    "samples": 20000,
                    "testSamples": 4000,
                    "scaling": "unit",
                    "shuffle": true,
                    "dropLast": false,
                    "limit": null,
                    "validation": 0,
                    "validationFrom": "spread",
                    "testShift": null,
                    "augment": []
                  },
                  "batch": {
                    "size": 60,
                    "shards": "auto"
                  },
                  "loss": {
                    "labelSmoothing": 0
                  },
                  "optimizer": {
                    "name": "sgd",
                    "learningRate": 0.5,
                    "momentum": 0,
                    "nesterov": false,
                    "weightDecay": 0,
                    "decayAll": false,
                    "clipNorm": null
                  },
                  "schedule": {
                    "kind": "constant",
                    "warmupSteps": 0,
                    "scaleWithBatch": null
                  },
                  "freeze": [],
                  "epochs": 10,
                  "evaluate": {
                    "everySteps": 1000,
                    "statistics": "moving"
                  },
                  "probes": {
                    "everySteps": null,
                    "landscape": false
                  },
                  "checkpoint": {
                    "everySteps": null,
                    "everyEpochs": null,
                    "everyMinutes": null,
                    "keep": 3,
                    "onError": "continue"
                  },
                  "watch": {
                    "checkReplicas": 500,
                    "auditShards": 0,
                    "nonFinite": "stop",
                    "digestSteps": null
                  },
                  "tensorboard": false,
                  "collectives": "tree"
                }

                """)
    }
}
