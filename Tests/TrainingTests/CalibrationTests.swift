import Collectives
import Configuration
import Datasets
import Kernels
import Layers
import Models
import Normalization
import TensorCore
import TestSupport
import Testing

@testable import Training

/// Statistics of the training samples, in place of a run's moving ones.
@Suite("Population statistics")
struct CalibrationTests {
    /// Mean and variance of each BN of a perceptron, in Float64 over all samples at once: those with
    /// which inference goes on are the whole set's, or each group of each batch its own.
    private static func reference(
        _ trainer: Trainer, _ method: PopulationMethod, batches: Int? = nil
    ) -> [String: [Double]] {
        let plan = trainer.plan
        let (size, count) = (plan.configuration.batch.size, plan.split.training.count)
        var starts = Array(stride(from: 0, to: count, by: size))
        if method == .paper && plan.configuration.data.dropLast && count % size > 0 {
            starts.removeLast()
        }
        starts = Array(starts.prefix(batches ?? .max))
        let used = min(count, (starts.last ?? 0) + size)
        let input = Tensor(rows: used, columns: plan.network.inputs)
        plan.scaling.fill(input, from: plan.split.training, at: 0..<used)
        var x = ReferenceMatrix(
            rows: used, columns: plan.network.inputs, values: input.elements.map(Double.init))
        var groups = [0..<used]
        if method == .paper {
            let shardsPerGroup = plan.network.normalization.scope.groupSize(shards: plan.shards)
            groups = starts.flatMap { start in
                let batch = ShardedBatch(samples: min(size, used - start), shards: plan.shards)
                return stride(from: 0, to: plan.shards, by: shardsPerGroup).map {
                    let part = batch.samples(ofShards: $0..<$0 + shardsPerGroup)
                    return start + part.lowerBound..<start + part.upperBound
                }
            }
        }
        let tensors = trainer.replica.tensors
        var found: [String: [Double]] = [:]
        for (node, place) in zip(plan.network.nodes, plan.network.places(shards: 1)) {
            var moments: [ReferenceMoments] = []
            if let norm = node.module as? BatchNorm {
                let channels = place.input.channels
                moments = norm.referenceMoments(x, groups, at: place)
                func average(_ value: (ReferenceMoments, Int) -> Double) -> [Double] {
                    (0..<channels).map { c in
                        moments.reduce(0) {
                            $1.rows.isEmpty ? $0 : $0 + Double($1.rows.count) * value($1, c)
                        } / Double(used)
                    }
                }
                found["\(node.name).running_mean"] = average { $0.mean[$1] }
                found["\(node.name).running_var"] = average { group, c in
                    let m = Double(group.rows.count)
                    return group.variance[c] * (method == .paper ? m / (m - 1) : 1)
                }
            }
            var parameters: [String: [Double]] = [:]
            for name in ["weight", "bias"] { parameters[name] = tensors["\(node.name).\(name)"] }
            x = node.module.reference(
                x, ReferenceContext(place, parameters: parameters, moments: moments))
        }
        return found
    }

    private static func recalibrated(
        _ plan: RunPlan, _ trained: Replica, _ method: PopulationMethod, batches: Int? = nil,
        ranks: Int = 1, threads: Int = 1
    ) throws -> [(trainer: Trainer, samples: Int, batches: Int)] {
        let network = InMemoryNetwork(ranks: ranks)
        return try runRanks(ranks) { rank in
            let trainer = Trainer(plan)
            try trainer.replica.load(trained.file(configuration: plan.configuration))
            let calibration = try trainer.recalibrate(
                method, batches: batches,
                in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                transport: ranks > 1 ? network.transport(rank: rank) : nil, timeout: 60,
                spinning: false)
            return (trainer, calibration.samples, calibration.batches)
        }
    }

    private static func trained(_ plan: RunPlan) throws -> Replica {
        let trainer = Trainer(plan)
        _ = try trainer.run(in: World(threadsPerRank: 1), spinning: false)
        return trainer.replica
    }

    @Test(
        "both methods agree with Float64 over the whole set, in one digest over worlds",
        arguments: ["\"global\"", "\"shard\"", "{group: 2}"], PopulationMethod.allCases)
    func agrees(scope: String, method: PopulationMethod) throws {
        for more in [
            ["model.placement=before"],
            [
                "model.placement=after", "model.activation=relu", "model.dropout=0.3",
                "data.augment=[\"flip\"]", "data.dropLast=true", "model.normalization.affine=false",
                "model.normalization.runningVariance=biased",
            ],
        ] {
            let plan = try SmallRun.plan(shards: 6, scope: scope, hidden: "[17, 9, 5]", more: more)
            let trained = try Self.trained(plan)
            for batches in [nil, 2] {
                let runs = try Self.recalibrated(plan, trained, method, batches: batches)
                let alone = runs[0].trainer
                let expected = Self.reference(alone, method, batches: batches)
                let actual = alone.replica.tensors
                #expect(expected.count == 6)
                for (name, values) in expected {
                    let difference = relativeDifference(actual[name] ?? [], values)
                    // Reached: 5e-7.
                    #expect(difference < 3e-6, "\(name), \(batches ?? 0) batches")
                    #expect(actual[name] != trained.tensors[name])
                }
                let epoch = plan.configuration.data.dropLast && method == .paper ? 96 : nil
                #expect(
                    runs[0].samples
                        == (batches.map { $0 * 24 } ?? epoch ?? plan.split.training.count))
                for (ranks, threads) in [(1, 3), (1, 4), (2, 1), (2, 2), (3, 1)] {
                    for other in try Self.recalibrated(
                        plan, trained, method, batches: batches, ranks: ranks, threads: threads)
                    {
                        #expect(other.trainer.replica.digest == alone.replica.digest)
                    }
                }
            }
        }
    }

    @Test(
        "in residual networks exact moments of one batch are the paper's but for m/(m − 1), in any world",
        arguments: ["resnet20", "lenet"])
    func networks(model: String) throws {
        let configuration = try RunConfiguration.load(
            file: nil,
            settings: [
                "model.name=\(model)", "batch.size=20", "batch.shards=5", "steps=3",
                "optimizer.learningRate=0.05", "data.dropLast=true",
            ])
        let random = CounterRandom(seed: 5, purpose: .benchmark, index: 0)
        let data = try Dataset(
            name: "random", height: 16, width: 17, channels: 3, classes: 10,
            images: (0..<45 * 16 * 17 * 3).map { UInt8(random.integer(below: 256, at: $0)) },
            labels: (0..<45).map { UInt8($0 % 10) }, source: "random")
        let plan = try RunPlan(configuration, data: DatasetPair(training: data, test: data))
        let trained = try Self.trained(plan)
        let paper = try Self.recalibrated(plan, trained, .paper, batches: 1)[0].trainer.replica
        let exact = try Self.recalibrated(plan, trained, .exact, batches: 1)[0].trainer.replica
        let positions = Dictionary(
            uniqueKeysWithValues: plan.network.places(shards: plan.shards).map {
                ($0.name, $0.input.positions)
            })
        for entry in plan.layout.statistics {
            let m = Double(20 * (positions[entry.name] ?? 0))
            func values(_ replica: Replica, _ range: Range<Int>, _ factor: Double) -> [Double] {
                range.map { Double(replica.statistics[$0]) * factor }
            }
            #expect(
                relativeDifference(
                    values(exact, entry.mean, 1), values(paper, entry.mean, 1)) < 1e-5)
            #expect(
                relativeDifference(
                    values(exact, entry.variance, m / (m - 1)), values(paper, entry.variance, 1))
                    < 1e-5)
        }
        for method in PopulationMethod.allCases {
            let digests = try [(1, 1), (1, 3), (2, 2), (3, 1)].flatMap { ranks, threads in
                try Self.recalibrated(plan, trained, method, ranks: ranks, threads: threads).map {
                    $0.trainer.replica.digest
                }
            }
            #expect(Set(digests).count == 1, "\(method)")
        }
    }

    @Test("exact moments are those of what inference then gives each layer")
    func selfConsistent() throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", hidden: "[17, 9]", more: ["model.activation=tanh"])
        let trained = try Self.trained(plan)
        let trainer = try Self.recalibrated(plan, trained, .exact)[0].trainer
        var inputs: [[Float]] = [[], []]
        _ = try Team.run(World(), spinning: false) { communicator in
            let worker = try trainer.makeWorker(communicator)
            var found: [[Float]] = [[], []]
            for start in stride(from: 0, to: plan.split.training.count, by: 24) {
                let count = min(24, plan.split.training.count - start)
                let shape = try #require(worker.network.shapes.first { $0.samples == count })
                worker.loader.loadForEvaluation(plan.split.training, at: start..<start + count)
                _ = try worker.network.layers.forward(worker.input, Pass(.inference, shape))
                for layer in 0..<2 {
                    let output = worker.network.layers.layers[2 * layer].output
                    found[layer] += output.elements.prefix(count * output.columns)
                }
            }
            return found
        }.enumerated().map { inputs[$0.offset] = $0.element }
        for (layer, entry) in plan.layout.statistics.enumerated() {
            let matrix = ReferenceMatrix(
                rows: inputs[layer].count / entry.channels, columns: entry.channels,
                values: inputs[layer].map(Double.init))
            let moments = ReferenceMoments(of: matrix, rows: 0..<matrix.rows)
            for c in 0..<entry.channels {
                // To Float32's last place.
                let mean = Double(trainer.replica.statistics[entry.mean.lowerBound + c])
                let variance = Double(trainer.replica.statistics[entry.variance.lowerBound + c])
                #expect(abs(mean - moments.mean[c]) < 1e-7 * max(abs(mean), 1e-2))
                #expect(abs(variance - moments.variance[c]) < 1e-7 * variance)
            }
        }
    }

    @Test("names of statistics are read as they are written, and others are none")
    func names() throws {
        for statistics in [
            InferenceStatistics.moving(0.1), .moving(1e-3), .cumulative, .population(.paper),
            .population(.exact),
        ] {
            #expect(InferenceStatistics(statistics.description) == statistics)
        }
        #expect(InferenceStatistics.moving(0.1).description == "moving 0.1")
        #expect(InferenceStatistics.population(.exact).description == "population exact")
        for name in ["", "moving", "moving x", "population", "population all", "mean"] {
            #expect(InferenceStatistics(name) == nil)
        }
        let plan = try SmallRun.plan(
            shards: 2, scope: "\"global\"", more: ["model.normalization.momentum=cumulative"])
        let file = Trainer(plan).replica.file(configuration: plan.configuration)
        #expect(file.metadata["statistics"] == "cumulative")
        let none = try SmallRun.plan(
            shards: 2, scope: "\"global\"", more: ["model.normalization.kind=none"])
        let bare = Trainer(none).replica.file(configuration: none.configuration)
        #expect(bare.metadata["statistics"] == nil)
        #expect(bare.statistics(none.configuration) == nil)
    }
}
