import TensorCore

// Convolutions with few channels, which would leave most lanes of a vector empty: 10 of 16 in LeNet's
// first layer. Here it is pixels (forward), or a whole row
// of the kernel with its channels (backward): 15 and 30 neighbouring values in LeNet's layers.
//
// All three run on the register tile of the inner product: six rows of whole vectors.

extension ConvolutionShape {
    /// Whether the kernels below can take this shape at all.
    var isDirect: Bool {
        groups == 1 && strideHeight == 1 && strideWidth == 1 && dilationHeight == 1
            && dilationWidth == 1
    }

    /// Vectors that a kernel row with its channels, S·C values, takes.
    var rowVectors: Int { (kernelWidth * inputChannels + laneCount - 1) / laneCount }

    var hasDirectForward: Bool {
        isDirect && outputChannels <= Tile<TileRow2>.rows && outputWidth >= laneCount / 2
    }

    /// Where kernel rows fill three quarters of their vectors, and channels at most half of one.
    var hasDirectBackwardData: Bool {
        isDirect && inputChannels <= laneCount / 2
            && 4 * kernelWidth * inputChannels >= 3 * rowVectors * laneCount
    }

    /// Where kernel rows fill more of their vectors than the output channels do.
    var hasDirectBackwardWeights: Bool {
        isDirect && outputChannels <= Tile<TileRow2>.rows
            && kernelWidth * inputChannels > outputChannels * rowVectors
    }

    /// An image into the middle of one with its padding, which stays as it is.
    func pad(_ input: UnsafePointer<Float>, into padded: UnsafeMutablePointer<Float>) {
        let row = inputWidth &* inputChannels
        for h in 0..<inputHeight {
            let first = (h &+ paddingHeight) &* paddedWidth &+ paddingWidth
            (padded + first &* inputChannels).update(from: input + h &* row, count: row)
        }
    }

    /// Columns of an image with its padding.
    var paddedWidth: Int { inputWidth + 2 * paddingWidth }

    /// Rows of an image with its padding.
    var paddedHeight: Int { inputHeight + 2 * paddingHeight }
}

/// Forward or backward data by one of the kernels below, image by image.
protocol DirectPass: ImagePass {
    var weights: DirectWeights { get }

    /// Floats of an image that goes in, and of one that comes out.
    var counts: (input: Int, output: Int) { get }

    /// One image; operands as `run` has them.
    func runOne(
        _ input: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>)
}

extension DirectPass {
    var name: String { "direct" }

    var packedCount: Int? { weights.count }

    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {
        weights.pack(weight, into: packed)
    }

    func run(
        images: Int, _ input: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>
    ) {
        let counts = counts
        for n in 0..<images {
            runOne(input + n * counts.input, packed, bias, output + n * counts.output)
        }
    }
}

/// A copy of weights in the order in which a kernel reads them; what no weight falls on is 0.
struct DirectWeights {
    /// Floats of the copy.
    let count: Int
    /// The place of every weight, in the parameter and in the copy.
    private let places: [(parameter: Int32, copy: Int32)]

    /// `place` gives the copy's place of weight (k, c, r, s).
    init(
        _ shape: ConvolutionShape, _ layout: WeightLayout, count: Int,
        place: (_ k: Int, _ c: Int, _ r: Int, _ s: Int) -> Int
    ) {
        self.count = count
        var index = 0
        var places: [(Int32, Int32)] = []
        for k in 0..<shape.outputChannels {
            for c in 0..<shape.inputChannels {
                for r in 0..<shape.kernelHeight {
                    for s in 0..<shape.kernelWidth {
                        places.append(
                            (Int32(layout.offset(ofFileIndex: index)), Int32(place(k, c, r, s))))
                        index += 1
                    }
                }
            }
        }
        self.places = places
    }

    /// From parameter to copy.
    func pack(_ parameter: UnsafePointer<Float>, into copy: UnsafeMutablePointer<Float>) {
        copy.update(repeating: 0, count: count)
        for place in places { copy[Int(place.copy)] = parameter[Int(place.parameter)] }
    }

    /// From copy to parameter, of which `count` Floats are overwritten.
    func unpack(
        _ copy: UnsafePointer<Float>, into parameter: UnsafeMutablePointer<Float>, count: Int
    ) {
        parameter.update(repeating: 0, count: count)
        for place in places { parameter[Int(place.parameter)] = copy[Int(place.copy)] }
    }
}

/// Forward for at most six output channels: pixels along the lanes, two vectors of them at a time.
///
/// The image is first taken apart into planes, [C, padded H, padded W].
final class DirectForward: DirectPass {
    let weights: DirectWeights
    private let shape: ConvolutionShape
    private let (outputHeight, outputWidth): (Int, Int)
    /// From one row of a plane to the next: a row has room for the last vector of pixels.
    private let rowStride: Int
    private let planes: UnsafeMutablePointer<Float>
    /// The results of a tile, [6, 2, 16].
    private let results: UnsafeMutablePointer<Float>
    /// Two channels of a vector of pixels, [16, 2].
    private let pairs: UnsafeMutablePointer<Float>

    private let fetching: PrefetchQueue?

    init(_ shape: ConvolutionShape, _ layout: WeightLayout, fetching: PrefetchQueue?) {
        self.shape = shape
        self.fetching = fetching
        (outputHeight, outputWidth) = (shape.outputHeight, shape.outputWidth)
        let (outputs, width) = (shape.outputChannels, shape.kernelWidth)
        weights = DirectWeights(shape, layout, count: shape.weightCount) { k, c, r, s in
            ((c * shape.kernelHeight + r) * width + s) * outputs + k
        }
        let lastVector = (outputWidth - 1) / laneCount * laneCount
        rowStride = max(shape.paddedWidth, lastVector + laneCount + width - 1)
        let count = shape.inputChannels * shape.paddedHeight * rowStride
        planes = alignedAllocation(of: Float.self, count: count)
        planes.initialize(repeating: 0, count: count)
        results = alignedAllocation(of: Float.self, count: 192)
        results.initialize(repeating: 0, count: 192)
        pairs = alignedAllocation(of: Float.self, count: 32)
        pairs.initialize(repeating: 0, count: 32)
    }

    deinit {
        planes.deallocate()
        results.deallocate()
        pairs.deallocate()
    }

    var counts: (input: Int, output: Int) { (shape.inputCount, shape.outputCount) }

    /// One image.
    ///
    /// - Parameters:
    ///   - input: [H, W, C]
    ///   - packed: [C, R, S, K]
    ///   - bias: [K]
    ///   - output: [H′, W′, K]
    func runOne(
        _ input: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>
    ) {
        splitIntoPlanes(input)
        // Vectors of pixels in row-major order, in pairs; a last one alone is paired with itself.
        let perRow = (outputWidth + laneCount - 1) / laneCount
        let vectors = outputHeight * perRow
        var vector = 0
        while vector < vectors {
            fetching?.fetch(32)
            let left = (row: vector / perRow, column: vector % perRow * laneCount)
            let next = min(vector &+ 1, vectors &- 1)
            let right = (row: next / perRow, column: next % perRow * laneCount)
            multiply(
                left.row &* rowStride &+ left.column, right.row &* rowStride &+ right.column,
                packed, bias)
            write(left.row, left.column, from: results, output)
            write(right.row, right.column, from: results + laneCount, output)
            vector &+= 2
        }
    }

    private func splitIntoPlanes(_ input: UnsafePointer<Float>) {
        let (channels, width) = (shape.inputChannels, shape.inputWidth)
        let planeStride = shape.paddedHeight * rowStride
        for h in 0..<shape.inputHeight {
            let row = input + h &* width &* channels
            let first = (h &+ shape.paddingHeight) &* rowStride &+ shape.paddingWidth
            for c in 0..<channels {
                let plane = planes + (c &* planeStride &+ first)
                for w in 0..<width { plane[w] = row[w &* channels &+ c] }
            }
        }
    }

    /// All channels of two vectors of pixels, whose windows begin at `left` and `right`.
    private func multiply(
        _ left: Int, _ right: Int, _ packed: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?
    ) {
        guard registersAreWide else {
            multiply(TileRow1.self, left, 0, packed, bias, into: results)
            multiply(TileRow1.self, right, 0, packed, bias, into: results + laneCount)
            return
        }
        multiply(TileRow2.self, left, right, packed, bias, into: results)
    }

    /// All channels of one vector of pixels, or two.
    @inline(__always)
    private func multiply<Row: PixelRow>(
        _: Row.Type, _ left: Int, _ right: Int, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, into results: UnsafeMutablePointer<Float>
    ) {
        let outputs = shape.outputChannels
        let offsets = TileOffsets(last: outputs - 1)
        var tile = Tile<Row>()
        if let bias { tile.add(bias, at: offsets, times: Row(repeating: 1)) }
        var factors = packed
        var plane = planes
        for _ in 0..<shape.inputChannels {
            var row = plane
            for _ in 0..<shape.kernelHeight {
                for s in 0..<shape.kernelWidth {
                    tile.add(
                        factors, at: offsets, times: Row(row + (left &+ s), row + (right &+ s)))
                    factors += outputs
                }
                row += rowStride
            }
            plane += shape.paddedHeight &* rowStride
        }
        tile.store(to: results, at: .consecutive, stride: Tile<TileRow2>.columns)
    }

    /// A vector of pixels, from channel by channel to pixel by pixel: channels in pairs, which are
    /// half as many values to move.
    private func write(
        _ row: Int, _ column: Int, from results: UnsafePointer<Float>,
        _ output: UnsafeMutablePointer<Float>
    ) {
        let outputs = shape.outputChannels
        let pixels = min(laneCount, outputWidth &- column)
        let target = output + (row &* outputWidth &+ column) &* outputs
        var k = 0
        while k &+ 1 < outputs {
            let first = results + k &* Tile<TileRow2>.columns
            var pairs = SIMD32<Float>()
            pairs.evenHalf = loadLanes(first, laneCount)
            pairs.oddHalf = loadLanes(first + Tile<TileRow2>.columns, laneCount)
            UnsafeMutableRawPointer(self.pairs).storeBytes(of: pairs, as: SIMD32<Float>.self)
            let source = UnsafeRawPointer(self.pairs)
            var place = UnsafeMutableRawPointer(target + k)
            for lane in 0..<pixels {
                place.storeBytes(
                    of: source.load(fromByteOffset: 8 &* lane, as: UInt64.self), as: UInt64.self)
                place += 4 &* outputs
            }
            k &+= 2
        }
        if k < outputs {
            let last = results + k &* Tile<TileRow2>.columns
            for lane in 0..<pixels { target[lane &* outputs &+ k] = last[lane] }
        }
    }
}

/// A tile row whose vectors are pixels: one, or two from places of their own.
private protocol PixelRow: TileRow {
    init(_ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>)
    init(repeating value: Float)
}

extension TileRow1: PixelRow {
    @inline(__always)
    fileprivate init(_ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>) {
        self.init(from: left)
    }

    @inline(__always)
    fileprivate init(repeating value: Float) { self.init(a: SIMD16(repeating: value)) }
}

extension TileRow2: PixelRow {
    @inline(__always)
    fileprivate init(_ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>) {
        self.init(left: TileRow1(from: left), right: TileRow1(from: right))
    }

    @inline(__always)
    fileprivate init(repeating value: Float) {
        let one = TileRow1(a: SIMD16(repeating: value))
        self.init(left: one, right: one)
    }
}
