/// The extent of one image, or of what a layer makes of one: height × width positions of
/// `channels` values each.
public struct ImageShape: Hashable, Sendable, CustomStringConvertible {
    /// Rows of pixels, H.
    public let height: Int
    /// Pixels of a row, W.
    public let width: Int
    /// Values of a pixel, C.
    public let channels: Int

    /// H × W positions of C values.
    public init(height: Int, width: Int, channels: Int) {
        self.height = height
        self.width = width
        self.channels = channels
    }

    /// H·W.
    public var positions: Int { height * width }

    /// H·W·C.
    public var count: Int { positions * channels }

    /// "32×32×3", H × W × C.
    public var description: String { "\(height)×\(width)×\(channels)" }
}
