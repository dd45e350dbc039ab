/// A family of data files: what a data directory must hold, and the command that brings it.
public enum DataOrigin: Sendable, Hashable {
    /// IDX files: MNIST and its family.
    case idx
    /// CIFAR-10, binary version.
    case cifar10
    /// CIFAR-100, binary version.
    case cifar100

    /// What a data directory must hold.
    var files: String {
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

    /// "get it with `bn-train get-data …`"; nil where the folder's name says that another data set
    /// is meant than those that it brings: IDX files have no name of their own.
    func fetching(into directory: String) -> String? {
        let folder = directory.lowercased()
        let word =
            switch self {
            case .idx: folder.contains("fashion") ? "fashion" : "mnist"
            case .cifar10: "cifar10"
            case .cifar100: "cifar100"
            }
        // kmnist, qmnist, emnist, k49
        let last = folder.split(separator: "/").last ?? ""
        let others = ["kmnist", "qmnist", "emnist", "k49", "notmnist", "medmnist"]
        if self == .idx, others.contains(where: last.contains) { return nil }
        return "get it with `bn-train get-data \(word) \(shellQuoted(directory))`"
    }
}

/// What to do about a damaged file.
let downloadAgain = "download it again (`bn-train get-data` knows the usual data sets)"

/// `text` as one word of a shell's command line.
private func shellQuoted(_ text: String) -> String {
    let isPlain = text.unicodeScalars.allSatisfy { scalar in
        scalar.properties.isAlphabetic || scalar.properties.numericType != nil
            || "/._-+:,@%~".unicodeScalars.contains(scalar)
    }
    return isPlain && !text.isEmpty
        ? text
        : "'"
            + text.split(separator: "'", omittingEmptySubsequences: false)
            .joined(separator: "'\\''") + "'"
}
