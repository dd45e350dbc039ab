import KernelReferences
import Kernels
import TensorCore
import Testing

@testable import Optimization

@Suite("Optimizers")
struct OptimizerTests {
    static let count = 53

    static func tensor(_ index: UInt64) -> Tensor {
        let random = CounterRandom(seed: 7, purpose: .benchmark, index: index)
        let tensor = Tensor(rows: 1, columns: count)
        tensor.elements = (0..<count).map { Float(random.uniform(in: -1...1, at: $0)) }
        return tensor
    }

    /// LARS's rate of a run, whatever its norms are.
    static let localRate = 0.3

    /// Twenty steps, each cut into `ranges`.
    static func train(_ optimizer: Optimizer, ranges: [Range<Int>]) -> [Float] {
        let parameters = tensor(0)
        let (first, second) = (Tensor(rows: 1, columns: count), Tensor(rows: 1, columns: count))
        for step in 1...20 {
            let gradient = tensor(UInt64(step))
            let buffers = ParameterBuffers(
                parameters: parameters.pointer, gradient: gradient.pointer,
                first: optimizer.stateCount > 0 ? first.pointer : nil,
                second: optimizer.stateCount > 1 ? second.pointer : nil)
            // The buffers do not keep the tensors.
            withExtendedLifetime((parameters, gradient, first, second)) {
                for range in ranges {
                    optimizer.rule.update(
                        buffers, range: range, decays: true, localRate: localRate,
                        at: optimizer.settings(step: step, of: 20))
                }
            }
        }
        return parameters.elements
    }

    static let configurations: [Optimizer] = [
        Optimizer(.sgd(SGD()), schedule: Schedule(base: 0.1)),
        Optimizer(.sgd(SGD(weightDecay: 0.01)), schedule: Schedule(base: 0.1)),
        Optimizer(
            .sgd(SGD(momentum: 0.9, weightDecay: 0.01)),
            schedule: Schedule(base: 0.1, warmupSteps: 3)),
        Optimizer(
            .sgd(SGD(momentum: 0.9, nesterov: true, weightDecay: 0.01)),
            schedule: Schedule(base: 0.1, course: .cosine(minimum: 0.01))),
        Optimizer(.adam(Adam()), schedule: Schedule(base: 0.01)),
        Optimizer(
            .adam(Adam(beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weightDecay: 0.1)),
            schedule: Schedule(base: 0.02, course: .oneCycle(OneCycle(minimumMomentum: 0.6)))),
        Optimizer(
            .adam(Adam(beta1: 0, beta2: 0, weightDecay: 0.2, decoupled: true)),
            schedule: Schedule(base: 0.01)),
        Optimizer(.lars(LARS(weightDecay: 0.01)), schedule: Schedule(base: 0.1)),
        Optimizer(.lars(LARS(momentum: 0)), schedule: Schedule(base: 0.1)),
    ]

    /// The same in Float64.
    static func reference(_ optimizer: Optimizer) -> [Double] {
        var w = tensor(0).elements.map(Double.init)
        var m = Array(repeating: 0.0, count: count)
        var s = m
        var velocity: [Double]?
        for step in 1...20 {
            let settings = optimizer.settings(step: step, of: 20)
            let g = tensor(UInt64(step)).elements.map(Double.init)
            switch optimizer.rule {
            case .sgd(let sgd):
                sgdUpdateReference(
                    parameters: &w, gradient: g, velocity: &velocity,
                    learningRate: settings.learningRate, momentum: settings.momentum,
                    nesterov: sgd.nesterov, weightDecay: sgd.weightDecay)
            case .adam(let adam):
                adamUpdateReference(
                    parameters: &w, gradient: g, firstMoment: &m, secondMoment: &s, step: step,
                    learningRate: settings.learningRate, beta1: settings.momentum,
                    beta2: adam.beta2, epsilon: adam.epsilon, weightDecay: adam.weightDecay,
                    decoupled: adam.decoupled)
            case .lars(let lars):
                for i in w.indices {
                    m[i] =
                        settings.momentum * m[i] + settings.learningRate * localRate
                        * (g[i] + lars.weightDecay * w[i])
                    w[i] -= m[i]
                }
            }
        }
        return w
    }

    @Test("twenty steps follow the scalar reference", arguments: configurations)
    func reference(optimizer: Optimizer) {
        let actual = Self.train(optimizer, ranges: [0..<Self.count])
        // Twenty steps, each of which rounds by 2⁻²⁴ of values of order 1.
        let expected = Self.reference(optimizer)
        #expect(zip(actual, expected).allSatisfy { abs(Double($0) - $1) < 5e-6 })
        #expect(!zip(actual, Self.tensor(0).elements).contains { $0 == $1 })
    }

    @Test("the bits do not depend on how the parameters are cut", arguments: configurations)
    func ranges(optimizer: Optimizer) {
        let whole = Self.train(optimizer, ranges: [0..<Self.count])
        let cut = Self.train(optimizer, ranges: [17..<Self.count, 0..<1, 1..<1, 1..<17])
        #expect(whole.map(\.bitPattern) == cut.map(\.bitPattern))
    }

    @Test(
        "a range without decay is only moved by its gradient",
        arguments: [
            Optimizer.Rule.sgd(SGD(weightDecay: 0.1)), .lars(LARS(weightDecay: 0.1)),
            .adam(Adam(weightDecay: 0.1, decoupled: true)),
        ])
    func withoutDecay(rule: Optimizer.Rule) {
        let optimizer = Optimizer(rule, schedule: Schedule(base: 0.5))
        let parameters = Tensor(rows: 1, columns: 4)
        parameters.elements = [1, 1, 1, 1]
        let zeros = (0..<3).map { _ in Tensor(rows: 1, columns: 4) }
        let buffers = ParameterBuffers(
            parameters: parameters.pointer, gradient: zeros[0].pointer, first: zeros[1].pointer,
            second: zeros[2].pointer)
        withExtendedLifetime((parameters, zeros)) {
            for (range, decays) in [(0..<2, true), (2..<3, false)] {
                optimizer.rule.update(
                    buffers, range: range, decays: decays, localRate: 1,
                    at: optimizer.settings(step: 1, of: 1))
            }
        }
        #expect(parameters.elements == [0.95, 0.95, 1, 1])
    }

    @Test("LARS moves what is no weight as SGD does")
    func otherThanWeights() {
        let rate = Schedule(base: 0.1)
        let lars = Optimizer(.lars(LARS(momentum: 0.9, weightDecay: 0.01)), schedule: rate)
        let sgd = Optimizer(.sgd(SGD(momentum: 0.9, weightDecay: 0.01)), schedule: rate)
        let results = [lars, sgd].map { optimizer in
            let (parameters, first) = (Self.tensor(0), Tensor(rows: 1, columns: Self.count))
            for step in 1...5 {
                let gradient = Self.tensor(UInt64(step))
                withExtendedLifetime((parameters, first, gradient)) {
                    optimizer.rule.update(
                        ParameterBuffers(
                            parameters: parameters.pointer, gradient: gradient.pointer,
                            first: first.pointer),
                        range: 0..<Self.count, decays: true,
                        at: optimizer.settings(step: step, of: 5))
                }
            }
            return parameters.elements
        }
        #expect(results[0] == results[1])
    }

    @Test("a rule keeps as many buffers as it needs, and says when it needs norms")
    func buffers() {
        #expect(Self.configurations.map(\.stateCount) == [0, 0, 1, 1, 2, 2, 2, 1, 0])
        #expect(
            Self.configurations.map(\.needsNorms) == [
                false, false, false, false, false, false, false, true, true,
            ])
        let clipped = Optimizer(.sgd(SGD()), schedule: Schedule(base: 1), clipNorm: 2)
        #expect(clipped.needsNorms)
    }

    @Test("a gradient longer than the largest norm is shortened to it, and no other")
    func clipping() {
        let optimizer = Optimizer(.sgd(SGD()), schedule: Schedule(base: 1), clipNorm: 2)
        #expect(optimizer.clipFactor(norm: 8) == 2 / (8 + 1e-6))
        #expect(optimizer.clipFactor(norm: 1.9) == 1)
        #expect(optimizer.clipFactor(norm: 0) == 1)
        #expect(optimizer.clipFactor(norm: .infinity).isNaN)
        #expect(optimizer.clipFactor(norm: .nan).isNaN)
    }
}
