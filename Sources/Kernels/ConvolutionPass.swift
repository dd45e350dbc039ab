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
