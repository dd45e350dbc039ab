/// Everything that determines a run's result: with the same configuration, data and binary, every
/// world trains the same bits.
///
/// A value in which all that can be absent from a file is resolved. Made by ``load(file:settings:)``
/// from the embedded default, a file and the command line; `default` is the embedded default.
/// The keys, their defaults and meaning: ``documentation``, or `configs/default.json5`.
public struct RunConfiguration: Sendable, Hashable {
    /// Seed of everything random: order, augmentation, initial weights, synthetic samples.
    public var seed: UInt64

    /// The network.
    public var model: Model

    /// The samples.
    public var data: Data

    /// The global batch.
    public var batch: Batch

    /// What is made small.
    public var loss: Loss

    /// The update rule.
    public var optimizer: Optimizer

    /// The learning rate over the steps.
    public var schedule: Schedule

    /// The beginnings of the names, in files, of what is not trained.
    public var freeze: [String]

    /// How long the run is.
    public var length: Length

    /// When the model is evaluated.
    public var evaluate: Evaluate

    /// What is measured on the way.
    public var probes: Probes

    /// When the run is saved, so that it can go on.
    public var checkpoint: Checkpoint

    /// What the run is watched for.
    public var watch: Watch

    /// Whether TensorBoard's event file is written beside metrics.jsonl.
    public var tensorboard: Bool

    /// How sums over the shards are taken.
    public var collectives: Collectives

    /// The samples and their order.
    public struct Data: Sendable, Hashable {
        /// Where samples come from.
        public var source: Source

        /// SHA-256 of what the files must hold; nil: whatever they do.
        public var contentDigest: String?

        /// What pixels are scaled to.
        public var scaling: Scaling

        /// Whether each epoch has an order of its own; otherwise that of the file.
        public var shuffle: Bool

        /// Whether the short last batch of an epoch is left out.
        public var dropLast: Bool

        /// The first so many training samples are used; nil: all.
        public var limit: Int?

        /// So many of those are held out of training for validation.
        public var validation: Int

        /// Which of the training samples are held out.
        public enum Holdout: String, CaseIterable, Hashable, Sendable {
            /// Some of each class, spread over the file.
            case spread
            /// The last ones.
            case end
        }

        /// Which of those are held out.
        public var validationFrom: Holdout

        /// What is done to the test samples, and to them alone; nil for nothing.
        public var testShift: TestShift?

        /// The random changes to training samples, in order.
        public var augment: [Augmentation]

        /// The data set's name and what belongs to it.
        public enum Source: Sendable, Hashable {
            /// Digits drawn from strokes, made from the seed.
            case syntheticDigits(samples: Int, testSamples: Int)
            /// Two inputs of different scales, made from the seed.
            case twoFeatures(samples: Int, testSamples: Int)
            /// MNIST and its family: IDX files in a folder, by its absolute path.
            case idx(directory: String)
            /// CIFAR-10 in its binary version, in a folder, by its absolute path.
            case cifar10(directory: String)
            /// CIFAR-100 with its fine labels, likewise.
            case cifar100(directory: String)

            /// The name in a configuration.
            public var name: String {
                switch self {
                case .syntheticDigits: Name.syntheticDigits.rawValue
                case .twoFeatures: Name.twoFeatures.rawValue
                case .idx: Name.idx.rawValue
                case .cifar10: Name.cifar10.rawValue
                case .cifar100: Name.cifar100.rawValue
                }
            }

            /// Channels of a sample.
            var channels: Int {
                switch self {
                case .syntheticDigits, .twoFeatures, .idx: 1
                case .cifar10, .cifar100: 3
                }
            }
        }

        enum Name: String, CaseIterable {
            case syntheticDigits = "synthetic-digits"
            case twoFeatures = "two-features"
            case idx
            case cifar10
            case cifar100
        }

        /// What pixels of 0…255 are scaled to.
        public enum Scaling: Sendable, Hashable {
            /// 0…255, as stored.
            case none
            /// 0…1.
            case unit
            /// Unit, then the mean and deviation of the training samples in use become 0 and 1.
            case standardize
            /// The same for every channel of every pixel by itself; constant ones become 0.
            case standardizeFeatures
            /// Unit, then features become uncorrelated, of variance λ / (λ + ε).
            case whitened(Whitening, epsilon: Double)
            /// Unit, then (x − mean) / deviation, one of each per channel.
            case fixed(mean: [Double], deviation: [Double])
        }

        /// A random change to a training sample, after scaling.
        public enum Augmentation: Sendable, Hashable {
            /// A window of the image's size, cut out at random after padding with zeros.
            case padCrop(padding: Int)
            /// Left and right change places, for half of the samples.
            case flip
            /// A random square of zeros.
            case cutout(size: Int)
        }
    }

    /// The global batch.
    public struct Batch: Sendable, Hashable {
        /// Samples of one optimizer step, over the whole world.
        public var size: Int

        /// The parts it is cut into.
        public var shards: Shards

        /// How many parts a batch is cut into.
        public enum Shards: Sendable, Hashable {
            /// By the batch size alone; see `resolvedShards`.
            case auto
            /// So many.
            case count(Int)
        }
    }

    /// How long a run is.
    public enum Length: Sendable, Hashable {
        /// Optimizer steps.
        case steps(Int)
        /// Passes over the training samples.
        case epochs(Int)
    }

    /// When the model is evaluated.
    public struct Evaluate: Sendable, Hashable {
        /// Steps between evaluations.
        public var everySteps: Int

        /// What BN normalises by in evaluations.
        public var statistics: Statistics

        /// Statistics for inference.
        public enum Statistics: String, Sendable, Hashable, CaseIterable {
            /// The running statistics that training leaves.
            case moving
            /// Those of each batch that is evaluated.
            case batch
            /// Those of the training samples for the present weights, averaged over batches.
            case paper
            /// The same, layer by layer, over all samples.
            case exact
        }
    }

    /// What is measured on the way; it changes no bit of the run.
    public struct Probes: Sendable, Hashable {
        /// Steps between probes; nil for none.
        public var everySteps: Int?

        /// Whether they follow the gradient, too.
        public var landscape: Bool

        /// The plane in which they follow the parameters; nil for none.
        public var path: Path?
    }

    /// When a run is saved, so that it can go on; what is nil saves nothing.
    public struct Checkpoint: Sendable, Hashable {
        /// Steps between checkpoints.
        public var everySteps: Int?

        /// Epochs between checkpoints.
        public var everyEpochs: Int?

        /// Minutes from one checkpoint to the next.
        public var everyMinutes: Double?

        /// How many of the newest stay, beside the best.
        public var keep: Int

        /// What to do where one cannot be written.
        public var onError: Failure

        /// What to do where a checkpoint cannot be written.
        public enum Failure: String, Sendable, Hashable, CaseIterable {
            /// The run goes on, with a warning.
            case proceed = "continue"
            /// The run ends.
            case stop
        }
    }

    /// How sums over the shards are taken.
    public enum Collectives: String, Sendable, Hashable, CaseIterable {
        /// Along one fixed tree: the same bits in any world.
        case tree
        /// MPI_Allreduce: the baseline, whose bits move with the world.
        case mpi
    }
}
