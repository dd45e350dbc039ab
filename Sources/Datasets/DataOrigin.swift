/// A family of data files: what a data directory must hold.
public enum DataOrigin: Sendable, Hashable {
    /// IDX files: MNIST and its family.
    case idx
    /// CIFAR-10, binary version.
    case cifar10
    /// CIFAR-100, binary version.
    case cifar100

    /// What its files are.
    package var title: String {
        switch self {
        case .idx: "IDX files"
        case .cifar10: "CIFAR-10's binary version"
        case .cifar100: "CIFAR-100's binary version"
        }
    }

    /// What a data directory must hold.
    package var files: String {
        switch self {
        case .idx:
            "four IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                + "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, plain or .gz)"
        case .cifar10:
            "CIFAR-10's binary version (data_batch_1.bin … data_batch_5.bin and test_batch.bin, "
                + "plain or .gz, or cifar-10-binary.tar.gz)"
        case .cifar100:
            "CIFAR-100's binary version (train.bin and test.bin, plain or .gz, or "
                + "cifar-100-binary.tar.gz)"
        }
    }
}

/// What to do about a damaged file.
let downloadAgain = "download it again"
