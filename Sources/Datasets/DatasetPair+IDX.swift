import Glibc

extension DatasetPair {
    /// Reads a directory of four IDX files: MNIST, Fashion-MNIST and their family.
    ///
    /// `train-images-idx3-ubyte` [n, height, width], `train-labels-idx1-ubyte` [n], and the same
    /// with `t10k-`; each may be packed (`….gz`) and may be spelled with a dot
    /// (`train-images.idx3-ubyte`). There are as many classes as the greatest training label says,
    /// and at least two.
    ///
    /// - Throws: `directoryMissing`, `fileMissing`; what `IDXArray.read` throws; `countsDiffer`,
    ///   `sizesDiffer`, `tooManySamples`, `labelOutOfRange`.
    public static func idx(directory: String) throws(DatasetError) -> DatasetPair {
        guard isDirectory(directory) else { throw .directoryMissing(path: directory, .idx) }
        // All four are looked for before the first is read: a missing one shows at once.
        let paths = (
            trainingImages: try find("train-images", "idx3-ubyte", in: directory),
            trainingLabels: try find("train-labels", "idx1-ubyte", in: directory),
            testImages: try find("t10k-images", "idx3-ubyte", in: directory),
            testLabels: try find("t10k-labels", "idx1-ubyte", in: directory)
        )
        let training = try LabelledImages(
            images: paths.trainingImages, labels: paths.trainingLabels)
        let test = try LabelledImages(images: paths.testImages, labels: paths.testLabels)
        guard training.size == test.size else {
            throw .sizesDiffer(
                training: paths.trainingImages, trainingSize: training.size,
                test: paths.testImages, testSize: test.size)
        }
        let name = directory.split(separator: "/").last { $0 != "." }.map(String.init) ?? directory
        let classes = max(2, Int(training.labels.elements.max() ?? 0) + 1)
        return DatasetPair(
            training: try training.dataset(name: name, classes: classes),
            test: try test.dataset(name: name, classes: classes),
            files: [
                File(path: paths.trainingImages, parts: [.trainingImages]),
                File(path: paths.trainingLabels, parts: [.trainingLabels]),
                File(path: paths.testImages, parts: [.testImages]),
                File(path: paths.testLabels, parts: [.testLabels]),
            ])
    }

    /// The path of the first spelling that exists.
    private static func find(
        _ stem: String, _ suffix: String, in directory: String
    ) throws(DatasetError) -> String {
        let spellings = ["\(stem)-\(suffix)", "\(stem).\(suffix)"].flatMap { [$0, "\($0).gz"] }
        for spelling in spellings {
            let path = joined(directory, spelling)
            if access(path, F_OK) == 0 { return path }
        }
        throw .fileMissing(directory: directory, tried: spellings, .idx)
    }
}

/// An image file and the label file that goes with it.
private struct LabelledImages {
    let images: IDXArray
    let labels: IDXArray
    private let labelsPath: String

    init(images imagesPath: String, labels labelsPath: String) throws(DatasetError) {
        // Labels first: they are small, and tell at once what is wrong with a download.
        labels = try IDXArray.read(path: labelsPath, dimensions: 1)
        images = try IDXArray.read(path: imagesPath, dimensions: 3)
        self.labelsPath = labelsPath
        guard images.extents[0] == labels.extents[0] else {
            throw .countsDiffer(
                images: imagesPath, imageCount: images.extents[0],
                labels: labelsPath, labelCount: labels.extents[0])
        }
        guard labels.extents[0] <= Int(Int32.max) else {
            throw .tooManySamples(file: labelsPath, count: labels.extents[0])
        }
    }

    /// [height, width]
    var size: [Int] { [images.extents[1], images.extents[2]] }

    func dataset(name: String, classes: Int) throws(DatasetError) -> Dataset {
        try Dataset(
            name: name, height: size[0], width: size[1], channels: 1, classes: classes,
            images: images.elements, labels: labels.elements, source: labelsPath)
    }
}
