import TensorCore

/// The 2×2 output tiles of some images, and how their inputs and outputs lie in memory.
struct WinogradTiles {
    /// Extents and channels of the images that patches are taken from.
    let (inputHeight, inputWidth, inputChannels): (Int, Int, Int)
    /// Extents and channels of what comes out.
    let (outputHeight, outputWidth, outputChannels): (Int, Int, Int)
    /// Zeros around the input.
    let (paddingHeight, paddingWidth): (Int, Int)

    /// Tiles in a row of an image.
    var columns: Int { (outputWidth &+ 1) / 2 }
    /// Tiles of an image.
    var perImage: Int { (outputHeight &+ 1) / 2 &* columns }

    /// The tiles of a convolution, for forward and backward weights.
    init(_ shape: ConvolutionShape) {
        (inputHeight, inputWidth) = (shape.inputHeight, shape.inputWidth)
        (outputHeight, outputWidth) = (shape.outputHeight, shape.outputWidth)
        (inputChannels, outputChannels) = (shape.inputChannels, shape.outputChannels)
        (paddingHeight, paddingWidth) = (shape.paddingHeight, shape.paddingWidth)
    }

    /// Those of its backward data, the convolution of dY with the weights turned around.
    init(backwardDataOf shape: ConvolutionShape) {
        (inputHeight, inputWidth) = (shape.outputHeight, shape.outputWidth)
        (outputHeight, outputWidth) = (shape.inputHeight, shape.inputWidth)
        (inputChannels, outputChannels) = (shape.outputChannels, shape.inputChannels)
        (paddingHeight, paddingWidth) = (2 - shape.paddingHeight, 2 - shape.paddingWidth)
    }

    /// Where a tile is: its image, and its first output's row and column there.
    @inline(__always)
    func place(_ tile: Int) -> (image: Int, y: Int, x: Int) {
        let image = tile / perImage
        let rest = tile &- image &* perImage
        let row = rest / columns
        return (image, 2 &* row, 2 &* (rest &- row &* columns))
    }

    /// The transformed patches of `tiles` to [16 frequencies, tiles, C], `stride` Floats from one
    /// frequency to the next.
    ///
    /// - Parameter border: memory for one patch, [4, 4, C]
    func transformInputs(
        _ tiles: Range<Int>, _ images: UnsafePointer<Float>,
        into frequencies: UnsafeMutablePointer<Float>, stride: Int,
        border: UnsafeMutablePointer<Float>
    ) {
        let channels = inputChannels
        var target = frequencies
        for tile in tiles {
            let (image, y, x) = place(tile)
            let (top, left) = (y &- paddingHeight, x &- paddingWidth)
            let pixels = images + image &* inputHeight &* inputWidth &* channels
            var patch = pixels + (top &* inputWidth &+ left) &* channels
            var row = inputWidth &* channels
            if top < 0 || left < 0 || top &+ 4 > inputHeight || left &+ 4 > inputWidth {
                copyBorder(pixels, top, left, into: border)
                patch = UnsafePointer(border)
                row = 4 &* channels
            }
            var c = 0
            while c < channels {
                transformInput(
                    patch + c, row: row, column: channels, into: target + c, stride: stride)
                c &+= laneCount
            }
            target += channels
        }
    }

    /// A patch that reaches over the image's edge, with zeros there.
    private func copyBorder(
        _ pixels: UnsafePointer<Float>, _ top: Int, _ left: Int,
        into border: UnsafeMutablePointer<Float>
    ) {
        let channels = inputChannels
        let first = max(left, 0)
        let last = min(left &+ 4, inputWidth)
        for i in 0..<4 {
            let target = border + i &* 4 &* channels
            let y = top &+ i
            guard y >= 0, y < inputHeight, first < last else {
                target.update(repeating: 0, count: 4 &* channels)
                continue
            }
            target.update(repeating: 0, count: (first &- left) &* channels)
            (target + (first &- left) &* channels).update(
                from: pixels + (y &* inputWidth &+ first) &* channels,
                count: (last &- first) &* channels)
            (target + (last &- left) &* channels).update(
                repeating: 0, count: (left &+ 4 &- last) &* channels)
        }
    }

    /// The outputs of `tiles` from [16 frequencies, tiles, K], plus `bias`, [K].
    func transformOutputs(
        _ tiles: Range<Int>, _ frequencies: UnsafePointer<Float>, stride: Int,
        bias: UnsafePointer<Float>?, into images: UnsafeMutablePointer<Float>
    ) {
        let channels = outputChannels
        let row = outputWidth &* channels
        var source = frequencies
        for tile in tiles {
            let (image, y, x) = place(tile)
            let target =
                images + ((image &* outputHeight &+ y) &* outputWidth &+ x) &* channels
            let hasRight = x &+ 1 < outputWidth
            let hasLower = y &+ 1 < outputHeight
            var k = 0
            while k < channels {
                var out = transformOutput(source + k, stride: stride)
                if let bias {
                    let b = loadLanes(bias + k, laneCount)
                    out = (out.0 + b, out.1 + b, out.2 + b, out.3 + b)
                }
                let pixel = target + k
                storeLanes(out.0, pixel, laneCount)
                if hasRight { storeLanes(out.1, pixel + channels, laneCount) }
                if hasLower {
                    storeLanes(out.2, pixel + row, laneCount)
                    if hasRight { storeLanes(out.3, pixel + (row &+ channels), laneCount) }
                }
                k &+= laneCount
            }
            source += channels
        }
    }

    /// The transformed gradients of the outputs of `tiles` to [16 frequencies, tiles, K].
    func transformOutputGradients(
        _ tiles: Range<Int>, _ images: UnsafePointer<Float>,
        into frequencies: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let channels = outputChannels
        let row = outputWidth &* channels
        var target = frequencies
        for tile in tiles {
            let (image, y, x) = place(tile)
            let source =
                images + ((image &* outputHeight &+ y) &* outputWidth &+ x) &* channels
            let hasRight = x &+ 1 < outputWidth
            let hasLower = y &+ 1 < outputHeight
            var k = 0
            while k < channels {
                let pixel = source + k
                let zero = Lanes.zero
                transformOutputGradient(
                    (
                        loadLanes(pixel, laneCount),
                        hasRight ? loadLanes(pixel + channels, laneCount) : zero,
                        hasLower ? loadLanes(pixel + row, laneCount) : zero,
                        hasRight && hasLower
                            ? loadLanes(pixel + (row &+ channels), laneCount) : zero
                    ), into: target + k, stride: stride)
                k &+= laneCount
            }
            target += channels
        }
    }
}
