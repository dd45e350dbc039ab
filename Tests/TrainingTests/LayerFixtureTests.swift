import Collectives
import Kernels
import Layers
import Normalization
import TensorCore
import TestSupport
import Testing

@testable import Training

/// Single layers, as networks are built of them, against PyTorch.
@Suite("Layers against PyTorch")
struct LayerFixtureTests {
    @Test(
        "outputs, gradients and running statistics are PyTorch's, over shards, threads and ranks",
        arguments: LayerFixture.names)
    func agreesWithPyTorch(name: String) throws {
        let fixture = try LayerFixture(name)
        for (shards, ranks, threads) in [(1, 1, 1), (3, 1, 1), (3, 1, 2), (3, 3, 1), (5, 2, 2)] {
            let run = try LayerRun(fixture, shards: shards, ranks: ranks, threads: threads)
            for precision in Fixture.Precision.allCases {
                let place: Comment = "\(shards) shards, \(ranks) × \(threads), \(precision)"
                let output = relativeDifference(run.output, try fixture.output(precision))
                let inputGradient = relativeDifference(
                    run.inputGradient, try fixture.inputGradient(precision))
                let gradients = relativeDifference(
                    run.gradients, try fixture.gradients(precision))
                let state = relativeDifference(run.state, try fixture.state(precision))
                // Reached: 3e-7.
                #expect(max(output, inputGradient, gradients, state) < 1e-6, place)
            }
        }
    }
}

/// One forward and backward pass of a fixture's layers in a world, as rank 0 has it.
private struct LayerRun: Sendable {
    var output: [Double] = []
    var inputGradient: [Double] = []
    var gradients: [String: [Double]] = [:]
    var state: [String: [Double]] = [:]

    init(_ fixture: LayerFixture, shards: Int, ranks: Int, threads: Int) throws {
        let channels = fixture.shape.last!
        let outputs = fixture.outputGradient.count * channels / fixture.inputs.count
        let positions = fixture.shape.dropFirst().dropLast().reduce(1, *)
        let rows = fixture.shape[0] * positions
        let replicas = (0..<ranks).map { _ in fixture.replica() }
        let output = RowTable(rows: rows, columns: outputs)
        let inputGradient = RowTable(rows: rows, columns: channels)
        let results = runWorld(ranks: ranks, threads: threads) { communicator in
            let replica = replicas[communicator.world.rank]
            let part = LayerPart(
                fixture, replica, communicator, shards: shards, positions: positions)
            let layers = try part.layers()
            let pass = Pass(.training, part.shape)
            let mine = part.samples.lowerBound * positions..<part.samples.upperBound * positions
            output.set(mine, try layers.forward(fixture.tensor(fixture.inputs, mine), pass))
            let gradient = try layers.backward(
                fixture.tensor(fixture.outputGradient, mine), pass)
            inputGradient.set(mine, try #require(gradient))
            try part.reduction.sum { _ in }
            for case let layer as BatchNormLayer in layers.layers where communicator.thread == 0 {
                layer.commit(shared: nil, samples: fixture.shape[0])
            }
            try communicator.barrier()
        }
        for result in results { try result.get() }
        self.output = output.values
        self.inputGradient = inputGradient.values
        gradients = replicas[0].namedGradients
        state = replicas[0].tensors
    }
}

/// A worker's part of a layer fixture.
private struct LayerPart {
    let fixture: LayerFixture
    let replica: Replica
    let communicator: Communicator
    let shards: Int
    let positions: Int
    let samples: Range<Int>
    let shape: BatchShape
    let reduction: GradientReduction

    init(
        _ fixture: LayerFixture, _ replica: Replica, _ communicator: Communicator, shards: Int,
        positions: Int
    ) {
        self.fixture = fixture
        self.replica = replica
        self.communicator = communicator
        self.shards = shards
        self.positions = positions
        let batch = ShardedBatch(samples: fixture.shape[0], shards: shards)
        let mine = communicator.world.shards(ofWorker: communicator.worker, of: shards)
        let samples = batch.samples(ofShards: mine)
        self.samples = samples
        shape = BatchShape(
            index: 0, samples: fixture.shape[0],
            shardRows: mine.map {
                let part = batch.samples(ofShard: $0)
                return part.lowerBound - samples.lowerBound..<part.upperBound - samples.lowerBound
            }, trains: true)
        reduction = GradientReduction(
            communicator, shards: shards, length: replica.layout.reduced,
            result: replica.gradient)
    }

    func layers() throws -> LayerGraph {
        let gradients = GradientAccumulator(
            nodes: reduction.nodeShards.indices.map {
                GradientAccumulator.Node(
                    shards: reduction.nodeShards[$0], values: reduction.node($0))
            }, merges: reduction.merges, depth: reduction.depth, largest: fixture.shape.last!,
            known: communicator.thread == 0 ? replica.gradient : nil)
        var layers: [any Layer] = []
        var isFused = false
        for (index, module) in fixture.modules.enumerated() {
            let name = "layers.\(index)"
            let next = index + 1 < fixture.modules.count ? fixture.modules[index + 1] : ""
            switch module {
            case "Linear":
                layers.append(
                    LinearLayer(
                        name: name,
                        weight: try #require(replica.layout.parameter("\(name).weight")),
                        bias: replica.layout.parameter("\(name).bias"), needsInputGradient: true,
                        replica: replica, gradients: gradients, shapes: [shape]))
            case "BatchNorm1d", "BatchNorm2d":
                let activation = ActivationKind(rawValue: next.lowercased())
                isFused = activation != nil
                let running = try #require(
                    replica.layout.statistics.first { $0.name == name })
                let extent = ImageShape(height: 1, width: positions, channels: running.channels)
                var place = ModulePlace(name: name, input: extent, output: extent, shards: shards)
                place.fusion.activation = activation ?? .identity
                layers.append(
                    BatchNormLayer(
                        BatchNormSettings(), at: place,
                        WorkerContext(
                            replica: replica, gradients: gradients, communicator: communicator,
                            shapes: [shape])))
            default:
                guard !isFused else { continue }
                let kind = try #require(ActivationKind(rawValue: module.lowercased()))
                layers.append(
                    ActivationLayer(
                        name: name, kind, columns: fixture.shape.last!, positions: positions,
                        rows: samples.count))
            }
        }
        return try LayerGraph(
            chain: layers, shapes: [shape], inputSize: fixture.shape.last! * positions,
            needsInputGradient: true)
    }
}

extension LayerFixture {
    /// The fixture's parameters in memory.
    fileprivate func replica() -> Replica {
        var declarations: [ModelLayout.Declaration] = []
        for (index, module) in modules.enumerated() {
            let name = "layers.\(index)"
            let bias = initial["\(name).bias"]
            switch module {
            case "Linear":
                let outputs = outputGradient.count * shape.last! / inputs.count
                declarations.append(
                    .parameter(
                        name: "\(name).weight", shape: [outputs, shape.last!],
                        role: .weight, isReduced: true))
                if bias != nil {
                    declarations.append(
                        .parameter(
                            name: "\(name).bias", shape: [outputs], role: .bias, isReduced: true))
                }
            case "BatchNorm1d", "BatchNorm2d":
                let channels = bias?.count ?? 0
                declarations += [
                    .parameter(
                        name: "\(name).weight", shape: [channels], role: .scale, isReduced: false),
                    .parameter(
                        name: "\(name).bias", shape: [channels], role: .shift, isReduced: false),
                    .statistics(name: name, channels: channels),
                ]
            default: break
            }
        }
        let replica = Replica(ModelLayout(declarations))
        for parameter in replica.layout.parameters {
            replica.setValues((initial[parameter.name] ?? []).map { Float($0) }, of: parameter)
        }
        return replica
    }

    /// Rows `rows` of `values`, which has as many rows as the fixture.
    fileprivate func tensor(_ values: [Double], _ rows: Range<Int>) -> Tensor {
        let columns = values.count / shape.dropLast().reduce(1, *)
        let tensor = Tensor(rows: rows.count, columns: columns)
        for index in 0..<rows.count * columns {
            tensor.pointer[index] = Float(values[rows.lowerBound * columns + index])
        }
        return tensor
    }
}
