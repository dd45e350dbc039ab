import KernelReferences
import Kernels
import TestSupport
import Testing

/// [H, W, C], kernel, stride, padding.
private let shapes: [PoolingShape] = {
    let geometries: [(Int, Int, Int, Int, Int, Int, Int, Int)] = [
        (28, 28, 2, 2, 2, 2, 0, 0), (7, 9, 2, 2, 2, 2, 0, 0), (11, 8, 3, 3, 2, 2, 1, 1),
        (6, 5, 3, 2, 1, 1, 1, 1), (5, 7, 2, 3, 3, 4, 0, 0), (4, 4, 3, 3, 3, 3, 0, 0),
        (1, 1, 1, 1, 1, 1, 0, 0), (1, 1, 3, 3, 2, 2, 1, 1), (5, 4, 5, 4, 1, 1, 0, 0),
        (2, 30, 2, 2, 2, 2, 0, 0), (3, 2, 2, 1, 1, 1, 0, 0),
    ]
    return geometries.flatMap { g in
        [1, 2, 6, 8, 9, 15, 16, 17, 24, 32, 37].map { channels in
            PoolingShape(
                inputHeight: g.0, inputWidth: g.1, channels: channels, kernelHeight: g.2,
                kernelWidth: g.3, strideHeight: g.4, strideWidth: g.5, paddingHeight: g.6,
                paddingWidth: g.7)
        }
    }
}()

@Suite("pooling")
struct PoolingTests {
    /// Few different values, so that windows hold the same maximum twice.
    private func steps(_ count: Int) -> [Float] {
        normals(count, index: 1).map { ($0 * 2).rounded() }
    }

    private func maximum(
        _ shape: PoolingShape, _ images: Int, _ x: [Float], _ dy: [Float], offset: Int
    ) -> (output: [Float], inputGradient: [Float]) {
        let input = GuardedBuffer(x, offset: offset)
        let gradient = GuardedBuffer(dy, offset: offset)
        let output = GuardedBuffer<Float>(count: dy.count, offset: offset)
        let result = GuardedBuffer<Float>(count: x.count, offset: offset)
        maxPool(shape, images: images, input: input.pointer, output: output.pointer)
        maxPoolBackward(
            shape, images: images, input: input.pointer, output: output.pointer,
            outputGradient: gradient.pointer, inputGradient: result.pointer)
        #expect(output.isIntact && result.isIntact)
        return (output.values, result.values)
    }

    private func average(
        _ shape: PoolingShape, _ images: Int, _ x: [Float], _ dy: [Float], offset: Int
    ) -> (output: [Float], inputGradient: [Float]) {
        let input = GuardedBuffer(x, offset: offset)
        let gradient = GuardedBuffer(dy, offset: offset)
        let output = GuardedBuffer<Float>(count: dy.count, offset: offset)
        let result = GuardedBuffer<Float>(count: x.count, offset: offset)
        averagePool(shape, images: images, input: input.pointer, output: output.pointer)
        averagePoolBackward(
            shape, images: images, outputGradient: gradient.pointer,
            inputGradient: result.pointer)
        #expect(output.isIntact && result.isIntact)
        return (output.values, result.values)
    }

    @Test("forward and backward follow the references", arguments: shapes, [0, 1, 3])
    func reference(shape: PoolingShape, images: Int) {
        let x = steps(images * shape.inputCount)
        let dy = normals(images * shape.outputCount, index: 2)
        let expected = PoolingReference.maximum(
            shape, images: images, input: doubles(x), outputGradient: doubles(dy))
        let actual = maximum(shape, images, x, dy, offset: images)
        let sameOutput = doubles(actual.output) == expected.output
        #expect(sameOutput)
        #expect(largestDifference(actual.inputGradient, expected.inputGradient) < 1e-6)

        let mean = PoolingReference.average(
            shape, images: images, input: doubles(x), outputGradient: doubles(dy))
        let means = average(shape, images, x, dy, offset: images)
        #expect(largestDifference(means.output, mean.output, magnitude: 1) < 1e-6)
        #expect(largestDifference(means.inputGradient, mean.inputGradient) < 1e-6)
    }

    @Test("an image's bits do not depend on the images beside it", arguments: shapes)
    func imageIndependence(shape: PoolingShape) {
        let x = steps(5 * shape.inputCount)
        let dy = normals(5 * shape.outputCount, index: 2)
        func part(_ values: [Float], _ count: Int, _ image: Int) -> [Float] {
            Array(values[image * count..<(image + 1) * count])
        }
        for pool in [maximum, average] {
            let whole = pool(shape, 5, x, dy, 0)
            let parts = (0..<5).map {
                pool(shape, 1, part(x, shape.inputCount, $0), part(dy, shape.outputCount, $0), $0)
            }
            #expect(bits(whole.output) == bits(parts.flatMap(\.output)))
            #expect(bits(whole.inputGradient) == bits(parts.flatMap(\.inputGradient)))
        }
    }

    @Test("NaN goes through a maximum, and no infinity is lost", arguments: [1, 6, 16, 19])
    func specialValues(channels: Int) {
        let shape = PoolingShape(
            inputHeight: 4, inputWidth: 6, channels: channels, kernelHeight: 2, kernelWidth: 3,
            strideHeight: 2, strideWidth: 3)
        for special in [Float.nan, .infinity, -.infinity] {
            for place in 0..<shape.inputCount {
                var x = steps(shape.inputCount)
                x[place] = special
                let dy = normals(shape.outputCount, index: 2)
                let expected = PoolingReference.maximum(
                    shape, images: 1, input: doubles(x), outputGradient: doubles(dy))
                let actual = maximum(shape, 1, x, dy, offset: 1)
                #expect(actual.output.map(\.isNaN) == expected.output.map(\.isNaN))
                #expect(
                    zip(actual.output, expected.output).allSatisfy {
                        $0.isNaN || Double($0) == $1
                    })
                let sameGradient = doubles(actual.inputGradient) == expected.inputGradient
                #expect(sameGradient)
            }
        }
    }

    @Test("a global average follows the reference", arguments: [1, 6, 16, 37, 64], [0, 1, 3])
    func globalAverage(channels: Int, images: Int) {
        for (height, width) in [(1, 1), (8, 8), (7, 5)] {
            let shape = PoolingShape(
                inputHeight: height, inputWidth: width, channels: channels, kernelHeight: height,
                kernelWidth: width, strideHeight: 1, strideWidth: 1)
            let x = normals(images * shape.inputCount, index: 1)
            let dy = normals(images * channels, index: 2)
            let expected = PoolingReference.average(
                shape, images: images, input: doubles(x), outputGradient: doubles(dy))
            let output = GuardedBuffer<Float>(count: dy.count, offset: 1)
            let gradient = GuardedBuffer<Float>(count: x.count, offset: 1)
            globalAveragePool(
                images: images, positions: height * width, channels: channels, input: x,
                output: output.pointer)
            globalAveragePoolBackward(
                images: images, positions: height * width, channels: channels,
                outputGradient: dy, inputGradient: gradient.pointer)
            #expect(largestDifference(output.values, expected.output, magnitude: 0.1) < 1e-6)
            #expect(largestDifference(gradient.values, expected.inputGradient) < 1e-6)
            #expect(output.isIntact && gradient.isIntact)
        }
    }
}
