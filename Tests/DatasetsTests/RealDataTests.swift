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

    /// A folder with the binary version, which is kept packed where the others lie.
    static let cifar10 = ProcessInfo.processInfo.environment["BN_TRAIN_CIFAR10"]

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

    @Test(
        "CIFAR-10 has its published means and deviations",
        .enabled(if: cifar10 != nil, "BN_TRAIN_CIFAR10 names no folder with CIFAR-10"))
    func cifar() throws {
        let directory = try #require(Self.cifar10)
        let pair = try DatasetPair.cifar(.ten, directory: directory)
        #expect(pair.training.count == 50_000 && pair.test.count == 10_000)
        #expect(Array(pair.training.labels.prefix(5)) == [6, 9, 9, 4, 1])
        let moments = PixelMoments(of: SampleView(pair.training))
        for (channel, mean) in [0.4914, 0.4822, 0.4465].enumerated() {
            #expect(abs(moments.mean[channel] - mean) < 0.00005)
        }
        for (channel, deviation) in [0.2470, 0.2435, 0.2616].enumerated() {
            #expect(abs(moments.deviation[channel] - deviation) < 0.00005)
        }
    }
}
