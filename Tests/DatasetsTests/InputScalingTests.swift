import Datasets
import TensorCore
import Testing

@Suite struct InputScalingTests {
    /// Images of every remainder by the vector width, one to four channels.
    static let shapes = [
        (1, 1, 1), (3, 5, 1), (4, 4, 1), (28, 28, 1), (5, 5, 3), (7, 3, 2), (32, 32, 3), (9, 1, 4),
        (1, 1, 3),
    ]

    @Test("filled rows are the selected samples, scaled", arguments: shapes)
    func fill(shape: (Int, Int, Int)) throws {
        let (height, width, channels) = shape
        let dataset = patterned(count: 23, height: height, width: width, channels: channels)
        let view = SampleView(dataset, range: 4..<21)
        let mean = (0..<channels).map { 0.1 + 0.2 * Double($0) }
        let deviation = (0..<channels).map { 0.3 + 0.1 * Double($0) }
        let indices: [Int32] = [16, 0, 3, 3, 11]
        for scaling in [Scaling.none, .unit, .fixed(mean: mean, deviation: deviation)] {
            let resolved = try InputScaling(scaling, for: view)
            var expected: [Float] = []
            for index in indices {
                for (position, byte) in view.pixels(at: Int(index)).enumerated() {
                    let channel = position % channels
                    expected.append(
                        resolved.offset[channel].addingProduct(
                            resolved.scale[channel], Float(byte)))
                    let unit = Double(byte) / 255
                    let exact =
                        switch scaling {
                        case .none: Double(byte)
                        case .unit: unit
                        default: (unit - mean[channel]) / deviation[channel]
                        }
                    // Three roundings: of scale, offset and result, all below 2 in magnitude
                    // times the largest term.
                    #expect(abs(Double(expected.last ?? .nan) - exact) <= 4e-7 * max(abs(exact), 1))
                }
            }
            // A row a sample, and a row a pixel.
            for columns in [dataset.features, channels] {
                let rows = 6 * dataset.features / columns
                let batch = Tensor(rows: rows, columns: columns)
                batch.elements = [Float](repeating: -7, count: 6 * dataset.features)
                resolved.fill(batch, from: view, at: indices.span)
                #expect(
                    batch.elements
                        == expected + [Float](repeating: -7, count: dataset.features))
            }
            let batch = Tensor(rows: 3, columns: dataset.features)
            resolved.fill(batch, from: view, at: 10..<13)
            let chosen: [Int32] = [10, 11, 12]
            let same = Tensor(rows: 3, columns: dataset.features)
            resolved.fill(same, from: view, at: chosen.span)
            #expect(batch.elements == same.elements)
        }
    }

    @Test("unit reaches exactly 0 and 1")
    func unitEnds() throws {
        let dataset = try Dataset(
            name: "ends", height: 1, width: 3, channels: 1, classes: 2, images: [0, 255, 128],
            labels: [0], source: "ends")
        let batch = Tensor(rows: 1, columns: 3)
        let view = SampleView(dataset)
        try InputScaling(.unit, for: view).fill(batch, from: view, at: 0..<1)
        #expect(batch.elements == [0, 1, 128 * Float(1.0 / 255)])
    }

    @Test("moments are those of the samples in use alone, per channel", arguments: [1, 2, 3])
    func moments(channels: Int) throws {
        let dataset = patterned(count: 31, height: 5, width: 3, channels: channels)
        let view = SampleView(dataset, range: 3..<17)
        let moments = PixelMoments(of: view)
        let scaling = try InputScaling(.standardize, for: view)
        for channel in 0..<channels {
            let values = (3..<17).flatMap { sample in
                (0..<15).map { pixel in
                    Double(dataset.images[sample * dataset.features + pixel * channels + channel])
                        / 255
                }
            }
            let mean = values.reduce(0, +) / Double(values.count)
            let variance =
                values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count)
            #expect(abs(moments.mean[channel] - mean) < 1e-14)
            #expect(abs(moments.deviation[channel] - variance.squareRoot()) < 1e-14)
            // As files hold them.
            let μ = Double(Float(moments.mean[channel]))
            let σ = Double(Float(moments.deviation[channel]))
            #expect(scaling.scale[channel] == Float(1 / (255 * σ)))
            #expect(scaling.offset[channel] == Float(-μ / σ))
        }
        let all = PixelMoments(of: SampleView(dataset))
        #expect(all != moments)
    }

    @Test("standardized samples have mean 0 and deviation 1")
    func standardized() throws {
        let dataset = patterned(count: 40, height: 7, width: 5)
        let view = SampleView(dataset)
        let batch = Tensor(rows: 40, columns: 35)
        try InputScaling(.standardize, for: view).fill(batch, from: view, at: 0..<40)
        let values = batch.elements.map(Double.init)
        let mean = values.reduce(0, +) / Double(values.count)
        let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count)
        #expect(abs(mean) < 1e-6 && abs(variance - 1) < 1e-6)
    }

    @Test(
        "each feature is standardized by its own moments of the samples in use; constant ones are 0",
        arguments: [(5, 3, 1), (4, 5, 3), (1, 1, 2), (7, 5, 1)])
    func features(height: Int, width: Int, channels: Int) throws {
        let whole = patterned(count: 31, height: height, width: width, channels: channels)
        var images = whole.images
        let features = whole.features
        for sample in 0..<31 { images[sample * features] = 77 }
        let dataset = try Dataset(
            name: "x", height: height, width: width, channels: channels, classes: whole.classes,
            images: images, labels: whole.labels, source: "x")
        let view = SampleView(dataset, range: 3..<29)
        let batch = Tensor(rows: 26, columns: features)
        try InputScaling(.standardizeFeatures, for: view).fill(batch, from: view, at: 0..<26)
        for feature in 0..<features {
            let bytes = (3..<29).map { Double(images[$0 * features + feature]) }
            let mean = bytes.reduce(0, +) / 26
            let deviation =
                (bytes.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 26).squareRoot()
            for row in 0..<26 {
                let expected = feature == 0 ? 0 : (bytes[row] - mean) / deviation
                let actual = Double(batch.pointer[row * features + feature])
                #expect(abs(actual - expected) < 1e-5)
            }
        }
    }

    @Test("a constant channel cannot be standardized")
    func constantChannel() throws {
        let dataset = try Dataset(
            name: "x", height: 1, width: 2, channels: 2, classes: 2,
            images: [1, 17, 2, 17, 3, 17, 4, 9], labels: [0, 1], source: "x")
        expectError(
            "scaling cannot standardize channel 1: all values are 17 in the training samples "
                + "in use"
        ) { _ = try InputScaling(.standardize, for: SampleView(dataset, range: 0..<1)) }
        #expect(throws: Never.self) { try InputScaling(.standardize, for: SampleView(dataset)) }
    }

    @Test("given means and deviations must fit the channels")
    func givenNumbers() {
        let view = SampleView(patterned(count: 2, height: 2, width: 2, channels: 3))
        expectError(
            "scaling has 1 mean and 3 deviations, but the images have 3 channels: give one of "
                + "each a channel", .settings
        ) { _ = try InputScaling(.fixed(mean: [0], deviation: [1, 1, 1]), for: view) }
        for wrong in [0, -0.5, .infinity, .nan] {
            expectError(
                "scaling has mean 0.5 and deviation \(wrong) for channel 2: give finite "
                    + "numbers, and a deviation above 0", .settings
            ) {
                _ = try InputScaling(
                    .fixed(mean: [0, 0, 0.5], deviation: [1, 1, wrong]), for: view)
            }
        }
        expectError(
            "scaling has mean nan and deviation 1.0 for channel 0: give finite numbers, and a "
                + "deviation above 0", .settings
        ) { _ = try InputScaling(.fixed(mean: [.nan, 0, 0], deviation: [1, 1, 1]), for: view) }
    }

    @Test("samples outside the view, and batches too small, are refused")
    func misuse() async {
        await #expect(processExitsWith: .failure) {
            let view = SampleView(patterned(count: 9, height: 2, width: 2), range: 0..<5)
            let indices: [Int32] = [5]
            try InputScaling(.unit, for: view).fill(
                Tensor(rows: 1, columns: 4), from: view, at: indices.span)
        }
        await #expect(processExitsWith: .failure) {
            let view = SampleView(patterned(count: 9, height: 2, width: 2))
            try InputScaling(.unit, for: view).fill(
                Tensor(rows: 2, columns: 4), from: view, at: 0..<3)
        }
    }
}
