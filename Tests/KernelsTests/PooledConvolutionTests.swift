import KernelReferences
import Kernels
import TestSupport
import Testing

/// Five kernel rows and more of them, rows of one to four vectors, odd extents whose last row or
/// column no window takes, padding, few and many channels; then 3×3 kernels of whole vectors of
/// channels.
private let cases: [ConvolutionCase] = [
    .init((32, 32, 3), 6, (5, 5), bias: true),
    .init((14, 14, 6), 16, (5, 5), bias: true),
    .init((13, 19, 3), 6, (5, 5)),
    .init((12, 11, 3), 17, (5, 5), padding: (2, 2), bias: true),
    .init((15, 20, 4), 1, (7, 7), padding: (3, 0)),
    .init((11, 13, 6), 5, (5, 7), bias: true),
    .init((9, 8, 12), 20, (5, 5), padding: (0, 1)),
    .init((6, 6, 3), 2, (5, 5)),
    .init((28, 28, 1), 32, (3, 3), bias: true),
    .init((9, 12, 3), 16, (3, 3), padding: (1, 1), bias: true),
    .init((8, 11, 2), 32, (3, 3), padding: (0, 1)),
    .init((5, 4, 4), 16, (3, 3)),
]

private struct PooledRun {
    let test: ConvolutionCase
    let pooling: PoolingShape
    let layout: WeightLayout
    let input: [Float]
    let weight: [Float]
    let biases: [Float]
    let outputGradient: [Float]

    var shape: ConvolutionShape { test.shape }

    /// With `whole`, all values are whole numbers: sums are exact, and windows hold their largest
    /// value several times.
    init(_ test: ConvolutionCase, images: Int, whole: Bool = false) throws {
        self.test = test
        let shape = test.shape
        pooling = PoolingShape(
            inputHeight: shape.outputHeight, inputWidth: shape.outputWidth,
            channels: shape.outputChannels, kernelHeight: 2, kernelWidth: 2, strideHeight: 2,
            strideWidth: 2)
        layout = Convolution.weightLayout(shape)
        func values(_ count: Int, _ scale: Float, _ index: UInt64) -> [Float] {
            normals(count, index: index).map { whole ? ($0 * scale).rounded() : $0 }
        }
        input = values(images * shape.inputCount, 0.6, 1)
        weight = values(shape.weightCount, 0.6, 2)
        biases = values(shape.outputChannels, 2, 3)
        outputGradient = values(images * pooling.outputCount, 3, 4)
    }

    struct Result {
        var output: [Float]
        var maxima: [Int32]
        var inputGradient: [Float]
        /// In the file's order.
        var weightGradient: [Float]
        var biasGradient: [Float]

        var bits: [[UInt32]] {
            [output, inputGradient, weightGradient, biasGradient].map { $0.map(\.bitPattern) }
                + [maxima.map(UInt32.init(bitPattern:))]
        }
    }

    func plan() -> PooledConvolution {
        PooledConvolution(shape, pooling, bias: test.bias, backwardData: true)
    }

    /// The passes over `images`, on memory `offset` Floats from alignment.
    func run(
        _ plan: PooledConvolution, images: Range<Int>, offset: Int = 0, input: [Float]? = nil
    ) throws -> Result {
        func part(_ values: [Float], _ count: Int) -> GuardedBuffer<Float> {
            GuardedBuffer(
                Array(values[images.lowerBound * count..<images.upperBound * count]),
                offset: offset)
        }
        let weights = try ConvolutionWeights(plan.convolution, weight)
        let x = part(input ?? self.input, shape.inputCount)
        let dy = part(outputGradient, pooling.outputCount)
        let count = dy.values.count
        let y = GuardedBuffer<Float>(count: count, offset: offset)
        let dx = GuardedBuffer<Float>(count: x.values.count, offset: offset)
        let dw = GuardedBuffer<Float>(count: layout.count)
        let db = GuardedBuffer<Float>(count: shape.outputChannels, offset: offset)
        let b = GuardedBuffer(biases, offset: offset)
        // A guard value of Float's, read as whole numbers.
        let found = GuardedBuffer<Float>(count: count, offset: offset)
        found.pointer.withMemoryRebound(to: Int32.self, capacity: max(count, 1)) { maxima in
            plan.forward(
                images: images.count, input: x.pointer,
                weight: weights.forward.pointer, bias: test.bias ? b.pointer : nil,
                output: y.pointer, maxima: maxima)
            plan.backwardData(
                images: images.count, outputGradient: dy.pointer, maxima: maxima,
                weight: weights.backward.pointer, inputGradient: dx.pointer)
            plan.backwardWeights(
                images: images.count, input: x.pointer, outputGradient: dy.pointer,
                maxima: maxima, weightGradient: dw.pointer,
                biasGradient: test.bias ? db.pointer : nil)
        }
        #expect([y, dx, dw, db, found].allSatisfy { $0.isIntact })
        let gradient = dw.values
        return Result(
            output: y.values, maxima: found.values.map { Int32(bitPattern: $0.bitPattern) },
            inputGradient: dx.values,
            weightGradient: (0..<shape.weightCount).map {
                gradient[layout.offset(ofFileIndex: $0)]
            },
            biasGradient: test.bias ? db.values : [])
    }

    /// Convolution, pooling and their gradients, each by itself and in Float64.
    func reference(images: Int) -> (
        output: [Double], input: [Double], weight: [Double], bias: [Double]
    ) {
        let convolved = ConvolutionReference.forward(
            shape, images: images, input: doubles(input), weight: doubles(weight),
            bias: test.bias ? doubles(biases) : Array(repeating: 0, count: shape.outputChannels))
        let pooled = PoolingReference.maximum(
            pooling, images: images, input: convolved, outputGradient: doubles(outputGradient))
        let gradients = ConvolutionReference.backward(
            shape, images: images, input: doubles(input), weight: doubles(weight),
            outputGradient: pooled.inputGradient)
        return (pooled.output, gradients.input, gradients.weight, gradients.bias)
    }
}

@Suite("convolution with max pooling behind it")
struct PooledConvolutionTests {
    @Test("whole numbers give the reference's values exactly", arguments: cases, [0, 1, 3])
    func exact(test: ConvolutionCase, images: Int) throws {
        let run = try PooledRun(test, images: images, whole: true)
        let result = try run.run(run.plan(), images: 0..<images, offset: images)
        let expected = run.reference(images: images)
        #expect(doubles(result.output) == expected.output)
        #expect(doubles(result.inputGradient) == expected.input)
        #expect(doubles(result.weightGradient) == expected.weight)
        if test.bias { #expect(doubles(result.biasGradient) == expected.bias) }
    }

    @Test("any numbers follow the reference", arguments: cases)
    func reference(test: ConvolutionCase) throws {
        let run = try PooledRun(test, images: 3)
        let result = try run.run(run.plan(), images: 0..<3, offset: 1)
        let expected = run.reference(images: 3)
        #expect(largestDifference(result.output, expected.output) < 3e-6)
        #expect(largestDifference(result.inputGradient, expected.input) < 3e-6)
        #expect(largestDifference(result.weightGradient, expected.weight) < 3e-6)
        if test.bias { #expect(largestDifference(result.biasGradient, expected.bias) < 3e-6) }
    }

    @Test("an image's bits do not depend on the images beside it", arguments: cases)
    func imageIndependence(test: ConvolutionCase) throws {
        let run = try PooledRun(test, images: 5)
        let plan = run.plan()
        let whole = try run.run(plan, images: 0..<5)
        let parts = try [0..<1, 1..<3, 3..<5].map {
            try run.run(plan, images: $0, offset: $0.lowerBound)
        }
        #expect(bits(parts.flatMap(\.output)) == bits(whole.output))
        #expect(parts.flatMap(\.maxima) == whole.maxima)
        #expect(bits(parts.flatMap(\.inputGradient)) == bits(whole.inputGradient))
        #expect(try run.run(run.plan(), images: 0..<5, offset: 3).bits == whole.bits)
    }

    @Test("a window with NaN gives NaN, and its gradient goes to the first one", arguments: cases)
    func notANumber(test: ConvolutionCase) throws {
        let run = try PooledRun(test, images: 2, whole: true)
        let shape = run.shape
        var input = run.input
        // A pixel in the middle of the first image, which several windows take.
        let pixel = shape.inputHeight / 2 * shape.inputWidth + shape.inputWidth / 2
        input[pixel * shape.inputChannels] = .nan
        let result = try run.run(run.plan(), images: 0..<2, input: input)
        let convolved = ConvolutionReference.forward(
            shape, images: 2, input: doubles(input), weight: doubles(run.weight),
            bias: Array(repeating: 0, count: shape.outputChannels))
        let (row, width) = (shape.outputWidth, run.pooling.outputWidth)
        var windows = 0
        for (i, maximum) in result.maxima.enumerated() {
            let (k, window) = (i % shape.outputChannels, i / shape.outputChannels)
            let place = window % (width * run.pooling.outputHeight)
            let image = window / (width * run.pooling.outputHeight)
            let corner = place / width * 2 * row + place % width * 2
            let first = [corner, corner + 1, corner + row, corner + row + 1].first {
                convolved[image * shape.outputCount + $0 * shape.outputChannels + k].isNaN
            }
            #expect(result.output[i].isNaN == (first != nil))
            if let first {
                windows += 1
                #expect(Int(maximum) == first)
            }
        }
        #expect(windows > 0)
    }

    @Test("other kernels, strides, groups and windows are left alone")
    func suits() {
        func suits(_ test: ConvolutionCase, _ size: Int = 2, stride: Int = 2) -> Bool {
            let shape = test.shape
            return PooledConvolution.suits(
                shape,
                PoolingShape(
                    inputHeight: shape.outputHeight, inputWidth: shape.outputWidth,
                    channels: shape.outputChannels, kernelHeight: size, kernelWidth: size,
                    strideHeight: stride, strideWidth: stride))
        }
        let isWide = suits(cases[0])
        #expect(cases.allSatisfy { suits($0) == isWide }, "all or, without AVX-512, none")
        #expect(!suits(.init((28, 28, 1), 24, (3, 3))))
        #expect(!suits(.init((28, 28, 1), 32, (2, 3))))
        #expect(!suits(.init((28, 28, 2), 8, (3, 3))))
        #expect(!suits(.init((28, 28, 16), 32, (3, 3), padding: (1, 1))))
        #expect(!suits(.init((28, 28, 3), 6, (5, 5), stride: (2, 2))))
        #expect(!suits(.init((28, 28, 6), 6, (5, 5), groups: 3)))
        #expect(!suits(.init((28, 28, 3), 6, (5, 5), dilation: (2, 2))))
        #expect(!suits(cases[0], 3))
        #expect(!suits(cases[0], 2, stride: 1))
    }
}
