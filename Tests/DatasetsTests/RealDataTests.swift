import Datasets
import Foundation
import Testing

/// ../shared/data beside the package, which not every machine has.
private let realData = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("shared/data").path

@Suite struct RealDataTests {
    static func exists(_ name: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(realData)/\(name)")
    }

    /// Mean and deviation are those that every tutorial gives for these files.
    private func expectDataset(
        _ name: String, mean: Double, deviation: Double, firstLabels: [UInt8]
    ) throws {
        let pair = try DatasetPair.idx(directory: "\(realData)/\(name)")
        #expect(pair.training.name == name)
        #expect(pair.training.count == 60_000 && pair.test.count == 10_000)
        #expect(pair.training.classes == 10)
        #expect(pair.training.height == 28 && pair.training.width == 28)
        #expect(Array(pair.training.labels.prefix(5)) == firstLabels)
        let moments = PixelMoments(of: SampleView(pair.training))
        #expect(abs(moments.mean[0] - mean) < 0.00005)
        #expect(abs(moments.deviation[0] - deviation) < 0.00005)
    }

    @Test(
        "MNIST has its published mean and deviation",
        .enabled(if: exists("mnist"), "there is no ../shared/data/mnist"))
    func mnist() throws {
        try expectDataset("mnist", mean: 0.1307, deviation: 0.3081, firstLabels: [5, 0, 4, 1, 9])
    }

    @Test(
        "Fashion-MNIST has its published mean and deviation",
        .enabled(if: exists("fashion-mnist"), "there is no ../shared/data/fashion-mnist"))
    func fashionMNIST() throws {
        try expectDataset(
            "fashion-mnist", mean: 0.2860, deviation: 0.3530, firstLabels: [9, 0, 0, 3, 0])
    }
}
