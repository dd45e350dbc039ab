import COneDNN
import TensorCore

extension ConvolutionShape {
    /// Whether all passes go by Winograd's transforms: dense 3×3 kernels over whole vectors of
    /// channels, and images on which tiles of 2×2 save more than their transforms cost. Needs 16
    /// accumulators, so AVX-512; elsewhere oneDNN stays.
    ///
    /// Measured on Zen 4, one core, times as fast as oneDNN 2.6.3: 16 channels 1.35 to 1.45, 32 to
    /// 256 channels 1.6 to 2.0, 512 at 4×4 1.7, backward weights there 1.15.
    var isWinograd: Bool {
        bn_compiled_for_512_bit_vectors() == 1 && groups == 1 && kernelHeight == 3
            && kernelWidth == 3 && strideHeight == 1 && strideWidth == 1 && dilationHeight == 1
            && dilationWidth == 1 && paddingHeight <= 2 && paddingWidth <= 2
            && inputChannels % laneCount == 0 && outputChannels % laneCount == 0
            && min(outputHeight, outputWidth) >= 4
    }
}

extension WeightLayout {
    /// [R, S, C, K] in memory: whole vectors of output channels.
    init(channelsLast shape: ConvolutionShape) {
        let (k, c) = (shape.outputChannels, shape.inputChannels)
        self.init(
            dims: [k, c, shape.kernelHeight, shape.kernelWidth],
            strides: [1, k, shape.kernelWidth * c * k, c * k], blocks: [],
            count: shape.weightCount)
    }
}

/// Memory that convolutions use for the time of a call; those of a thread can share one.
public final class ConvolutionScratch {
    fileprivate private(set) var memory = zeroed(0)
    private var count = 0

    /// Empty; plans make it as large as they need.
    public init() {}

    deinit { memory.deallocate() }

    /// Makes it hold `count` Floats.
    fileprivate func reserve(_ count: Int) {
        guard count > self.count else { return }
        memory.deallocate()
        memory = zeroed(count)
        self.count = count
    }
}

private func zeroed(_ count: Int) -> UnsafeMutablePointer<Float> {
    let memory = alignedAllocation(of: Float.self, count: count)
    memory.initialize(repeating: 0, count: count)
    return memory
}

/// How the scratch is used: frequencies of as many tiles as are worked on at a time, and more.
private struct WinogradMemory {
    /// Tiles at a time: what is known of them stays in the second-level cache.
    let tiles: Int
    /// Floats from one frequency to the next, of inputs and outputs.
    let (inputStride, outputStride): (Int, Int)
    private let scratch: ConvolutionScratch

    private static let bytes = 1 << 18

    /// - Parameter others: Floats for other use.
    init(_ geometry: WinogradTiles, others: Int, _ scratch: ConvolutionScratch) {
        let (c, k) = (geometry.inputChannels, geometry.outputChannels)
        tiles = max(16, Self.bytes / (64 * (c + k)) / 8 * 8)
        // Not a power of two: 16 places a multiple of 4 KiB apart share one set of the cache.
        (inputStride, outputStride) = (tiles * c + laneCount, tiles * k + laneCount)
        self.scratch = scratch
        scratch.reserve(16 * (inputStride + outputStride) + others)
    }

    /// [16, tiles, C]
    var inputs: UnsafeMutablePointer<Float> { scratch.memory }
    /// [16, tiles, K]
    var outputs: UnsafeMutablePointer<Float> { inputs + 16 &* inputStride }
    /// Floats for other use.
    var others: UnsafeMutablePointer<Float> { outputs + 16 &* outputStride }
}

/// Forward, or backward data, which is a forward pass of the gradient with the weights turned around.
///
/// The bits of a tile depend on its patch alone, whatever is worked on beside it.
final class WinogradForward {
    private let geometry: WinogradTiles
    private let memory: WinogradMemory
    private let isBackward: Bool

    /// Floats of the transformed weights.
    let packedCount: Int

    init(_ shape: ConvolutionShape, isBackward: Bool, _ scratch: ConvolutionScratch) {
        geometry = isBackward ? WinogradTiles(backwardDataOf: shape) : WinogradTiles(shape)
        self.isBackward = isBackward
        packedCount = 16 * shape.inputChannels * shape.outputChannels
        memory = WinogradMemory(geometry, others: Self.packingCount, scratch)
    }

    /// The weights' frequencies, [16, panels of 32 outputs, inputs, 32], of the parameter,
    /// [R, S, C, K].
    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        // Blocks of 16 inputs and 16 outputs.
        for input in 0..<inputs / laneCount {
            for output in 0..<outputs / laneCount {
                if isBackward {
                    packTurned(weight, laneCount &* input, laneCount &* output, into: packed)
                } else {
                    packBlock(weight, laneCount &* input, laneCount &* output, into: packed)
                }
            }
        }
    }

    private func packBlock(
        _ weight: UnsafePointer<Float>, _ input: Int, _ output: Int,
        into packed: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        let plane = inputs &* outputs
        for c in input..<input &+ laneCount {
            transformKernel(
                weight + (c &* outputs &+ output), stride: plane,
                into: packed + place(c, output), frequencyStride: plane)
        }
    }

    /// Floats of a block's frequencies, [16, 16, 16].
    private static let packingCount = 16 * laneCount * laneCount

    /// The parameter has its outputs, here the inputs, innermost: each frequency is transposed.
    private func packTurned(
        _ weight: UnsafePointer<Float>, _ input: Int, _ output: Int,
        into packed: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        let plane = inputs &* outputs
        let block = memory.others
        for c in 0..<laneCount {
            transformKernel(
                weight + ((output &+ c) &* inputs &+ input), stride: plane,
                into: block + c &* laneCount, frequencyStride: laneCount &* laneCount)
        }
        for f in 0..<16 {
            // Of a kernel turned around, frequencies 0 and 3 change places, in both directions.
            let (row, column) = (f / 4, f % 4)
            let turned =
                (row == 0 ? 3 : row == 3 ? 0 : row) &* 4
                &+ (column == 0 ? 3 : column == 3 ? 0 : column)
            let source = block + turned &* laneCount &* laneCount
            for k in 0..<laneCount {
                let target = packed + (f &* plane &+ place(input &+ k, output))
                for c in 0..<laneCount { target[c] = source[c &* laneCount &+ k] }
            }
        }
    }

    /// Where the weight from `input` to `output` lies in a frequency's panels.
    private func place(_ input: Int, _ output: Int) -> Int {
        let first = output / 32 &* 32
        let width = min(32, geometry.outputChannels &- first)
        return first &* geometry.inputChannels &+ input &* width &+ output &- first
    }

    /// - Parameters:
    ///   - input: [images, H, W, C], dY for backward data
    ///   - packed: from `pack`
    ///   - bias: [K] or none
    ///   - output: [images, H′, W′, K], dX for backward data; overwritten
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
                tiles, input, into: memory.inputs, stride: memory.inputStride)
            for f in 0..<16 {
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

/// Backward weights: the gradient of the weights' frequencies, summed over all tiles in order, and
/// then transformed back.
final class WinogradBackwardWeights {
    private let geometry: WinogradTiles
    private let memory: WinogradMemory

    init(_ shape: ConvolutionShape, _ scratch: ConvolutionScratch) {
        geometry = WinogradTiles(shape)
        memory = WinogradMemory(
            geometry, others: 16 * shape.inputChannels * shape.outputChannels, scratch)
    }

    /// At least one image; operands as `Convolution.backwardWeights` has them, the gradient as
    /// [R, S, C, K].
    func run(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (geometry.inputChannels, geometry.outputChannels)
        let plane = inputs &* outputs
        // [16, C, K]
        let sums = memory.others
        let all = images &* geometry.perImage
        var first = 0
        while first < all {
            let tiles = first..<min(first &+ memory.tiles, all)
            geometry.transformInputs(
                tiles, input, into: memory.inputs, stride: memory.inputStride)
            geometry.transformOutputGradients(
                tiles, outputGradient, into: memory.outputs, stride: memory.outputStride)
            for f in 0..<16 {
                addOuterProducts(
                    memory.inputs + f &* memory.inputStride,
                    memory.outputs + f &* memory.outputStride, rows: tiles.count,
                    inputs: inputs, outputs: outputs, into: sums + f &* plane,
                    isFirst: first == 0)
            }
            first = tiles.upperBound
        }
        var place = 0
        while place < plane {
            transformKernelGradient(
                sums + place, frequencyStride: plane, into: weightGradient + place, stride: plane)
            place &+= laneCount
        }
    }
}
