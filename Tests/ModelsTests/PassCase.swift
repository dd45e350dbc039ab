import Collectives
import Kernels
import Layers
import Models
import Normalization
import TensorCore
import TestSupport

/// One forward and backward pass of a global batch through any network, in any world.
struct PassCase: Sendable {
    let specification: NetworkSpecification
    let samples: Int
    let shards: Int
    /// x, NHWC, and dy of the last value.
    var input: [Float]
    var outputGradient: [Float]
    /// Whether dx is wanted; the first module must then be one that gives it.
    var needsInputGradient = true
    let seed: UInt64 = 7
    let step = 3
    /// Where the formula of all values starts.
    let key: Int

    init(_ specification: NetworkSpecification, samples: Int, shards: Int, key: Int = 100) {
        self.specification = specification
        self.samples = samples
        self.shards = shards
        self.key = key
        func values(_ count: Int, _ key: Int) -> [Float] {
            formula(samples * count, key: key).map { Float($0) }
        }
        input = values(specification.inputs, key + 500)
        outputGradient = values(specification.classes, key + 501)
    }

    /// What the workers of a world saw, side by side, and what rank 0 holds.
    struct Result: Sendable {
        /// Of all samples.
        var output: [Float] = []
        /// Empty where none is wanted.
        var inputGradient: [Float] = []
        /// By name.
        var gradients: [String: [Float]] = [:]
        /// By name, as each rank holds them.
        var running: [[String: [Float]]] = []
        /// Bytes of gradient buffers of the worker with the most rows, and of all values.
        var gradientBytes = 0
        var valueBytes = 0

        func hasBits(of other: Result) -> Bool {
            bits(output) == bits(other.output)
                && bits(inputGradient) == bits(other.inputGradient)
                && gradients.mapValues { bits($0) } == other.gradients.mapValues { bits($0) }
                && running.allSatisfy {
                    $0.mapValues { bits($0) } == other.running[0].mapValues { bits($0) }
                }
        }
    }

    /// Weights by fan-in, γ around 1; as `make_network_fixtures.py` fills its modules.
    func makeReplica() -> Replica {
        let replica = Replica(specification.layout(shards: shards))
        for (number, parameter) in replica.layout.parameters.enumerated() {
            let fan = Double(parameter.shape.dimensions.dropFirst().reduce(1, *))
            let (offset, scale) =
                switch parameter.role {
                case .weight: (0.0, (6 / fan).squareRoot())
                case .scale: (1.0, 0.25)
                case .bias, .shift, .other: (0.0, 0.25)
                }
            replica.setValues(
                formula(parameter.shape.count, key: key + number).map {
                    Float(offset + Double(Float($0 * scale)))
                }, of: parameter)
        }
        for entry in replica.layout.statistics where specification.isFrozen(entry.name) {
            let values = formula(2 * entry.channels, key: key + 400 + entry.index).map {
                Float($0)
            }
            for c in 0..<entry.channels {
                replica.statistics[entry.mean.lowerBound + c] = values[c]
                replica.statistics[entry.variance.lowerBound + c] =
                    1 + 0.25 * values[entry.channels + c]
            }
        }
        return replica
    }

    /// The same in Float64.
    func makeReference() -> ReferenceNetwork {
        var reference = ReferenceNetwork(specification, makeReplica(), samples: samples)
        reference.seed = seed
        reference.step = step
        let size = specification.normalization.scope.groupSize(shards: shards)
        let batch = ShardedBatch(samples: samples, shards: shards)
        reference.groups = stride(from: 0, to: shards, by: size).map {
            batch.samples(ofShards: $0..<$0 + size)
        }
        return reference
    }

    func run(ranks: Int = 1, threads: Int = 1) throws -> Result {
        let network = InMemoryNetwork(ranks: ranks)
        let parts = Collected<(worker: Int, part: Result)>()
        let replicas = (0..<ranks).map { _ in makeReplica() }
        _ = try runRanks(ranks) { rank in
            let world = World(ranks: ranks, threadsPerRank: threads, rank: rank)
            try Team.run(
                world, transport: ranks > 1 ? network.transport(rank: rank) : nil, timeout: 60,
                spinning: false
            ) { communicator in
                let part = try runWorker(communicator, replicas[rank])
                parts.append((communicator.worker, part))
            }
        }
        var whole = Result()
        for (_, part) in parts.values.sorted(by: { $0.worker < $1.worker }) {
            whole.output += part.output
            whole.inputGradient += part.inputGradient
            whole.gradientBytes = max(whole.gradientBytes, part.gradientBytes)
            whole.valueBytes = max(whole.valueBytes, part.valueBytes)
        }
        for parameter in replicas[0].layout.parameters {
            whole.gradients[parameter.name] = replicas[0].gradient(of: parameter)
        }
        whole.running = replicas.map { replica in
            var running: [String: [Float]] = [:]
            for entry in replica.layout.statistics {
                running["\(entry.name).running_mean"] = entry.mean.map { replica.statistics[$0] }
                running["\(entry.name).running_var"] = entry.variance.map {
                    replica.statistics[$0]
                }
            }
            return running
        }
        return whole
    }

    private func runWorker(_ communicator: Communicator, _ replica: Replica) throws -> Result {
        let network = try Network(
            specification, replica: replica, communicator: communicator, shards: shards,
            batches: [(samples, true)], seed: seed)
        // The network's own graph computes no dx: the same layers in one that does.
        let graph =
            needsInputGradient
            ? try LayerGraph(
                network.layers.nodes, shapes: network.shapes, inputSize: specification.inputs,
                needsInputGradient: true) : network.layers
        let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
        let range = ShardedBatch(samples: samples, shards: shards).samples(ofShards: mine)
        func tensor(_ all: [Float]) -> Tensor {
            let columns = all.count / samples
            let tensor = Tensor(rows: range.count, columns: columns)
            tensor.elements = Array(all[range.lowerBound * columns..<range.upperBound * columns])
            return tensor
        }
        let pass = Pass(.training, network.shapes[0], step: step)
        var part = Result()
        let (x, dy) = (tensor(input), tensor(outputGradient))
        part.output = try graph.forward(x, pass).elements
        if needsInputGradient {
            part.inputGradient = try graph.backward(dy, pass)?.elements ?? []
        } else {
            try network.backward(pass, from: dy)
        }
        try network.sumGradients { _ in }
        if network.sharedStatisticsLength == 0 && communicator.thread == 0 {
            for layer in network.normalizations {
                layer.commit(shared: nil, samples: samples)
            }
        }
        part.gradientBytes = graph.gradientBytes
        part.valueBytes = 4 * range.count * graph.layers.reduce(0) { $0 + $1.outputs }
        // Team-mates read what this worker holds: it stays until all are done.
        try withExtendedLifetime((network, graph, x, dy)) { try communicator.teamBarrier() }
        return part
    }
}

extension PassCase {
    /// The largest differences from the readable network, relative to the largest magnitude: of the
    /// output, dx, and the worst parameter's gradient, by name.
    func differences(
        _ result: Result
    ) -> (output: Double, input: Double, worst: (name: String, value: Double)) {
        let reference = makeReference()
        let values = reference.forward(input.map(Double.init))
        let expected = reference.backward(values, outputGradient.map(Double.init))
        // A bias before BN has a gradient of 0 and rounding: the scale is that of all gradients.
        let scale =
            result.gradients.keys.compactMap { expected.parameters[$0]?.map(abs).max() }.max() ?? 0
        var worst = ("", 0.0)
        for (name, gradient) in result.gradients {
            let difference = largestDifference(
                gradient, expected.parameters[name] ?? [], magnitude: 0.1 * scale)
            if !(difference < worst.1) { worst = (name, difference) }
        }
        return (
            largestDifference(result.output, values[values.count - 1]),
            needsInputGradient ? largestDifference(result.inputGradient, expected.input) : 0, worst
        )
    }
}
