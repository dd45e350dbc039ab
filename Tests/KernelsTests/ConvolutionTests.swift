import KernelReferences
import Kernels
import TensorCore
import TestSupport
import Testing

struct ConvolutionCase: CustomTestStringConvertible, Sendable {
    var shape: ConvolutionShape
    var bias = false
    var testDescription: String { "\(shape)\(bias ? ", bias" : ""), groups \(shape.groups)" }

    /// [H, W, C] → K, kernel [R, S].
    init(
        _ input: (Int, Int, Int), _ outputs: Int, _ kernel: (Int, Int), stride: (Int, Int) = (1, 1),
        padding: (Int, Int) = (0, 0), dilation: (Int, Int) = (1, 1), groups: Int = 1,
        bias: Bool = false
    ) {
        shape = ConvolutionShape(
            inputHeight: input.0, inputWidth: input.1, inputChannels: input.2,
            outputChannels: outputs, kernelHeight: kernel.0, kernelWidth: kernel.1,
            strideHeight: stride.0, strideWidth: stride.1, paddingHeight: padding.0,
            paddingWidth: padding.1, dilationHeight: dilation.0, dilationWidth: dilation.1,
            groups: groups)
        self.bias = bias
    }
}

/// Every path: whole vectors of channels and odd ones, strides, padding, dilation, groups, first
/// layers, single pixels; of Winograd's tiles, both sizes, odd extents, every padding, one and several
/// panels of channels, more tiles than are worked on at a time.
private let cases: [ConvolutionCase] = [
    .init((8, 8, 16), 16, (3, 3), padding: (1, 1)),
    .init((9, 7, 16), 32, (3, 3), padding: (1, 1), bias: true),
    .init((7, 6, 48), 16, (3, 3), padding: (0, 1)),
    .init((4, 5, 32), 80, (3, 3), padding: (2, 0), bias: true),
    .init((4, 4, 96), 48, (3, 3), padding: (1, 2)),
    .init((36, 30, 16), 16, (3, 3), padding: (1, 1)),
    .init((11, 14, 32), 80, (3, 3), padding: (1, 1), bias: true),
    .init((14, 13, 96), 48, (3, 3), padding: (2, 0)),
    .init((15, 20, 48), 16, (3, 3), padding: (0, 2), bias: true),
    .init((8, 16, 64), 64, (3, 3), padding: (1, 1)),
    .init((6, 8, 64), 64, (3, 3)),
    .init((9, 7, 16), 32, (3, 3), stride: (2, 2), padding: (1, 1)),
    .init((8, 6, 32), 64, (1, 1), stride: (2, 2)),
    .init((5, 9, 48), 16, (1, 1), bias: true),
    .init((7, 5, 17), 19, (3, 3), padding: (1, 1)),
    .init((7, 5, 10), 33, (3, 2), stride: (2, 1), padding: (1, 0), bias: true),
    .init((11, 12, 16), 16, (3, 3), padding: (2, 2), dilation: (2, 2)),
    .init((9, 10, 5), 7, (2, 3), dilation: (2, 3), bias: true),
    .init((6, 7, 32), 48, (3, 3), padding: (1, 1), groups: 2),
    .init((6, 7, 32), 32, (3, 3), padding: (1, 1), groups: 32, bias: true),
    .init((13, 19, 80), 80, (3, 3), padding: (1, 1), groups: 80),
    .init((14, 25, 19), 19, (5, 5), stride: (2, 2), padding: (2, 2), groups: 19, bias: true),
    .init((12, 9, 130), 130, (3, 3), stride: (2, 1), padding: (1, 0), groups: 130),
    .init((10, 11, 24), 24, (7, 7), padding: (3, 3), groups: 24),
    .init((9, 12, 64), 64, (3, 3), padding: (2, 2), dilation: (2, 2), groups: 64),
    .init((3, 2, 5), 5, (2, 4), stride: (3, 1), padding: (2, 4), groups: 5),
    .init((5, 6, 17), 17, (3, 3), stride: (2, 2), dilation: (2, 1), groups: 17),
    .init((6, 5, 6), 9, (3, 3), padding: (1, 1), groups: 3),
    .init((12, 12, 3), 16, (3, 3), padding: (1, 1)),
    .init((23, 17, 3), 64, (7, 7), stride: (2, 2), padding: (3, 3)),
    .init((32, 32, 3), 6, (5, 5), bias: true),
    .init((14, 14, 6), 16, (5, 5), bias: true),
    .init((28, 28, 1), 32, (3, 3), bias: true),
    .init((9, 7, 3), 32, (3, 2), padding: (1, 2), bias: true),
    .init((4, 3, 8), 16, (2, 3)),
    .init((13, 19, 3), 6, (5, 5), bias: true),
    .init((9, 21, 6), 5, (3, 3), padding: (1, 1), bias: true),
    .init((8, 37, 2), 1, (2, 5), padding: (1, 3)),
    .init((5, 5, 6), 4, (5, 5), padding: (2, 2)),
    .init((1, 1, 64), 32, (1, 1)),
    .init((1, 1, 5), 3, (1, 1), bias: true),
    .init((1, 1, 16), 16, (3, 3), padding: (1, 1)),
    .init((3, 2, 1), 1, (3, 2), bias: true),
]

/// A convolution's weight as its passes read it: the parameter in memory, or copies of it.
struct ConvolutionWeights {
    let forward: GuardedBuffer<Float>
    let backward: GuardedBuffer<Float>

    /// `weight` in the file's order.
    init(_ plan: Convolution, _ weight: [Float]) throws {
        let parameter = GuardedBuffer([Float](repeating: 0, count: plan.layout.count))
        for (i, value) in weight.enumerated() {
            parameter.pointer[plan.layout.offset(ofFileIndex: i)] = value
        }
        let forwardCopy = plan.packedForwardCount.map { GuardedBuffer<Float>(count: $0) }
        let backwardCopy = plan.packedBackwardCount.map { GuardedBuffer<Float>(count: $0) }
        if let forwardCopy {
            plan.packForward(weight: parameter.pointer, into: forwardCopy.pointer)
        }
        if let backwardCopy {
            plan.packBackward(weight: parameter.pointer, into: backwardCopy.pointer)
        }
        (forward, backward) = (forwardCopy ?? parameter, backwardCopy ?? parameter)
        #expect(forward.isIntact && backward.isIntact)
    }
}

/// A convolution's operands and what the passes give.
private struct ConvolutionRun {
    let shape: ConvolutionShape
    let bias: Bool
    let layout: WeightLayout
    let input: [Float]
    let weight: [Float]
    let biases: [Float]
    let outputGradient: [Float]

    init(_ test: ConvolutionCase, images: Int) throws {
        shape = test.shape
        bias = test.bias
        layout = Convolution.weightLayout(shape)
        input = normals(images * shape.inputCount, index: 1)
        weight = normals(shape.weightCount, deviation: 0.3, index: 2)
        biases = normals(shape.outputChannels, index: 3)
        outputGradient = normals(images * shape.outputCount, index: 4)
    }

    struct Result: Equatable {
        var output: [Float] = []
        var inputGradient: [Float] = []
        /// As it lies in memory.
        var weightGradient: [Float] = []
        var biasGradient: [Float] = []

        /// To the bit, in this order.
        var bits: [[UInt32]] {
            [output, inputGradient, weightGradient, biasGradient].map { $0.map(\.bitPattern) }
        }
    }

    /// The passes over `images`, on memory `offset` Floats from alignment.
    func run(_ plan: Convolution, images: Range<Int>, offset: Int = 0) throws -> Result {
        func part(_ values: [Float], _ count: Int) -> GuardedBuffer<Float> {
            GuardedBuffer(
                Array(values[images.lowerBound * count..<images.upperBound * count]),
                offset: offset)
        }
        let weights = try ConvolutionWeights(plan, weight)
        let x = part(input, shape.inputCount)
        let dy = part(outputGradient, shape.outputCount)
        let y = GuardedBuffer<Float>(count: dy.values.count, offset: offset)
        let dx = GuardedBuffer<Float>(count: x.values.count, offset: offset)
        let dw = GuardedBuffer<Float>(count: layout.count)
        let db = GuardedBuffer<Float>(count: shape.outputChannels, offset: offset)
        let b = GuardedBuffer(biases, offset: offset)
        plan.forward(
            images: images.count, input: x.pointer,
            weight: weights.forward.pointer, bias: bias ? b.pointer : nil,
            output: y.pointer)
        plan.backwardData(
            images: images.count, outputGradient: dy.pointer,
            weight: weights.backward.pointer, inputGradient: dx.pointer)
        plan.backwardWeights(
            images: images.count, input: x.pointer, outputGradient: dy.pointer,
            weightGradient: dw.pointer, biasGradient: bias ? db.pointer : nil)
        #expect([y, dx, dw, db].allSatisfy { $0.isIntact })
        return Result(
            output: y.values, inputGradient: dx.values, weightGradient: dw.values,
            biasGradient: bias ? db.values : [])
    }

    func plan(_ images: Set<Int>) -> Convolution {
        Convolution(shape, images: images.max() ?? 1, bias: bias, backwardData: true)
    }
}

@Suite("convolution")
struct ConvolutionTests {
    @Test("forward and backward follow the reference", arguments: cases, [0, 1, 3])
    func reference(test: ConvolutionCase, images: Int) throws {
        let run = try ConvolutionRun(test, images: images)
        let result = try run.run(
            run.plan([images]), images: 0..<images, offset: images)
        let output = ConvolutionReference.forward(
            test.shape, images: images, input: doubles(run.input), weight: doubles(run.weight),
            bias: run.bias
                ? doubles(run.biases) : Array(repeating: 0, count: test.shape.outputChannels))
        let gradients = ConvolutionReference.backward(
            test.shape, images: images, input: doubles(run.input), weight: doubles(run.weight),
            outputGradient: doubles(run.outputGradient))
        // Sums of at most a thousand products in Float32.
        #expect(largestDifference(result.output, output) < 3e-6)
        #expect(largestDifference(result.inputGradient, gradients.input) < 3e-6)
        var memory = result.weightGradient
        let file = (0..<test.shape.weightCount).map { i in
            let offset = run.layout.offset(ofFileIndex: i)
            defer { memory[offset] = 0 }
            return memory[offset]
        }
        #expect(largestDifference(file, gradients.weight) < 3e-6)
        #expect(memory.allSatisfy { $0 == 0 }, "padding of the weight's gradient is not 0")
        if run.bias { #expect(largestDifference(result.biasGradient, gradients.bias) < 3e-6) }
    }

    @Test("an image's bits do not depend on the images beside it", arguments: cases)
    func imageIndependence(test: ConvolutionCase) throws {
        let run = try ConvolutionRun(test, images: 5)
        let plan = run.plan([1, 2, 3, 5])
        let whole = try run.run(plan, images: 0..<5)
        for parts in [[0..<1, 1..<2, 2..<3, 3..<4, 4..<5], [0..<2, 2..<5], [0..<3, 3..<5]] {
            let results = try parts.map { try run.run(plan, images: $0, offset: $0.lowerBound) }
            #expect(bits(results.flatMap(\.output)) == bits(whole.output))
            #expect(bits(results.flatMap(\.inputGradient)) == bits(whole.inputGradient))
        }
    }

    @Test("a plan gives the same bits again, and so does another", arguments: cases)
    func repetition(test: ConvolutionCase) throws {
        let run = try ConvolutionRun(test, images: 4)
        let plan = run.plan([4])
        let first = try run.run(plan, images: 0..<4)
        #expect(try run.run(plan, images: 0..<4, offset: 3).bits == first.bits)
        #expect(try run.run(run.plan([1, 4]), images: 0..<4, offset: 1).bits == first.bits)
    }

    @Test(
        "parts of the weight's gradient have the bits of the whole, of loaded images, too",
        arguments: cases)
    func parts(test: ConvolutionCase) {
        let (shape, images) = (test.shape, 4)
        let plan = Convolution(shape, images: images, bias: false, backwardData: false)
        let random = CounterRandom(seed: 3, purpose: .benchmark, index: 0)
        func filled(_ count: Int, from first: Int) -> [Float] {
            (0..<count).map { Float(random.uniform(at: first + $0) - 0.5) }
        }
        let x = filled(images * shape.inputCount, from: 0)
        let dy = filled(images * shape.outputCount, from: x.count)
        func gradient(of range: Range<Int>) -> [Float] {
            var whole = [Float](repeating: .nan, count: plan.layout.count)
            x.withUnsafeBufferPointer { x in
                dy.withUnsafeBufferPointer { dy in
                    plan.backwardWeights(
                        images: range.count,
                        input: x.baseAddress! + range.lowerBound * shape.inputCount,
                        outputGradient: dy.baseAddress! + range.lowerBound * shape.outputCount,
                        weightGradient: &whole, biasGradient: nil)
                }
            }
            return whole
        }
        /// What `write` leaves of values that are none.
        func check(_ units: Range<Int>, _ whole: [Float], _ write: (inout [Float]) -> Void) {
            var part = [Float](repeating: .nan, count: plan.layout.count)
            write(&part)
            var expected = [Float](repeating: .nan, count: plan.layout.count)
            plan.weightPart(units).forEachRun { expected[$0] = whole[$0] }
            #expect(bits(part) == bits(expected), "units \(units) of \(plan.weightUnits)")
        }
        let units = plan.weightUnits
        #expect(units > 0)
        let cuts = Set([0, 1, units / 2, units - 1, units]).sorted()
        let whole = gradient(of: 0..<images)
        for (first, end) in zip(cuts, cuts.dropFirst()) {
            check(first..<end, whole) { part in
                plan.backwardWeights(
                    images: images, input: x, outputGradient: dy, units: first..<end,
                    weightGradient: &part, biasGradient: nil)
            }
        }
        let together = min(images, plan.imagesAtOnce)
        guard together > 1 else { return }
        for range in [0..<1, 1..<together, 0..<together] {
            let alone = gradient(of: range)
            plan.load(images: together, input: x, outputGradient: dy)
            for (first, end) in zip(cuts, cuts.dropFirst()) {
                check(first..<end, alone) { part in
                    plan.backwardWeights(
                        loaded: range, input: x, outputGradient: dy, units: first..<end,
                        weightGradient: &part)
                }
            }
        }
    }

    @Test("every value has a place of its own in memory", arguments: cases)
    func places(test: ConvolutionCase) throws {
        let layout = Convolution.weightLayout(test.shape)
        let places = (0..<test.shape.weightCount).map(layout.offset(ofFileIndex:))
        #expect(Set(places).count == places.count)
        #expect(places.allSatisfy { (0..<layout.count).contains($0) })
    }

    @Test("an output's extent follows PyTorch's floor rule")
    func extents() {
        let odd = ConvolutionCase(
            (224, 31, 3), 64, (7, 3), stride: (2, 3), padding: (3, 0), dilation: (1, 2)
        ).shape
        #expect(odd.outputHeight == 112 && odd.outputWidth == 9)
        // Of a 3×3 kernel's nine, a corner uses four and an edge six.
        let padded = ConvolutionCase((4, 5, 6), 8, (3, 3), padding: (1, 1), groups: 2).shape
        #expect(padded.operations == 2 * (4 * 4 + 10 * 6 + 6 * 9) * 8 * 3)
    }
}
