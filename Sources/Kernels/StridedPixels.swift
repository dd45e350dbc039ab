import TensorCore

/// The pixels that a 1×1 kernel with strides reads: over them alone it is one without.
///
/// oneDNN does the same inside (and on AVX2 wrote behind its scratch in doing so; see
/// ``ConvolutionScratch``).
final class StridedPixels {
    /// The convolution over the pixels, [H′, W′, C] in, [H′, W′, K] out.
    let dense: ConvolutionShape

    /// [images, H′, W′, C]
    let gathered: UnsafeMutablePointer<Float>
    private let shape: ConvolutionShape
    private let images: Int

    /// nil where the kernel reads other pixels than one for each output, or all of them.
    ///
    /// - Parameter images: the most at a time.
    init?(_ shape: ConvolutionShape, images: Int) {
        guard let dense = shape.overStridedPixels else { return nil }
        self.shape = shape
        self.dense = dense
        self.images = max(images, 1)
        let count = self.images * dense.inputCount
        gathered = alignedAllocation(of: Float.self, count: count)
        gathered.initialize(repeating: 0, count: count)
    }

    deinit { gathered.deallocate() }

    /// Brings the pixels of `images` together.
    ///
    /// - Parameter input: [images, H, W, C]
    /// - Returns: [images, H′, W′, C]
    func gather(_ input: UnsafePointer<Float>, images: Int) -> UnsafePointer<Float> {
        precondition(images <= self.images, "these pixels were planned for fewer images")
        var target = gathered
        forEachPixel(images) { place in
            target.update(from: input + place, count: shape.inputChannels)
            target += shape.inputChannels
        }
        return UnsafePointer(gathered)
    }

    /// Brings the pixels of an image back to their places; all others become 0.
    ///
    /// - Parameter output: [H, W, C], overwritten
    func scatter(into output: UnsafeMutablePointer<Float>) {
        output.update(repeating: 0, count: shape.inputCount)
        var source = gathered
        forEachPixel(1) { place in
            (output + place).update(from: source, count: shape.inputChannels)
            source += shape.inputChannels
        }
    }

    /// Calls `body` with where each pixel lies in [images, H, W, C].
    @inline(__always)
    private func forEachPixel(_ images: Int, _ body: (Int) -> Void) {
        let row = shape.inputWidth &* shape.inputChannels
        for n in 0..<images {
            for h in 0..<dense.inputHeight {
                var place = n &* shape.inputCount &+ h &* shape.strideHeight &* row
                for _ in 0..<dense.inputWidth {
                    body(place)
                    place &+= shape.strideWidth &* shape.inputChannels
                }
            }
        }
    }
}

extension ConvolutionShape {
    /// Of a 1×1 kernel with strides and without padding: the same over the pixels that it reads.
    fileprivate var overStridedPixels: ConvolutionShape? {
        guard kernelHeight == 1, kernelWidth == 1, paddingHeight == 0, paddingWidth == 0,
            strideHeight > 1 || strideWidth > 1
        else { return nil }
        return ConvolutionShape(
            inputHeight: outputHeight, inputWidth: outputWidth, inputChannels: inputChannels,
            outputChannels: outputChannels, kernelHeight: 1, kernelWidth: 1, groups: groups)
    }

    /// What is convolved in the end: `overStridedPixels` where there is one.
    var convolved: ConvolutionShape { overStridedPixels ?? self }
}
