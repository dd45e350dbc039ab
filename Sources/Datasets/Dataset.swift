/// Labelled images, or other samples, kept as bytes in memory: the training or the test samples of one source.
///
/// Immutable, so that every worker of a rank reads the same copy.
public final class Dataset: Sendable {
    /// What the headers of runs call it: `synthetic-digits`, `mnist`.
    public let name: String

    /// The number of samples.
    public let count: Int

    /// Rows of an image.
    public let height: Int

    /// Columns of an image.
    public let width: Int

    /// Values of a pixel: 1 for grey, 3 for red, green, blue.
    public let channels: Int

    /// The number of classes; labels are 0 ..< classes.
    public let classes: Int

    /// The pixels, 0…255. [count, height, width, channels]
    public let images: [UInt8]

    /// The class of each sample. [count]
    public let labels: [UInt8]

    /// By feature, what the bytes 0 and 255 stand for; nil for pixels, which are their bytes.
    public let units: [ClosedRange<Float>]?

    /// Values of one image: height · width · channels, in this order.
    public var features: Int { height * width * channels }

    /// A data set of these images and labels.
    ///
    /// - Precondition: at least one sample, and `images`, `labels` and the extents agree. Readers
    ///   of files check this first and throw.
    /// - Throws: `labelOutOfRange` for the first label that is not below `classes`; `source` is
    ///   what the message names.
    public init(
        name: String, height: Int, width: Int, channels: Int, classes: Int,
        images: [UInt8], labels: [UInt8], source: String, units: [ClosedRange<Float>]? = nil
    ) throws(DatasetError) {
        precondition(height > 0 && width > 0 && channels > 0, "an image has no pixels")
        precondition(!labels.isEmpty && labels.count <= Int(Int32.max), "sample count out of range")
        precondition(images.count == labels.count * height * width * channels, "extents disagree")
        precondition(
            units.map { $0.count == height * width * channels } ?? true, "a unit a feature")
        precondition(classes >= 2 && classes <= 65_536, "class count is out of range")
        self.name = name
        self.height = height
        self.width = width
        self.channels = channels
        self.classes = classes
        self.images = images
        self.labels = labels
        self.units = units
        count = labels.count
        if let index = labels.firstIndex(where: { Int($0) >= classes }) {
            throw .labelOutOfRange(
                file: source, index: index, label: Int(labels[index]), classes: classes)
        }
    }

    /// The same samples with other pixels.
    init(_ other: Dataset, pixels: [UInt8]) {
        precondition(pixels.count == other.images.count, "extents disagree")
        (name, height, width) = (other.name, other.height, other.width)
        (channels, classes, count) = (other.channels, other.classes, other.count)
        images = pixels
        labels = other.labels
        units = other.units
    }
}

/// The training and the test samples of one source: same image size, same classes.
public struct DatasetPair: Sendable {
    /// What of a pair can differ by itself.
    public enum Part: String, CaseIterable, Sendable {
        case trainingImages = "training images"
        case trainingLabels = "training labels"
        case testImages = "test images"
        case testLabels = "test labels"
    }

    /// A file that was read, for messages about what is in it.
    public struct File: Hashable, Sendable {
        /// Where it was found.
        public let path: String

        /// What it holds, or some of it.
        public let parts: [Part]
    }

    /// What a network learns from.
    public let training: Dataset

    /// What it is judged by.
    public let test: Dataset

    /// The files the samples came from, in the order they were read; none for made samples.
    public let files: [File]

    /// What a reader did with the files beyond taking them as they are; nil for nothing.
    public let remark: String?

    /// A pair of data sets.
    ///
    /// - Precondition: same image size, channels and classes.
    public init(training: Dataset, test: Dataset, files: [File] = [], remark: String? = nil) {
        precondition(
            training.height == test.height && training.width == test.width
                && training.channels == test.channels && training.classes == test.classes,
            "training and test samples differ in shape")
        self.training = training
        self.test = test
        self.files = files
        self.remark = remark
    }
}
