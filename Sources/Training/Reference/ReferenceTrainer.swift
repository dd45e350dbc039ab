/// Plain large-batch training of an MLP in Float64, written like the mathematics.
///
/// It knows no shards, workers, kernels or fusion: `verify` and tests compare the trainer with it.
/// Names and layouts are PyTorch's: `layers.N.weight` [outputs, inputs], where N counts the modules
/// of `nn.Sequential(Linear, BatchNorm1d, Sigmoid, …)`.
public struct ReferenceTrainer: Sendable {
    /// What one forward and backward pass over a batch gives.
    public struct Pass: Sendable {
        /// The mean cross entropy of the batch.
        public let loss: Double
        /// The gradient of each parameter, by name; from `step`, as the update took it.
        public fileprivate(set) var gradients: [String: [Double]]
        /// The output of each module, `[rows, width]` row by row.
        public let outputs: [[Double]]

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
    private let modules: [ReferenceArchitecture.Module]

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
        modules = architecture.modules
        for case (let index, .batchNorm(let channels)) in modules.enumerated() {
            runningStatistics["layers.\(index).running_mean"] = Array(repeating: 0, count: channels)
            runningStatistics["layers.\(index).running_var"] = Array(repeating: 1, count: channels)
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
        var pass = pass(rows: rows, labels: labels, groups: groups, edges: edges)
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
    /// - Parameter edges: by module, how near to 0 an input of ReLU counts as on the other side when
    ///   its gradient is taken: what rounding may do to it.
    public func pass(
        rows: [[Double]], labels: [Int], groups: [Range<Int>]? = nil, edges: [Int: Double] = [:]
    ) -> Pass {
        let groups = groups ?? [0..<rows.count]
        precondition(rows.count == labels.count, "samples and labels differ in number")
        precondition(
            groups.reduce(0) { $0 + $1.count } == rows.count, "groups do not cover the batch")

        var inputs: [ReferenceMatrix] = []
        var outputs: [ReferenceMatrix] = []
        var moments: [Int: [ReferenceMoments]] = [:]
        var x = matrix(rows)
        for (index, module) in modules.enumerated() {
            inputs.append(x)
            if case .batchNorm = module {
                moments[index] = groups.map { ReferenceMoments(of: x, rows: $0) }
            }
            x = kept(forward(index, x, moments[index] ?? []))
            outputs.append(x)
        }

        var (loss, gradient) = referenceSoftmaxCrossEntropy(
            x, labels: labels, labelSmoothing: labelSmoothing)
        gradient = kept(gradient)
        var gradients: [String: [Double]] = [:]
        for (index, module) in modules.enumerated().reversed() {
            let weightName = "layers.\(index).weight"
            let biasName = "layers.\(index).bias"
            switch module {
            case .linear:
                let backward = referenceLinearBackward(
                    gradient, input: inputs[index], weight: weight(index))
                gradient = backward.inputGradient
                gradients[weightName] = backward.weightGradient.values
                if parameters[biasName] != nil { gradients[biasName] = backward.biasGradient }
            case .batchNorm:
                let backward = referenceBatchNormBackward(
                    gradient, input: inputs[index], moments[index] ?? [], scale: scale(index),
                    epsilon: epsilon)
                gradient = backward.inputGradient
                if parameters[weightName] != nil {
                    gradients[weightName] = backward.scaleGradient
                    gradients[biasName] = backward.shiftGradient
                }
            case .activation:
                let edge = edges[index] ?? 0
                for i in gradient.values.indices {
                    let derivative = architecture.activation.derivative(
                        ofValue: outputs[index].values[i])
                    let isOther = abs(inputs[index].values[i]) < edge
                    gradient.values[i] *= isOther ? 1 - derivative : derivative
                }
            }
            gradient = kept(gradient)
        }
        if roundsToFloat32 { gradients = gradients.mapValues { $0.map(kept) } }
        return Pass(
            loss: loss, gradients: gradients, outputs: outputs.map(\.values), moments: moments)
    }

    /// The logits `[rows, classes]` with the running statistics in the batch's place.
    public func inference(rows: [[Double]]) -> [Double] {
        var x = matrix(rows)
        for index in modules.indices {
            var moments: [ReferenceMoments] = []
            if let mean = runningStatistics["layers.\(index).running_mean"],
                let variance = runningStatistics["layers.\(index).running_var"]
            {
                moments = [
                    ReferenceMoments(rows: 0..<rows.count, mean: mean, variance: variance)
                ]
            }
            x = forward(index, x, moments)
        }
        return x.values
    }

    private func forward(
        _ index: Int, _ x: ReferenceMatrix, _ moments: [ReferenceMoments]
    ) -> ReferenceMatrix {
        switch modules[index] {
        case .linear:
            referenceLinear(x, weight: weight(index), bias: parameters["layers.\(index).bias"])
        case .batchNorm(let channels):
            referenceBatchNorm(
                x, moments, scale: scale(index),
                shift: parameters["layers.\(index).bias"] ?? Array(repeating: 0, count: channels),
                epsilon: epsilon)
        case .activation: x.map(architecture.activation.value)
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
            move("layers.\(index).running_mean") { group, c in group.mean[c] }
            move("layers.\(index).running_var") { group, c in
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

    /// Whether a parameter is a weight of Linear: these decay by default, nothing else.
    private func isWeight(_ name: String) -> Bool {
        modules.indices.contains { index in
            if case .linear = modules[index] { "layers.\(index).weight" == name } else { false }
        }
    }

    private func weight(_ index: Int) -> ReferenceMatrix {
        guard case .linear(let inputs, let outputs, _) = modules[index],
            let values = parameters["layers.\(index).weight"]
        else { preconditionFailure("the module has no weight") }
        return ReferenceMatrix(rows: outputs, columns: inputs, values: values)
    }

    private func scale(_ index: Int) -> [Double] {
        guard case .batchNorm(let channels) = modules[index] else { return [] }
        return parameters["layers.\(index).weight"] ?? Array(repeating: 1, count: channels)
    }

    private var epsilon: Double { architecture.normalization?.epsilon ?? 0 }

    private func matrix(_ rows: [[Double]]) -> ReferenceMatrix {
        ReferenceMatrix(
            rows: rows.count, columns: architecture.widths[0], values: rows.flatMap { $0 })
    }
}
