import TensorCore

/// The output tiles of some images, and how their inputs and outputs lie in memory.
struct WinogradTiles<Transform: WinogradTransform> {
    /// Extents and channels of the images that patches are taken from.
    let (inputHeight, inputWidth, inputChannels): (Int, Int, Int)
    /// Extents and channels of what comes out.
    let (outputHeight, outputWidth, outputChannels): (Int, Int, Int)
    /// Zeros around the input.
    let (paddingHeight, paddingWidth): (Int, Int)

    /// Tiles in a row of an image.
    var columns: Int { (outputWidth &+ Transform.outputs &- 1) / Transform.outputs }
    /// Tiles of an image.
    var perImage: Int {
        (outputHeight &+ Transform.outputs &- 1) / Transform.outputs &* columns
    }

    /// The first pixel, of all images, of the row of tiles that a tile is in.
    func firstPixel(_ tile: Int) -> Int {
        let image = tile / perImage
        let row = (tile &- image &* perImage) / columns
        return (image &* outputHeight &+ row &* Transform.outputs) &* outputWidth
    }

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
            y = Transform.outputs &* row
            x = Transform.outputs &* (rest &- row &* tiles.columns)
            (height, width) = (tiles.outputHeight, tiles.outputWidth)
        }

        /// The next tile.
        @inline(__always)
        mutating func advance() {
            x &+= Transform.outputs
            if x < width { return }
            x = 0
            y &+= Transform.outputs
            if y < height { return }
            y = 0
            image &+= 1
        }
    }

    /// The transformed patches of `tiles` to [frequencies, tiles, C], `stride` Floats from one
    /// frequency to the next.
    ///
    /// - Parameter range: the channels, whole vectors.
    func transformInputs(
        _ tiles: Range<Int>, _ images: UnsafePointer<Float>, channels range: Range<Int>,
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
            if top >= 0, left >= 0, top &+ Transform.inputs <= inputHeight,
                left &+ Transform.inputs <= inputWidth
            {
                var c = range.lowerBound
                while c < range.upperBound {
                    Transform.transformInput(
                        Patch(patch + c, row: row, column: channels), into: target + c,
                        stride: stride)
                    c &+= laneCount
                }
            } else {
                transformBorder(patch, top, left, range, into: target, stride: stride)
            }
            target += channels
            place.advance()
        }
    }

    /// A patch that reaches over the image's edge.
    @inline(never)
    private func transformBorder(
        _ patch: UnsafePointer<Float>, _ top: Int, _ left: Int, _ channels: Range<Int>,
        into target: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let rows = max(0, 0 &- top)..<min(Transform.inputs, inputHeight &- top)
        let columns = max(0, 0 &- left)..<min(Transform.inputs, inputWidth &- left)
        switch rows {
        case 0..<Transform.inputs:
            transformBorder(patch, AllRows(), columns, channels, into: target, stride: stride)
        case 1..<Transform.inputs:
            transformBorder(
                patch, AllRowsButFirst(), columns, channels, into: target, stride: stride)
        case 0..<Transform.inputs &- 1:
            transformBorder(
                patch, AllRowsButLast(), columns, channels, into: target, stride: stride)
        default:
            transformBorder(patch, rows, columns, channels, into: target, stride: stride)
        }
    }

    /// Known rows need no branches.
    @inline(__always)
    private func transformBorder(
        _ patch: UnsafePointer<Float>, _ rows: some PatchRows, _ columns: Range<Int>,
        _ channels: Range<Int>, into target: UnsafeMutablePointer<Float>, stride: Int
    ) {
        var c = channels.lowerBound
        while c < channels.upperBound {
            Transform.transformInput(
                BorderPatch(
                    patch + c, row: inputWidth &* inputChannels, column: inputChannels,
                    rowCount: Transform.inputs, rows: rows, columns: columns), into: target + c,
                stride: stride)
            c &+= laneCount
        }
    }

    /// The outputs of `tiles` from [frequencies, tiles, K], plus `bias`, [K].
    func transformOutputs(
        _ tiles: Range<Int>, _ frequencies: UnsafePointer<Float>, stride: Int,
        bias: UnsafePointer<Float>?, into images: UnsafeMutablePointer<Float>
    ) {
        let channels = outputChannels
        let row = outputWidth &* channels
        var source = frequencies
        var place = Place(tiles.lowerBound, self)
        for _ in tiles {
            let first =
                images + ((place.image &* outputHeight &+ place.y) &* row &+ place.x &* channels)
            let (rows, columns) = (outputHeight &- place.y, outputWidth &- place.x)
            let isWhole = min(rows, columns) >= Transform.outputs
            place.advance()
            var k = 0
            while k < channels {
                let (source, bias, pixel) = (source + k, bias.map { $0 + k }, first + k)
                if isWhole {
                    Transform.transformOutput(
                        source, stride: stride, bias: bias,
                        into: WholeTile(pixel, row: row, column: channels))
                } else {
                    Transform.transformOutput(
                        source, stride: stride, bias: bias,
                        into: BorderTile(
                            pixel, row: row, column: channels, rows: rows, columns: columns))
                }
                k &+= laneCount
            }
            source += channels
        }
    }

    /// The transformed gradients of the outputs of `tiles` to [frequencies, tiles, K].
    func transformOutputGradients(
        _ tiles: Range<Int>, _ images: UnsafePointer<Float>,
        into frequencies: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let channels = outputChannels
        let row = outputWidth &* channels
        var target = frequencies
        var place = Place(tiles.lowerBound, self)
        for _ in tiles {
            let first =
                images + ((place.image &* outputHeight &+ place.y) &* row &+ place.x &* channels)
            let (rows, columns) = (outputHeight &- place.y, outputWidth &- place.x)
            let isWhole = min(rows, columns) >= Transform.outputs
            place.advance()
            var k = 0
            while k < channels {
                let (pixel, target) = (first + k, target + k)
                if isWhole {
                    Transform.transformOutputGradient(
                        WholeTile(pixel, row: row, column: channels), into: target,
                        stride: stride)
                } else {
                    Transform.transformOutputGradient(
                        BorderTile(
                            pixel, row: row, column: channels, rows: rows, columns: columns),
                        into: target, stride: stride)
                }
                k &+= laneCount
            }
            target += channels
        }
    }
}
