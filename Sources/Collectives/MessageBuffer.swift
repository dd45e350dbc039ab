/// Memory that other workers of the team read during a collective.
///
/// Owned by the team (see `Communicator.buffer`), so that a worker that fails and leaves pulls no
/// memory from under another. 64-byte aligned, zeroed.
package final class MessageBuffer<Element: BitwiseCopyable & ExpressibleByIntegerLiteral> {
    /// The first element.
    package let pointer: UnsafeMutablePointer<Element>

    /// The number of elements.
    package let count: Int

    init(count: Int) {
        self.count = count
        let bytes = max(count, 1) * MemoryLayout<Element>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        pointer = memory.bindMemory(to: Element.self, capacity: count)
        pointer.initialize(repeating: 0, count: count)
    }

    deinit { pointer.deallocate() }
}
