import KernelReferences
import TensorCore
import TestSupport
import Testing

@testable import Kernels

/// Convolutions drawn from a seed: few and many channels, odd ones and whole vectors, every kernel,
/// stride, padding, dilation and grouping.
private struct DrawnConvolution: CustomTestStringConvertible {
    let shape: ConvolutionShape
    let images: Int
    let bias: Bool

    var testDescription: String {
        "\(images) × \(shape), strides \(shape.strideHeight)×\(shape.strideWidth), padding "
            + "\(shape.paddingHeight)×\(shape.paddingWidth), dilation "
            + "\(shape.dilationHeight)×\(shape.dilationWidth), groups \(shape.groups)"
    }

    /// Multiply-adds of a pass; more would keep the reference busy.
    private static let mostProducts = 400_000

    /// The first shape of stream `index` that is not too large.
    init(_ index: Int) {
        let random = CounterRandom(seed: 23, purpose: .benchmark, index: UInt64(index))
        var position = 0
        func draw(_ range: ClosedRange<Int>) -> Int {
            defer { position += 1 }
            return range.lowerBound + random.integer(below: range.count, at: position)
        }
        /// Kernel, stride, dilation, padding and extent along one axis.
        func axis() -> (kernel: Int, stride: Int, dilation: Int, padding: Int, extent: Int) {
            // Networks' own kernels are the most frequent.
            let kernel = draw(0...1) == 0 ? [1, 1, 3, 5][draw(0...3)] : draw(1...7)
            let stride = draw(0...1) == 0 ? 1 : draw(1...3)
            let dilation = draw(0...3) == 0 ? draw(1...3) : 1
            let padding = draw(0...1) == 0 ? kernel / 2 : draw(0...kernel - 1)
            let span = dilation * (kernel - 1) + 1
            let least = max(1, span - 2 * padding)
            return (kernel, stride, dilation, padding, draw(least...least + 12))
        }
        while true {
            var (inputs, outputs, groups) = (draw(1...40), draw(1...40), 1)
            switch draw(0...7) {
            case 0: (groups, inputs, outputs) = (inputs, inputs, inputs * draw(1...2))
            case 1:
                groups = draw(2...6)
                (inputs, outputs) = (groups * draw(1...6), groups * draw(1...6))
            case 2, 3: (inputs, outputs) = (16 * draw(1...3), 16 * draw(1...3))
            case 4: inputs = draw(1...3)
            default: break
            }
            let (h, w) = (axis(), axis())
            let shape = ConvolutionShape(
                inputHeight: h.extent, inputWidth: w.extent, inputChannels: inputs,
                outputChannels: outputs, kernelHeight: h.kernel, kernelWidth: w.kernel,
                strideHeight: h.stride, strideWidth: w.stride, paddingHeight: h.padding,
                paddingWidth: w.padding, dilationHeight: h.dilation, dilationWidth: w.dilation,
                groups: groups)
            let images = draw(0...1) == 0 ? 1 : draw(1...12)
            guard images * shape.operations / 2 <= Self.mostProducts else { continue }
            self.shape = shape
            self.images = images
            bias = draw(0...1) == 0
            return
        }
    }
}

@Suite("Convolutions of any shape stay inside their memory")
struct ConvolutionSweepTests {
    @Test("all passes follow the reference, and touch nothing beside their operands and scratch")
    func sweep() throws {
        var implementations: [String: Int] = [:]
        for index in 0..<TestCases.count(usually: 1000) {
            let drawn = DrawnConvolution(index)
            for name in try check(drawn) { implementations[name, default: 0] += 1 }
        }
        // Which kernels have been through this.
        print("convolutions: \(implementations.sorted { $0.key < $1.key })")
    }

    /// Returns the names of the kernels behind the passes.
    private func check(_ drawn: DrawnConvolution) throws -> [String] {
        let (shape, images) = (drawn.shape, drawn.images)
        let scratch = ConvolutionScratch()
        let plan = Convolution(
            shape, images: images, bias: drawn.bias, backwardData: true, scratch: scratch)
        let layout = plan.layout
        let canary = Canary(scratch)
        let weight = normals(shape.weightCount, deviation: 0.3, index: 2)
        let weights = try ConvolutionWeights(plan, weight)
        let x = GuardedBuffer(normals(images * shape.inputCount, index: 1))
        let dy = GuardedBuffer(normals(images * shape.outputCount, index: 4))
        let b = GuardedBuffer(normals(shape.outputChannels, index: 3))
        let y = GuardedBuffer<Float>(count: images * shape.outputCount)
        let dx = GuardedBuffer<Float>(count: images * shape.inputCount)
        let dw = GuardedBuffer<Float>(count: layout.count)
        let db = GuardedBuffer<Float>(count: shape.outputChannels)
        plan.forward(
            images: images, input: x.pointer, weight: weights.forward.pointer,
            bias: drawn.bias ? b.pointer : nil, output: y.pointer)
        plan.backwardData(
            images: images, outputGradient: dy.pointer, weight: weights.backward.pointer,
            inputGradient: dx.pointer)
        plan.backwardWeights(
            images: images, input: x.pointer, outputGradient: dy.pointer,
            weightGradient: dw.pointer, biasGradient: drawn.bias ? db.pointer : nil)
        try checkLastImage(drawn, plan, weights, x: x, dy: dy, b: b, y: y.values, dx: dx.values)
        #expect(
            [x, dy, b, y, dx, dw, db, weights.forward, weights.backward].allSatisfy {
                $0.isIntact
            }, "\(drawn.testDescription)")
        #expect(canary.isIntact, "\(drawn.testDescription)")

        let output = ConvolutionReference.forward(
            shape, images: images, input: doubles(x.values), weight: doubles(weight),
            bias: drawn.bias
                ? doubles(b.values) : Array(repeating: 0, count: shape.outputChannels))
        let gradients = ConvolutionReference.backward(
            shape, images: images, input: doubles(x.values), weight: doubles(weight),
            outputGradient: doubles(dy.values))
        let file = (0..<shape.weightCount).map { dw.values[layout.offset(ofFileIndex: $0)] }
        // Sums of up to thousands of products in Float32; where all cancel, of their terms' size.
        for (what, value, expected) in [
            ("output", y.values, output), ("input gradient", dx.values, gradients.input),
            ("weight gradient", file, gradients.weight),
            ("bias gradient", drawn.bias ? db.values : [], drawn.bias ? gradients.bias : []),
        ] {
            let difference = largestDifference(value, expected, magnitude: 1)
            #expect(difference < 1e-5, "\(what) of \(drawn.testDescription)")
        }

        let names = plan.implementations
        return [
            "\(names.forward), forward", "\(names.backwardData ?? "none"), backward data",
            "\(names.backwardWeights), backward weights",
        ]
    }

    /// The last image alone has the bits that it has beside the others.
    private func checkLastImage(
        _ drawn: DrawnConvolution, _ plan: Convolution, _ weights: ConvolutionWeights,
        x: GuardedBuffer<Float>, dy: GuardedBuffer<Float>, b: GuardedBuffer<Float>, y: [Float],
        dx: [Float]
    ) throws {
        let (shape, before) = (drawn.shape, drawn.images - 1)
        let output = GuardedBuffer<Float>(count: shape.outputCount)
        let inputGradient = GuardedBuffer<Float>(count: shape.inputCount)
        plan.forward(
            images: 1, input: x.pointer + before * shape.inputCount,
            weight: weights.forward.pointer, bias: drawn.bias ? b.pointer : nil,
            output: output.pointer)
        plan.backwardData(
            images: 1, outputGradient: dy.pointer + before * shape.outputCount,
            weight: weights.backward.pointer, inputGradient: inputGradient.pointer)
        #expect(
            bits(output.values) == bits(Array(y.suffix(shape.outputCount))),
            "\(drawn.testDescription)")
        #expect(
            bits(inputGradient.values) == bits(Array(dx.suffix(shape.inputCount))),
            "\(drawn.testDescription)")
    }

    @Test("the test bites: a write behind the scratch is found")
    func canaryBites() {
        let scratch = ConvolutionScratch()
        scratch.reserve(17)
        let canary = Canary(scratch)
        scratch.memory[16] = 0
        #expect(canary.isIntact)
        scratch.memory[17] = 0
        #expect(!canary.isIntact)
    }
}

/// Values behind what plans have asked for.
private struct Canary {
    private let scratch: ConvolutionScratch
    private let places: Range<Int>
    private static let value: Float = -12345.5

    init(_ scratch: ConvolutionScratch) {
        self.scratch = scratch
        places = scratch.count..<scratch.count + 1024
        scratch.reserve(places.upperBound)
        for place in places { scratch.memory[place] = Self.value }
    }

    var isIntact: Bool { places.allSatisfy { scratch.memory[$0] == Self.value } }
}
