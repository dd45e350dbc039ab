/// What can be wrong with data, or with what a run asks of it.
public enum DatasetError: Error, Equatable, Sendable {
    /// The kinds of error, for exit codes.
    public enum Category: Sendable {
        /// The run asks for what the data cannot give.
        case settings
        /// A file is there, but its content is wrong.
        case badData
        /// A file or directory is not there.
        case missingFile
        /// The system refused to read.
        case inputOutput
    }

    /// There is no such directory, or it is something else.
    case directoryMissing(path: String, DataOrigin)
    /// None of the names under which a file may appear exists.
    case fileMissing(directory: String, tried: [String], DataOrigin, FolderContent)
    /// Files of several data sets, whose names begin differently.
    case severalDataSets(directory: String, beginnings: [String])
    /// The system refused to open or read.
    case unreadable(path: String, reason: String)

    /// The first bytes are not those of an IDX file.
    case notIDX(file: String, firstBytes: [UInt8])
    /// An IDX file of other elements than unsigned bytes; `code` is its third byte.
    case wrongElementType(file: String, code: UInt8)
    /// Labels of several numbers each, of a kind that is not known.
    case unknownRecords(file: String, numbers: Int)
    /// A label that no class has.
    case notLabel(file: String, index: Int, label: Int, range: ClosedRange<Int>)
    /// An IDX file of another rank.
    case wrongDimensionCount(file: String, expected: Int, actual: Int)
    /// One of the extents in the header is zero.
    case emptyExtent(file: String, extents: [Int])
    /// The header asks for more bytes than `limit`, or more than can be counted.
    case tooLarge(file: String, extents: [Int], limit: Int)
    /// The content ends before the header's extents are filled.
    case truncated(file: String, expected: Int, actual: Int)
    /// The content goes on after the header's extents are filled.
    case oversized(file: String, expected: Int)
    /// Compressed data that cannot be read.
    case corruptGzip(file: String, reason: String)
    /// A tar archive that cannot be read.
    case corruptTar(file: String, reason: String)
    /// An archive without a file that belongs to the data set.
    case memberMissing(file: String, member: String)
    /// A file of records, of a size that is not one or more of them.
    case wrongRecordSize(file: String, data: String, bytes: Int, record: Int)
    /// The content is larger than `limit` bytes.
    case tooMuchData(file: String, limit: Int)

    /// A label that is not below the number of classes.
    case labelOutOfRange(file: String, index: Int, label: Int, classes: Int)
    /// As many images as labels there must be.
    case countsDiffer(images: String, imageCount: Int, labels: String, labelCount: Int)
    /// More samples than an order of 32-bit indices can hold.
    case tooManySamples(file: String, count: Int)
    /// Training and test images of different sizes, [height, width].
    case sizesDiffer(training: String, trainingSize: [Int], test: String, testSize: [Int])

    /// The samples are not those whose SHA-256 was given.
    case otherContent(expected: String, found: String)

    /// `limit` asks for no samples, or more than there are.
    case limitOutOfRange(limit: Int, available: Int)
    /// `validation` leaves nothing to train on, or is negative.
    case validationOutOfRange(validation: Int, used: Int)
    /// With `dropLast`, an epoch would have no batch.
    case noFullBatch(batch: Int, samples: Int)
    /// Given means and deviations are not one a channel.
    case scalingChannels(means: Int, deviations: Int, channels: Int)
    /// A given mean is not finite, or a deviation is not finite and positive.
    case scalingValue(channel: Int, mean: Double, deviation: Double)
    /// All values of a channel are equal, so that there is no deviation to divide by.
    case constantChannel(channel: Int, value: Int)
    /// LAPACK finds no eigenvectors of the features' covariance; `status` is its own.
    case noEigenvectors(features: Int, status: Int)
    /// An augmentation that is larger than the images, or negative.
    case augmentationOutOfRange(key: String, value: Int, range: ClosedRange<Int>, size: [Int])

    /// Which kind of error it is.
    public var category: Category {
        switch self {
        case .directoryMissing, .fileMissing:
            .missingFile
        case .unreadable:
            .inputOutput
        case .notIDX, .wrongElementType, .wrongDimensionCount, .emptyExtent, .tooLarge, .truncated,
            .oversized, .corruptGzip, .corruptTar, .memberMissing, .wrongRecordSize, .tooMuchData,
            .labelOutOfRange, .countsDiffer, .tooManySamples, .sizesDiffer, .constantChannel,
            .noEigenvectors, .otherContent, .severalDataSets, .unknownRecords, .notLabel:
            .badData
        case .limitOutOfRange, .validationOutOfRange, .noFullBatch, .scalingChannels,
            .scalingValue, .augmentationOutOfRange:
            .settings
        }
    }
}

extension DatasetError: CustomStringConvertible {
    /// One line: what and where. A program adds which of its settings or commands mends it.
    public var description: String {
        switch self {
        case .directoryMissing(let path, _):
            "there is no data directory \(path)"
        case .fileMissing(let directory, let tried, _, let content):
            "\(directory) holds none of \(tried.joined(separator: ", ")); \(content)"
        case .severalDataSets(let directory, let beginnings):
            "\(directory) holds the files of several data sets "
                + "(\(beginnings.map { "\($0)…" }.joined(separator: ", "))): put the four of one "
                + "into a folder of its own"
        case .unknownRecords(let file, let numbers):
            "\(file) has records of \(counted(numbers, "number")), but labels are one number each, "
                + "or QMNIST's records of 8: keep the classes alone"
        case .notLabel(let file, let index, let label, let range):
            "\(file) has label \(label) at index \(index), but labels are "
                + "\(range.lowerBound)…\(range.upperBound): \(downloadAgain)"
        case .unreadable(let path, let reason):
            "\(path) cannot be read: \(reason)"
        case .notIDX(let file, let firstBytes):
            "\(file) is not an IDX file: it begins with \(hexadecimal(firstBytes)), not with "
                + "00 00 08; \(downloadAgain)"
        case .wrongElementType(let file, let code):
            "\(file) holds \(elementName(code)), but images are unsigned bytes (type 08), and "
                + "labels these or 32-bit integers (type 0c): convert it"
        case .wrongDimensionCount(let file, let expected, let actual):
            "\(file) has \(counted(actual, "dimension")), but \(expected) "
                + "\(expected == 1 ? "is needed, as labels have" : "are needed, as images have"): "
                + "check that images and labels are not swapped"
        case .emptyExtent(let file, let extents):
            "\(file) is empty: its header says \(product(extents)); "
                + downloadAgain
        case .tooLarge(let file, let extents, let limit):
            "\(file) cannot be kept in memory: its header says \(product(extents)) bytes, the "
                + "limit is \(limit); if the file is not meant to be so large, " + downloadAgain
        case .truncated(let file, let expected, let actual):
            "\(file) is truncated: it should have \(expected) bytes but ends after \(actual); "
                + downloadAgain
        case .oversized(let file, let expected):
            "\(file) goes on after the \(expected) bytes that its header declares: "
                + downloadAgain
        case .corruptGzip(let file, let reason):
            "\(file) is damaged gzip data (\(reason)): \(downloadAgain)"
        case .corruptTar(let file, let reason):
            "\(file) is a damaged tar archive (\(reason)): \(downloadAgain)"
        case .memberMissing(let file, let member):
            "\(file) holds no \(member): \(downloadAgain)"
        case .wrongRecordSize(let file, let data, let bytes, let record):
            "\(file) has \(counted(bytes, "byte")), but a file of \(data) is made of records of "
                + "\(record): \(downloadAgain)"
        case .tooMuchData(let file, let limit):
            "\(file) holds more than the \(limit) bytes of memory: if it is not meant to be so "
                + "large, \(downloadAgain)"
        case .labelOutOfRange(let file, let index, let label, let classes):
            "\(file) has label \(label) at index \(index), but the training labels are "
                + "0…\(classes - 1): the files do not belong together, or are damaged"
        case .countsDiffer(let images, let imageCount, let labels, let labelCount):
            "\(images) has \(counted(imageCount, "image")), but \(labels) has "
                + "\(counted(labelCount, "label")): the files do not belong together"
        case .tooManySamples(let file, let count):
            "\(file) has \(count) samples, but \(Int32.max) is the most: split the file"
        case .sizesDiffer(let training, let trainingSize, let test, let testSize):
            "\(training) has images of \(product(trainingSize)), but \(test) of "
                + "\(product(testSize)): the files do not belong together"
        case .otherContent(let expected, let found):
            "the data have the SHA-256 \(found.prefix(12))…, not \(expected.prefix(12))…"
        case .limitOutOfRange(let limit, let available):
            "limit is \(limit), but there are \(counted(available, "training sample")): "
                + "give 1…\(available)"
        case .validationOutOfRange(let validation, let used):
            "validation is \(validation), but \(counted(used, "training sample")) "
                + "\(used == 1 ? "is" : "are") in use: give 0…\(used - 1)"
        case .noFullBatch(let batch, let samples):
            "a batch has \(counted(batch, "sample")), but there are "
                + "\(counted(samples, "training sample")): without the short batch none is left"
        case .scalingChannels(let means, let deviations, let channels):
            "scaling has \(counted(means, "mean")) and \(counted(deviations, "deviation")), "
                + "but the images have \(counted(channels, "channel")): give one of each a channel"
        case .scalingValue(let channel, let mean, let deviation):
            "scaling has mean \(mean) and deviation \(deviation) for channel \(channel): "
                + "give finite numbers, and a deviation above 0"
        case .constantChannel(let channel, let value):
            "scaling cannot standardize channel \(channel): all values are \(value) in the "
                + "training samples in use"
        case .noEigenvectors(let features, let status):
            "scaling cannot whiten \(counted(features, "feature")): LAPACK's dsyevd ends with "
                + "status \(status)"
        case .augmentationOutOfRange(let key, let value, let range, let size):
            "augment has \(key) \(value), but the images are \(product(size)): give "
                + "\(range.lowerBound)…\(range.upperBound)"
        }
    }
}

private func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
}

private func product(_ extents: [Int]) -> String {
    extents.map { "\($0)" }.joined(separator: " × ")
}

private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
}

/// The element types of the format's description (Y. LeCun, "The MNIST database").
private func elementName(_ code: UInt8) -> String {
    switch code {
    case 0x08: "unsigned bytes (type 08)"
    case 0x09: "signed bytes (type 09)"
    case 0x0b: "16-bit integers (type 0b)"
    case 0x0c: "32-bit integers (type 0c)"
    case 0x0d: "32-bit floats (type 0d)"
    case 0x0e: "64-bit floats (type 0e)"
    default: "elements of unknown type \(hexadecimal([code]))"
    }
}
