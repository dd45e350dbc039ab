import TensorCore

/// Backward weights for at most six output channels: the gradient of a kernel row, S·C values, sums
/// up over the pixels in registers, for up to four rows at a time.
final class DirectBackwardWeights: WeightPass {
    let name = "direct"

    private let weights: DirectWeights
    private let shape: ConvolutionShape
    private let layout: WeightLayout
    /// The padded image, [padded H, padded W, C], with room for whole vectors behind.
    private let image: Tensor
    /// The sums over images: for every unit [6, 16].
    private let sums: Tensor

    init(_ shape: ConvolutionShape, _ layout: WeightLayout) {
        self.shape = shape
        self.layout = layout
        let units = shape.kernelHeight * shape.rowVectors
        let rows = Tile<TileRow1>.rows
        weights = DirectWeights(
            shape, layout, count: units * rows * laneCount
        ) { k, c, r, s in
            let place = s * shape.inputChannels + c
            let unit = r * shape.rowVectors + place / laneCount
            return (unit * rows + k) * laneCount + place % laneCount
        }
        let imageCount =
            shape.paddedHeight * shape.paddedWidth * shape.inputChannels
            + shape.rowVectors * laneCount
        image = Tensor(rows: 1, columns: imageCount)
        sums = Tensor(rows: 1, columns: weights.count)
    }

    /// All images; operands as `Convolution.backwardWeights` has them.
    func run(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        sums.pointer.update(repeating: 0, count: weights.count)
        let units = shape.kernelHeight * shape.rowVectors
        for n in 0..<images {
            shape.pad(input + n * shape.inputCount, into: image.pointer)
            let gradient = outputGradient + n * shape.outputCount
            var unit = 0
            while unit < units {
                switch units &- unit {
                case 4... where registersAreWide: unit &+= add(TileRow4.self, unit, gradient)
                case 2... where registersAreWide: unit &+= add(TileRow2.self, unit, gradient)
                default: unit &+= add(TileRow1.self, unit, gradient)
                }
            }
        }
        weights.unpack(sums.pointer, into: weightGradient, count: layout.count)
    }

    /// One image's part of some units, as many as it returns.
    @inline(__always)
    private func add<Row: DirectRow>(
        _: Row.Type, _ unit: Int, _ outputGradient: UnsafePointer<Float>
    ) -> Int {
        let (outputs, channels) = (shape.outputChannels, shape.inputChannels)
        let offsets = TileOffsets(last: outputs - 1)
        func place(_ v: Int) -> Int {
            let r = min(unit + v, unit + Row.vectors - 1) / shape.rowVectors
            let part = min(unit + v, unit + Row.vectors - 1) % shape.rowVectors
            return r * shape.paddedWidth * channels + part * laneCount
        }
        let places = (place(0), place(1), place(2), place(3))
        var tile = Tile<Row>()
        var factors = outputGradient
        let width = shape.outputWidth
        for y in 0..<shape.outputHeight {
            var window = UnsafePointer(image.pointer + y &* shape.paddedWidth &* channels)
            for _ in 0..<width {
                tile.add(factors, at: offsets, times: Row(window, places))
                factors += outputs
                window += channels
            }
        }
        tile.addVectors(to: sums.pointer + unit &* Tile<TileRow1>.rows &* laneCount)
        return Row.vectors
    }
}

/// A tile row whose vectors come from places of their own.
protocol DirectRow: TileRow {
    init(_ pointer: UnsafePointer<Float>, _ places: (Int, Int, Int, Int))
    /// Adds each vector to memory, to a place of its own.
    func addVectors(to pointer: UnsafeMutablePointer<Float>, at places: (Int, Int, Int, Int))
    /// Adds each vector to memory, `stride` Floats from one to the next.
    func addVectors(to pointer: UnsafeMutablePointer<Float>, stride: Int)
}

extension TileRow1: DirectRow {
    @inline(__always)
    init(_ pointer: UnsafePointer<Float>, _ places: (Int, Int, Int, Int)) {
        self.init(from: pointer + places.0)
    }

    @inline(__always)
    func addVectors(to pointer: UnsafeMutablePointer<Float>, at places: (Int, Int, Int, Int)) {
        addVectors(to: pointer + places.0, stride: 0)
    }

    @inline(__always)
    func addVectors(to pointer: UnsafeMutablePointer<Float>, stride: Int) {
        storeLanes(loadLanes(pointer, laneCount) + a, pointer, laneCount)
    }
}

extension TileRowPair: DirectRow where Half: DirectRow {
    @inline(__always)
    init(_ pointer: UnsafePointer<Float>, _ places: (Int, Int, Int, Int)) {
        self.init(left: Half(pointer, places), right: Half(pointer, Self.second(places)))
    }

    @inline(__always)
    func addVectors(to pointer: UnsafeMutablePointer<Float>, at places: (Int, Int, Int, Int)) {
        left.addVectors(to: pointer, at: places)
        right.addVectors(to: pointer, at: Self.second(places))
    }

    /// The places of the right half.
    @inline(__always)
    private static func second(_ places: (Int, Int, Int, Int)) -> (Int, Int, Int, Int) {
        Half.vectors == 2 ? (places.2, places.3, 0, 0) : (places.1, 0, 0, 0)
    }

    @inline(__always)
    func addVectors(to pointer: UnsafeMutablePointer<Float>, stride: Int) {
        left.addVectors(to: pointer, stride: stride)
        right.addVectors(to: pointer + Half.vectors &* stride, stride: stride)
    }
}

extension Tile where Row: DirectRow {
    /// Adds the tile to [vectors, 6, 16].
    @inline(__always)
    fileprivate func addVectors(to pointer: UnsafeMutablePointer<Float>) {
        let stride = Self.rows &* laneCount
        row0.addVectors(to: pointer, stride: stride)
        row1.addVectors(to: pointer + laneCount, stride: stride)
        row2.addVectors(to: pointer + 2 &* laneCount, stride: stride)
        row3.addVectors(to: pointer + 3 &* laneCount, stride: stride)
        row4.addVectors(to: pointer + 4 &* laneCount, stride: stride)
        row5.addVectors(to: pointer + 5 &* laneCount, stride: stride)
    }
}
