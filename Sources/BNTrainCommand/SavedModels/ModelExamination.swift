import Collectives
import Configuration
import Datasets
import Layers
import Models
import Reports
import TensorCore
import Training

/// What a saved model does with its test samples.
struct ModelExamination {
    private let trainer: Trainer
    private let file: SafetensorsFile

    /// The most mistakes that are shown.
    private static let mostMistakes = 20

    /// - Throws: what loading the model for these data throws.
    init(
        _ file: SafetensorsFile, _ configuration: RunConfiguration, data: DatasetPair
    ) throws {
        self.file = file
        trainer = Trainer(try RunPlan(configuration, data: data, scaledAsIn: file))
        try trainer.replica.load(file)
    }

    /// Takes all test samples through the network.
    func findings() throws -> ModelFindings {
        let plan = trainer.plan
        let test = plan.split.test
        let names = Self.classNames(plan)
        var confusion = ConfusionMatrix(classes: names)
        var mistakes: [(prediction: Trainer.Prediction, said: Int)] = []
        for prediction in try trainer.predictTestSamples() {
            let said = prediction.predicted
            confusion.counts[prediction.label][said] += 1
            if said != prediction.label { mistakes.append((prediction, said)) }
        }
        mistakes.sort {
            ($0.prediction.probabilities[$0.prediction.label], $0.prediction.index)
                < ($1.prediction.probabilities[$1.prediction.label], $1.prediction.index)
        }
        let worst = mistakes.prefix(Self.mostMistakes).compactMap { mistake in
            Self.image(of: test, at: mistake.prediction.index).map { image in
                let probabilities = mistake.prediction.probabilities
                return CaptionedImage(
                    image,
                    caption: [
                        "\(names[mistake.prediction.label]) → \(names[mistake.said])",
                        "\(fixed(100 * probabilities[mistake.said], digits: 1)) % sure",
                        "sample \(mistake.prediction.index)",
                    ])
            }
        }
        return ModelFindings(
            confusion: confusion, worst: worst, filters: filters,
            samples: "The saved model on the \(grouped(test.count)) test samples of "
                + "\(test.dataset.name), with its inference statistics.")
    }

    // MARK: Images

    private static func image(of samples: SampleView, at index: Int) -> PNGImage? {
        let data = samples.dataset
        guard data.units == nil, data.channels == 1 || data.channels == 3 else { return nil }
        return PNGImage(
            width: data.width, height: data.height, channels: data.channels,
            bytes: Array(samples.pixels(at: index)))
    }

    /// The weights of the first layer, where they lie on pixels.
    private var filters: FilterSheet? {
        guard let first = file.entries.first, let weights = try? file.floats(first.name) else {
            return nil
        }
        let images = trainer.plan.split.test.dataset
        guard images.units == nil else { return nil }
        switch first.shape.count {
        case 4:
            return FilterSheet(
                weights: weights, units: first.shape[0], channels: first.shape[1],
                height: first.shape[2], width: first.shape[3])
        case 2 where first.shape[1] == images.features:
            // Columns of a file are in the order of channels, rows, columns.
            return FilterSheet(
                weights: weights, units: first.shape[0], channels: images.channels,
                height: images.height, width: images.width, most: 32)
        default: return nil
        }
    }

    // MARK: Names

    private static func classNames(_ plan: RunPlan) -> [String] {
        let numbers = (0..<plan.network.classes).map { "\($0)" }
        let known: [String]
        switch plan.configuration.data.source {
        case .cifar10:
            known = [
                "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
                "truck",
            ]
        case .idx(let directory) where directory.lowercased().contains("fashion"):
            known = [
                "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
                "bag", "ankle boot",
            ]
        default: known = []
        }
        return known.count == numbers.count ? known : numbers
    }
}
