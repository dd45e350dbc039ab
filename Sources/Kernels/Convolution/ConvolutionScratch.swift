import TensorCore

/// Memory that convolutions use for the time of a call; those of a thread can share one.
public final class ConvolutionScratch {
    private(set) var memory = ConvolutionScratch.zeroed(0)
    /// Floats that plans have asked for.
    private(set) var count = 0

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

    /// Two lines of the cache.
    private static var alignment: Int { 128 }

    private static func zeroed(_ count: Int) -> UnsafeMutablePointer<Float> {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Float>.stride, alignment: alignment
        ).bindMemory(to: Float.self, capacity: count)
        memory.initialize(repeating: 0, count: count)
        return memory
    }
}
