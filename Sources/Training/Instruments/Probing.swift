import Collectives
import Configuration
import Foundation
import Kernels
import Layers
import Models
import TensorCore

/// Which steps are probed.
enum ProbedSteps: Equatable {
    case none
    /// The first, and every so many as `probes.everySteps` says.
    case configured
    case only(Int)
}

/// One worker's part in probing: see `ProbeReport`. Lives on its worker's thread; its collectives
/// come between those of steps, alike on all workers.
final class Probing: Instrument {
    private unowned let worker: TrainingWorker
    private let steps: ProbedSteps
    private let everySteps: Int
    private let shards: Int

    /// What the last probe came to, on the worker that speaks; nil on others.
    private(set) var report: ProbeReport?
    /// What the landscape about the present step is like.
    private var surroundings: JSONObject?
    private let landscape: Landscape?
    private let path: PathProbe?

    /// A layer with an activation, and what it takes: nil where that is the network's input.
    private struct Probed {
        let node: Int
        let layer: any Layer
        let activation: ActivationKind
        let input: (any Layer)?
        /// The places of its probed units among a sample's outputs.
        let units: [Int]
    }

    private let layers: [Probed]
    private let samples: Int
    /// Of each layer: outputs [units, samples]; then saturated outputs, Σx and Σx² of its inputs.
    private let sums: StatisticsReduction
    private let channelScratch: UnsafeMutablePointer<Double>

    private static let (mostUnits, mostSamples) = (16, 256)

    /// Nil where nothing is to be probed.
    init?(_ worker: TrainingWorker, _ plan: RunPlan, _ steps: ProbedSteps) {
        guard let everySteps = plan.configuration.probes.everySteps, steps != .none else {
            return nil
        }
        self.worker = worker
        self.steps = steps
        self.everySteps = everySteps
        shards = plan.shards
        landscape = plan.configuration.probes.landscape ? Landscape(worker) : nil
        path = plan.plane.map { PathProbe(worker, plan, $0) }
        let nodes = worker.network.layers.nodes
        layers = nodes.enumerated().compactMap { index, node in
            let layer = node.layer
            guard let activation = layer.traits.activation, activation != .identity else {
                return nil
            }
            let count = min(Self.mostUnits, layer.outputs)
            var input = node.input
            // Noise stands behind a normalisation: this is what that one takes, as without noise.
            if input > 0, nodes[input - 1].layer is NoiseLayer {
                input = nodes[nodes[input - 1].input - 1].input
            }
            return Probed(
                node: index, layer: layer, activation: activation,
                input: input > 0 ? nodes[input - 1].layer : nil,
                units: (0..<count).map { $0 * layer.outputs / count })
        }
        samples = min(Self.mostSamples, plan.configuration.batch.size)
        let perSample = layers.reduce(0) { $0 + $1.units.count }
        sums = StatisticsReduction(
            worker.communicator, shards: plan.shards, group: plan.shards,
            length: perSample * samples + 3 * layers.count, moments: false, kind: .metrics,
            layer: -1)
        let channels = layers.compactMap { $0.input?.output.columns }.max() ?? 1
        channelScratch = worker.communicator.buffer(of: Double.self, count: 2 * channels).pointer
    }

    private func isDue(_ step: Int) -> Bool {
        switch steps {
        case .none: false
        case .configured: step == 1 || step % everySteps == 0
        case .only(let one): step == one
        }
    }

    /// Before the forward pass follows the gradient of the loaded batch; leaves everything but the last
    /// pass as it was.
    func before(_ phase: StepPhase, of step: TrainingStep) throws {
        guard phase == .forward, isDue(step.number) else { return }
        path?.start()
        surroundings = try landscape?.follow(
            step.pass, learningRate: step.learningRate)
    }

    /// After the step measures it: its last forward pass, and its gradient.
    func after(_ phase: StepPhase, of step: TrainingStep) throws {
        guard phase == .commit, isDue(step.number) else { return }
        try collect(step.pass)
        let points = path?.points(after: step.number) ?? []
        guard worker.communicator.isSpeaker else { return }
        func line(
            _ kind: String, _ members: [JSONObject.Member], at number: Int? = nil
        ) -> JSONObject {
            Self.line(kind, members, step: number ?? step.number, epoch: step.epoch)
        }
        var lines = measures(step.pass).filter { !$0.members.isEmpty }.map {
            line($0.kind, $0.members)
        }
        lines.append(line("gradient norms", gradientNorms()))
        if let surroundings { lines.append(line("landscape", surroundings.members)) }
        lines += points.map { line("path", $0.members, at: $0.step) }
        report = ProbeReport(step: step.number, epoch: step.epoch, lines: lines)
    }

    private static func line(
        _ kind: String, _ members: [JSONObject.Member], step: Int, epoch: Int
    ) -> JSONObject {
        JSONObject(
            [
                .init(name: "probe", value: .string(kind)),
                .init(name: "step", value: .int(step)),
                .init(name: "epoch", value: .int(epoch)),
            ] + members)
    }

    /// What is measured once, after the last step: the loss about the path. All workers call it.
    ///
    /// - Returns: the lines, on the worker that speaks; nil on others, and where nothing is measured.
    func finish(step: Int, epoch: Int) throws -> ProbeReport? {
        guard let path else { return nil }
        let members = try path.contours()
        guard worker.communicator.isSpeaker else { return nil }
        return ProbeReport(
            step: step, epoch: epoch,
            lines: [Self.line("contours", members, step: step, epoch: epoch)])
    }

    // MARK: collecting

    /// The collective: each worker has its samples' values; each sample's are added to zeros.
    private func collect(_ pass: Pass) throws {
        sums.begin(ShardedBatch(samples: pass.samples, shards: shards))
        for (position, rows) in pass.shardRows.enumerated() {
            sums.leaf.update(repeating: 0, count: sums.length)
            var place = sums.leaf
            for probed in layers {
                try worker.network.layers.restoreOutput(
                    ofNode: probed.node, shard: position, pass)
                let output = probed.layer.output.pointer
                for row in rows where pass.shape.firstSample + row < samples {
                    for (unit, index) in probed.units.enumerated() {
                        place[unit * samples + pass.shape.firstSample + row] =
                            Double(output[row * probed.layer.outputs + index])
                    }
                }
                place += probed.units.count * samples
                let values = rows.lowerBound * probed.layer.outputs
                place[0] = Double(
                    saturated(
                        output + values, count: rows.count * probed.layer.outputs,
                        probed.activation))
                addInputs(probed, rows, to: place + 1)
                place += 3
            }
            sums.push()
        }
        try sums.finish()
    }

    private func addInputs(
        _ probed: Probed, _ rows: Range<Int>, to place: UnsafeMutablePointer<Double>
    ) {
        guard let input = probed.input else { return }
        let channels = input.output.columns
        let (total, squares) = (channelScratch, channelScratch + channels)
        channelSums(
            input: input.output.pointer + rows.lowerBound * input.outputs,
            rows: rows.count * (input.outputs / channels), channels: channels, sum: total,
            squares: squares)
        for c in 0..<channels {
            place[0] += total[c]
            place[1] += squares[c]
        }
    }

    private func saturated(
        _ values: UnsafePointer<Float>, count: Int, _ activation: ActivationKind
    ) -> Int {
        var number = 0
        for i in 0..<count {
            let y = values[i]
            let isFlat =
                switch activation {
                case .sigmoid: y < 0.01 || y > 0.99
                case .tanh: abs(y) > 0.98
                case .relu: y == 0
                case .identity: false
                }
            number += isFlat ? 1 : 0
        }
        return number
    }

    // MARK: measures

    private func measures(_ pass: Pass) -> [(kind: String, members: [JSONObject.Member])] {
        var kinds: [(kind: String, members: [JSONObject.Member])] = [
            ("activations", []), ("unit inputs", []), ("pre-activations", []), ("saturation", []),
        ]
        let known = min(samples, pass.samples)
        var place = sums.result(ofGroup: 0)
        for probed in layers {
            func add(_ kind: Int, _ value: JSONValue) {
                kinds[kind].members.append(.init(name: probed.layer.name, value: value))
            }
            let values = probed.units.indices.map { unit in
                (0..<known).map { place[unit * samples + $0] }
            }
            add(0, Self.percentiles(values.flatMap { $0 }))
            if let inverse = Self.inverse(of: probed.activation) {
                add(1, Self.percentiles(values[0].map(inverse)))
            }
            place += probed.units.count * samples
            let count = Double(pass.samples * probed.layer.outputs)
            if let input = probed.input {
                let inputs = Double(pass.samples * input.outputs)
                let mean = place[1] / inputs
                add(
                    2,
                    [
                        "mean": .double(mean),
                        "variance": .double(max(place[2] / inputs - mean * mean, 0)),
                    ])
            }
            add(3, .double(place[0] / count))
            place += 3
        }
        return kinds
    }

    /// What goes into an activation, from what comes out; nil for ReLU, which loses it.
    private static func inverse(of activation: ActivationKind) -> ((Double) -> Double)? {
        func logit(_ y: Double) -> Double { max(-17, min(17, log(y / (1 - y)))) }
        return switch activation {
        case .sigmoid: logit
        case .tanh: { logit(($0 + 1) / 2) / 2 }
        case .relu, .identity: nil
        }
    }

    /// The values at 15, 50 and 85 % of the sorted ones, between neighbours linearly.
    private static func percentiles(_ values: [Double]) -> JSONValue {
        let sorted = values.sorted()
        func value(_ percent: Double) -> JSONValue {
            guard let last = sorted.indices.last else { return .null }
            let place = percent / 100 * Double(last)
            let (below, share) = (Int(place), place - place.rounded(.down))
            let above = min(below + 1, last)
            return .double(sorted[below] + share * (sorted[above] - sorted[below]))
        }
        return ["p15": value(15), "p50": value(50), "p85": value(85)]
    }

    /// Of every module, from the rank's summed gradient, which stays as it is until the next step.
    private func gradientNorms() -> [JSONObject.Member] {
        let replica = worker.network.replica
        var squares: [(module: String, sum: Double)] = []
        for parameter in replica.layout.parameters {
            let module = String(
                parameter.name.prefix(
                    upTo: parameter.name.lastIndex(of: ".")
                        ?? parameter.name
                        .endIndex))
            var sum = 0.0
            for i in parameter.range {
                sum += Double(replica.gradient[i]) * Double(replica.gradient[i])
            }
            if squares.last?.module == module {
                squares[squares.count - 1].sum += sum
            } else {
                squares.append((module, sum))
            }
        }
        return squares.map { .init(name: $0.module, value: .double($0.sum.squareRoot())) }
    }
}
