import TensorCore
import Testing

@testable import Datasets

@Suite struct AugmenterTests {
    /// Height, width, channels, and what is done.
    struct Case: CustomTestStringConvertible, Sendable {
        let shape: [Int]
        let steps: [Augmentation]
        var testDescription: String { "\(shape) \(steps)" }
    }

    static let cases: [Case] = {
        let lists: [[Augmentation]] = [
            [], [.flip], [.padCrop(padding: 0)], [.padCrop(padding: 2)], [.cutout(size: 2)],
            [.padCrop(padding: 2), .flip, .cutout(size: 2)],
            [.cutout(size: 3), .flip, .padCrop(padding: 2)],
            [.flip, .padCrop(padding: 1), .flip, .cutout(size: 1), .padCrop(padding: 2), .flip],
            [.cutout(size: 1), .cutout(size: 2), .padCrop(padding: 2), .cutout(size: 3), .flip],
        ]
        return [[3, 3, 1], [5, 4, 3], [3, 7, 2], [32, 32, 3], [28, 28, 1]].flatMap { shape in
            lists.map { Case(shape: shape, steps: $0) }
        }
    }()

    /// The same, step by step on whole images.
    private func reference(
        _ image: [Float], _ shape: [Int], _ steps: [Augmentation], _ random: CounterRandom
    ) -> [Float] {
        let (height, width, channels) = (shape[0], shape[1], shape[2])
        var image = image
        func pixel(_ image: [Float], _ y: Int, _ x: Int, _ channel: Int) -> Float {
            guard (0..<height).contains(y) && (0..<width).contains(x) else { return 0 }
            return image[(y * width + x) * channels + channel]
        }
        for (number, step) in steps.enumerated() {
            let old = image
            let first = 4 * number
            for y in 0..<height {
                for x in 0..<width {
                    for channel in 0..<channels {
                        let new: Float
                        switch step {
                        case .padCrop(let padding):
                            let down = random.integer(below: 2 * padding + 1, at: first)
                            let right = random.integer(below: 2 * padding + 1, at: first + 1)
                            new = pixel(old, y + down - padding, x + right - padding, channel)
                        case .flip:
                            let isFlipped = random.integer(below: 2, at: first) == 1
                            new = pixel(old, y, isFlipped ? width - 1 - x : x, channel)
                        case .cutout(let size):
                            let top = random.integer(below: height, at: first) - size / 2
                            let left = random.integer(below: width, at: first + 1) - size / 2
                            let isCut =
                                (top..<top + size).contains(y) && (left..<left + size).contains(x)
                            new = isCut ? 0 : pixel(old, y, x, channel)
                        }
                        image[(y * width + x) * channels + channel] = new
                    }
                }
            }
        }
        return image
    }

    @Test("filled rows are those of the steps one after the other", arguments: cases)
    func fill(it: Case) throws {
        let dataset = patterned(
            count: 11, height: it.shape[0], width: it.shape[1], channels: it.shape[2])
        let view = SampleView(dataset, range: 1..<11)
        let scaling = try InputScaling(.standardize, for: view)
        let augmenter = try Augmenter(it.steps, seed: 5, for: dataset)
        let indices = (0..<10).map { Int32(($0 * 7 + 3) % 10) }
        let plain = Tensor(rows: 10, columns: dataset.features)
        scaling.fill(plain, from: view, at: indices.span)
        for epoch in [1, 2, 70_000] {
            let batch = Tensor(rows: 11, columns: dataset.features)
            batch.elements = [Float](repeating: -7, count: 11 * dataset.features)
            augmenter.fill(batch, from: view, at: indices.span, epoch: epoch, scaling: scaling)
            for (row, index) in indices.enumerated() {
                let random = CounterRandom(
                    seed: 5, purpose: .augmentation,
                    index: UInt64(epoch) << 32 | UInt64(index + 1))
                let range = row * dataset.features..<(row + 1) * dataset.features
                #expect(
                    Array(batch.elements[range])
                        == reference(Array(plain.elements[range]), it.shape, it.steps, random))
            }
            #expect(batch.elements.suffix(dataset.features).allSatisfy { $0 == -7 })
        }
    }

    @Test("a sample is changed alike wherever it stands in a batch, and anew in each epoch")
    func position() throws {
        let dataset = patterned(count: 8, height: 9, width: 8, channels: 3)
        let view = SampleView(dataset)
        let scaling = try InputScaling(.unit, for: view)
        func row(_ seed: UInt64, _ epoch: Int, _ indices: [Int32], _ row: Int) throws -> [Float] {
            let batch = Tensor(rows: indices.count, columns: dataset.features)
            try Augmenter(
                [.padCrop(padding: 4), .flip, .cutout(size: 4)], seed: seed, for: dataset
            )
            .fill(batch, from: view, at: indices.span, epoch: epoch, scaling: scaling)
            return Array(
                batch.elements[row * dataset.features..<(row + 1) * dataset.features])
        }
        let alone = try row(1, 1, [6], 0)
        #expect(try row(1, 1, [2, 0, 6, 1], 2) == alone)
        #expect(try row(1, 2, [6], 0) != alone)
        #expect(try row(2, 1, [6], 0) != alone)
    }

    @Test("flips are even, and crops and cuts are everywhere, in equal shares")
    func shares() throws {
        let samples = 20_000
        // A picture whose brightest pixel is in the middle: where it comes to tells the crop.
        let images = (0..<samples).flatMap { _ in (0..<9).map { UInt8($0 == 5 ? 255 : 100) } }
        let dataset = try Dataset(
            name: "x", height: 3, width: 3, channels: 1, classes: 2, images: images,
            labels: [UInt8](repeating: 0, count: samples), source: "x")
        let view = SampleView(dataset)
        let scaling = try InputScaling(.none, for: view)
        let indices = (0..<samples).map(Int32.init)
        func share(_ step: Augmentation, _ isMeant: ([Float]) -> Bool) throws -> Double {
            let batch = Tensor(rows: samples, columns: 9)
            try Augmenter([step], seed: 1, for: dataset)
                .fill(batch, from: view, at: indices.span, epoch: 1, scaling: scaling)
            let values = batch.elements
            let count = (0..<samples).count { isMeant(Array(values[$0 * 9..<$0 * 9 + 9])) }
            return Double(count) / Double(samples)
        }
        // Six deviations of the share: √(p(1 − p)/n) ≤ 0.0036.
        #expect(abs(try share(.flip) { $0[3] == 255 } - 1.0 / 2) < 0.022)
        #expect(abs(try share(.padCrop(padding: 1)) { $0[5] == 255 } - 1.0 / 9) < 0.022)
        #expect(abs(try share(.padCrop(padding: 1)) { $0[0] == 0 && $0[8] != 0 } - 3.0 / 9) < 0.022)
        #expect(abs(try share(.cutout(size: 1)) { $0[4] == 0 } - 1.0 / 9) < 0.022)
        #expect(abs(try share(.cutout(size: 3)) { $0[4] == 0 } - 1) < 0.022)
        #expect(abs(try share(.cutout(size: 3)) { $0[0] == 0 && $0[8] == 0 } - 1.0 / 9) < 0.022)
    }

    @Test("what does not fit the images is refused")
    func geometry() {
        let dataset = patterned(count: 1, height: 9, width: 5)
        for (step, text) in [
            (.padCrop(padding: 5), "padding 5, but the images are 9 × 5: give 0…4"),
            (.padCrop(padding: -1), "padding -1, but the images are 9 × 5: give 0…4"),
            (.cutout(size: 6), "cutout size 6, but the images are 9 × 5: give 1…5"),
            (.cutout(size: 0), "cutout size 0, but the images are 9 × 5: give 1…5"),
        ] as [(Augmentation, String)] {
            expectError("augment has " + text, .settings) {
                _ = try Augmenter([.flip, step], seed: 1, for: dataset)
            }
        }
    }
}
