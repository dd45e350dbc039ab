import Datasets
import Testing

@Suite("Test samples that differ from those of training")
struct ShiftTests {
    @Test("brightness is added, contrast turns about one half, and both end at 0 and 1")
    func values() throws {
        let data = try Dataset(
            name: "x", height: 1, width: 4, channels: 1, classes: 2, images: [0, 51, 128, 255],
            labels: [1], source: "x")
        func shifted(_ brightness: Double, _ contrast: Double) -> DatasetPair {
            DatasetPair(training: data, test: data)
                .shiftingTest(brightness: brightness, contrast: contrast)
        }
        #expect(shifted(0, 1).test.images == data.images)
        #expect(shifted(0.2, 1).test.images == [51, 102, 179, 255])
        #expect(shifted(-0.2, 1).test.images == [0, 0, 77, 204])
        #expect(shifted(0, 0.5).test.images == [64, 89, 128, 191])
        #expect(shifted(0, 3).test.images == [0, 0, 129, 255])
        #expect(shifted(0.2, 1).training.images == data.images)
        #expect(shifted(0.2, 1).test.labels == [1])
    }
}
