import CPlatform
import TensorCore

extension ConvolutionShape {
    /// Whether all passes go by Winograd's transforms: dense 3×3 kernels over whole vectors of
    /// channels, and images on which tiles save more than their transforms cost.
    ///
    /// Measured on Zen 4, one core, tiles of 2×2, times as fast as oneDNN 2.6.3: 16 channels 1.35 to
    /// 1.45, 32 to 256 channels 1.6 to 2.0, 512 at 4×4 1.7, backward weights there 1.15.
    var isWinograd: Bool {
        groups == 1 && kernelHeight == 3 && kernelWidth == 3 && strideHeight == 1
            && strideWidth == 1 && dilationHeight == 1
            && dilationWidth == 1 && paddingHeight <= 2 && paddingWidth <= 2
            && inputChannels % laneCount == 0 && outputChannels % laneCount == 0
            && min(outputHeight, outputWidth) >= 4
    }

    /// Whether tiles of 4×4 take clearly fewer products than those of 2×2. Images of less than 8×8
    /// have many channels, and then too few large tiles for weights of so many frequencies.
    ///
    /// Measured as above, times as fast as tiles of 2×2: 16 channels 1.25 to 1.3, 32 channels 1.4,
    /// 64 to 256 channels 1.45 to 1.65.
    fileprivate var hasLargeTiles: Bool {
        func products(_ edge: Int) -> Int {
            let rows = (outputHeight + edge - 1) / edge
            return rows * ((outputWidth + edge - 1) / edge) * (edge + 2) * (edge + 2)
        }
        return min(outputHeight, outputWidth) >= 8 && 5 * products(4) <= 4 * products(2)
    }
}

extension WeightLayout {
    /// [R, S, C / groups, K] in memory: whole vectors of output channels.
    init(channelsLast shape: ConvolutionShape) {
        let (k, c) = (shape.outputChannels, shape.inputChannels / shape.groups)
        self.init(
            dims: [k, c, shape.kernelHeight, shape.kernelWidth],
            strides: [1, k, shape.kernelWidth * c * k, c * k], blocks: [],
            count: shape.weightCount)
    }
}

/// How the scratch is used: frequencies of as many tiles as are worked on at a time, and more.
private struct WinogradMemory<Transform: WinogradTransform> {
    /// Tiles at a time: what is known of them stays in the second-level cache, but 32 at least, for
    /// which many channels read their weights once.
    let tiles: Int
    /// Floats from one frequency to the next, of inputs and outputs.
    let (inputStride, outputStride): (Int, Int)
    private let scratch: ConvolutionScratch

    private static var bytes: Int { 1 << 18 }

    /// - Parameter others: Floats for other use.
    init(_ geometry: WinogradTiles<Transform>, others: Int, _ scratch: ConvolutionScratch) {
        let (c, k) = (geometry.inputChannels, geometry.outputChannels)
        let frequencies = Transform.frequencyCount
        tiles = max(32, Self.bytes / (4 * frequencies * (c + k)) / 8 * 8)
        // Not a power of two: places a multiple of 4 KiB apart share one set of the cache.
        (inputStride, outputStride) = (tiles * c + laneCount, tiles * k + laneCount)
        self.scratch = scratch
        scratch.reserve(frequencies * (inputStride + outputStride) + others)
    }

    /// [frequencies, tiles, C]
    var inputs: UnsafeMutablePointer<Float> { scratch.memory }
    /// [frequencies, tiles, K]
    var outputs: UnsafeMutablePointer<Float> { inputs + Transform.frequencyCount &* inputStride }
    /// Floats for other use.
    var others: UnsafeMutablePointer<Float> { outputs + Transform.frequencyCount &* outputStride }
}

/// Forward, or backward data, by Winograd's transforms, with the tiles that suit the shape.
///
/// The cases are concrete types: called through a protocol, generic code would not be compiled for them.
enum WinogradForwardPass: ImagePass {
    case small(WinogradForward<Tiles2x2>)
    case large(WinogradForward<Tiles4x4>)

    init(_ shape: ConvolutionShape, isBackward: Bool, _ scratch: ConvolutionScratch) {
        self =
            shape.hasLargeTiles
            ? .large(WinogradForward(shape, isBackward: isBackward, scratch))
            : .small(WinogradForward(shape, isBackward: isBackward, scratch))
    }

    var name: String { "winograd" }

    /// Floats of the transformed weights.
    var packedCount: Int? {
        switch self {
        case .small(let pass): pass.packedCount
        case .large(let pass): pass.packedCount
        }
    }

    /// The weights' frequencies, [frequencies, panels of 32 outputs, inputs, 32], of the parameter,
    /// [R, S, C, K].
    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {
        switch self {
        case .small(let pass): pass.pack(weight, into: packed)
        case .large(let pass): pass.pack(weight, into: packed)
        }
    }

    /// The input is dY for backward data, the output dX.
    func run(
        images: Int, _ input: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>
    ) {
        switch self {
        case .small(let pass): pass.run(images: images, input, packed, bias, output)
        case .large(let pass): pass.run(images: images, input, packed, bias, output)
        }
    }
}

/// Backward weights by Winograd's transforms, with the tiles that suit the shape. The gradient,
/// [R, S, C, K], divides into vectors of input channels.
struct WinogradWeightPass: DividedWeightPass {
    private enum Tiles {
        case small(WinogradBackwardWeights<Tiles2x2>)
        case large(WinogradBackwardWeights<Tiles4x4>)
    }

    private let tiles: Tiles
    private let shape: ConvolutionShape

    init(_ shape: ConvolutionShape, _ scratch: ConvolutionScratch) {
        self.shape = shape
        tiles =
            shape.hasLargeTiles
            ? .large(WinogradBackwardWeights(shape, scratch))
            : .small(WinogradBackwardWeights(shape, scratch))
    }

    let name = "winograd"

    var units: Int { shape.inputChannels / laneCount }

    /// [9, channels of the units, K] of [9, C, K].
    func part(_ units: Range<Int>) -> WeightPart {
        let outputs = shape.outputChannels
        return WeightPart(
            first: units.lowerBound * laneCount * outputs,
            length: units.count * laneCount * outputs, runs: 9,
            stride: shape.inputChannels * outputs)
    }

    /// The input channels of some units.
    private func channels(_ units: Range<Int>) -> Range<Int> {
        units.lowerBound * laneCount..<units.upperBound * laneCount
    }

    var imagesAtOnce: Int {
        switch tiles {
        case .small(let pass): pass.imagesAtOnce
        case .large(let pass): pass.imagesAtOnce
        }
    }

    func load(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>
    ) {
        switch tiles {
        case .small(let pass): pass.load(images: images, input, outputGradient)
        case .large(let pass): pass.load(images: images, input, outputGradient)
        }
    }

    func run(
        loaded images: Range<Int>, _ input: UnsafePointer<Float>,
        _ outputGradient: UnsafePointer<Float>, units: Range<Int>,
        _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        let channels = channels(units)
        switch tiles {
        case .small(let pass): pass.run(loaded: images, channels, weightGradient)
        case .large(let pass): pass.run(loaded: images, channels, weightGradient)
        }
    }

    func run(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        units: Range<Int>, _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        let channels = channels(units)
        switch tiles {
        case .small(let pass):
            pass.run(images: images, input, outputGradient, channels, weightGradient)
        case .large(let pass):
            pass.run(images: images, input, outputGradient, channels, weightGradient)
        }
    }
}

/// Forward, or backward data, which is a forward pass of the gradient with the weights turned around.
///
/// The bits of a tile depend on its patch alone, whatever is worked on beside it.
struct WinogradForward<Transform: WinogradTransform> {
    private let geometry: WinogradTiles<Transform>
    private let memory: WinogradMemory<Transform>
    private let isBackward: Bool

    let packedCount: Int

    init(_ shape: ConvolutionShape, isBackward: Bool, _ scratch: ConvolutionScratch) {
        geometry = isBackward ? WinogradTiles(backwardDataOf: shape) : WinogradTiles(shape)
        self.isBackward = isBackward
        packedCount = Transform.frequencyCount * shape.inputChannels * shape.outputChannels
        memory = WinogradMemory(geometry, others: Self.packingCount, scratch)
    }

    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        // A panel after the other, so that each frequency is written from its first value on.
        var output = 0
        while output < outputs {
            let panel = output..<min(output &+ 32, outputs)
            for input in 0..<inputs / laneCount {
                if isBackward {
                    packTurned(weight, laneCount &* input, panel, into: packed)
                } else {
                    packBlock(weight, laneCount &* input, panel, into: packed)
                }
            }
            output = panel.upperBound
        }
    }

    private func packBlock(
        _ weight: UnsafePointer<Float>, _ input: Int, _ panel: Range<Int>,
        into packed: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        let plane = inputs &* outputs
        for c in input..<input &+ laneCount {
            var output = panel.lowerBound
            while output < panel.upperBound {
                Transform.transformKernel(
                    weight + (c &* outputs &+ output), stride: plane,
                    into: packed + place(c, output), frequencyStride: plane)
                output &+= laneCount
            }
        }
    }

    /// Floats of a block's frequencies.
    private static var packingCount: Int { Transform.frequencyCount * laneCount * laneCount }

    /// The kernels turned around: from the last weight to the first. The parameter has its outputs,
    /// here the inputs, innermost: each frequency of 16 by 16 of them is transposed.
    private func packTurned(
        _ weight: UnsafePointer<Float>, _ input: Int, _ panel: Range<Int>,
        into packed: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        let plane = inputs &* outputs
        let block = memory.others
        var output = panel.lowerBound
        while output < panel.upperBound {
            for c in 0..<laneCount {
                // Of the next 16 inputs: more rows, far apart, than hardware follows.
                let next = weight + ((output &+ c) &* inputs &+ input &+ laneCount)
                for tap in 0..<9 { bn_prefetch_line(next + tap &* plane) }
                Transform.transformKernel(
                    weight + (8 &* plane &+ (output &+ c) &* inputs &+ input), stride: 0 &- plane,
                    into: block + c &* laneCount, frequencyStride: laneCount &* laneCount)
            }
            for f in 0..<Transform.frequencyCount {
                transpose(
                    block + f &* laneCount &* laneCount,
                    into: packed + (f &* plane &+ place(input, output)),
                    stride: place(input &+ 1, output) &- place(input, output))
            }
            output &+= laneCount
        }
    }

    /// Where the weight from `input` to `output` lies in a frequency's panels.
    private func place(_ input: Int, _ output: Int) -> Int {
        let first = output / 32 &* 32
        let width = min(32, geometry.outputChannels &- first)
        return first &* geometry.inputChannels &+ input &* width &+ output &- first
    }

    func run(
        images: Int, _ input: UnsafePointer<Float>, _ packed: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        let all = images &* geometry.perImage
        var first = 0
        while first < all {
            let tiles = first..<min(first &+ memory.tiles, all)
            geometry.transformInputs(
                tiles, input, channels: 0..<inputs, into: memory.inputs,
                stride: memory.inputStride)
            let ahead = WinogradAhead(
                input, from: tiles.upperBound, output, from: tiles.lowerBound,
                count: tiles.count, of: geometry)
            for f in 0..<Transform.frequencyCount {
                ahead.fetch(f)
                multiplyRows(
                    memory.inputs + f &* memory.inputStride, rows: tiles.count, inputs: inputs,
                    packed + f &* inputs &* outputs, outputs: outputs,
                    into: memory.outputs + f &* memory.outputStride)
            }
            geometry.transformOutputs(
                tiles, memory.outputs, stride: memory.outputStride, bias: bias, into: output)
            first = tiles.upperBound
        }
    }
}

/// What is read and written behind the products of a block of tiles, brought into the second-level cache
/// meanwhile: a share with each frequency. Measured on Zen 4, ResNet-20 (128): forward and backward data
/// make it 1.06 times as fast; ResNet-18 (64): 1.00.
private struct WinogradAhead<Transform: WinogradTransform> {
    private let (input, output): (UnsafePointer<Float>, UnsafePointer<Float>)
    /// Vectors with each frequency.
    private let (inputs, outputs): (Int, Int)

    /// - Parameters:
    ///   - input: [images, H, W, C], whose pixels from tile `first` on will be read
    ///   - output: [images, H′, W′, K], likewise, or written
    ///   - count: tiles
    init(
        _ input: UnsafePointer<Float>, from first: Int, _ output: UnsafePointer<Float>,
        from firstOutput: Int, count: Int, of geometry: WinogradTiles<Transform>
    ) {
        self.input = input + geometry.firstPixel(first) &* geometry.inputChannels
        self.output = output + geometry.firstPixel(firstOutput) &* geometry.outputChannels
        let pixels = count &* Transform.outputs &* Transform.outputs
        @inline(__always)
        func share(_ channels: Int) -> Int {
            (pixels &* channels / laneCount &+ Transform.frequencyCount &- 1)
                / Transform.frequencyCount
        }
        (inputs, outputs) = (share(geometry.inputChannels), share(geometry.outputChannels))
    }

    @inline(__always)
    func fetch(_ frequency: Int) {
        for vector in 0..<outputs {
            bn_prefetch_line_nearby(output + (frequency &* outputs &+ vector) &* laneCount)
        }
        for vector in 0..<inputs {
            bn_prefetch_line_nearby(input + (frequency &* inputs &+ vector) &* laneCount)
        }
    }
}

/// Backward weights: the gradient of the weights' frequencies, summed over all tiles in order, and
/// then transformed back; of some of the input channels, whole vectors.
struct WinogradBackwardWeights<Transform: WinogradTransform> {
    private let geometry: WinogradTiles<Transform>
    private let memory: WinogradMemory<Transform>

    init(_ shape: ConvolutionShape, _ scratch: ConvolutionScratch) {
        geometry = WinogradTiles(shape)
        memory = WinogradMemory(
            geometry,
            others: Transform.frequencyCount * shape.inputChannels * shape.outputChannels, scratch)
    }

    var imagesAtOnce: Int { memory.tiles / geometry.perImage }

    func load(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>
    ) {
        transform(
            0..<images &* geometry.perImage, input, outputGradient, 0..<geometry.inputChannels)
    }

    func run(
        loaded images: Range<Int>, _ channels: Range<Int>,
        _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        let tiles = geometry.perImage
        add(images.lowerBound &* tiles..<images.upperBound &* tiles, channels, isFirst: true)
        transformBack(channels, into: weightGradient)
    }

    func run(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ channels: Range<Int>, _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        let all = images &* geometry.perImage
        var first = 0
        while first < all {
            let tiles = first..<min(first &+ memory.tiles, all)
            transform(tiles, input, outputGradient, channels)
            first = tiles.upperBound
            add(
                0..<tiles.count, channels, isFirst: tiles.lowerBound == 0,
                WinogradAhead(
                    input, from: first, outputGradient, from: first, count: tiles.count,
                    of: geometry))
        }
        transformBack(channels, into: weightGradient)
    }

    /// The frequencies of some tiles.
    private func transform(
        _ tiles: Range<Int>, _ input: UnsafePointer<Float>,
        _ outputGradient: UnsafePointer<Float>, _ channels: Range<Int>
    ) {
        geometry.transformInputs(
            tiles, input, channels: channels, into: memory.inputs, stride: memory.inputStride)
        geometry.transformOutputGradients(
            tiles, outputGradient, into: memory.outputs, stride: memory.outputStride)
    }

    /// Adds some of the transformed tiles to the sums, [frequencies, channels, K].
    private func add(
        _ tiles: Range<Int>, _ channels: Range<Int>, isFirst: Bool,
        _ ahead: WinogradAhead<Transform>? = nil
    ) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        let input = memory.inputs + (tiles.lowerBound &* inputs &+ channels.lowerBound)
        let gradient = memory.outputs + tiles.lowerBound &* outputs
        for f in 0..<Transform.frequencyCount {
            ahead?.fetch(f)
            addOuterProducts(
                input + f &* memory.inputStride, gradient + f &* memory.outputStride,
                rows: tiles.count, stride: inputs, inputs: channels.count, outputs: outputs,
                into: memory.others + f &* channels.count &* outputs, isFirst: isFirst)
        }
    }

    private func transformBack(
        _ channels: Range<Int>, into weightGradient: UnsafeMutablePointer<Float>
    ) {
        let outputs = geometry.outputChannels
        let (part, all) = (channels.count &* outputs, geometry.inputChannels &* outputs)
        let target = weightGradient + channels.lowerBound &* outputs
        var place = 0
        while place < part {
            Transform.transformKernelGradient(
                memory.others + place, frequencyStride: part, into: target + place, stride: all)
            place &+= laneCount
        }
    }
}
