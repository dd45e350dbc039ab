import TensorCore

// Convolutions as tile products over NHWC images.
//
// With zeros around the image, the inputs of a row of the kernel are neighbours in memory: S·C values,
// which a product takes one after the other. So forward is a product of pixels by R·(S·C) values with
// the weight, backward data the same of output gradients with the weight turned around, and backward
// weights the product of the transposed inputs with output gradients. A group is a convolution of its own
// between some of the channels.
//
// Every value is one chain of fused multiply-adds: forward over kernel rows, kernel columns and input
// channels; backward data over the kernel turned around and output channels; backward weights over
// images, rows and columns of outputs.

/// The weight's layout that tiles read without a copy in forward, and write in backward weights: panels
/// of output channels, [K / width][R, S, C / groups, width].
struct WeightPanels {
    /// 64 channels where they are whole panels, else all of them.
    let width: Int
    /// Floats of a panel.
    let count: Int

    init(_ shape: ConvolutionShape) {
        let k = shape.outputChannels
        width = shape.groups == 1 && k % panelWidth == 0 ? panelWidth : k
        count = shape.weightCount / k * width
    }

    /// Where the weights of output channel `k` begin.
    func place(_ k: Int) -> Int { k / width &* count &+ k % width }
}

extension WeightLayout {
    /// In panels of output channels; see `WeightPanels`.
    init(panelsOf shape: ConvolutionShape) {
        let panels = WeightPanels(shape)
        let (k, c) = (shape.outputChannels, shape.inputChannels / shape.groups)
        let width = panels.width
        self.init(
            dims: [k, c, shape.kernelHeight, shape.kernelWidth],
            strides: [panels.count, width, shape.kernelWidth * c * width, c * width],
            blocks: [Block(dimension: 0, size: width)], count: shape.weightCount)
    }
}

/// Floats that stay in the second-level cache while they are read several times.
let cachedFloats = 1 << 15

/// Parts of `channels`, as wide as tiles want them: of 64 channels and less, or of 16 where registers
/// hold eight Float32 or four. The last one may overlap its neighbour.
func channelParts(_ channels: Int) -> [Range<Int>] {
    if registersAreWide { return TileProduct.parts(of: channels) }
    return stride(from: 0, to: channels, by: laneCount).map {
        let first = max(0, min($0, channels - laneCount))
        return first..<first + laneCount
    }
}

extension ConvolutionShape {
    /// Input and output channels of a group.
    var groupInputs: Int { inputChannels / groups }
    var groupOutputs: Int { outputChannels / groups }

    /// Weights of an output channel.
    var groupRows: Int { kernelHeight * kernelWidth * groupInputs }

    /// The input with the padding that the kernel reads.
    var paddedInput: PaddedImage {
        PaddedImage(
            height: inputHeight, width: inputWidth, channels: inputChannels, top: paddingHeight,
            left: paddingWidth, bottom: paddingHeight, right: paddingWidth)
    }
}

/// An image, [height, width, channels], with zeros around it.
struct PaddedImage {
    let height: Int
    let width: Int
    let channels: Int
    let top: Int
    let left: Int
    let bottom: Int
    let right: Int

    /// Floats of a row, and of all.
    var rowCount: Int { (left &+ width &+ right) &* channels }
    var count: Int { (top &+ height &+ bottom) &* rowCount }

    /// Floats of the copy; 0 where the image has no padding and serves itself.
    var scratchCount: Int { top + left + bottom + right == 0 ? 0 : count }

    /// The image with its padding: a copy in `memory`, or itself.
    func padded(
        _ image: UnsafePointer<Float>, in memory: UnsafeMutablePointer<Float>
    ) -> UnsafePointer<Float> {
        if scratchCount == 0 { return image }
        let row = width &* channels
        var target = memory
        // From the end of a row to the beginning of the next one is one run of zeros.
        let (before, between, behind) = (
            top &* rowCount &+ left &* channels, (left &+ right) &* channels,
            bottom &* rowCount &+ right &* channels
        )
        target.update(repeating: 0, count: before)
        target += before
        for y in 0..<height {
            target.update(from: image + y &* row, count: row)
            target += row
            let zeros = y == height &- 1 ? behind : between
            target.update(repeating: 0, count: zeros)
            target += zeros
        }
        return UnsafePointer(memory)
    }
}
