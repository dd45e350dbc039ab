import Kernels
import Layers
import Models
import Normalization
import TensorCore
import TestSupport
import Testing

@testable import Training

@Suite("the reference trainer")
struct ReferenceTrainerTests {
    @Test(
        "20 steps of PyTorch in Float64 come out: outputs, losses, gradients, parameters, statistics",
        arguments: MLPFixture.names)
    func agreesWithPyTorch(name: String) throws {
        let fixture = try MLPFixture(name)
        var trainer = fixture.trainer()
        let last = fixture.learningRates.count
        let losses = try fixture.losses(.float64)
        for step in 1...last {
            let rows = fixture.rows(ofStep: step)
            let pass = trainer.step(
                rows: Array(fixture.samples[rows]), labels: Array(fixture.labels[rows]),
                groups: fixture.groups(ofRows: rows.count),
                learningRate: fixture.learningRates[step - 1],
                momentum: fixture.momenta.isEmpty ? nil : fixture.momenta[step - 1])
            #expect(abs(pass.loss - losses[step - 1]) <= 1e-12 * losses[step - 1])
            if step == 1 {
                for (index, output) in pass.outputs.enumerated() {
                    let expected = try fixture.output(ofModule: index, .float64)
                    #expect(relativeDifference(output, expected) < 1e-12)
                }
            }
            if step == 1 || step == last {
                let gradients = try fixture.gradients(step: step, .float64)
                #expect(relativeDifference(pass.gradients, gradients) < 1e-10)
                let state = try fixture.state(afterStep: step, .float64)
                #expect(relativeDifference(trainer.state, state) < 1e-10)
            }
        }
        let inference = try fixture.inference(.float64)
        #expect(relativeDifference(trainer.inference(rows: fixture.samples), inference) < 1e-10)
    }

    @Test("another setting gives other parameters, to see that the comparison bites")
    func bites() throws {
        let fixture = try MLPFixture("momentum")
        let state = try fixture.state(afterStep: 20, .float64)
        func difference(_ change: (inout ReferenceTrainer.Optimizer) -> Void) -> Double {
            var optimizer = fixture.referenceOptimizer
            change(&optimizer)
            var trainer = fixture.trainer(optimizer)
            for step in 1...20 {
                let rows = fixture.rows(ofStep: step)
                trainer.step(
                    rows: Array(fixture.samples[rows]), labels: Array(fixture.labels[rows]),
                    learningRate: fixture.learningRates[step - 1])
            }
            return relativeDifference(trainer.state, state)
        }
        #expect(difference { _ in } < 1e-10)
        #expect(difference { $0.rule = .sgd(nesterov: true) } > 1e-3)
        #expect(difference { $0.decaysAll = true } > 1e-6)
        #expect(difference { $0.weightDecay = 0 } > 1e-6)
    }

    @Test("single layers agree with PyTorch in Float64", arguments: LayerFixture.names)
    func layers(name: String) throws {
        let fixture = try LayerFixture(name)
        var x = ReferenceMatrix(rows: fixture.inputs.count / fixture.shape.last!, fixture.inputs)
        var inputs: [ReferenceMatrix] = []
        for (index, module) in fixture.modules.enumerated() {
            inputs.append(x)
            x = fixture.forward(index, module, x)
        }
        #expect(relativeDifference(x.values, try fixture.output(.float64)) < 1e-12)
        var gradients: [String: [Double]] = [:]
        var gradient = ReferenceMatrix(rows: x.rows, fixture.outputGradient)
        for (index, module) in fixture.modules.enumerated().reversed() {
            let output = index + 1 < inputs.count ? inputs[index + 1] : x
            gradient = fixture.backward(
                index, module, gradient, input: inputs[index], output: output, &gradients)
        }
        let expected = try fixture.inputGradient(.float64)
        #expect(relativeDifference(gradient.values, expected) < 1e-12)
        #expect(relativeDifference(gradients, try fixture.gradients(.float64)) < 1e-12)
    }

    @Test(
        "gradients agree with central differences, with uneven and empty groups",
        arguments: ["before", "after", "none"], ["sigmoid", "tanh", "relu"])
    func centralDifferences(placement: String, activation: String) throws {
        let network = MLP(
            widths: [5, 7, 3, 4], activation: activation, placement: placement,
            BatchNormSettings()
        ).specification
        var generator = SeededGenerator(state: 5)
        func random(_ count: Int) -> [Double] {
            (0..<count).map { _ in Double.random(in: -1...1, using: &generator) }
        }
        let rows = (0..<11).map { _ in random(5) }
        let labels = (0..<11).map { _ in Int.random(in: 0..<4, using: &generator) }
        let groups = [0..<4, 4..<4, 4..<11]
        var parameters: [String: [Double]] = [:]
        for tensor in network.layout(shards: 1).parameters {
            parameters[tensor.name] = random(tensor.shape.count)
        }
        func loss(_ parameters: [String: [Double]]) -> Double {
            ReferenceTrainer(network, parameters: parameters)
                .pass(rows: rows, labels: labels, groups: groups).loss
        }
        let gradients = ReferenceTrainer(network, parameters: parameters)
            .pass(rows: rows, labels: labels, groups: groups).gradients
        // Central differences err by h² ≈ 1e-10 of the third derivative and 1e-16 / h by rounding.
        let h = 1e-5
        var numeric: [String: [Double]] = [:]
        for (name, values) in parameters {
            numeric[name] = values.indices.map { index in
                var (above, below) = (parameters, parameters)
                above[name]![index] += h
                below[name]![index] -= h
                return (loss(above) - loss(below)) / (2 * h)
            }
        }
        #expect(relativeDifference(gradients, numeric) < 1e-7)
    }

    @Test("running statistics weigh groups by their rows, biased or unbiased, and skip empty ones")
    func runningStatistics() {
        func statistics(unbiased: Bool, momentum: Double?, steps: Int = 1) -> [[Double]] {
            let network = MLP(
                widths: [1, 1, 2], activation: "sigmoid", placement: "before",
                BatchNormSettings(
                    average: momentum.map { .momentum($0) } ?? .cumulative,
                    unbiasedRunningVariance: unbiased)
            ).specification
            var trainer = ReferenceTrainer(
                network,
                parameters: [
                    "layers.0.weight": [1], "layers.1.weight": [1], "layers.1.bias": [0],
                    "layers.3.weight": [0, 0], "layers.3.bias": [0, 0],
                ])
            for step in 1...steps {
                let scale = Double(step)
                // Group means 2 and 7, variances 1 (of 2) and 8/3 (of 3), times the step.
                trainer.step(
                    rows: [[1], [3], [5], [7], [9]].map { [$0[0] * scale] },
                    labels: [0, 1, 0, 1, 0], groups: [0..<2, 2..<2, 2..<5], learningRate: 0)
            }
            return [
                trainer.runningStatistics["layers.1.running_mean"]!,
                trainer.runningStatistics["layers.1.running_var"]!,
            ]
        }
        // mean (2·2 + 3·7)/5 = 5; variance (2·1 + 3·8/3)/5 = 2 biased, (2·2 + 3·4)/5 = 3.2 unbiased.
        func expect(_ actual: [[Double]], mean: Double, variance: Double) {
            #expect(abs(actual[0][0] - mean) < 1e-12)
            #expect(abs(actual[1][0] - variance) < 1e-12)
        }
        expect(statistics(unbiased: false, momentum: 1), mean: 5, variance: 2)
        expect(statistics(unbiased: true, momentum: 1), mean: 5, variance: 3.2)
        expect(statistics(unbiased: true, momentum: 0.1), mean: 0.5, variance: 0.9 + 0.32)
        expect(
            statistics(unbiased: true, momentum: nil, steps: 2), mean: 7.5,
            variance: (3.2 + 4 * 3.2) / 2)
    }

    @Test("a large input does not overflow the loss or the sigmoid")
    func largeInputs() {
        let logits = ReferenceMatrix(rows: 2, columns: 2, values: [1000, 0, 0, -1000])
        let result = referenceSoftmaxCrossEntropy(logits, [1, 0], 0)
        #expect(result.loss == 500)
        #expect(result.gradient.values == [0.5, -0.5, 0, 0])
        let place = ModulePlace(
            name: "sigmoid", input: ImageShape(height: 1, width: 1, channels: 2),
            output: ImageShape(height: 1, width: 1, channels: 2))
        let large = ReferenceMatrix(rows: 1, columns: 2, values: [-1000, 1000])
        #expect(Activation(.sigmoid).reference(large, ReferenceContext(place)).values == [0, 1])
    }

    @Test("a step of 60 samples of 784-128-128-128-10 takes less than 50 ms of a core")
    func speed() {
        let network = MLP(
            widths: [784, 128, 128, 128, 10], activation: "sigmoid", placement: "before",
            BatchNormSettings()
        ).specification
        var generator = SeededGenerator(state: 3)
        var parameters: [String: [Double]] = [:]
        for tensor in network.layout(shards: 1).parameters {
            parameters[tensor.name] = (0..<tensor.shape.count).map { _ in
                Double.random(in: -1...1, using: &generator)
            }
        }
        var trainer = ReferenceTrainer(network, parameters: parameters)
        let rows = (0..<60).map { _ in
            (0..<784).map { _ in Double.random(in: 0...1, using: &generator) }
        }
        let labels = (0..<60).map { $0 % 10 }
        // Processor time, the best of several: other tests run at the same time.
        let best = (0..<5).map { _ in
            let start = processorTime()
            trainer.step(rows: rows, labels: labels, learningRate: 0.01)
            return processorTime() - start
        }.min()!
        #expect(best < 0.05)
    }
}

extension MLP {
    /// Layers of these widths, from the input's to the classes; "none" is no normalisation.
    fileprivate init(
        widths: [Int], activation: String, placement: String, _ normalization: BatchNormSettings
    ) {
        self.init(
            inputs: widths[0], hidden: Array(widths[1..<widths.count - 1]),
            classes: widths[widths.count - 1],
            activation: ActivationKind(rawValue: activation)!,
            placement: Placement(rawValue: placement) ?? .before,
            normalization: placement == "none" ? nil : normalization)
    }
}

extension MLPFixture {
    var referenceOptimizer: ReferenceTrainer.Optimizer {
        let rule: ReferenceTrainer.Optimizer.Rule =
            optimizer == "sgd"
            ? .sgd(nesterov: nesterov)
            : .adam(
                beta2: betas[1], epsilon: optimizerEpsilon ?? 0, decoupled: optimizer == "adamw")
        return .init(
            rule, momentum: optimizer == "sgd" ? momentum : betas[0], weightDecay: weightDecay,
            decaysAll: decaysAll, clipNorm: clipNorm)
    }

    func trainer(_ optimizer: ReferenceTrainer.Optimizer? = nil) -> ReferenceTrainer {
        ReferenceTrainer(
            MLP(
                widths: widths, activation: activation, placement: placement,
                BatchNormSettings(
                    average: runningMomentum.map { .momentum($0) } ?? .cumulative,
                    epsilon: epsilon, affine: isAffine)
            ).specification,
            optimizer: optimizer ?? referenceOptimizer, labelSmoothing: labelSmoothing,
            parameters: initial)
    }
}

extension ReferenceTrainer {
    fileprivate var state: [String: [Double]] {
        parameters.merging(runningStatistics) { first, _ in first }
    }
}

extension ReferenceMatrix {
    fileprivate init(rows: Int, _ values: [Double]) {
        self.init(rows: rows, columns: values.count / rows, values: values)
    }
}

extension LayerFixture {
    private func parameter(_ index: Int, _ name: String) -> [Double]? {
        initial["layers.\(index).\(name)"]
    }

    /// The module, and what its formula is taken with.
    private func module(
        _ index: Int, _ name: String, _ x: ReferenceMatrix
    ) -> (any Module, ReferenceContext) {
        var parameters: [String: [Double]] = [:]
        for name in ["weight", "bias"] { parameters[name] = parameter(index, name) }
        let module: any Module =
            switch name {
            case "Linear": Linear(parameters["weight"]!.count / x.columns)
            case "BatchNorm1d", "BatchNorm2d": BatchNorm()
            default: Activation(ActivationKind(rawValue: name.lowercased())!)
            }
        let extent = ImageShape(height: 1, width: 1, channels: x.columns)
        return (
            module,
            ReferenceContext(
                ModulePlace(name: "layers.\(index)", input: extent, output: extent),
                parameters: parameters, moments: [ReferenceMoments(of: x, rows: 0..<x.rows)])
        )
    }

    fileprivate func forward(
        _ index: Int, _ name: String, _ x: ReferenceMatrix
    ) -> ReferenceMatrix {
        let (module, context) = module(index, name, x)
        return module.reference(x, context)
    }

    fileprivate func backward(
        _ index: Int, _ name: String, _ gradient: ReferenceMatrix, input: ReferenceMatrix,
        output: ReferenceMatrix, _ gradients: inout [String: [Double]]
    ) -> ReferenceMatrix {
        let (module, context) = module(index, name, input)
        let result = module.referenceBackward(gradient, input: input, output: output, context)
        for (name, values) in result.parameters where context.parameters[name] != nil {
            gradients["layers.\(index).\(name)"] = values
        }
        return result.input
    }
}
