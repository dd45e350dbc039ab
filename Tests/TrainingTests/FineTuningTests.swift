import Configuration
import Datasets
import Layers
import Models
import TensorCore
import TestSupport
import Testing

@testable import Training

@Suite("Models that start from others")
struct FineTuningTests {
    private func plan(_ settings: [String], classes: Int = 10) throws -> RunPlan {
        let configuration = try RunConfiguration.load(
            file: nil,
            settings: [
                "model.name=lenet", "batch.size=20", "batch.shards=6", "epochs=1",
                "optimizer.learningRate=0.1", "optimizer.weightDecay=5e-4",
                "checkpoint.everySteps=1", "checkpoint.keep=9",
            ] + settings)
        func dataset(_ count: Int, _ index: UInt64) throws -> Dataset {
            let random = CounterRandom(seed: 5, purpose: .benchmark, index: index)
            return try Dataset(
                name: "random", height: 16, width: 16, channels: 1, classes: classes,
                images: (0..<count * 256).map { UInt8(random.integer(below: 256, at: $0)) },
                labels: (0..<count).map { UInt8($0 % classes) }, source: "random")
        }
        return try RunPlan(
            configuration, data: DatasetPair(training: dataset(57, 0), test: dataset(9, 1)))
    }

    /// By name, what a file of the trainer's model holds.
    private func tensors(_ trainer: Trainer) throws -> [String: [Float]] {
        let file = trainer.replica.file(configuration: trainer.plan.configuration)
        var tensors: [String: [Float]] = [:]
        for entry in file.entries where entry.dataType == .float32 {
            tensors[entry.name] = try file.floats(entry.name)
        }
        return tensors
    }

    @Test(
        "frozen layers keep every bit, running statistics included, and the others learn",
        arguments: [
            "{name: 'sgd', momentum: 0.9, weightDecay: 0.1}",
            "{name: 'lars', momentum: 0.9, weightDecay: 0.1, trustCoefficient: 0.1, clipNorm: 0.3}",
            "{name: 'adamw', weightDecay: 0.1}",
        ], ["\"global\"", "\"shard\""])
    func frozen(optimizer: String, scope: String) throws {
        let common = ["optimizer=\(optimizer)", "model.normalization.scope=\(scope)"]
        let all = try plan(common)
        let first = Trainer(all)
        _ = try first.run(threads: 1)
        let model = first.replica.file(configuration: all.configuration)
        let names = all.layout.parameters.map(\.name)
        // The first modules of LeNet: a convolution and its normalisation; and one bias.
        let module = { (name: String) in
            name.split(separator: ".").dropLast().joined(separator: ".")
        }
        let normalization = try #require(all.layout.statistics.first?.name)
        let bias = try #require(names.last { $0.hasSuffix(".bias") })
        let freeze = [module(names[0]), normalization, bias]
        let plan = try plan(
            common + ["freeze=[\(freeze.map { "'\($0)'" }.joined(separator: ","))]"])
        var digests: Set<String> = []
        for threads in [1, 2, 3] {
            let trainer = Trainer(plan)
            #expect(try trainer.initialize(from: model).fresh == [])
            let before = try tensors(trainer)
            _ = try trainer.run(threads: threads)
            let after = try tensors(trainer)
            for (name, values) in before {
                let isFrozen = freeze.contains { name == $0 || name.hasPrefix($0 + ".") }
                #expect((after[name] == values) == isFrozen, "\(name)")
            }
            digests.insert(trainer.replica.digest)
        }
        #expect(digests.count == 1)
    }

    @Test("a frozen run resumes to the same bits")
    func resumed() throws {
        let name = try self.plan([]).layout.statistics[0].name
        let plan = try plan(["freeze=['\(name)']", "optimizer.momentum=0.9"])
        let alone = Trainer(plan)
        _ = try alone.run(threads: 1)
        try withTemporaryFolder { folder in
            _ = try InterruptedRun.save(plan, in: folder)
            let result = try InterruptedRun.resume(
                plan, from: InterruptedRun.file(folder, 2), ranks: 2, threads: 1)
            #expect(result.allSatisfy { $0.digest == alone.replica.digest })
        }
    }

    @Test("a prefix that freezes nothing is refused, with the names there are")
    func nothingToFreeze() throws {
        #expect(
            message {
                _ = try SmallRun.plan(
                    shards: 6, scope: "\"global\"", more: ["freeze=['layers.1', 'stem']"])
            }
                == "no parameter's name begins with \"stem\"; those of this network begin with "
                + "layers.0, layers.1, layers.3")
    }

    @Test("a model for other classes gives all but its last layer")
    func otherClasses() throws {
        let ten = try plan([])
        let source = Trainer(ten)
        _ = try source.run(threads: 2)
        let file = source.replica.file(configuration: ten.configuration)
        let four = try plan([], classes: 4)
        let trainer = Trainer(four)
        let initial = try tensors(trainer)
        let fresh = try trainer.initialize(from: file).fresh
        let last = four.layout.parameters.suffix(2).map(\.name)
        #expect(fresh == last)
        let (given, now) = (try tensors(source), try tensors(trainer))
        for (name, values) in now {
            #expect(values == (last.contains(name) ? initial[name] : given[name]), "\(name)")
        }
        // Back to ten, whose bias has another shape, too.
        #expect(
            message {
                _ = try Trainer(try SmallRun.plan(shards: 6, scope: "\"global\"")).initialize(
                    from: file)
            }
            .hasPrefix("'' is of another network: it lacks 'layers."))
    }

    @Test("the average of files is that of their values; of one file it is the file")
    func average() throws {
        let plan = try SmallRun.plan(
            shards: 6, scope: "\"global\"",
            more: ["optimizer.momentum=0.9", "checkpoint={everySteps: 3, keep: 9}"])
        try withTemporaryFolder { folder in
            _ = try InterruptedRun.save(plan, in: folder)
            let files = try [3, 6, 9].map {
                try SafetensorsFile(contentsOf: InterruptedRun.file(folder, $0))
            }
            let average = try SafetensorsFile.average(files)
            #expect(!average.entries.contains { $0.isOptimizers })
            for entry in average.entries where entry.dataType == .float32 {
                let values = try files.map { try $0.floats(entry.name) }
                for (index, mean) in try average.floats(entry.name).enumerated() {
                    let sum = values.reduce(0.0) { $0 + Double($1[index]) }
                    #expect(mean == Float(sum / 3))
                }
            }
            #expect(try average.integers("layers.1.num_batches_tracked") == [9])
            #expect(average.metadata["parameters_digest"] == average.parametersDigest)
            let one = try SafetensorsFile.average([files[1]])
            #expect(one.parametersDigest == files[1].parametersDigest)
            try Trainer(plan).replica.load(average)
            let other = Trainer(try SmallRun.plan(shards: 6, scope: "\"global\"", hidden: "[3]"))
            let wrong = other.replica.file(configuration: plan.configuration)
            #expect(
                message { _ = try SafetensorsFile.average([files[0], wrong]) }
                    == "tensor 'layers.0.weight' in '' has the shape [3, 784] where the model has "
                    + "[12, 784]; use the config that the file was trained with")
        }
    }
}
