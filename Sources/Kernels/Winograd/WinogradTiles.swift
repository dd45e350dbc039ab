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
    struct Place {
        private(set) var (image, y, x): (Int, Int, Int)
        private let (height, width): (Int, Int)

        @inline(__always)
        fileprivate init(_ tile: Int, _ tiles: WinogradTiles) {
            image = tile / tiles.perImage
            let rest = tile &- image &* tiles.perImage
            let row = rest / tiles.columns
            (y, x) = (2 &* row, 2 &* (rest &- row &* tiles.columns))
            (height, width) = (tiles.outputHeight, tiles.outputWidth)
        }

        /// The next tile.
        @inline(__always)
        mutating func advance() {
            x &+= 2
            if x < width { return }
            x = 0
            y &+= 2
            if y < height { return }
            y = 0
            image &+= 1
        }
    }

    /// The transformed patches of `tiles` to [16 frequencies, tiles, C], `stride` Floats from one
    /// frequency to the next.
    func transformInputs(
        _ tiles: Range<Int>, _ images: UnsafePointer<Float>,
        into frequencies: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let channels = inputChannels
        let row = inputWidth &* channels
        var target = frequencies
        var place = Place(tiles.lowerBound, self)
        for _ in tiles {
            let (top, left) = (place.y &- paddingHeight, place.x &- paddingWidth)
            let pixels = images + place.image &* inputHeight &* row
            let patch = pixels + (top &* row &+ left &* channels)
            if top >= 0, left >= 0, top &+ 4 <= inputHeight, left &+ 4 <= inputWidth {
                var c = 0
                while c < channels {
                    transformInput(
                        Patch(patch + c, row: row, column: channels), into: target + c,
                        stride: stride)
                    c &+= laneCount
                }
            } else {
                transformBorder(patch, top, left, into: target, stride: stride)
            }
            target += channels
            place.advance()
        }
    }

    /// A patch that reaches over the image's edge.
    @inline(never)
    private func transformBorder(
        _ patch: UnsafePointer<Float>, _ top: Int, _ left: Int,
        into target: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let channels = inputChannels
        var c = 0
        while c < channels {
            transformInput(
                BorderPatch(
                    patch + c, row: inputWidth &* channels, column: channels, top: top,
                    left: left, height: inputHeight, width: inputWidth), into: target + c,
                stride: stride)
            c &+= laneCount
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
        var place = Place(tiles.lowerBound, self)
        for _ in tiles {
            let (image, y, x) = (place.image, place.y, place.x)
            place.advance()
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
        var place = Place(tiles.lowerBound, self)
        for _ in tiles {
            let (image, y, x) = (place.image, place.y, place.x)
            place.advance()
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
