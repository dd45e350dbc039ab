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

    /// The network: fully connected layers with BN.
    public struct Model: Sendable, Hashable {
        /// The architecture.
        public var name: Name

        /// Widths of the hidden layers, from the input on; empty for a linear classifier.
        public var hidden: [Int]

        /// What follows each hidden layer.
        public var activation: Activation

        /// Where BN stands: by the hidden layers' activations, or by the softmax of "mnist-cnn".
        public var placement: Placement

        /// How a network for images begins.
        public var stem: Stem

        /// The shortcut of a residual network where its images shrink.
        public var shortcut: Shortcut

        /// Whether the last γ of each residual block starts at 0.
        public var zeroInitialBlocks: Bool

        /// The share of values dropped: behind each hidden layer, or before the last layer.
        public var dropout: Double

        /// The initial weights.
        public var initialization: Initialization

        /// The normalisation of the hidden layers.
        public var normalization: Normalization

        /// The architectures there are.
        public enum Name: String, Sendable, Hashable, CaseIterable {
            /// Fully connected layers.
            case mlp
            /// Two convolutions and three dense layers.
            case lenet
            /// One convolution and one dense layer.
            case mnistCNN = "mnist-cnn"
            /// Eight convolutions.
            case vgg11
            /// Residual networks for 32×32 images (He et al. 2015, section 4.2).
            case resnet20, resnet32, resnet44, resnet56, resnet110
            /// Residual networks in torchvision's form.
            case resnet18, resnet34, resnet50

            /// The residual networks for 32×32 images.
            static let small: [Name] = [.resnet20, .resnet32, .resnet44, .resnet56, .resnet110]
            /// Those in torchvision's form.
            static let large: [Name] = [.resnet18, .resnet34, .resnet50]
        }

        /// How a network for images begins.
        public enum Stem: String, Sendable, Hashable, CaseIterable {
            /// At full size.
            case cifar
            /// Four times smaller, by a convolution 7×7 and pooling; VGG: with its large classifier.
            case imagenet
        }

        /// The shortcut of a residual network where its images shrink.
        public enum Shortcut: String, Sendable, Hashable, CaseIterable {
            /// Without parameters: every second pixel, zeros for new channels.
            case padding = "A"
            /// A convolution 1×1 with BN.
            case projection
        }

        /// The activations there are.
        public enum Activation: String, Sendable, Hashable, CaseIterable {
            /// 1 / (1 + e^−x).
            case sigmoid
            /// The hyperbolic tangent.
            case tanh
            /// max(0, x).
            case relu
        }

        /// Where BN stands in a hidden layer.
        public enum Placement: String, Sendable, Hashable, CaseIterable {
            /// Linear, BN, activation; the Linear has no bias.
            case before
            /// Linear, activation, BN.
            case after
            /// BN, Linear, activation, and BN before the last Linear, too.
            case inputs
        }
    }

    /// The distribution of the initial weights.
    public struct Initialization: Sendable, Hashable {
        /// The family.
        public var kind: Kind

        /// `normal`: the standard deviation. `xavier` and `he`: a factor on what the formula gives.
        public var scale: Double

        /// The families there are.
        public enum Kind: String, Sendable, Hashable, CaseIterable {
            /// A standard deviation that is the same for every layer.
            case normal
            /// By inputs and outputs of a layer (Glorot and Bengio 2010).
            case xavier
            /// By inputs of a layer (He et al. 2015).
            case he

            /// The scale where none is set.
            var defaultScale: Double { self == .normal ? 0.05 : 1 }
        }
    }

    /// The normalisation of the hidden layers.
    public enum Normalization: Sendable, Hashable {
        /// None.
        case none
        /// Batch normalisation.
        case batch(BatchNormalization)
        /// A normalisation of each sample by itself.
        case sample(SampleNormalization)
    }

    /// A normalisation of each sample by itself: the same in training and inference.
    public struct SampleNormalization: Sendable, Hashable {
        /// Which channels share statistics.
        public var kind: Kind

        /// ε, added to the variance; 0 or more.
        public var epsilon: Double

        /// Whether γ and β are learned; otherwise they stay 1 and 0.
        public var affine: Bool

        /// Which of a sample's channels share a mean and a variance.
        public enum Kind: Sendable, Hashable {
            /// All (Ba, Kiros, Hinton 2016).
            case layer
            /// None, each has its own (Ulyanov, Vedaldi, Lempitsky 2016).
            case instance
            /// Neighbours, in this many groups (Wu, He 2018).
            case group(Int)

            /// The kind's name in a configuration.
            public var name: String {
                switch self {
                case .layer: "layer"
                case .instance: "instance"
                case .group: "group"
                }
            }
        }
    }

    /// Batch normalisation (Ioffe and Szegedy 2015).
    public struct BatchNormalization: Sendable, Hashable {
        /// Over which samples statistics are taken.
        public var scope: Scope

        /// How running statistics follow those of the batches.
        public var momentum: Momentum

        /// ε, added to the variance; 0 or more.
        public var epsilon: Double

        /// The variance that the running variance follows.
        public var runningVariance: RunningVariance

        /// Whether γ and β are learned; otherwise they stay 1 and 0.
        public var affine: Bool

        /// The noise behind it in training; nil for none.
        public var noise: Noise?

        /// Noise behind BN: each value becomes s·x + m.
        public struct Noise: Sendable, Hashable {
            /// In each step a channel's m are about a number drawn uniformly from ± this.
            public var mean: Double
            /// In each step a channel's s are about a number drawn uniformly from 1 to this.
            public var deviation: Double
            /// How far about it: of s the standard deviation, of m half the width.
            public var spread: Double
        }

        /// Over which samples BN takes its statistics.
        public enum Scope: Sendable, Hashable {
            /// The whole global batch: synchronised BN.
            case global
            /// This many consecutive shards; it divides the number of shards.
            case group(Int)
            /// One shard: ghost BN, what data-parallel trainers without synchronisation do.
            case shard
        }

        /// How running statistics follow those of the batches.
        public enum Momentum: Sendable, Hashable {
            /// The weight of the new value, above 0 and at most 1.
            case weight(Double)
            /// The plain average of all batches so far.
            case cumulative
        }

        /// The variance that the running variance follows.
        public enum RunningVariance: String, Sendable, Hashable, CaseIterable {
            /// Divided by m − 1, as PyTorch does.
            case unbiased
            /// Divided by m, as TensorFlow does.
            case biased
        }
    }

    /// The samples and their order.
    public struct Data: Sendable, Hashable {
        /// Where samples come from.
        public var source: Source

        /// What pixels are scaled to.
        public var scaling: Scaling

        /// Whether each epoch has an order of its own; otherwise that of the file.
        public var shuffle: Bool

        /// Whether the short last batch of an epoch is left out.
        public var dropLast: Bool

        /// The first so many training samples are used; nil: all.
        public var limit: Int?

        /// The last so many of those are held out of training for validation.
        public var validation: Int

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
