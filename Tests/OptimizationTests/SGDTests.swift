import Kernels
import TensorCore
import Testing

@testable import Optimization

@Suite("SGD")
struct SGDTests {
    static let count = 53

    static func tensor(_ index: UInt64) -> Tensor {
        let random = CounterRandom(seed: 7, purpose: .benchmark, index: index)
        let tensor = Tensor(rows: 1, columns: count)
        tensor.elements = (0..<count).map { Float(random.uniform(in: -1...1, at: $0)) }
        return tensor
    }

    /// Twenty steps, each cut into `ranges`, of which the even ones decay.
    static func train(_ sgd: SGD, ranges: [Range<Int>]) -> [Float] {
        let parameters = tensor(0)
        let velocity = Tensor(rows: 1, columns: count)
        velocity.elements = Array(repeating: .nan, count: count)
        for step in 1...20 {
            let gradient = tensor(UInt64(step))
            for range in ranges {
                sgd.update(
                    parameters: parameters.pointer, gradient: gradient.pointer,
                    velocity: sgd.needsVelocity ? velocity.pointer : nil, range: range,
                    decays: true, learningRate: sgd.schedule.rate(step: step, of: 20),
                    isFirstStep: step == 1)
            }
        }
        return parameters.elements
    }

    static let configurations: [SGD] = [
        SGD(schedule: Schedule(base: 0.1)),
        SGD(schedule: Schedule(base: 0.1), weightDecay: 0.01),
        SGD(schedule: Schedule(base: 0.1, warmupSteps: 3), momentum: 0.9, weightDecay: 0.01),
        SGD(
            schedule: Schedule(base: 0.1, course: .cosine(minimum: 0.01)), momentum: 0.9,
            nesterov: true, weightDecay: 0.01),
    ]

    @Test("twenty steps follow the scalar reference", arguments: configurations)
    func reference(sgd: SGD) {
        var expected = Self.tensor(0).elements.map(Double.init)
        var velocity: [Double]?
        for step in 1...20 {
            sgdUpdateReference(
                parameters: &expected,
                gradient: Self.tensor(UInt64(step)).elements.map(Double.init),
                velocity: &velocity, learningRate: sgd.schedule.rate(step: step, of: 20),
                momentum: sgd.momentum, nesterov: sgd.nesterov, weightDecay: sgd.weightDecay)
        }
        let actual = Self.train(sgd, ranges: [0..<Self.count])
        // Twenty steps, each of which rounds by 2⁻²⁴ of values of order 1.
        #expect(zip(actual, expected).allSatisfy { abs(Double($0) - $1) < 5e-6 })
    }

    @Test("the bits do not depend on how the parameters are cut", arguments: configurations)
    func ranges(sgd: SGD) {
        let whole = Self.train(sgd, ranges: [0..<Self.count])
        let cut = Self.train(sgd, ranges: [17..<Self.count, 0..<1, 1..<1, 1..<17])
        #expect(whole.map(\.bitPattern) == cut.map(\.bitPattern))
    }

    @Test("a range without decay is only moved by its gradient")
    func withoutDecay() {
        let sgd = SGD(schedule: Schedule(base: 0.5), weightDecay: 0.1)
        let parameters = Tensor(rows: 1, columns: 4)
        parameters.elements = [1, 1, 1, 1]
        let gradient = Tensor(rows: 1, columns: 4)
        for (range, decays) in [(0..<2, true), (2..<3, false)] {
            sgd.update(
                parameters: parameters.pointer, gradient: gradient.pointer, velocity: nil,
                range: range, decays: decays, learningRate: 0.5, isFirstStep: true)
        }
        #expect(parameters.elements == [0.95, 0.95, 1, 1])
    }

    @Test("only momentum needs a velocity")
    func velocity() {
        #expect(Self.configurations.map(\.needsVelocity) == [false, false, true, true])
    }
}
