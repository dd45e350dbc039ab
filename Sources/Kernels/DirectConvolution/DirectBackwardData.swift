import TensorCore

/// Backward data for few input channels: each output pixel's gradient adds R rows of S·C
/// neighbouring values to the input's, six pixels at a time.
///
/// Pixels are taken column by column. What a pixel adds then falls on the very vectors that the one
/// above it has written, and the core hands a store on to a load of the same place at once; row by
/// row they overlap in part, which it waits for.
final class DirectBackwardData: DirectPass {
    let weights: DirectWeights
    private let shape: ConvolutionShape
    /// The padded image's gradient, [padded H, padded W, C], with room for whole vectors behind.
    private let image: UnsafeMutablePointer<Float>
    private let imageCount: Int
    /// What six pixels add to up to four units, [6, 64].
    private let products: UnsafeMutablePointer<Float>
    /// The output's gradient, [W′, H′, K].
    private let columns: UnsafeMutablePointer<Float>
    /// Where in `image` each pixel's first window value lies, [W′, H′], and, counted from there,
    /// each unit: a vector of a kernel row.
    private let (pixelPlaces, unitPlaces): ([Int], [Int])

    private let fetching: PrefetchQueue?

    init(_ shape: ConvolutionShape, _ layout: WeightLayout, fetching: PrefetchQueue?) {
        self.shape = shape
        self.fetching = fetching
        let (vectors, channels) = (shape.rowVectors, shape.inputChannels)
        let units = shape.kernelHeight * vectors
        weights = DirectWeights(
            shape, layout, count: shape.outputChannels * units * laneCount
        ) { k, c, r, s in
            (k * units + r * vectors) * laneCount + s * channels + c
        }
        let row = shape.paddedWidth * channels
        imageCount = shape.paddedHeight * row + vectors * laneCount
        image = alignedAllocation(of: Float.self, count: imageCount)
        image.initialize(repeating: 0, count: imageCount)
        columns = alignedAllocation(of: Float.self, count: shape.outputCount)
        columns.initialize(repeating: 0, count: shape.outputCount)
        products = alignedAllocation(
            of: Float.self, count: Tile<TileRow4>.rows * Tile<TileRow4>.columns)
        products.initialize(repeating: 0, count: Tile<TileRow4>.rows * Tile<TileRow4>.columns)
        pixelPlaces = (0..<shape.outputWidth).flatMap { x in
            (0..<shape.outputHeight).map { y in y * row + x * channels }
        }
        unitPlaces = (0..<units).map { $0 / vectors * row + $0 % vectors * laneCount }
    }

    deinit {
        image.deallocate()
        columns.deallocate()
        products.deallocate()
    }

    var counts: (input: Int, output: Int) { (shape.outputCount, shape.inputCount) }

    /// One image.
    ///
    /// - Parameters:
    ///   - outputGradient: [H′, W′, K]
    ///   - packed: [K, R, vectors of S·C]
    ///   - inputGradient: [H, W, C]
    func runOne(
        _ outputGradient: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ inputGradient: UnsafeMutablePointer<Float>
    ) {
        turn(outputGradient)
        image.update(repeating: 0, count: imageCount)
        let (pixels, units) = (pixelPlaces.count, unitPlaces.count)
        var pixel = 0
        while pixel < pixels {
            fetching?.fetch(16)
            let count = min(Tile<TileRow4>.rows, pixels &- pixel)
            var unit = 0
            while unit < units {
                switch units &- unit {
                case 4...: unit &+= add(TileRow4.self, pixel, count, unit, packed)
                case 2...3: unit &+= add(TileRow2.self, pixel, count, unit, packed)
                default: unit &+= add(TileRow1.self, pixel, count, unit, packed)
                }
            }
            pixel &+= count
        }
        let row = shape.inputWidth * shape.inputChannels
        for h in 0..<shape.inputHeight {
            let first =
                (h + shape.paddingHeight) * shape.paddedWidth + shape.paddingWidth
            (inputGradient + h * row).update(
                from: image + first * shape.inputChannels, count: row)
        }
    }

    /// From row by row to column by column.
    private func turn(_ outputGradient: UnsafePointer<Float>) {
        let (channels, height) = (shape.outputChannels, shape.outputHeight)
        var source = outputGradient
        let width = shape.outputWidth
        for y in 0..<height {
            for x in 0..<width {
                let target = columns + (x &* height &+ y) &* channels
                var k = 0
                while k < channels {
                    let lanes = min(laneCount, channels &- k)
                    storeLanes(loadLanes(source + k, lanes), target + k, lanes)
                    k &+= laneCount
                }
                source += channels
            }
        }
    }

    /// What `count` pixels add to some units, as many as it returns: pixel by pixel, whatever fits the
    /// registers, since what they add falls in part on the same values.
    @inline(__always)
    private func add<Row: DirectRow>(
        _: Row.Type, _ pixel: Int, _ count: Int, _ unit: Int, _ packed: UnsafePointer<Float>
    ) -> Int {
        func place(_ v: Int) -> Int { unitPlaces[unit &+ min(v, Row.vectors &- 1)] }
        let places = (place(0), place(1), place(2), place(3))
        let (factors, weights) = (
            columns + pixel &* shape.outputChannels, packed + unit &* laneCount
        )
        if registersAreWide {
            let tile = product(Row.self, factors, count, weights)
            tile.row0.addVectors(to: image + pixelPlaces[pixel], at: places)
            if count > 1 { tile.row1.addVectors(to: image + pixelPlaces[pixel &+ 1], at: places) }
            if count > 2 { tile.row2.addVectors(to: image + pixelPlaces[pixel &+ 2], at: places) }
            if count > 3 { tile.row3.addVectors(to: image + pixelPlaces[pixel &+ 3], at: places) }
            if count > 4 { tile.row4.addVectors(to: image + pixelPlaces[pixel &+ 4], at: places) }
            if count > 5 { tile.row5.addVectors(to: image + pixelPlaces[pixel &+ 5], at: places) }
        } else {
            for vector in 0..<Row.vectors {
                product(TileRow1.self, factors, count, weights + vector &* laneCount).store(
                    to: products + vector &* laneCount, at: .consecutive, stride: Tile<Row>.columns)
            }
            for row in 0..<count {
                Row(from: products + row &* Tile<Row>.columns).addVectors(
                    to: image + pixelPlaces[pixel &+ row], at: places)
            }
        }
        return Row.vectors
    }

    /// `count` pixels' gradients times some units of the weights.
    @inline(__always)
    private func product<Row: TileRow>(
        _: Row.Type, _ factors: UnsafePointer<Float>, _ count: Int, _ weights: UnsafePointer<Float>
    ) -> Tile<Row> {
        let outputs = shape.outputChannels
        let offsets = TileOffsets(last: count &- 1, stride: outputs)
        var (tile, row) = (Tile<Row>(), weights)
        for k in 0..<outputs {
            tile.add(factors + k, at: offsets, times: Row(from: row))
            row += unitPlaces.count &* laneCount
        }
        return tile
    }
}
