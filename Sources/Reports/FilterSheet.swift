/// The weights of units as small images side by side: the first layer's, whose inputs are pixels.
///
/// Weights on grey images run from blue (below 0) over white (0) to red (above 0), each unit scaled
/// by its own largest |w|. Those on colour images are colours about a middle grey.
public struct FilterSheet: Sendable {
    /// The sheet.
    public let image: PNGImage

    /// The units shown, and how many there are.
    public let shown: Int
    /// All units of the layer.
    public let units: Int
    /// Rows of one unit's weights.
    public let height: Int
    /// Columns of one unit's weights.
    public let width: Int

    /// A sheet of the first units.
    ///
    /// - Parameters:
    ///   - weights: [units, channels, height, width], as PyTorch stores them.
    ///   - most: how many are shown at most.
    /// - Returns: nil where there is nothing that could be looked at: no value, or weights of one
    ///   pixel, or as many as fill no screen.
    public init?(
        weights: [Float], units: Int, channels: Int, height: Int, width: Int, most: Int = 64
    ) {
        let size = channels * height * width
        guard units > 0, size > 0, weights.count == units * size, height > 1, width > 1,
            height <= 256, width <= 256
        else { return nil }
        // Large enough to see a weight, in whole pixels.
        let scale = max(1, (height <= 8 ? 40 : 56) / height)
        let shown = min(units, most)
        let columns = min(shown, 16)
        let rows = (shown + columns - 1) / columns
        let gap = 4
        let (cellWidth, cellHeight) = (width * scale + gap, height * scale + gap)
        var image = PNGImage(
            width: columns * cellWidth - gap, height: rows * cellHeight - gap, channels: 4)
        for unit in 0..<shown {
            let own = Array(weights[unit * size..<(unit + 1) * size])
            let largest = own.map(abs).filter(\.isFinite).max() ?? 0
            let (left, top) = (unit % columns * cellWidth, unit / columns * cellHeight)
            for y in 0..<height * scale {
                for x in 0..<width * scale {
                    let place = y / scale * width + x / scale
                    let color =
                        channels == 3
                        ? (0..<3).map { own[$0 * height * width + place] / max(largest, 1e-30) }
                            .map { Self.byte(0.5 + 0.5 * $0) }
                        : Self.diverging(
                            Self.mean(own, at: place, channels: channels, stride: height * width)
                                / max(largest, 1e-30))
                    let start = ((top + y) * image.width + left + x) * 4
                    image.bytes.replaceSubrange(start..<start + 4, with: color + [255])
                }
            }
        }
        self.image = image
        self.shown = shown
        self.units = units
        self.height = height
        self.width = width
    }

    private static func mean(
        _ weights: [Float], at place: Int, channels: Int, stride: Int
    ) -> Float {
        (0..<channels).reduce(0) { $0 + weights[$1 * stride + place] } / Float(channels)
    }

    private static func byte(_ value: Float) -> UInt8 {
        value.isFinite ? UInt8(max(0, min(255, (value * 255).rounded()))) : 0
    }

    /// −1 blue, 0 white, 1 red.
    static func diverging(_ value: Float) -> [UInt8] {
        guard value.isFinite else { return [0, 0, 0] }
        let end: [Float] = value < 0 ? [0, 0.447, 0.698] : [0.835, 0.369, 0]
        let share = min(1, abs(value))
        return end.map { byte(1 + share * ($0 - 1)) }
    }
}
