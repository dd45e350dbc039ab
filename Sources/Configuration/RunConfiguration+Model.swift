extension RunConfiguration {
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
            /// Residual networks for 32×32 images (He et al. 2015, section 4.2; 8 is a smaller one).
            case resnet8, resnet20, resnet32, resnet44, resnet56, resnet110
            /// Residual networks in torchvision's form.
            case resnet18, resnet34, resnet50

            /// The residual networks for 32×32 images.
            static let small: [Name] = [
                .resnet8, .resnet20, .resnet32, .resnet44, .resnet56, .resnet110,
            ]
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
}
