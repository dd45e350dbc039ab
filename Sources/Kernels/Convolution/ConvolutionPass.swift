/// How forward or backward data is computed: what copy of the weight it reads, and how it makes images of
/// images.
protocol ImagePass {
    /// For benchmarks.
    var name: String { get }

    /// Floats of the copy of the weight that `run` reads; nil where it reads the parameter.
    var packedCount: Int? { get }

    /// Writes the copy, where there is one.
    ///
    /// - Parameters:
    ///   - weight: the parameter
    ///   - packed: [packedCount], overwritten
    func pack(_ weight: UnsafePointer<Float>, into packed: UnsafeMutablePointer<Float>)

    /// An image's bits depend on that image alone.
    ///
    /// - Parameters:
    ///   - input: [images, H, W, C]; dY for backward data
    ///   - weight: the parameter or its copy
    ///   - bias: [K] or none; never for backward data
    ///   - output: [images, H′, W′, K]; dX for backward data; overwritten
    func run(
        images: Int, _ input: UnsafePointer<Float>, _ weight: UnsafePointer<Float>,
        _ bias: UnsafePointer<Float>?, _ output: UnsafeMutablePointer<Float>)
}

/// Some of a weight's values in memory: `runs` of `length` neighbours, `stride` Floats from one to the next.
public struct WeightPart: Hashable, Sendable {
    /// The first value.
    public let first: Int
    /// Neighbours.
    public let length: Int
    /// How many times these.
    public let runs: Int
    /// From a run to the next.
    public let stride: Int

    init(first: Int, length: Int, runs: Int = 1, stride: Int = 0) {
        (self.first, self.length, self.runs, self.stride) = (first, length, runs, stride)
    }

    /// All of `count` values.
    public init(count: Int) { self.init(first: 0, length: count) }

    /// Calls `body` with the place of each run.
    @inline(__always)
    public func forEachRun(_ body: (Range<Int>) -> Void) {
        for run in 0..<runs {
            let start = first &+ run &* stride
            body(start..<start &+ length)
        }
    }
}

/// How the weight's gradient is computed.
protocol WeightPass {
    /// For benchmarks.
    var name: String { get }

    /// - Parameters:
    ///   - images: 1 at least
    ///   - input: [images, H, W, C]
    ///   - outputGradient: [images, H′, W′, K]
    ///   - weightGradient: in the parameter's layout, overwritten
    func run(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ weightGradient: UnsafeMutablePointer<Float>)
}

/// A weight pass that can compute parts of the gradient apart from each other, with the same bits: for
/// threads that share the work, and for small shards, of which a part each stays in the cache until they
/// are added up.
protocol DividedWeightPass: WeightPass {
    /// The parts that the gradient divides into.
    var units: Int { get }

    /// Where some units lie in the gradient.
    func part(_ units: Range<Int>) -> WeightPart

    /// Images that `load` takes at most; may be 0.
    var imagesAtOnce: Int { get }

    /// Makes of some images what runs over any of them read, until the scratch serves something else.
    func load(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>)

    /// Some units of the gradient over some of the loaded images, 1 at least.
    ///
    /// - Parameters:
    ///   - input: the first of the loaded images
    ///   - outputGradient: likewise
    ///   - weightGradient: the whole, of which `part(units)` is overwritten.
    func run(
        loaded images: Range<Int>, _ input: UnsafePointer<Float>,
        _ outputGradient: UnsafePointer<Float>, units: Range<Int>,
        _ weightGradient: UnsafeMutablePointer<Float>)

    /// Some units of the gradient over images, 1 at least.
    func run(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        units: Range<Int>, _ weightGradient: UnsafeMutablePointer<Float>)
}

extension DividedWeightPass {
    func run(
        images: Int, _ input: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
        _ weightGradient: UnsafeMutablePointer<Float>
    ) {
        run(images: images, input, outputGradient, units: 0..<units, weightGradient)
    }
}
