import Collectives
import Configuration
import Datasets
import Foundation
import Models
import Synchronization
import TestSupport
import Testing

@testable import Training

/// The path of two weights, and the loss around it.
@Suite("Paths")
struct PathProbeTests {
    private final class Recorder: TrainingObserver {
        private let kept = Mutex<[JSONObject]>([])
        var lines: [JSONObject] { kept.withLock { $0 } }
        func stepped(_ report: StepReport) {}
        func evaluated(_ report: EvaluationReport) {}
        func probed(_ report: ProbeReport) { kept.withLock { $0 += report.lines } }
    }

    private static func plan(_ more: [String], follows: Bool = true) throws -> RunPlan {
        let layer = more.contains("model.placement=inputs") ? 1 : 0
        func difference(_ input: Int) -> String {
            "layers.\(layer).weight[1,\(input)] - layers.\(layer).weight[0,\(input)]"
        }
        let path = "probes={everySteps: 2, path: {x: '\(difference(0))', y: '\(difference(1))'}}"
        let configuration = try RunConfiguration.load(
            file: nil,
            settings: [
                "data={name: 'two-features', samples: 130, testSamples: 30}",
                "model.hidden=[]", "batch.size=24", "batch.shards=4", "steps=5",
                "optimizer.learningRate=1", "data.scaling=standardizeFeatures",
            ] + (follows ? [path] : []) + more)
        let pair = TwoFeatures.pair(
            seed: configuration.seed, trainingCount: 130, testCount: 30)
        return try RunPlan(configuration, data: pair)
    }

    private func run(
        _ plan: RunPlan, ranks: Int = 1, threads: Int = 1
    ) throws -> (digests: Set<String>, lines: [JSONObject], trainer: Trainer) {
        let recorder = Recorder()
        let network = InMemoryNetwork(ranks: ranks)
        let trainers = try runRanks(ranks) { rank in
            let trainer = Trainer(plan)
            _ = try trainer.run(
                in: World(ranks: ranks, threadsPerRank: threads, rank: rank),
                transport: ranks > 1 ? network.transport(rank: rank) : nil, timeout: 60,
                spinning: false, observer: rank == 0 ? recorder : nil)
            return trainer
        }
        return (Set(trainers.map(\.replica.digest)), recorder.lines, trainers[0])
    }

    @Test(
        "they change no digest, and say the same in every world",
        arguments: [
            ["model.placement=inputs"], ["model.normalization.kind=none"],
            ["model.placement=inputs", "data.scaling=none", "data.dropLast=true"],
        ])
    func sameRun(more: [String]) throws {
        let without = try run(Self.plan(more, follows: false))
        #expect(without.lines.isEmpty)
        var first: [JSONObject]?
        for (ranks, threads) in [(1, 1), (1, 3), (2, 1), (2, 2)] {
            let probed = try run(Self.plan(more), ranks: ranks, threads: threads)
            #expect(probed.digests == without.digests, "\(ranks)×\(threads)")
            #expect(probed.lines == first ?? probed.lines, "\(ranks)×\(threads)")
            first = probed.lines
        }
        let path = (first ?? []).filter { $0["probe"]?.string == "path" }
        #expect(path.compactMap { $0["step"]?.int } == [0, 1, 2, 4])
    }

    @Test(
        "points are the weights' differences, losses a Float64 sum over samples, and lowest is lowest"
    )
    func numbers() throws {
        let plan = try Self.plan(
            ["model.normalization.kind=none", "steps=4", "probes.everySteps=1"])
        let result = try run(plan, threads: 2)
        let weights = try #require(result.trainer.replica.tensors["layers.0.weight"])
        let bias = try #require(result.trainer.replica.tensors["layers.0.bias"])
        let last = try #require(result.lines.last { $0["probe"]?.string == "path" })
        #expect(last["x"]?.double == weights[2] - weights[0])
        #expect(last["y"]?.double == weights[3] - weights[1])

        // Of two classes only differences count. The last 10 of 130 samples fill no batch of 24.
        let samples = plan.split.training
        let moments = (0..<2).map { feature -> (mean: Double, deviation: Double) in
            let values = (0..<130).map {
                Double(samples.pixels(at: $0).dropFirst(feature).first ?? 0)
            }
            let mean = values.reduce(0, +) / 130
            let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            return (mean, (square / 130).squareRoot())
        }
        func loss(_ x: Double, _ y: Double) -> Double {
            (0..<120).reduce(0) { sum, index in
                let inputs = samples.pixels(at: index).enumerated().map {
                    (Double($1) - moments[$0].mean) / moments[$0].deviation
                }
                let logit = x * inputs[0] + y * inputs[1] + bias[1] - bias[0]
                let sign = samples.label(at: index) == 1 ? -1.0 : 1
                return sum + softplus(sign * logit) / 120
            }
        }
        let line = try #require(result.lines.last)
        #expect(line["probe"]?.string == "contours" && line["step"]?.int == 4)
        let xs = (line["x"]?.array ?? []).compactMap(\.double)
        let ys = (line["y"]?.array ?? []).compactMap(\.double)
        let rows = line["loss"]?.array ?? []
        #expect(xs.count == 33 && ys.count == 33 && rows.count == 33)
        var lowest = Double.infinity
        for (y, row) in zip(ys, rows) {
            for (x, value) in zip(xs, row.array ?? []) {
                let expected = loss(x, y)
                #expect(abs((value.double ?? .nan) - expected) < 1e-5 * max(1, expected))
                lowest = min(lowest, expected)
            }
        }
        let minimum = try #require(line["minimum"])
        let place = (minimum["x"]?.double ?? .nan, minimum["y"]?.double ?? .nan)
        #expect(abs((minimum["loss"]?.double ?? .nan) - loss(place.0, place.1)) < 1e-5)
        #expect((minimum["loss"]?.double ?? .nan) <= lowest + 1e-6)
        // The Hessian at the lowest point, by differences that Float64 can see.
        let h = 1e-3
        func at(_ i: Double, _ j: Double) -> Double { loss(place.0 + i * h, place.1 + j * h) }
        let xx = at(1, 0) - 2 * at(0, 0) + at(-1, 0)
        let yy = at(0, 1) - 2 * at(0, 0) + at(0, -1)
        let xy = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
        let root = ((xx - yy) * (xx - yy) / 4 + xy * xy).squareRoot()
        let ratio = (((xx + yy) / 2 + root) / ((xx + yy) / 2 - root)).squareRoot()
        #expect(abs((line["ratio"]?.double ?? .nan) / ratio - 1) < 0.1)
    }

    @Test("a weight that is not there is refused, with those that are")
    func unknown() {
        let error = #expect(throws: ModelError.self) {
            try Self.plan(["probes.path={x: 'layers.0.weight[2,0]', y: 'layers.0.bias[0]'}"])
        }
        #expect(
            error?.description
                == "the network has no weight \"layers.0.weight[2,0]\"; its parameters "
                + "are layers.0.weight [2, 2], layers.0.bias [2]")
    }
}

/// log(1 + e^x).
private func softplus(_ x: Double) -> Double {
    max(x, 0) + log1p(exp(-abs(x)))
}
