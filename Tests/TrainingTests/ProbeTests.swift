import Collectives
import Configuration
import Datasets
import Layers
import Models
import Synchronization
import TensorCore
import TestSupport
import Testing

@testable import Training

/// What probes report in a run, and that they leave it alone.
@Suite("Probes")
struct ProbeTests {
    /// Keeps the lines of a run's probes.
    private final class Recorder: TrainingObserver {
        private let kept = Mutex<[JSONObject]>([])
        var lines: [JSONObject] { kept.withLock { $0 } }
        func stepped(_ report: StepReport) {}
        func evaluated(_ report: EvaluationReport) {}
        func probed(_ report: ProbeReport) { kept.withLock { $0 += report.lines } }
    }

    private func run(
        _ plan: RunPlan, ranks: Int = 1, threads: Int = 1
    ) throws -> (digests: Set<String>, lines: [JSONObject]) {
        let recorder = Recorder()
        let network = InMemoryNetwork(ranks: ranks)
        let digests = try runRanks(ranks) { rank in
            let trainer = Trainer(plan)
            _ = try trainer.run(
                in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                transport: ranks > 1 ? network.transport(rank: rank) : nil, timeout: 60,
                spinning: false, observer: rank == 0 ? recorder : nil)
            return trainer.replica.digest
        }
        return (Set(digests), recorder.lines)
    }

    private static let worlds = [(1, 1), (1, 3), (2, 1), (2, 2)]

    @Test(
        "they change no digest, and say the same in every world",
        arguments: ["\"global\"", "\"shard\"", "{group: 2}"],
        [
            ["model.activation=tanh"],
            [
                "model.placement=after", "model.dropout=0.3", "data.augment=[\"flip\"]",
                "optimizer={name: 'adam', learningRate: 0.01, clipNorm: 0.5}",
            ],
            ["model.normalization.kind=layer", "optimizer={name: 'lars', momentum: 0.9}"],
            ["model.normalization.kind=none", "model.activation=relu"],
        ])
    func sameRun(scope: String, more: [String]) throws {
        let without = try SmallRun.plan(shards: 6, scope: scope, hidden: "[17, 9]", more: more)
        let digest = try run(without).digests
        #expect(digest.count == 1)
        var first: [JSONObject]?
        for (ranks, threads) in Self.worlds {
            let plan = try SmallRun.plan(
                shards: 6, scope: scope, hidden: "[17, 9]",
                more: more + ["probes={everySteps: 3, landscape: true}"])
            let probed = try run(plan, ranks: ranks, threads: threads)
            #expect(probed.digests == digest, "\(ranks)×\(threads)")
            let steps = probed.lines.compactMap { $0["step"]?.int }
            #expect(Set(steps) == [1, 3, 6, 9])
            #expect(probed.lines == first ?? probed.lines, "\(ranks)×\(threads)")
            first = probed.lines
        }
    }

    @Test("in networks for images, too", arguments: ["resnet20", "lenet"])
    func images(model: String) throws {
        func plan(_ more: [String]) throws -> RunPlan {
            let configuration = try RunConfiguration.load(
                file: nil,
                settings: [
                    "model.name=\(model)", "batch.size=12", "batch.shards=4", "steps=3",
                    "optimizer.learningRate=0.05", "model.dropout=0.2",
                ] + more)
            let random = CounterRandom(seed: 5, purpose: .benchmark, index: 0)
            let data = try Dataset(
                name: "random", height: 16, width: 17, channels: 3, classes: 10,
                images: (0..<30 * 16 * 17 * 3).map { UInt8(random.integer(below: 256, at: $0)) },
                labels: (0..<30).map { UInt8($0 % 10) }, source: "random")
            return try RunPlan(configuration, data: DatasetPair(training: data, test: data))
        }
        let without = try run(plan([])).digests
        let probed = try plan(["probes={everySteps: 2, landscape: true}"])
        let alone = try run(probed)
        let team = try run(probed, ranks: 2, threads: 2)
        #expect(alone.digests == without && team.digests == without)
        #expect(alone.lines == team.lines)
        let kinds = Set(alone.lines.compactMap { $0["probe"]?.string })
        // ReLU alone has no inverse.
        #expect(
            kinds == [
                "activations", "pre-activations", "saturation", "gradient norms", "landscape",
            ])
    }

    /// The values at 15, 50 and 85 %, as numpy has them.
    private func percentiles(_ values: [Double]) -> [Double] {
        let sorted = values.sorted()
        return [15, 50, 85].map { percent in
            let place = percent / 100 * Double(sorted.count - 1)
            let below = Int(place)
            let above = min(below + 1, sorted.count - 1)
            return sorted[below] + (place - Double(below)) * (sorted[above] - sorted[below])
        }
    }

    private func numbers(_ value: JSONValue?, _ names: [String]) -> [Double] {
        names.map { value?[$0]?.double ?? .nan }
    }

    @Test(
        "the first step's numbers are the Float64 trainer's",
        arguments: ["sigmoid", "tanh", "relu"], ["before", "after"])
    func reference(activation: String, placement: String) throws {
        let plan = try SmallRun.plan(
            shards: 5, scope: "\"global\"", hidden: "[37, 9]",
            more: [
                "data.shuffle=false", "model.activation=\(activation)",
                "model.placement=\(placement)", "probes={everySteps: 100, landscape: true}",
                "model.initialization.scale=3", "optimizer.learningRate=0.2",
            ])
        let lines = try run(plan, threads: 2).lines
        func line(_ kind: String) throws -> JSONObject {
            try #require(lines.first { $0["probe"]?.string == kind })
        }
        let input = Tensor(rows: 24, columns: plan.network.inputs)
        plan.scaling.fill(input, from: plan.split.training, at: 0..<24)
        let rows = (0..<24).map { row in
            (0..<784).map { Double(input.pointer[row * 784 + $0]) }
        }
        let labels = (0..<24).map { plan.split.training.label(at: $0) }
        let initial = Trainer(plan).replica.tensors
        func pass(_ parameters: [String: [Double]]) -> ReferenceTrainer.Pass {
            ReferenceTrainer(
                plan.network, optimizer: .init(.sgd(nesterov: false), momentum: 0),
                parameters: parameters
            ).pass(rows: rows, labels: labels)
        }
        let names = plan.layout.parameters.map(\.name)
        let parameters = initial.filter { names.contains($0.key) }
        let whole = pass(parameters)
        for (layer, width) in [(0, 37), (1, 9)] {
            // Nodes are Linear, BN, activation, or Linear, activation, BN.
            let node = 3 * layer + (placement == "before" ? 2 : 1)
            let name = "layers.\(3 * layer + 1)"
            let outputs = whole.outputs[node]
            let units = (0..<min(16, width)).map { $0 * width / min(16, width) }
            let probed = units.flatMap { unit in (0..<24).map { outputs[$0 * width + unit] } }
            let expected = percentiles(probed)
            let actual = numbers(try line("activations")[name], ["p15", "p50", "p85"])
            #expect(relativeDifference(actual, expected) < 1e-5)
            if activation != "relu" {
                let unit = (0..<24).map { whole.outputs[node - 1][$0 * width] }
                let inputs = numbers(try line("unit inputs")[name], ["p15", "p50", "p85"])
                #expect(relativeDifference(inputs, percentiles(unit)) < 1e-4)
            }
            let given = whole.outputs[3 * layer]
            let mean = given.reduce(0, +) / Double(given.count)
            let variance =
                given.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(given.count)
            let moments = numbers(try line("pre-activations")[name], ["mean", "variance"])
            #expect(abs(moments[0] - mean) < 1e-5 * variance.squareRoot())
            #expect(abs(moments[1] - variance) < 1e-5 * variance)
            let flat = outputs.filter {
                switch activation {
                case "sigmoid": $0 < 0.01 || $0 > 0.99
                case "tanh": abs($0) > 0.98
                default: $0 == 0
                }
            }
            let share = Double(flat.count) / Double(outputs.count)
            #expect(abs((try line("saturation")[name]?.double ?? .nan) - share) < 1e-12)
        }
        func norm(_ tensors: [[Double]]) -> Double {
            tensors.joined().reduce(0) { $0 + $1 * $1 }.squareRoot()
        }
        for module in plan.network.nodes.map(\.name) {
            let own = whole.gradients.filter { $0.key.hasPrefix(module + ".") }
            if own.isEmpty { continue }
            let expected = norm(Array(own.values))
            let actual = try line("gradient norms")[module]?.double ?? .nan
            // Of a bias before BN nothing is left but rounding.
            #expect(abs(actual - expected) < 1e-4 * expected + 1e-7, "\(module)")
        }
        var losses: [Double] = []
        var changes: [Double] = []
        var smoothness = 0.0
        for distance in Landscape.distances {
            let step = distance * 0.2
            let moved = pass(
                parameters.mapValues { $0 }.merging(
                    whole.gradients.mapValues { $0 }
                ) { w, g in zip(w, g).map { $0 - step * $1 } })
            losses.append(moved.loss)
            let change = norm(
                moved.gradients.map { name, g in zip(g, whole.gradients[name]!).map { $0 - $1 } })
            changes.append(change)
            smoothness = max(smoothness, change / (step * norm(Array(whole.gradients.values))))
        }
        let landscape = try line("landscape")
        // A unit may fall on the other side of ReLU's edge.
        let allowed = activation == "relu" ? 2e-2 : 1e-4
        #expect(
            relativeDifference(
                numbers(landscape["loss"], ["min", "max"]), [losses.min()!, losses.max()!])
                < allowed)
        #expect(
            relativeDifference(
                numbers(landscape["gradient distance"], ["min", "max"]),
                [changes.min()!, changes.max()!]) < allowed)
        #expect(
            relativeDifference([landscape["smoothness"]?.double ?? .nan], [smoothness]) < allowed)
    }
}
