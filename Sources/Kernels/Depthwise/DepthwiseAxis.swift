import CPlatform
import TensorCore

// Depthwise convolutions: every channel by itself, channels along the lanes.
//
// For one vector of channels after the other, the lines of the image are copied with their padding into a
// ring of those that one line of outputs meets. There an element of the kernel is an offset, whatever
// padding, stride and dilation are, and loops run without conditions through the first-level cache. Read in
// place, channels that are a multiple of 512 fall on the same lines of the cache: measured on Zen 4 at 14²
// and 512 channels, twice the time; at 480, three quarters of it.
//
// A value is one chain of fused multiply-adds over kernel rows and columns, for backward data over the
// kernel turned around, for backward weights over images, rows and columns of outputs. Padding counts as
// zeros.

extension ConvolutionShape {
    /// Whether every channel is a group of its own.
    var isDepthwise: Bool {
        groups == inputChannels && groups == outputChannels && groups > 1
    }
}

/// Outputs of a line that are computed together.
let neighboursTogether = 8

/// Where a depthwise pass reads along one axis, by what it writes.
struct DepthwiseAxis {
    /// What is written in steps, and meets the same elements of the kernel.
    struct Phase {
        let first: Int
        let step: Int
        let count: Int
        /// In the order of the sum: elements of the kernel, and where the first of this phase meets the
        /// image with its padding.
        let elements: [(kernel: Int, place: Int)]
    }

    /// One; of the gradient of a strided convolution's input one for each remainder of the stride.
    let phases: [Phase]
    /// Places from one of a phase to the next.
    let step: Int
    /// Of the image.
    let extent: Int
    /// Zeros in front of it.
    let before: Int

    init(extent: Int, outputs: Int, kernel: Int, stride: Int, padding: Int, dilation: Int) {
        phases = [
            Phase(
                first: 0, step: 1, count: outputs,
                elements: (0..<kernel).map { ($0, $0 * dilation) })
        ]
        (step, before, self.extent) = (stride, padding, extent)
    }

    /// For the gradient of `inputs` places of the input; the image is the output's gradient.
    init(
        backward inputs: Int, extent: Int, kernel: Int, stride: Int, padding: Int, dilation: Int
    ) {
        // Input i = phase + n·stride meets output (i + padding − element·dilation) / stride.
        let places = (0..<min(stride, inputs)).map { phase in
            (0..<kernel).reversed().compactMap { element -> (kernel: Int, place: Int)? in
                let place = phase + padding - element * dilation
                return place % stride == 0 ? (element, place / stride) : nil
            }
        }
        let before = places.joined().reduce(0) { max($0, -$1.place) }
        phases = places.enumerated().map { phase, elements in
            Phase(
                first: phase, step: stride, count: (inputs - phase + stride - 1) / stride,
                elements: elements.map { ($0.kernel, $0.place + before) })
        }
        (step, self.before, self.extent) = (1, before, extent)
    }

    /// Those of the longest phase.
    var count: Int { phases.reduce(0) { max($0, $1.count) } }

    /// Places that `count` of each phase meet.
    func places(_ count: Int) -> Int {
        let last = phases.reduce(0) { max($0, $1.elements.last?.place ?? 0) }
        return (count - 1) * step + last + 1
    }
}

extension ConvolutionShape {
    /// What forward and backward weights read: the input.
    var depthwiseAxes: (rows: DepthwiseAxis, columns: DepthwiseAxis) {
        (
            DepthwiseAxis(
                extent: inputHeight, outputs: outputHeight, kernel: kernelHeight,
                stride: strideHeight, padding: paddingHeight, dilation: dilationHeight),
            DepthwiseAxis(
                extent: inputWidth, outputs: outputWidth, kernel: kernelWidth,
                stride: strideWidth, padding: paddingWidth, dilation: dilationWidth)
        )
    }

    /// What backward data reads: the output's gradient.
    var depthwiseBackwardAxes: (rows: DepthwiseAxis, columns: DepthwiseAxis) {
        (
            DepthwiseAxis(
                backward: inputHeight, extent: outputHeight, kernel: kernelHeight,
                stride: strideHeight, padding: paddingHeight, dilation: dilationHeight),
            DepthwiseAxis(
                backward: inputWidth, extent: outputWidth, kernel: kernelWidth,
                stride: strideWidth, padding: paddingWidth, dilation: dilationWidth)
        )
    }
}

/// The lines of an image that a line of outputs meets, with their padding, for one vector of channels:
/// [depth, width, 16]. The next line's replace those that it does not meet any more.
struct DepthwiseLines {
    /// C
    private let channels: Int
    /// Of the image, H and W.
    private let (height, imageWidth): (Int, Int)
    /// Lines of zeros above it, and pixels of zeros left of it.
    private let (above, left): (Int, Int)
    /// Lines from a line of outputs to the next.
    let step: Int
    /// Floats from an output to the next.
    let pixel: Int
    /// Places of a line.
    private let width: Int
    /// Lines that a line of outputs meets, and those between them.
    let depth: Int
    /// Lines of outputs, of each phase.
    let count: Int
    /// Lines of outputs whose inputs stay in the second-level cache for all vectors of channels.
    let together: Int

    /// - Parameter multiple: a line serves so many outputs, or a multiple.
    init(_ rows: DepthwiseAxis, _ columns: DepthwiseAxis, channels: Int, multiple: Int) {
        self.channels = channels
        (height, imageWidth) = (rows.extent, columns.extent)
        (above, left) = (rows.before, columns.before)
        (step, pixel) = (rows.step, columns.step * laneCount)
        width = columns.places((columns.count + multiple - 1) / multiple * multiple)
        depth = rows.places(1)
        count = rows.count
        let most = Self.cachedFloats / (rows.step * columns.extent * max(channels, laneCount))
        together = min(rows.count, max(most, 4))
    }

    private static var cachedFloats: Int { 1 << 15 }

    /// Floats from a line to the next.
    private var lineCount: Int { width * laneCount }

    /// Floats of all lines.
    var floats: Int { depth * lineCount }

    /// Where a place lies for a line of outputs whose first place is `start` modulo `depth`.
    func offset(row: Int, column: Int, start: Int) -> Int {
        (start + row) % depth * lineCount + column * laneCount
    }

    /// The first place of a line of outputs modulo `depth`.
    func start(_ line: Int) -> Int { line &* step % depth }

    /// The first line of the image that no line of outputs up to `line` meets.
    func end(_ line: Int) -> Int { line &* step &+ depth &- above }

    /// Pixels of the image that a line of outputs meets, and the one before it does not.
    var pixelsPerLine: Int { step * imageWidth }

    /// Copies what a line of outputs meets.
    ///
    /// - Parameters:
    ///   - isNext: whether these are the lines of the one before it.
    ///   - image: [H, W, C], from the first of `lanes` channels on.
    ///   - lines: [floats]
    func copy(
        _ line: Int, isNext: Bool, _ image: UnsafePointer<Float>, lanes: Int,
        into lines: UnsafeMutablePointer<Float>
    ) {
        let first = line &* step
        let end = first &+ depth
        for place in (isNext ? max(first, end &- step) : first)..<end {
            copy(
                row: place &- above, image, lanes: lanes, into: lines + place % depth &* lineCount)
        }
    }

    private func copy(
        row: Int, _ image: UnsafePointer<Float>, lanes: Int,
        into line: UnsafeMutablePointer<Float>
    ) {
        guard row >= 0, row < height else { return clear(line, width) }
        let left = min(left, width)
        let inside = min(imageWidth, width &- left)
        let pixels = line + left &* laneCount
        clear(line, left)
        copyPixels(
            image + row &* imageWidth &* channels, stride: channels, lanes: lanes, into: pixels,
            count: inside)
        clear(pixels + inside &* laneCount, width &- left &- inside)
    }

    @inline(__always)
    private func clear(_ vectors: UnsafeMutablePointer<Float>, _ count: Int) {
        for vector in 0..<count { storeLanes(SIMD16(), vectors + vector &* laneCount, laneCount) }
    }
}

/// What the lines of outputs behind the present ones will read and write, brought into the second-level
/// cache in the order of memory: one vector of channels after the other, main memory would be waited for.
/// Measured on Zen 4 with 16 images of 112²×32: half the time.
struct DepthwiseAhead {
    private var image: UnsafePointer<Float>
    private var outputs: UnsafePointer<Float>
    private let images: Int

    /// - Parameters:
    ///   - line: the last of the present lines of outputs
    ///   - image: [H, W, C]
    ///   - outputs: the first of the lines behind it, to be read or written
    ///   - steps: how often `advance` is called for a line and a vector of channels
    init(
        behind line: Int, of lines: DepthwiseLines, _ image: UnsafePointer<Float>,
        _ outputs: UnsafePointer<Float>, channels: Int, steps: Int
    ) {
        self.image = image + lines.end(line) &* (lines.pixelsPerLine / lines.step) &* channels
        self.outputs = outputs
        images = (lines.pixelsPerLine &+ steps &- 1) / steps
    }

    /// Goes on by the outputs of neighbours, and what there is of the image for them.
    @inline(__always)
    mutating func advance() {
        for vector in 0..<neighboursTogether {
            bn_prefetch_line_nearby(outputs + vector &* laneCount)
        }
        for vector in 0..<images { bn_prefetch_line_nearby(image + vector &* laneCount) }
        outputs += neighboursTogether &* laneCount
        image += images &* laneCount
    }
}

/// Some channels of neighbouring pixels, `stride` Floats apart, one vector after the other.
func copyPixels(
    _ pixels: UnsafePointer<Float>, stride: Int, lanes: Int,
    into vectors: UnsafeMutablePointer<Float>, count: Int
) {
    var (source, target) = (pixels, vectors)
    if lanes == laneCount {
        for _ in 0..<count {
            storeLanes(loadLanes(source, laneCount), target, laneCount)
            source += stride
            target += laneCount
        }
    } else {
        for _ in 0..<count {
            storeLanes(loadLanes(source, lanes), target, laneCount)
            source += stride
            target += laneCount
        }
    }
}
