import Configuration
import Datasets
import Layers
import Normalization
import TensorCore

/// What a model's inputs are scaled by, as files hold it beside the model: `input.mean`, and
/// `input.deviation` or `input.whitening`.
///
/// Shapes are PyTorch's: [C] for a channel's numbers, [C, H, W] for a pixel's, and
/// [C·H·W, C·H·W] for a whitening, whose rows and columns count as Flatten would. All are of
/// samples on the unit scale, 0…1.
extension SafetensorsFile {
    /// What the names of these tensors begin with.
    public static let inputPrefix = "input."

    /// Its name in the header: the scaling they were fitted for.
    static let inputKind = "input"

    /// What a run's file says of its inputs; nothing where nothing was fitted.
    static func inputContents(_ plan: RunPlan) -> [Content] {
        guard let statistics = plan.scaling.statistics else { return [] }
        let image = plan.imageShape
        let count = statistics.mean.count
        let shape = count == image.channels ? [count] : [image.channels, image.height, image.width]
        func content(_ name: String, _ values: [Float]) -> Content {
            Content(name: inputPrefix + name, shape: shape, image.inFileOrder(values))
        }
        let mean = content("mean", statistics.mean)
        switch statistics.transform {
        case .deviation(let deviation): return [mean, content("deviation", deviation)]
        case .matrix(let matrix):
            return [
                mean,
                Content(
                    name: inputPrefix + "whitening", shape: [count, count],
                    image.inFileOrder(matrix: matrix)),
            ]
        }
    }

    /// The statistics that stand here for `scaling`; nil where the file has none, or has those of
    /// another scaling: they are then fitted to the training samples.
    ///
    /// - Throws: `CheckpointError` where a tensor is missing, or not of images of this shape.
    func inputStatistics(
        for scaling: RunConfiguration.Data.Scaling, image: ImageShape
    ) throws(CheckpointError) -> InputStatistics? {
        guard let kind = scaling.fittedKind, metadata[Self.inputKind] == kind else { return nil }
        let pixels = [image.channels, image.height, image.width]
        func values(_ name: String, _ shape: [Int]) throws(CheckpointError) -> [Float] {
            let name = Self.inputPrefix + name
            try match([Expectation(name: name, shape: shape)], ignoringOthers: true)
            return try floats(name)
        }
        switch scaling {
        case .none, .unit, .fixed: return nil
        case .standardize:
            return InputStatistics(
                mean: try values("mean", [image.channels]),
                .deviation(try values("deviation", [image.channels])))
        case .standardizeFeatures:
            return InputStatistics(
                mean: image.inMemoryOrder(try values("mean", pixels)),
                .deviation(image.inMemoryOrder(try values("deviation", pixels))))
        case .whitened:
            return InputStatistics(
                mean: image.inMemoryOrder(try values("mean", pixels)),
                .matrix(
                    image.inMemoryOrder(
                        matrix: try values("whitening", [image.count, image.count]))))
        }
    }
}

extension RunConfiguration.Data.Scaling {
    /// The name in files of what is fitted for it; nil where nothing is.
    var fittedKind: String? {
        switch self {
        case .none, .unit, .fixed: nil
        case .standardize: "standardize"
        case .standardizeFeatures: "standardizeFeatures"
        case .whitened(let kind, _): kind.rawValue
        }
    }
}

extension RunPlan {
    /// The images that the network takes.
    var imageShape: ImageShape { ImageShape(split.training.dataset) }

    /// SHA-256 of what inputs are scaled by; empty where nothing was fitted.
    package var inputDigest: String {
        let contents = SafetensorsFile.inputContents(self)
        if contents.isEmpty { return "" }
        let hash = SHA256()
        for content in contents {
            if case .float32(let values) = content.values { hash.update(values) }
        }
        return hash.finish()
    }
}

extension ImageShape {
    init(_ data: Dataset) {
        self.init(height: data.height, width: data.width, channels: data.channels)
    }

    /// By place in C, H, W order, the place in H, W, C order.
    private var placesInMemory: [Int] {
        (0..<count).map { $0 % (height * width) * channels + $0 / (height * width) }
    }

    /// Of every feature, or of every channel, which has but one order.
    fileprivate func inFileOrder(_ values: [Float]) -> [Float] {
        values.count == count ? placesInMemory.map { values[$0] } : values
    }

    fileprivate func inMemoryOrder(_ values: [Float]) -> [Float] {
        var result = values
        for (file, memory) in placesInMemory.enumerated() { result[memory] = values[file] }
        return result
    }

    fileprivate func inFileOrder(matrix: [Float]) -> [Float] {
        if channels == 1 { return matrix }
        let places = placesInMemory
        return places.flatMap { row in places.map { matrix[row * count + $0] } }
    }

    fileprivate func inMemoryOrder(matrix: [Float]) -> [Float] {
        if channels == 1 { return matrix }
        var result = matrix
        let places = placesInMemory
        for (fileRow, row) in places.enumerated() {
            for (fileColumn, column) in places.enumerated() {
                result[row * count + column] = matrix[fileRow * count + fileColumn]
            }
        }
        return result
    }
}

extension Trainer {
    /// The model as a file, with what its inputs are scaled by.
    ///
    /// - Parameter statistics: BN's in force; nil for those that training leaves.
    public func file(statistics: InferenceStatistics? = nil) -> SafetensorsFile {
        replica.file(
            configuration: plan.configuration, content: plan.content, statistics: statistics,
            input: SafetensorsFile.inputContents(plan))
    }
}
