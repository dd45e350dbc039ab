import Layers
public import Models
import Normalization
import TensorCore

/// Plain large-batch training of a network in Float64, written like the mathematics.
///
/// It knows no shards, workers, kernels or fusion: `verify` and tests compare the trainer with it.
/// Names and layouts are PyTorch's: `layers.N.weight` [outputs, inputs], where N counts the modules
/// of `nn.Sequential(Linear, BatchNorm1d, Sigmoid, …)`. Images are [H, W, C].
public struct ReferenceTrainer: Sendable {
    /// What one forward and backward pass over a batch gives.
    public struct Pass: Sendable {
        /// The mean cross entropy of the batch.
        public let loss: Double
        /// The gradient of each parameter, by name; from `step`, as the update took it.
        public fileprivate(set) var gradients: [String: [Double]]
        /// The output of each module, `[rows, width]` row by row.
        public let outputs: [[Double]]

        /// What each activation with an edge is taken of, by module.
        let activated: [Int: [Double]]

        fileprivate let moments: [Int: [ReferenceMoments]]
    }

    /// The network.
    public let network: NetworkSpecification
    private let places: [ModulePlace]
    /// Of what is random.
    private let seed: UInt64
    /// The optimizer.
    public let optimizer: Optimizer
    /// The share of each target that all classes have alike.
    public let labelSmoothing: Double
    /// Whether what a Float32 trainer would keep in memory (outputs, gradients, velocities,
    /// parameters, running statistics) is rounded to Float32, while sums and products stay Float64:
    /// how far a run comes apart by that alone.
    public let roundsToFloat32: Bool
    /// The parameters by name.
    public private(set) var parameters: [String: [Double]]
    /// `layers.N.running_mean` and `layers.N.running_var` by name.
    public private(set) var runningStatistics: [String: [Double]] = [:]
    /// How many batches the running statistics have seen.
    public private(set) var batchesTracked = 0

    /// The names of products' weights: these decay by default, nothing else.
    private let weights: Set<String>
    private var state = ReferenceOptimizerState()
    private var steps = 0

    /// A trainer before its first step: running mean 0, running variance 1.
    ///
    /// - Parameter seed: of dropout and noise.
    /// - Precondition: `parameters` has exactly the network's names with their counts.
    public init(
        _ network: NetworkSpecification, seed: UInt64 = 0, optimizer: Optimizer = Optimizer(),
        labelSmoothing: Double = 0, parameters: [String: [Double]],
        roundsToFloat32: Bool = false
    ) {
        let layout = network.layout(shards: 1)
        precondition(
            parameters.count == layout.parameters.count
                && layout.parameters.allSatisfy {
                    parameters[$0.name]?.count == $0.shape.count
                }, "the parameters are not those of the network")
        self.network = network
        places = network.places(shards: 1)
        weights = Set(layout.parameters.filter(\.decays).map(\.name))
        self.seed = seed
        self.optimizer = optimizer
        self.labelSmoothing = labelSmoothing
        self.roundsToFloat32 = roundsToFloat32
        self.parameters = parameters
        for entry in layout.statistics {
            let (name, channels) = (entry.name, entry.channels)
            runningStatistics["\(name).running_mean"] = Array(repeating: 0, count: channels)
            runningStatistics["\(name).running_var"] = Array(repeating: 1, count: channels)
        }
    }

    /// One step: forward, backward, update of parameters and running statistics.
    ///
    /// - Parameters:
    ///   - rows: the samples of the batch.
    ///   - labels: their classes.
    ///   - groups: the runs of rows with statistics of their own, some perhaps empty; by default
    ///     the whole batch.
    ///   - momentum: in place of the optimizer's.
    ///   - edges: see `pass`.
    @discardableResult
    public mutating func step(
        rows: [[Double]], labels: [Int], groups: [Range<Int>]? = nil, learningRate: Double,
        momentum: Double? = nil, edges: [Int: Double] = [:]
    ) -> Pass {
        steps += 1
        var pass = pass(rows: rows, labels: labels, groups: groups, edges: edges, step: steps)
        pass.gradients = ReferenceOptimizerState.clipped(
            pass.gradients, to: optimizer.clipNorm)
        updateParameters(
            pass.gradients, learningRate: learningRate,
            momentum: momentum ?? optimizer.momentum)
        updateRunningStatistics(pass.moments)
        return pass
    }

    /// One forward and backward pass in training mode, which changes nothing.
    ///
    /// - Parameters:
    ///   - edges: by module, how near to 0 an input of ReLU counts as on the other side when its
    ///     gradient is taken: what rounding may do to it.
    ///   - step: which dropout depends on.
    public func pass(
        rows: [[Double]], labels: [Int], groups: [Range<Int>]? = nil, edges: [Int: Double] = [:],
        step: Int = 0
    ) -> Pass {
        let groups = groups ?? [0..<rows.count]
        precondition(rows.count == labels.count, "samples and labels differ in number")
        precondition(
            groups.reduce(0) { $0 + $1.count } == rows.count, "groups do not cover the batch")

        var values = [matrix(rows)]
        var moments: [Int: [ReferenceMoments]] = [:]
        var activated: [Int: [Double]] = [:]
        for (index, node) in network.nodes.enumerated() {
            let x = input(of: node, values)
            if let norm = node.module as? BatchNorm {
                moments[index] = norm.referenceMoments(x, groups, at: places[index])
            }
            if node.module.hasEdge { activated[index] = x.values }
            let context = context(index, moments[index] ?? [], step: step)
            values.append(kept(node.module.reference(x, context)))
        }

        let crossEntropy =
            network.outputKind == .proportions
            ? referenceProportionCrossEntropy : referenceSoftmaxCrossEntropy
        let (loss, gradient) = crossEntropy(values[values.count - 1], labels, labelSmoothing)
        var given: [ReferenceMatrix?] = Array(repeating: nil, count: values.count)
        given[values.count - 1] = kept(gradient)
        func give(_ gradient: ReferenceMatrix, to value: Int) {
            given[value] = given[value].map { $0 + gradient } ?? gradient
        }
        var gradients: [String: [Double]] = [:]
        for (index, node) in network.nodes.enumerated().reversed() {
            guard let gradient = given[index + 1] else { continue }
            let context = context(
                index, moments[index] ?? [], step: step, edge: edges[index] ?? 0)
            let result = node.module.referenceBackward(
                gradient, input: input(of: node, values), output: values[index + 1], context)
            let inputGradient = kept(result.input)
            give(inputGradient, to: node.input)
            if let addend = node.addend { give(inputGradient, to: addend) }
            for (name, values) in result.parameters where context.parameters[name] != nil {
                gradients["\(node.name).\(name)"] = values
            }
        }
        if roundsToFloat32 { gradients = gradients.mapValues { $0.map(kept) } }
        return Pass(
            loss: loss, gradients: gradients, outputs: values.dropFirst().map(\.values),
            activated: activated, moments: moments)
    }

    /// What a module takes: with an addend the sum.
    private func input(
        of node: NetworkSpecification.Node, _ values: [ReferenceMatrix]
    ) -> ReferenceMatrix {
        node.addend.map { values[node.input] + values[$0] } ?? values[node.input]
    }

    /// - Parameter step: nil for inference.
    private func context(
        _ index: Int, _ moments: [ReferenceMoments], step: Int?, edge: Double = 0
    ) -> ReferenceContext {
        let prefix = network.nodes[index].name + "."
        var own: [String: [Double]] = [:]
        for tensor in network.nodes[index].module.tensors(at: places[index]) {
            guard case .parameter(let name, _, _, _, _, _) = tensor else { continue }
            own[name] = parameters[prefix + name]
        }
        return ReferenceContext(
            places[index], parameters: own, moments: moments, step: step, seed: seed, edge: edge)
    }

    /// The outputs `[rows, classes]` with the running statistics in the batch's place.
    public func inference(rows: [[Double]]) -> [Double] {
        var values = [matrix(rows)]
        for (index, node) in network.nodes.enumerated() {
            let x = input(of: node, values)
            var moments: [ReferenceMoments] = []
            if let mean = runningStatistics["\(node.name).running_mean"],
                let variance = runningStatistics["\(node.name).running_var"]
            {
                moments = [
                    ReferenceMoments(
                        rows: 0..<rows.count * places[index].input.positions, mean: mean,
                        variance: variance)
                ]
            }
            values.append(node.module.reference(x, context(index, moments, step: nil)))
        }
        return values[values.count - 1].values
    }

    private mutating func updateParameters(
        _ gradients: [String: [Double]], learningRate: Double, momentum: Double
    ) {
        let kept: (Double) -> Double = { [roundsToFloat32] in
            roundsToFloat32 ? Double(Float($0)) : $0
        }
        state.begin()
        for (name, gradient) in gradients {
            guard var w = parameters[name] else { continue }
            let isWeight = weights.contains(name)
            state.update(
                name, &w, gradient: gradient, isWeight: isWeight,
                decay: isWeight || optimizer.decaysAll ? optimizer.weightDecay : 0,
                optimizer.rule, learningRate: learningRate, momentum: momentum, kept: kept)
            parameters[name] = w
        }
    }

    /// The running statistics move towards the average over the non-empty groups, weighted by
    /// their rows m, of the groups' means and variances.
    private mutating func updateRunningStatistics(_ moments: [Int: [ReferenceMoments]]) {
        let normalization = network.normalization
        let weight = normalization.average.weight(afterBatches: batchesTracked)
        batchesTracked += 1
        for (index, groups) in moments {
            let rows = Double(groups.reduce(0) { $0 + $1.rows.count })
            func move(_ name: String, towards value: (ReferenceMoments, Int) -> Double) {
                guard var running = runningStatistics[name] else { return }
                for c in running.indices {
                    var average = 0.0
                    for group in groups where !group.rows.isEmpty {
                        average += Double(group.rows.count) / rows * value(group, c)
                    }
                    running[c] = kept((1 - weight) * running[c] + weight * average)
                }
                runningStatistics[name] = running
            }
            move("\(network.nodes[index].name).running_mean") { group, c in group.mean[c] }
            move("\(network.nodes[index].name).running_var") { group, c in
                let m = Double(group.rows.count)
                precondition(
                    m > 1 || !normalization.unbiasedRunningVariance,
                    "one value has no unbiased variance")
                return group.variance[c]
                    * (normalization.unbiasedRunningVariance ? m / (m - 1) : 1)
            }
        }
    }

    /// A value as it is kept from one line of the mathematics to the next.
    private func kept(_ value: Double) -> Double {
        roundsToFloat32 ? Double(Float(value)) : value
    }

    private func kept(_ values: ReferenceMatrix) -> ReferenceMatrix {
        roundsToFloat32 ? values.map(kept) : values
    }

    private func matrix(_ rows: [[Double]]) -> ReferenceMatrix {
        ReferenceMatrix(
            rows: rows.count, columns: network.inputs, values: rows.flatMap { $0 })
    }
}
