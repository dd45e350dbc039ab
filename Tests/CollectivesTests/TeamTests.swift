import Collectives
import Synchronization
import Testing

@Suite("The threads of a team")
struct TeamTests {
    /// A subnormal number that the compiler cannot compute.
    private static var halfOfTheLeastNormal: Float {
        ([.leastNormalMagnitude] as [Float]).randomElement()! / 2
    }

    @Test(
        "workers take subnormals for zero, and leave the calling thread as it was",
        arguments: [1, 2, 3])
    func floatingPointMode(threads: Int) throws {
        #expect(Self.halfOfTheLeastNormal != 0)
        let found = Mutex<[Float]>([])
        try Team.run(threads: threads) { _ in
            let value = Self.halfOfTheLeastNormal
            found.withLock { $0.append(value) }
        }
        #expect(found.withLock { $0 } == [Float](repeating: 0, count: threads))
        #expect(Self.halfOfTheLeastNormal != 0)
    }
}
