import Configuration
import Datasets
import Foundation
import Testing

@testable import Training

@Suite("What the samples of a run are")
struct DataContentTests {
    /// Three images of 700 000 pixels, more than two chunks, and one to test.
    private func pair(
        _ change: (inout [UInt8], inout [UInt8]) -> Void = { _, _ in },
        test: (inout [UInt8], inout [UInt8]) -> Void = { _, _ in }, classes: Int = 3
    ) throws -> DatasetPair {
        func dataset(_ images: [UInt8], _ labels: [UInt8]) throws -> Dataset {
            try Dataset(
                name: "d", height: 700, width: 1000, channels: 1, classes: classes,
                images: images, labels: labels, source: "d")
        }
        let size = 700 * 1000
        var images = (0..<3 * size).map { UInt8(truncatingIfNeeded: $0 * 37 + $0 / 1000) }
        var labels: [UInt8] = [0, 1, 2]
        change(&images, &labels)
        var testImages = (0..<size).map { UInt8(truncatingIfNeeded: $0 * 11) }
        var testLabels: [UInt8] = [1]
        test(&testImages, &testLabels)
        return DatasetPair(
            training: try dataset(images, labels), test: try dataset(testImages, testLabels))
    }

    @Test("digests are those of an independent program (Fixtures/data_content.py)")
    func values() throws {
        let content = DataContent(try pair())
        #expect(
            DatasetPair.Part.allCases.map(content.digest) == [
                "782fe19bb76bcbb57d7a76d5e094875257119addd5240eab773df1b924511217",
                "3dfd9b07cdfc9b75c6d26e5159595e983af7c9a1ca256f5ea601d8ae89627058",
                "8745523cd5a80c8eb3554da6cc9d91af3cf976334bb296fef85f788dd844531e",
                "3faebdcfe52f06b73343612a4b98b301a70acc674487367c645af683855da09e",
            ])
        #expect(
            content.digest == "cd1e160c844a5ca067a48990c385c225c6acdf31d32d6134d1e50216e1888900")
    }

    @Test("one pixel, one label, the order, the number of classes: each is seen where it is")
    func differences() throws {
        let content = DataContent(try pair())
        func differences(_ pair: DatasetPair) -> [DatasetPair.Part] {
            content.differences(from: DataContent(pair))
        }
        #expect(differences(try pair()) == [])
        // Of the first chunk, the second, and the last.
        for place in [0, 1_100_000, 2_099_999] {
            #expect(differences(try pair { images, _ in images[place] ^= 1 }) == [.trainingImages])
        }
        #expect(differences(try pair { _, labels in labels[2] = 1 }) == [.trainingLabels])
        #expect(
            differences(try pair { images, _ in images = images.map { 255 - $0 } })
                == [.trainingImages])
        #expect(
            differences(try pair { _, labels in labels.swapAt(0, 1) }) == [.trainingLabels])
        #expect(
            differences(try pair(test: { images, labels in (images[9], labels[0]) = (0, 2) }))
                == [.testImages, .testLabels])
        #expect(differences(try pair(classes: 4)) == [.trainingLabels, .testLabels])
        #expect(
            [DatasetPair.Part.trainingImages, .trainingLabels, .testLabels].listed
                == "the training images, the training labels and the test labels")
    }

    @Test("a header's text reads back, and nothing else does")
    func text() throws {
        let content = DataContent(try pair())
        #expect(DataContent(content.text) == content)
        for text in ["", "{}", "[]", content.text.replacing("test images", with: "tests")] {
            #expect(DataContent(text) == nil)
        }
        #expect(
            DataContent(content.text.replacing(content.digest(of: .testLabels), with: "1")) == nil)
    }

    @Test("data.sha256 refuses other data, and what is trained does not carry it on")
    func pinned() throws {
        let data = try pair()
        func plan(_ digest: String) throws -> RunPlan {
            try RunPlan(
                RunConfiguration.load(
                    file: nil,
                    settings: [
                        "data.name=idx", "data.directory=d", "data.sha256=\"\(digest)\"",
                        "batch.size=2", "batch.shards=1", "steps=1", "model.hidden=[2]",
                        "data.dropLast=true",
                    ]), data: data)
        }
        let digest = DataContent(data).digest
        #expect(try plan(digest).configuration.data.contentDigest == nil)
        let other = String(repeating: "0", count: 64)
        #expect {
            try plan(other)
        } throws: { error in
            "\(error)"
                == "the data have the SHA-256 \(digest.prefix(12))…, not 000000000000…"
        }
    }
}
