import Foundation

extension RunConfiguration {
    /// The embedded default: synthetic digits, an MLP with BN.
    public static let `default`: RunConfiguration = {
        do { return try RunConfiguration(Settings.embedded) } catch {
            preconditionFailure("the embedded default is a configuration: \(error)")
        }
    }()

    /// The configuration of a run: the embedded default, a file's settings over it, and those of the
    /// command line over both.
    ///
    /// - Parameters:
    ///   - file: the path of a JSON5 file, nil for the embedded default alone.
    ///   - settings: the texts of `--set`, `key.path=value`, the later over the earlier.
    public static func load(
        file: String?, settings: [String]
    ) throws(ConfigurationError) -> RunConfiguration {
        guard let file else { return try load(source: nil, settings: settings) }
        return try load(bytes: try contents(of: file), name: file, settings: settings)
    }

    /// The configuration of a run from the text of a file.
    ///
    /// - Parameters:
    ///   - text: JSON5.
    ///   - name: what messages call it; relative data paths start from its folder.
    ///   - settings: the texts of `--set`.
    public static func load(
        text: String, name: String, settings: [String] = []
    ) throws(ConfigurationError) -> RunConfiguration {
        try load(bytes: Array(text.utf8), name: name, settings: settings)
    }

    /// The configuration of a run from what the program has recorded of it, in a model's header or
    /// config.json. What an older record does not say is as it was before there was a key for it.
    ///
    /// - Parameters:
    ///   - text: JSON.
    ///   - name: what messages call it; relative data paths start from its folder.
    ///   - settings: the texts of `--set`.
    public static func load(
        recorded text: String, name: String, settings texts: [String] = []
    ) throws(ConfigurationError) -> RunConfiguration {
        var settings = Settings.embedded
        try settings.apply(commandLine: beforeKeys)
        try settings.apply(file: source(Array(text.utf8), name: name))
        return try resolved(settings, texts)
    }

    /// What was done before there was a key for it, where the default is another thing.
    private static let beforeKeys = ["data.validationFrom=\"end\""]

    static func load(
        bytes: [UInt8], name: String, settings: [String] = []
    ) throws(ConfigurationError) -> RunConfiguration {
        try load(source: source(bytes, name: name), settings: settings)
    }

    private static func source(_ bytes: [UInt8], name: String) -> Source {
        let url = URL(fileURLWithPath: name).deletingLastPathComponent()
        return Source(name: name, bytes: bytes, origin: .file, directory: url.path)
    }

    private static func load(
        source: Source?, settings texts: [String]
    ) throws(ConfigurationError) -> RunConfiguration {
        var settings = Settings.embedded
        if let source { try settings.apply(file: source) }
        return try resolved(settings, texts)
    }

    /// The configuration of these settings, with those of the command line on top.
    static func resolved(
        _ settings: Settings, _ texts: [String]
    ) throws(ConfigurationError) -> RunConfiguration {
        var settings = settings
        try settings.apply(commandLine: texts)
        try settings.checkConditions()
        let configuration = try RunConfiguration(settings)
        if let conflict = configuration.conflict {
            throw settings.error(conflict.problem, at: conflict.paths)
        }
        return configuration
    }

    /// The bytes of a file, of which no more are read than a configuration may have.
    static func contents(of path: String) throws(ConfigurationError) -> [UInt8] {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw ConfigurationError(.missingFile(path))
        }
        if isDirectory.boolValue {
            throw ConfigurationError(
                .unreadableFile(path, reason: "it is a folder; name the file in it"))
        }
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw ConfigurationError(.unreadableFile(path, reason: "check its permissions"))
        }
        defer { try? handle.close() }
        var bytes: [UInt8] = []
        do {
            while bytes.count <= JSON5Parser.sizeLimit,
                let next = try handle.read(upToCount: JSON5Parser.sizeLimit + 1 - bytes.count),
                !next.isEmpty
            {
                bytes += next
            }
        } catch {
            throw ConfigurationError(
                .unreadableFile(path, reason: "reading failed; check the disk"))
        }
        return bytes
    }

    // MARK: Reading settings

    private init(_ settings: Settings) throws(ConfigurationError) {
        seed = try settings.value(Keys.seed)
        model = try Model(settings)
        data = try Data(settings)
        batch = Batch(
            size: try settings.value(Keys.batchSize), shards: try settings.value(Keys.shards))
        loss = try Loss(settings)
        optimizer = try Optimizer(settings)
        schedule = try Schedule(settings)
        freeze = try settings.value(Keys.freeze)
        length = try Length(settings)
        evaluate = Evaluate(
            everySteps: try settings.value(Keys.everySteps),
            statistics: try settings.value(Keys.evaluationStatistics))
        probes = Probes(
            everySteps: try settings.optional(Keys.probeSteps),
            landscape: try settings.value(Keys.landscape),
            path: try settings.optional(Keys.path))
        checkpoint = Checkpoint(
            everySteps: try settings.optional(Keys.checkpointSteps),
            everyEpochs: try settings.optional(Keys.checkpointEpochs),
            everyMinutes: try settings.optional(Keys.checkpointMinutes),
            keep: try settings.value(Keys.keep),
            onError: try settings.value(Keys.checkpointFailure))
        watch = Watch(
            checkReplicas: try settings.value(Keys.checkReplicas),
            auditShards: try settings.value(Keys.auditShards),
            nonFinite: try settings.value(Keys.nonFinite),
            rollbackFactor: try settings.value(Keys.rollbackFactor),
            digestSteps: try settings.optional(Keys.digestSteps))
        tensorboard = try settings.value(Keys.tensorboard)
        collectives = try settings.value(Keys.collectives)
    }
}

extension RunConfiguration.Model {
    fileprivate init(_ settings: Settings) throws(ConfigurationError) {
        name = try settings.value(Keys.modelName)
        hidden = try settings.value(Keys.hidden)
        activation = try settings.value(Keys.activation)
        placement = try settings.value(Keys.placement)
        if name == .mnistCNN && placement == .inputs {
            throw settings[Keys.placement.path].value.error(
                key: Keys.placement.path,
                expected: "\"before\" or \"after\" (the softmax) with model.name \"mnist-cnn\"")
        }
        stem = try settings.value(Keys.stem)
        shortcut = try settings.value(Keys.shortcut)
        zeroInitialBlocks = try settings.value(Keys.zeroInitialBlocks)
        dropout = try settings.value(Keys.dropout)
        let kind = try settings.value(Keys.initialization)
        initialization = RunConfiguration.Initialization(
            kind: kind,
            scale: try settings.optional(Keys.initializationScale) ?? kind.defaultScale)
        func sample(
            _ kind: RunConfiguration.SampleNormalization.Kind
        ) throws(ConfigurationError) -> RunConfiguration.Normalization {
            .sample(
                RunConfiguration.SampleNormalization(
                    kind: kind, epsilon: try settings.value(Keys.epsilon),
                    affine: try settings.value(Keys.affine)))
        }
        switch try settings.value(Keys.normalization) {
        case .none: normalization = .none
        case .layer: normalization = try sample(.layer)
        case .instance: normalization = try sample(.instance)
        case .group: normalization = try sample(.group(try settings.value(Keys.groups)))
        case .batch:
            normalization = .batch(
                RunConfiguration.BatchNormalization(
                    scope: try settings.value(Keys.scope),
                    momentum: try settings.value(Keys.momentum),
                    epsilon: try settings.value(Keys.epsilon),
                    runningVariance: try settings.value(Keys.runningVariance),
                    affine: try settings.value(Keys.affine),
                    noise: try settings.optional(Keys.noise)))
        }
        if name == .mnistCNN && placement == .after, case .sample = normalization {
            throw settings[Keys.normalization.path].value.error(
                key: Keys.normalization.path,
                expected:
                    "\"batch\" or \"none\" with model.placement \"after\" (what is normalised "
                    + "within a sample sums to 0, and this loss divides by the sum)")
        }
    }
}

extension RunConfiguration.Data {
    fileprivate init(_ settings: Settings) throws(ConfigurationError) {
        switch try settings.value(Keys.dataName) {
        case .syntheticDigits:
            source = .syntheticDigits(
                samples: try settings.value(Keys.samples),
                testSamples: try settings.value(Keys.testSamples))
        case .twoFeatures:
            source = .twoFeatures(
                samples: try settings.value(Keys.samples),
                testSamples: try settings.value(Keys.testSamples))
        case .idx:
            source = .idx(
                directory: try Self.directory(
                    settings, of: .idx, holding: "train-images-idx3-ubyte and its siblings"))
        case .cifar10:
            source = .cifar10(
                directory: try Self.directory(
                    settings, of: .cifar10,
                    holding: "data_batch_1.bin and its siblings, or cifar-10-binary.tar.gz"))
        case .cifar100:
            source = .cifar100(
                directory: try Self.directory(
                    settings, of: .cifar100,
                    holding: "train.bin and test.bin, or cifar-100-binary.tar.gz"))
        }
        contentDigest = try settings.optional(Keys.contentDigest)
        scaling = try settings.value(Keys.scaling)
        shuffle = try settings.value(Keys.shuffle)
        dropLast = try settings.value(Keys.dropLast)
        limit = try settings.optional(Keys.limit)
        validation = try settings.value(Keys.validation)
        validationFrom = try settings.value(Keys.validationFrom)
        testShift = try settings.optional(Keys.testShift)
        augment = try settings.value(Keys.augment)
    }

    private static func directory(
        _ settings: Settings, of name: Name, holding files: String
    ) throws(ConfigurationError) -> String {
        guard let directory = try settings.optional(Keys.directory) else {
            throw settings.error(
                .missingValue(
                    key: Keys.directory.path, because: "data.name \"\(name.rawValue)\"",
                    what: "the folder that holds \(files)"), at: [Keys.dataName.path])
        }
        return directory
    }
}

extension RunConfiguration.Length {
    /// The later layer's of steps and epochs; one layer has only one of them.
    fileprivate init(_ settings: Settings) throws(ConfigurationError) {
        let steps = settings[Keys.steps.path]
        let epochs = settings[Keys.epochs.path]
        if steps.value.isNull || (!epochs.value.isNull && epochs.origin > steps.origin) {
            self = .epochs(try settings.value(Keys.epochs))
        } else {
            self = .steps(try settings.value(Keys.steps))
        }
    }
}
