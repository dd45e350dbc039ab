import Datasets
import Models

// What library rooms find wrong, in the words of a run: with its configuration's keys, and with what
// to do about it.

extension ModelError {
    /// One line: what, where, what to do.
    var message: String {
        switch self {
        case .nothingToFreeze: "freeze: " + description
        case .noWeight: "probes.path: " + description
        case .imageTooSmall: description + "; choose another model.name or data set"
        case .channelsDoNotDivide: description
        case .groupsDoNotDivide(_, _, _, let largest):
            description + "; set model.normalization.groups to \(largest)"
        case .singleValueGroup:
            description + "; set model.normalization.kind to \"layer\" or \"batch\""
        }
    }
}

extension DatasetError {
    /// One line: what, where, what to do.
    var message: String {
        switch self {
        case .directoryMissing(let path, let origin):
            description + ": " + origin.remedy(downloadingInto: path)
        case .fileMissing(let directory, let tried, let origin, let content):
            "\(directory) holds none of \(tried.joined(separator: ", ")); "
                + content.text { "\($0.title): data.name \"\($0.name)\"" } + ": "
                + (content.elsewhere.map { "set data.directory to \($0), which holds such files" }
                    ?? origin.remedy(downloadingInto: content.isEmpty ? directory : nil))
        case .notLabel, .notIDX, .emptyExtent, .tooLarge, .truncated, .oversized, .corruptGzip,
            .corruptTar, .memberMissing, .wrongRecordSize, .tooMuchData:
            // All of them end in "download it again".
            description + " (`bn-train get-data` knows the usual data sets)"
        case .severalDataSets, .unknownRecords, .unreadable, .wrongElementType,
            .wrongDimensionCount, .labelOutOfRange, .countsDiffer, .tooManySamples, .sizesDiffer:
            description
        case .otherContent(let expected, let found):
            "the data are not those that data.sha256 names (\(expected.prefix(12))…), but others "
                + "(\(found.prefix(12))…): give data.directory the ones that it was written for, or "
                + "set data.sha256 to null"
        case .limitOutOfRange: "data." + description + ", or null for all"
        case .validationOutOfRange, .scalingChannels, .scalingValue, .augmentationOutOfRange:
            "data." + description
        case .noFullBatch(let batch, let samples):
            "batch.size is \(batch), but there are \(counted(samples, "training sample")), and "
                + "data.dropLast leaves no batch: give at most \(samples), or dropLast: false"
        case .constantChannel: "data." + description + "; use \"unit\" or more samples"
        case .noEigenvectors: "data." + description + "; use \"standardizeFeatures\""
        }
    }
}

extension DataOrigin {
    /// What `data.name` is to be for such files.
    fileprivate var name: String {
        switch self {
        case .idx: "idx"
        case .cifar10: "cifar10"
        case .cifar100: "cifar100"
        }
    }

    /// "get it with `bn-train get-data …`, or set data.directory to …": how to come to its files.
    ///
    /// - Parameter directory: where nothing stands in a download's way, or nil.
    fileprivate func remedy(downloadingInto directory: String?) -> String {
        (directory.flatMap(fetching).map { "\($0), or " } ?? "")
            + "set data.directory to the folder that holds \(files)"
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
