/// The table of all settings: the one place that knows keys, defaults and their meaning.
///
/// The embedded default, configs/default.json5 and `--help` are made from it.
enum Keys {
    static let seed = Key(
        "seed", default: "1", .seed,
        doc: "Seed of everything random: order, augmentation, initial weights, synthetic samples.")

    // MARK: model

    static let modelName = Key<RunConfiguration.Model.Name>(
        "model.name", default: "\"mlp\"", .name,
        doc:
            "\"mlp\", \"lenet\", \"mnist-cnn\", \"vgg11\", \"resnet20\" (8, 32, 44, 56, 110, 18, 34, 50)."
    )
    static let hidden = Key(
        "model.hidden", default: "[128, 128, 128]", .widths,
        for: Condition(path: "model.name", names: ["mlp"]),
        doc: "Widths of the hidden layers, from the input on; [] is a linear classifier.")
    static let activation = Key<RunConfiguration.Model.Activation>(
        "model.activation", default: "\"sigmoid\"", .name,
        for: Condition(path: "model.name", names: ["mlp"]),
        doc: "\"mlp\": what follows each hidden layer: \"sigmoid\", \"tanh\" or \"relu\".")
    static let placement = Key<RunConfiguration.Model.Placement>(
        "model.placement", default: "\"before\"", .name,
        for: Condition(path: "model.name", names: ["mlp", "mnist-cnn"], meansTheSame: false),
        doc:
            "BN \"before\" or \"after\" the activations, or on all \"inputs\"; \"mnist-cnn\": of the softmax."
    )
    static let stem = Key<RunConfiguration.Model.Stem>(
        "model.stem", default: "\"cifar\"", .name,
        for: Condition(
            path: "model.name",
            names: ["vgg11"] + RunConfiguration.Model.Name.large.map(\.rawValue)),
        doc: "\"cifar\" (starts at full size, for 32×32) or \"imagenet\" (for 224×224).")
    static let shortcut = Key<RunConfiguration.Model.Shortcut>(
        "model.shortcut", default: "\"projection\"", .name,
        for: Condition(path: "model.name", names: residualNames),
        doc: "Residual networks: \"projection\" (1×1 with BN) or \"A\" (no parameters).")
    static let zeroInitialBlocks = Key(
        "model.zeroInitialBlocks", default: "false", .flag,
        for: Condition(path: "model.name", names: residualNames),
        doc: "Residual networks: whether each block's last scale starts at 0.")
    static let dropout = Key(
        "model.dropout", default: "0",
        .number("a number of at least 0 and below 1") { $0 >= 0 && $0 < 1 },
        doc:
            "Share of values dropped behind dense hidden layers; \"resnet\": before the last layer."
    )
    static let initialization = Key<RunConfiguration.Initialization.Kind>(
        "model.initialization.kind", default: "\"xavier\"", .name,
        doc: "\"normal\" (one deviation for all), \"xavier\" or \"he\" (by each layer's size).")
    static let initializationScale = Key(
        "model.initialization.scale", default: "null", .positive,
        for: Condition(
            path: "model.initialization.kind", names: ["normal", "xavier", "he"],
            meansTheSame: false),
        doc: "Deviation of \"normal\" (null: 0.05), a factor on \"xavier\" and \"he\" (null: 1).")
    static let normalization = Key<NormalizationKind>(
        "model.normalization.kind", default: "\"batch\"", .name,
        doc:
            "\"batch\" (BN); of each sample by itself \"layer\", \"instance\", \"group\"; or \"none\"."
    )
    static let groups = Key(
        "model.normalization.groups", default: "8", .whole(1...65_536),
        for: Condition(path: "model.normalization.kind", names: ["group"]),
        doc: "\"group\": into how many groups of neighbours each layer's channels divide.")
    static let scope = Key(
        "model.normalization.scope", default: "\"global\"", .scope,
        doc: "BN: samples that share statistics: \"global\", \"shard\", { group: 2 } (shards).")
    static let momentum = Key(
        "model.normalization.momentum", default: "0.1", .momentum,
        doc: "BN: weight of the new value in the running statistics, or \"cumulative\" (average).")
    static let epsilon = Key(
        "model.normalization.epsilon", default: "1e-5", .nonNegative,
        doc: "Added to the variance before its square root is taken.")
    static let runningVariance = Key<RunConfiguration.BatchNormalization.RunningVariance>(
        "model.normalization.runningVariance", default: "\"unbiased\"", .name,
        doc: "BN: \"unbiased\" (over m - 1, as PyTorch) or \"biased\" (over m, as TensorFlow).")
    static let affine = Key(
        "model.normalization.affine", default: "true", .flag,
        doc: "Whether it learns a scale and a shift for each channel.")
    static let noise = Key(
        "model.normalization.noise", default: "null", .noise,
        for: Condition(path: "model.normalization.kind", names: ["batch"]),
        doc:
            "BN: noise behind it in training, anew each step: { mean: 0.5, deviation: 1.25, spread: 0.1 } makes x s·x + m, s about 1 to 1.25, m about ±0.5, each ±0.1."
    )

    // MARK: data

    static let dataName = Key<RunConfiguration.Data.Name>(
        "data.name", default: "\"synthetic-digits\"", .name,
        doc:
            "\"synthetic-digits\" or \"two-features\" (made from the seed), \"idx\" (MNIST and its family), \"cifar10\", \"cifar100\"."
    )
    static let directory = Key(
        "data.directory", default: "null", .folder,
        for: Condition(
            path: "data.name", names: ["idx", "cifar10", "cifar100"], meansTheSame: false),
        doc:
            "Folder of the files; from the config file's folder, in --set from the working directory."
    )
    static let contentDigest = Key(
        "data.sha256", default: "null", .sha256,
        for: Condition(
            path: "data.name", names: ["idx", "cifar10", "cifar100"], meansTheSame: false),
        doc:
            "What the files must hold, as config.json of a run on them says; null: whatever they do."
    )
    static let samples = Key(
        "data.samples", default: "20000", .whole(1...100_000_000),
        for: Condition(path: "data.name", names: ["synthetic-digits", "two-features"]),
        doc: "Training samples of what is made from the seed.")
    static let testSamples = Key(
        "data.testSamples", default: "4000", .whole(1...100_000_000),
        for: Condition(path: "data.name", names: ["synthetic-digits", "two-features"]),
        doc: "Test samples of what is made from the seed.")
    static let scaling = Key(
        "data.scaling", default: "\"unit\"", .scaling,
        doc:
            "\"none\" (0…255, \"two-features\" in its own units), \"unit\" (0…1), \"standardize\" (\"standardizeFeatures\": each pixel), \"pca\", \"zca\" ({ whiten: \"zca\", epsilon: 0.01 }), { mean: [0.13], std: [0.31] }."
    )
    static let shuffle = Key(
        "data.shuffle", default: "true", .flag,
        doc: "Whether each epoch has an order of its own; false: the order of the file.")
    static let dropLast = Key(
        "data.dropLast", default: "false", .flag,
        doc: "Whether the short last batch of an epoch is left out.")
    static let limit = Key(
        "data.limit", default: "null", .whole(1...1_000_000_000),
        doc: "Use only the first so many training samples; null: all.")
    static let validation = Key(
        "data.validation", default: "0", .whole(0...1_000_000_000),
        doc: "Hold out so many of them, to evaluate on during training.")
    static let validationFrom = Key<RunConfiguration.Data.Holdout>(
        "data.validationFrom", default: "\"spread\"", .name,
        doc:
            "Which are held out: \"spread\" over the file, of each class its share, or those at its \"end\"."
    )
    static let testShift = Key(
        "data.testShift", default: "null", .testShift,
        doc:
            "Changes the test samples: { brightness: 0.2, contrast: 0.5 } makes x of 0…1 0.5·(x − ½) + ½ + 0.2; null: as they are."
    )
    static let augment = Key(
        "data.augment", default: "[]", .augmentations,
        doc:
            "In order: { kind: \"padCrop\", padding: 4 }, \"flip\", { kind: \"cutout\", size: 16 }; zeros after scaling."
    )

    // MARK: batch, loss, optimizer, schedule

    static let batchSize = Key(
        "batch.size", default: "60", .whole(1...1_048_576),
        doc: "Samples of one optimizer step, over all workers together.")
    static let shards = Key(
        "batch.shards", default: "\"auto\"", .shards,
        doc: "Parts a batch is cut into, at most one worker each; \"auto\": by its size, 1 to 64.")
    static let labelSmoothing = Key(
        "loss.labelSmoothing", default: "0", .belowOne,
        doc: "The share of each target that goes to all classes alike, in training and evaluation.")
    static let optimizer = Key<RunConfiguration.Optimizer.Name>(
        "optimizer.name", default: "\"sgd\"", .name,
        doc: "The update rule: \"sgd\", \"adam\", \"adamw\" or \"lars\".")
    static let learningRate = Key(
        "optimizer.learningRate", default: "null", .positive,
        doc: "The learning rate before the schedule; null: 0.5, with Adam and AdamW 0.001.")
    static let optimizerMomentum = Key(
        "optimizer.momentum", default: "0", .belowOne,
        for: Condition(path: "optimizer.name", names: ["sgd", "lars"]),
        doc: "\"sgd\", \"lars\": how much of the last update goes into the next one; 0: none.")
    static let nesterov = Key(
        "optimizer.nesterov", default: "false", .flag,
        for: Condition(path: "optimizer.name", names: ["sgd"]),
        doc: "\"sgd\": whether the momentum is Nesterov's, which looks one update ahead.")
    static let betas = Key(
        "optimizer.betas", default: "[0.9, 0.999]", .betas,
        for: Condition(path: "optimizer.name", names: ["adam", "adamw"]),
        doc: "\"adam\", \"adamw\": what the means of gradients and of their squares keep each step."
    )
    static let trustCoefficient = Key(
        "optimizer.trustCoefficient", default: "0.001", .positive,
        for: Condition(path: "optimizer.name", names: ["lars"]),
        doc: "\"lars\": a layer's rate over the ratio of its weights' norm to their gradient's.")
    static let optimizerEpsilon = Key(
        "optimizer.epsilon", default: "1e-8",
        .number("a number from 1e-30 to 1") { $0 >= 1e-30 && $0 <= 1 },
        for: Condition(
            path: "optimizer.name", names: ["adam", "adamw", "lars"], meansTheSame: false),
        doc: "Added to what divides: the root of Adam's squares, the gradient's norm of \"lars\".")
    static let weightDecay = Key(
        "optimizer.weightDecay", default: "0", .nonNegative,
        doc:
            "Pulls weights towards 0: adds so much of each to its gradient (\"adamw\": to its step)."
    )
    static let decayAll = Key(
        "optimizer.decayAll", default: "false", .flag,
        doc: "Whether the decay also holds for BN's scales and shifts and for biases.")
    static let clipNorm = Key(
        "optimizer.clipNorm", default: "null", .positive,
        doc: "Shortens a gradient whose norm over all parameters is larger than this; null: never.")
    static let schedule = Key<RunConfiguration.Schedule.Name>(
        "schedule.kind", default: "\"constant\"", .name,
        doc: "The learning rate's course: \"constant\", \"step\", \"cosine\" or \"one-cycle\".")
    static let warmupSteps = Key(
        "schedule.warmupSteps", default: "0", .whole(0...1_000_000_000_000),
        for: Condition(path: "schedule.kind", names: ["constant", "step", "cosine"]),
        doc: "Steps over which the learning rate first rises linearly.")
    static let scaleWithBatch = Key(
        "schedule.scaleWithBatch", default: "null", .whole(1...1_048_576),
        doc: "The batch of the learning rate, which grows with the present one; null: of any batch."
    )
    static let milestones = Key(
        "schedule.milestones", default: "[]", .milestones,
        for: Condition(path: "schedule.kind", names: ["step"]),
        doc: "\"step\": the steps at which the learning rate changes, rising.")
    static let factor = Key(
        "schedule.factor", default: "0.1", .positive,
        for: Condition(path: "schedule.kind", names: ["step"]),
        doc: "\"step\": what it is multiplied by at each of them.")
    static let minimum = Key(
        "schedule.minimum", default: "0", .nonNegative,
        for: Condition(path: "schedule.kind", names: ["cosine"]),
        doc: "\"cosine\": the learning rate at the end.")
    static let pctStart = Key(
        "schedule.pctStart", default: "0.3",
        .number("a number above 0 and at most 1") { $0 > 0 && $0 <= 1 },
        for: Condition(path: "schedule.kind", names: ["one-cycle"]),
        doc: "\"one-cycle\": the share of the steps over which the learning rate rises.")
    static let divFactor = Key(
        "schedule.divFactor", default: "25", .positive,
        for: Condition(path: "schedule.kind", names: ["one-cycle"]),
        doc: "\"one-cycle\": the highest learning rate, optimizer.learningRate, over the first.")
    static let finalDivFactor = Key(
        "schedule.finalDivFactor", default: "1e4", .positive,
        for: Condition(path: "schedule.kind", names: ["one-cycle"]),
        doc: "\"one-cycle\": the first learning rate over the last.")
    static let minimumMomentum = Key(
        "schedule.minimumMomentum", default: "null", .belowOne,
        for: Condition(path: "schedule.kind", names: ["one-cycle"]),
        doc: "\"one-cycle\": momentum (Adam: beta 1) at the highest rate; null: it stays.")

    // MARK: the run

    static let freeze = Key(
        "freeze", default: "[]", .prefixes,
        doc:
            "Parts of the network that stay as they are, by the beginning of their names: [\"layer1\"]."
    )
    static let steps = Key(
        "steps", default: "null", .whole(1...1_000_000_000_000),
        doc: "Length of the run in optimizer steps; set this or epochs.")
    static let epochs = Key(
        "epochs", default: "10", .whole(1...1_000_000_000),
        doc: "Length of the run in passes over the training samples.")
    static let everySteps = Key(
        "evaluate.everySteps", default: "1000", .whole(1...1_000_000_000_000),
        doc: "Steps between evaluations.")
    static let evaluationStatistics = Key<RunConfiguration.Evaluate.Statistics>(
        "evaluate.statistics", default: "\"moving\"", .name,
        doc:
            "BN's in evaluations: \"moving\", each \"batch\"'s own, or the training samples', \"paper\" or \"exact\"; the run stays the same."
    )
    static let probeSteps = Key(
        "probes.everySteps", default: "null", .whole(1...1_000_000_000_000),
        doc: "Steps between probes, of the first step on; null: none.")
    static let landscape = Key(
        "probes.landscape", default: "false", .flag,
        doc: "Whether probes also follow the gradient, over eight more steps on the same batch.")
    static let path = Key(
        "probes.path", default: "null", .path,
        doc:
            "Follows two weights, and computes the loss around: { x: \"layers.0.weight[1,0]\", y: \"layers.0.weight[1,1]\" }."
    )
    static let checkpointSteps = Key(
        "checkpoint.everySteps", default: "null", .whole(1...1_000_000_000_000),
        doc: "Steps between checkpoints; null: none by steps.")
    static let checkpointEpochs = Key(
        "checkpoint.everyEpochs", default: "null", .whole(1...1_000_000_000),
        doc: "Epochs between checkpoints; null: none by epochs.")
    static let checkpointMinutes = Key(
        "checkpoint.everyMinutes", default: "null", .positive,
        doc: "Minutes from one checkpoint to the next; null: none by the clock.")
    static let keep = Key(
        "checkpoint.keep", default: "3", .whole(1...1_000_000),
        doc: "How many of the newest checkpoints stay, beside the best.")
    static let checkpointFailure = Key<RunConfiguration.Checkpoint.Failure>(
        "checkpoint.onError", default: "\"continue\"", .name,
        doc: "Where one cannot be written: \"continue\" with a warning, or \"stop\".")
    static let checkReplicas = Key(
        "watch.checkReplicas", default: "500", .whole(0...1_000_000_000_000),
        doc: "Steps between comparisons of all ranks' parameters and state; 0: never.")
    static let auditShards = Key(
        "watch.auditShards", default: "0", .whole(0...1_000_000_000_000),
        for: Condition(path: "collectives", names: ["tree"]),
        doc: "Steps from one to the next of which another worker repeats a shard; 0: none.")
    static let nonFinite = Key<RunConfiguration.Watch.NonFinite>(
        "watch.nonFinite", default: "\"stop\"", .name,
        doc: "Where loss or gradients are NaN or Inf: \"stop\", \"skip\" the step, or \"rollback\"."
    )
    static let rollbackFactor = Key(
        "watch.rollbackFactor", default: "0.5",
        .number("a number above 0 and at most 1") { $0 > 0 && $0 <= 1 },
        for: Condition(path: "watch.nonFinite", names: ["rollback"]),
        doc: "\"rollback\": the learning rate is multiplied by this from the last checkpoint on.")
    static let digestSteps = Key(
        "watch.digestSteps", default: "null", .whole(1...1_000_000_000_000),
        doc: "Steps between digests in metrics.jsonl, for bisect; null: at evaluations alone.")
    static let tensorboard = Key(
        "tensorboard", default: "false", .flag,
        doc:
            "Whether TensorBoard's event file is written beside metrics.jsonl; the run stays the same."
    )
    static let collectives = Key<RunConfiguration.Collectives>(
        "collectives", default: "\"tree\"", .name,
        doc: "\"tree\" (the same bits in any world) or \"mpi\" (MPI_Allreduce, the baseline).")

    /// All settings in the order of the configuration; those of a section stand together.
    static let all: [any SettingKey] = [
        seed, modelName, hidden, activation, placement, stem, shortcut, zeroInitialBlocks, dropout,
        initialization, initializationScale,
        normalization, groups, scope, momentum, epsilon, runningVariance, affine, noise, dataName,
        directory, contentDigest,
        samples, testSamples, scaling, shuffle, dropLast, limit, validation, validationFrom,
        testShift, augment,
        batchSize,
        shards, labelSmoothing, optimizer, learningRate, optimizerMomentum, nesterov, betas,
        trustCoefficient, optimizerEpsilon, weightDecay, decayAll, clipNorm, schedule, warmupSteps,
        scaleWithBatch, milestones, factor, minimum, pctStart, divFactor, finalDivFactor,
        minimumMomentum, freeze, steps, epochs, everySteps, evaluationStatistics, probeSteps,
        landscape, path, checkpointSteps,
        checkpointEpochs,
        checkpointMinutes, keep, checkpointFailure, checkReplicas, auditShards, nonFinite,
        rollbackFactor, digestSteps, tensorboard, collectives,
    ]

    /// The sections and what they hold.
    static let sections: [(path: String, doc: String)] = [
        ("model", "The network."),
        ("model.initialization", "The initial weights: equal with and without BN."),
        ("model.normalization", "The normalisation of the hidden layers."),
        ("data", "The samples and their order."),
        ("batch", "The global batch: what one step sees, whatever the number of workers."),
        ("loss", "What is made small: the cross-entropy of the classes."),
        ("optimizer", "The update rule."),
        ("schedule", "The learning rate over the steps."),
        ("evaluate", "When the model is evaluated."),
        ("probes", "What is measured on the way, for metrics.jsonl; the run stays the same."),
        (
            "checkpoint",
            "When all that a run needs to go on is saved; a signal that ends it always saves."
        ),
        ("watch", "What a run is watched for; it ends, or does as is said here."),
    ]

    private static let residualNames =
        (RunConfiguration.Model.Name.small + RunConfiguration.Model.Name.large).map(\.rawValue)

    /// The normalisations there are.
    enum NormalizationKind: String, Sendable, CaseIterable {
        case batch, layer, instance, group, none
    }
}
