public import Collectives
public import Configuration
public import Datasets
import Kernels
public import Layers
public import Models
import Normalization
public import Optimization
public import TensorCore

/// A run, resolved: the configuration together with the data it meets. Equal on every rank.
public struct RunPlan: Sendable {
    /// What was asked for.
    public let configuration: RunConfiguration

    /// What the samples are, all of them.
    public let content: DataContent

    /// What their reader did with the files; see `DatasetPair.remark`.
    public let dataRemark: String?

    /// The samples.
    public let split: DataSplit

    /// How bytes become inputs.
    public let scaling: InputScaling

    /// What is done to training samples at random; nil for nothing.
    public let augmenter: Augmenter?

    /// The network.
    public let network: NetworkSpecification

    /// Where its tensors lie.
    public let layout: ModelLayout

    /// How weights start.
    public let initialization: Initialization

    /// How parameters are updated.
    public let optimizer: Optimizer

    /// Where the parameters are followed; nil for nowhere.
    let plane: Plane?

    /// Shards of every batch.
    public let shards: Int

    /// Optimizer steps of the whole run.
    public let totalSteps: Int

    /// Optimizer steps of one epoch.
    public let stepsPerEpoch: Int

    /// Resolves `configuration` for the samples of `pair`.
    ///
    /// - Parameter file: a model whose inputs are to be scaled as they were, where it tells how, and
    ///   the configuration asks for the same scaling.
    /// - Throws: `CheckpointError` where it was for other images; `DatasetError` where the data cannot
    ///   give what is asked, or are not those of `data.sha256`; `ConfigurationError` where a batch would
    ///   leave one value per channel in a statistics group.
    public init(
        _ configuration: RunConfiguration, data pair: DatasetPair,
        scaledAsIn file: SafetensorsFile? = nil
    ) throws {
        content = DataContent(pair)
        dataRemark = pair.remark
        if let expected = configuration.data.contentDigest, expected != content.digest {
            throw DatasetError.otherContent(expected: expected, found: content.digest)
        }
        // Compared: what is saved says by itself what it was trained on, and may meet other data.
        var configuration = configuration
        configuration.data.contentDigest = nil
        self.configuration = configuration
        split = try DataSplit(
            pair, limit: configuration.data.limit, validation: configuration.data.validation,
            from: configuration.data.validationFrom == .spread ? .spread : .end)
        let image = ImageShape(pair.training)
        let stored = try file?.inputStatistics(for: configuration.data.scaling, image: image)
        scaling =
            try stored.map(InputScaling.init)
            ?? InputScaling(Scaling(configuration.data.scaling), for: split.training)
        let augment = configuration.data.augment
        augmenter =
            augment.isEmpty
            ? nil
            : try Augmenter(
                augment.map(Augmentation.init), seed: configuration.seed, for: pair.training)
        totalSteps = try configuration.totalSteps(trainingSamples: split.training.count)
        stepsPerEpoch = configuration.stepsPerEpoch(trainingSamples: split.training.count)
        shards = configuration.resolvedShards
        var network = try NetworkSpecification(
            configuration.model, input: image, classes: pair.training.classes)
        // A channel of an image has many values even in a group of one sample.
        if network.fewestNormalizedPositions == 1 {
            try configuration.checkStatisticsGroups(trainingSamples: split.training.count)
        }
        network.frozen = configuration.freeze
        layout = network.layout(shards: shards)
        try Self.checkFrozen(configuration.freeze, layout)
        plane = try configuration.probes.path.map { [layout] in try Plane($0, layout) }
        self.network = network
        initialization = Initialization(configuration.model.initialization)
        optimizer = Optimizer(configuration)
    }

    /// Refuses what freezes nothing: a name that is spelt wrongly would train what should stay.
    private static func checkFrozen(
        _ prefixes: [String], _ layout: ModelLayout
    ) throws(ModelError) {
        for prefix in prefixes
        where !layout.parameters.contains(where: {
            $0.name == prefix || $0.name.hasPrefix(prefix + ".")
        }) {
            var names: [String] = []
            for parameter in layout.parameters {
                let parts = parameter.name.split(separator: ".")
                // `layers.0` of a sequence, `layer1` of modules with names.
                let name = parts.prefix(parts[0] == "layers" ? 2 : 1).joined(separator: ".")
                if !names.contains(name) { names.append(name) }
            }
            throw .nothingToFreeze(prefix: prefix, names: names)
        }
    }

    /// How the shards of a full batch fall on the workers: "2/3/3".
    public func balance(of world: World) -> String {
        (0..<world.workers).map { "\(world.shards(ofWorker: $0, of: shards).count)" }
            .joined(separator: "/")
    }

    /// Sizes of the global batches that will come, and whether they train: full batches, the short
    /// last one of an epoch, and what is left at the end of each set that is evaluated.
    var batches: [(samples: Int, trains: Bool)] {
        let size = configuration.batch.size
        var trains: [Int: Bool] = [:]
        func meet(_ samples: Int, _ isTraining: Bool) {
            if samples > 0 { trains[samples] = (trains[samples] ?? false) || isTraining }
        }
        let training = split.training.count
        if training >= size { meet(size, true) }
        if !configuration.data.dropLast { meet(training % size, true) }
        for set in [split.training, split.validation, split.test] where set.count > 0 {
            if set.count >= size { meet(size, false) }
            meet(set.count % size, false)
        }
        return trains.sorted { $0.key > $1.key }.map { ($0.key, $0.value) }
    }
}

extension Scaling {
    init(_ scaling: RunConfiguration.Data.Scaling) {
        switch scaling {
        case .none: self = .none
        case .unit: self = .unit
        case .standardize: self = .standardize
        case .standardizeFeatures: self = .standardizeFeatures
        case .whitened(let kind, let epsilon):
            self = .whitened(kind == .pca ? .pca : .zca, epsilon: epsilon)
        case .fixed(let mean, let deviation): self = .fixed(mean: mean, deviation: deviation)
        }
    }
}

extension Augmentation {
    init(_ augmentation: RunConfiguration.Data.Augmentation) {
        switch augmentation {
        case .padCrop(let padding): self = .padCrop(padding: padding)
        case .flip: self = .flip
        case .cutout(let size): self = .cutout(size: size)
        }
    }
}

extension Initialization {
    init(_ initialization: RunConfiguration.Initialization) {
        switch initialization.kind {
        case .normal: self = .normal(standardDeviation: initialization.scale)
        case .xavier: self = .xavier(gain: initialization.scale)
        case .he: self = .he(gain: initialization.scale)
        }
    }
}

extension NetworkSpecification {
    /// The network of a configuration for images of this shape.
    ///
    /// - Throws: `ModelError` where the images are too small for it, or its normalisation cannot be.
    public init(
        _ model: RunConfiguration.Model, input: ImageShape, classes: Int
    ) throws(ModelError) {
        switch model.normalization {
        case .none: try self.init(model, input: input, classes: classes, batchNorm: nil)
        case .batch(let normalization):
            try self.init(
                model, input: input, classes: classes, batchNorm: BatchNormSettings(normalization))
            if let noise = normalization.noise {
                self = addingNoise(Noise.Distribution(noise))
            }
        case .sample(let normalization):
            // Networks are written with BN; other normalisations stand in the same places.
            self = try NetworkSpecification(
                model, input: input, classes: classes, batchNorm: BatchNormSettings()
            ).normalizingSamples(GroupNormSettings(normalization))
        }
    }

    private init(
        _ model: RunConfiguration.Model, input: ImageShape, classes: Int,
        batchNorm settings: BatchNormSettings?
    ) throws(ModelError) {
        let stem: Stem = model.stem == .cifar ? .cifar : .imagenet
        func residual(_ kind: ResNet.Kind) throws(ModelError) -> NetworkSpecification {
            try ResNet(
                kind, stem: kind.isForCIFAR ? .cifar : stem,
                shortcut: model.shortcut == .padding ? .padding : .projection,
                zeroInitializesBlocks: model.zeroInitialBlocks, input: input, classes: classes,
                normalization: settings, dropout: model.dropout
            ).specification()
        }
        switch model.name {
        case .mlp:
            self =
                MLP(
                    inputs: input.count, hidden: model.hidden, classes: classes,
                    activation: ActivationKind(model.activation),
                    placement: MLP.Placement(model.placement),
                    normalization: settings, dropout: model.dropout
                ).specification
        case .lenet:
            self = try LeNet(
                input: input, classes: classes, normalization: settings, dropout: model.dropout
            ).specification()
        case .mnistCNN:
            self = try OneConvolution(
                input: input, classes: classes,
                placement: model.placement == .before ? .before : .after,
                normalization: settings, dropout: model.dropout
            ).specification()
        case .vgg11:
            self = try VGG(
                stem: stem, input: input, classes: classes, normalization: settings,
                dropout: model.dropout
            ).specification()
        case .resnet18: self = try residual(.resnet18)
        case .resnet34: self = try residual(.resnet34)
        case .resnet50: self = try residual(.resnet50)
        case .resnet8: self = try residual(.resnet8)
        case .resnet20: self = try residual(.resnet20)
        case .resnet32: self = try residual(.resnet32)
        case .resnet44: self = try residual(.resnet44)
        case .resnet56: self = try residual(.resnet56)
        case .resnet110: self = try residual(.resnet110)
        }
    }
}

extension MLP.Placement {
    init(_ placement: RunConfiguration.Model.Placement) {
        switch placement {
        case .before: self = .before
        case .after: self = .after
        case .inputs: self = .inputs
        }
    }
}

extension ActivationKind {
    init(_ activation: RunConfiguration.Model.Activation) {
        switch activation {
        case .sigmoid: self = .sigmoid
        case .tanh: self = .tanh
        case .relu: self = .relu
        }
    }
}

extension Noise.Distribution {
    init(_ noise: RunConfiguration.BatchNormalization.Noise) {
        self.init(mean: noise.mean, deviation: noise.deviation, spread: noise.spread)
    }
}

extension GroupNormSettings {
    init(_ normalization: RunConfiguration.SampleNormalization) {
        let grouping: Grouping =
            switch normalization.kind {
            case .layer: .layer
            case .instance: .instance
            case .group(let groups): .groups(groups)
            }
        self.init(grouping, epsilon: normalization.epsilon, affine: normalization.affine)
    }
}

extension BatchNormSettings {
    init(_ normalization: RunConfiguration.BatchNormalization) {
        let scope: StatisticsScope =
            switch normalization.scope {
            case .global: .global
            case .group(let size): .group(size)
            case .shard: .shard
            }
        let average: RunningAverage =
            switch normalization.momentum {
            case .weight(let weight): .momentum(weight)
            case .cumulative: .cumulative
            }
        self.init(
            scope: scope, average: average, epsilon: normalization.epsilon,
            unbiasedRunningVariance: normalization.runningVariance == .unbiased,
            affine: normalization.affine)
    }
}
