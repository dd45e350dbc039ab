import TensorCore

/// Memory that convolutions use for the time of a call; those of a thread can share one.
///
/// Behind it lies a margin that nobody asked for. oneDNN's AVX2 kernel for the weights' gradient of
/// 1×1 kernels with strides wrote up to 320 bytes behind the scratch that it had asked for
/// (versions 2.6.3 and 3.2). It is used no more (`StridedPixels`), and tests over random shapes find no
/// other that does; the margin stays for shapes that they do not try.
public final class ConvolutionScratch {
    private(set) var memory = ConvolutionScratch.zeroed(0)
    /// Floats that plans have asked for.
    private(set) var count = 0
    /// Floats behind them.
    static var margin: Int { 1024 }

    /// Empty; plans make it as large as they need.
    public init() {}

    deinit { memory.deallocate() }

    /// Makes it hold `count` Floats.
    func reserve(_ count: Int) {
        guard count > self.count else { return }
        memory.deallocate()
        memory = Self.zeroed(count)
        self.count = count
    }

    /// Aligned as oneDNN aligns what it allocates itself.
    private static var alignment: Int { 128 }

    private static func zeroed(_ count: Int) -> UnsafeMutablePointer<Float> {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: (count + margin) * MemoryLayout<Float>.stride, alignment: alignment
        ).bindMemory(to: Float.self, capacity: count + margin)
        memory.initialize(repeating: 0, count: count + margin)
        return memory
    }
}
