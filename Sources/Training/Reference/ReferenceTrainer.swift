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

        /// What each activation is taken of, by module.
        let activated: [Int: [Double]]

        fileprivate let moments: [Int: [ReferenceMoments]]
    }

    /// The network.
    public let architecture: ReferenceArchitecture
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

    private var state = ReferenceOptimizerState()
    private var steps = 0

    /// A trainer before its first step: running mean 0, running variance 1.
    ///
    /// - Precondition: `parameters` has exactly the architecture's names with their counts.
    public init(
        _ architecture: ReferenceArchitecture, optimizer: Optimizer = Optimizer(),
        labelSmoothing: Double = 0, parameters: [String: [Double]],
        roundsToFloat32: Bool = false
    ) {
        let expected = architecture.parameters
        precondition(
            parameters.count == expected.count
                && expected.allSatisfy { parameters[$0.name]?.count == $0.count },
            "the parameters are not those of the architecture")
        self.architecture = architecture
        self.optimizer = optimizer
        self.labelSmoothing = labelSmoothing
        self.roundsToFloat32 = roundsToFloat32
        self.parameters = parameters
        for node in architecture.nodes {
            guard case .batchNorm(let channels) = node.module else { continue }
            runningStatistics["\(node.name).running_mean"] = Array(repeating: 0, count: channels)
            runningStatistics["\(node.name).running_var"] = Array(repeating: 1, count: channels)
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
        for (index, node) in architecture.nodes.enumerated() {
            var x = values[node.input]
            if let addend = node.addend { x = x + values[addend] }
            if case .batchNorm(let channels) = node.module {
                moments[index] = batchMoments(x, groups, channels: channels)
            }
            if case .activation = node.module { activated[index] = x.values }
            values.append(kept(forward(node, x, moments[index] ?? [], step: step)))
        }

        let crossEntropy =
            architecture.nodes.contains { $0.module == .softmax }
            ? referenceProportionCrossEntropy : referenceSoftmaxCrossEntropy
        let (loss, gradient) = crossEntropy(values[values.count - 1], labels, labelSmoothing)
        var given: [ReferenceMatrix?] = Array(repeating: nil, count: values.count)
        given[values.count - 1] = kept(gradient)
        func give(_ gradient: ReferenceMatrix, to value: Int) {
            given[value] = given[value].map { $0 + gradient } ?? gradient
        }
        var gradients: [String: [Double]] = [:]
        for (index, node) in architecture.nodes.enumerated().reversed() {
            guard let gradient = given[index + 1] else { continue }
            var result = backward(
                node, gradient, input: values[node.input], moments[index] ?? [], step: step)
            if case .activation(let activation) = node.module {
                result.inputGradient = derivative(
                    activation, gradient, output: values[index + 1],
                    of: activated[index] ?? [], edge: edges[index] ?? 0)
            }
            let inputGradient = kept(result.inputGradient)
            give(inputGradient, to: node.input)
            if let addend = node.addend { give(inputGradient, to: addend) }
            for (suffix, values) in result.parameters
            where parameters["\(node.name).\(suffix)"] != nil {
                gradients["\(node.name).\(suffix)"] = values
            }
        }
        if roundsToFloat32 { gradients = gradients.mapValues { $0.map(kept) } }
        return Pass(
            loss: loss, gradients: gradients, outputs: values.dropFirst().map(\.values),
            activated: activated, moments: moments)
    }

    private func derivative(
        _ activation: ReferenceActivation, _ gradient: ReferenceMatrix, output: ReferenceMatrix,
        of input: [Double], edge: Double
    ) -> ReferenceMatrix {
        var result = gradient
        for i in result.values.indices {
            let derivative = activation.derivative(ofValue: output.values[i])
            let isOther = abs(input[i]) < edge
            result.values[i] *= isOther ? 1 - derivative : derivative
        }
        return result
    }

    /// Each group's moments over its samples' positions.
    private func batchMoments(
        _ x: ReferenceMatrix, _ groups: [Range<Int>], channels: Int
    ) -> [ReferenceMoments] {
        let positions = x.columns / channels
        let pixels = x.asRows(of: channels)
        return groups.map {
            ReferenceMoments(
                of: pixels, rows: $0.lowerBound * positions..<$0.upperBound * positions)
        }
    }

    /// The outputs `[rows, classes]` with the running statistics in the batch's place.
    public func inference(rows: [[Double]]) -> [Double] {
        var values = [matrix(rows)]
        for node in architecture.nodes {
            var x = values[node.input]
            if let addend = node.addend { x = x + values[addend] }
            var moments: [ReferenceMoments] = []
            if case .batchNorm(let channels) = node.module,
                let mean = runningStatistics["\(node.name).running_mean"],
                let variance = runningStatistics["\(node.name).running_var"]
            {
                moments = [
                    ReferenceMoments(
                        rows: 0..<rows.count * (x.columns / channels), mean: mean,
                        variance: variance)
                ]
            }
            values.append(forward(node, x, moments, step: nil))
        }
        return values[values.count - 1].values
    }

    /// - Parameter step: nil for inference.
    private func forward(
        _ node: ReferenceArchitecture.Node, _ x: ReferenceMatrix, _ moments: [ReferenceMoments],
        step: Int?
    ) -> ReferenceMatrix {
        let bias = parameters["\(node.name).bias"]
        switch node.module {
        case .linear(_, _, _, let positions):
            return referenceLinear(
                x.channelsFirst(positions: positions), weight: weight(node), bias: bias)
        case .batchNorm(let channels):
            return referenceBatchNorm(
                x.asRows(of: channels), moments, scale: scale(node),
                shift: bias ?? Array(repeating: 0, count: channels), epsilon: epsilon
            ).asRows(of: x.columns)
        case .groupNorm(let channels, let groups, let epsilon, _):
            return referenceGroupNorm(
                x, channels: channels, groups: groups, scale: scale(node),
                shift: bias ?? Array(repeating: 0, count: channels), epsilon: epsilon)
        case .activation(let activation): return x.map(activation.value)
        case .convolution(let shape, _):
            return referenceConvolution(
                x, shape, weight: parameters["\(node.name).weight"] ?? [], bias: bias)
        case .maxPool(let shape): return referenceMaxPool(x, shape)
        case .averagePool(let shape): return referenceAveragePool(x, shape)
        case .globalAveragePool(let channels):
            let pixels = x.asRows(of: channels)
            let positions = x.columns / channels
            return ReferenceMatrix(
                rows: x.rows, columns: channels,
                values: (0..<x.rows).flatMap { row in
                    (0..<channels).map { c in
                        (0..<positions).reduce(0) { $0 + pixels[row * positions + $1, c] }
                            / Double(positions)
                    }
                })
        case .paddedShortcut(let input, let channels, let stride):
            return referencePaddedShortcut(x, input, channels: channels, stride: stride)
        case .dropout(let rate, let seed, let ordinal):
            guard let step else { return x }
            return x.times(
                referenceDropoutMask(
                    rows: x.rows, columns: x.columns, rate: rate, seed: seed, ordinal: ordinal,
                    step: step))
        case .noise(let distribution, let seed, let ordinal, let channels):
            guard let step else { return x }
            let noise = referenceNoise(
                rows: x.rows, columns: x.columns, channels: channels, distribution, seed: seed,
                ordinal: ordinal, step: step)
            return x.times(noise.factor) + noise.summand
        case .softmax: return referenceSoftmax(x)
        }
    }

    /// The gradients of a module's input and, by suffix, of its parameters.
    private func backward(
        _ node: ReferenceArchitecture.Node, _ gradient: ReferenceMatrix, input: ReferenceMatrix,
        _ moments: [ReferenceMoments], step: Int
    ) -> (inputGradient: ReferenceMatrix, parameters: [(suffix: String, values: [Double])]) {
        switch node.module {
        case .linear(_, _, _, let positions):
            let backward = referenceLinearBackward(
                gradient, input: input.channelsFirst(positions: positions), weight: weight(node))
            return (
                backward.inputGradient.channelsLast(positions: positions),
                [("weight", backward.weightGradient.values), ("bias", backward.biasGradient)]
            )
        case .batchNorm(let channels):
            let backward = referenceBatchNormBackward(
                gradient.asRows(of: channels), input: input.asRows(of: channels), moments,
                scale: scale(node), epsilon: epsilon)
            return (
                backward.inputGradient.asRows(of: input.columns),
                [("weight", backward.scaleGradient), ("bias", backward.shiftGradient)]
            )
        case .groupNorm(_, let groups, let epsilon, _):
            let backward = referenceGroupNormBackward(
                gradient, input: input, groups: groups, scale: scale(node), epsilon: epsilon)
            return (
                backward.inputGradient,
                [("weight", backward.scaleGradient), ("bias", backward.shiftGradient)]
            )
        case .activation: return (gradient, [])
        case .convolution(let shape, _):
            let backward = referenceConvolutionBackward(
                gradient, input: input, shape,
                weight: parameters["\(node.name).weight"] ?? [])
            return (
                backward.inputGradient,
                [("weight", backward.weightGradient), ("bias", backward.biasGradient)]
            )
        case .maxPool(let shape):
            return (referenceMaxPoolBackward(gradient, input: input, shape), [])
        case .averagePool(let shape): return (referenceAveragePoolBackward(gradient, shape), [])
        case .globalAveragePool(let channels):
            let positions = input.columns / channels
            var result = input
            for i in result.values.indices {
                let (row, c) = (i / input.columns, i % channels)
                result.values[i] = gradient[row, c] / Double(positions)
            }
            return (result, [])
        case .paddedShortcut(let input, let channels, let stride):
            return (
                referencePaddedShortcutBackward(
                    gradient, input, channels: channels, stride: stride), []
            )
        case .dropout(let rate, let seed, let ordinal):
            let mask = referenceDropoutMask(
                rows: gradient.rows, columns: gradient.columns, rate: rate, seed: seed,
                ordinal: ordinal, step: step)
            return (gradient.times(mask), [])
        case .noise(let distribution, let seed, let ordinal, let channels):
            let noise = referenceNoise(
                rows: gradient.rows, columns: gradient.columns, channels: channels, distribution,
                seed: seed, ordinal: ordinal, step: step)
            return (gradient.times(noise.factor), [])
        case .softmax: return (referenceSoftmaxBackward(gradient, input: input), [])
        }
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
            let isWeight = isWeight(name)
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
        guard let normalization = architecture.normalization else { return }
        batchesTracked += 1
        let momentum = normalization.momentum ?? 1 / Double(batchesTracked)
        for (index, groups) in moments {
            let rows = Double(groups.reduce(0) { $0 + $1.rows.count })
            func move(_ name: String, towards value: (ReferenceMoments, Int) -> Double) {
                guard var running = runningStatistics[name] else { return }
                for c in running.indices {
                    var average = 0.0
                    for group in groups where !group.rows.isEmpty {
                        average += Double(group.rows.count) / rows * value(group, c)
                    }
                    running[c] = kept((1 - momentum) * running[c] + momentum * average)
                }
                runningStatistics[name] = running
            }
            move("\(architecture.nodes[index].name).running_mean") { group, c in group.mean[c] }
            move("\(architecture.nodes[index].name).running_var") { group, c in
                let m = Double(group.rows.count)
                precondition(
                    m > 1 || !normalization.runningVarianceIsUnbiased,
                    "one value has no unbiased variance")
                return group.variance[c]
                    * (normalization.runningVarianceIsUnbiased ? m / (m - 1) : 1)
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

    /// Whether a parameter is a weight of a product: these decay by default, nothing else.
    private func isWeight(_ name: String) -> Bool {
        architecture.nodes.contains { node in
            switch node.module {
            case .linear, .convolution: "\(node.name).weight" == name
            default: false
            }
        }
    }

    private func weight(_ node: ReferenceArchitecture.Node) -> ReferenceMatrix {
        guard case .linear(let inputs, let outputs, _, _) = node.module,
            let values = parameters["\(node.name).weight"]
        else { preconditionFailure("the module has no weight") }
        return ReferenceMatrix(rows: outputs, columns: inputs, values: values)
    }

    private func scale(_ node: ReferenceArchitecture.Node) -> [Double] {
        switch node.module {
        case .batchNorm(let channels), .groupNorm(let channels, _, _, _):
            parameters["\(node.name).weight"] ?? Array(repeating: 1, count: channels)
        default: []
        }
    }

    private var epsilon: Double { architecture.normalization?.epsilon ?? 0 }

    private func matrix(_ rows: [[Double]]) -> ReferenceMatrix {
        ReferenceMatrix(
            rows: rows.count, columns: architecture.inputs, values: rows.flatMap { $0 })
    }
}
