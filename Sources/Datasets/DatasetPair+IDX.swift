extension DatasetPair {
    /// Reads a directory of four IDX files: MNIST, and Fashion-MNIST, KMNIST, QMNIST and EMNIST as
    /// they are handed out.
    ///
    /// `train-images-idx3-ubyte` [n, height, width], `train-labels-idx1-ubyte` [n], and the same with
    /// `t10k-` or `test-`; each may be packed (`….gz`), may be spelled with a dot
    /// (`train-images.idx3-ubyte`), and may lie in a folder of its own name, as Kaggle packs them.
    /// All may begin alike, as `qmnist-train-…` and `emnist-letters-train-…` do. Labels may be
    /// integers, or QMNIST's records (`…-labels-idx2-int`), whose first number is the class.
    ///
    /// EMNIST's images lie on their side, and are turned upright; the labels of its letters count
    /// from 1, and are read as from 0. `remark` says so.
    ///
    /// There are as many classes as the greatest training label says, and at least two.
    ///
    /// - Throws: `directoryMissing`, `fileMissing`, `severalDataSets`; what `IDXArray.read` throws;
    ///   `countsDiffer`, `sizesDiffer`, `tooManySamples`, `labelOutOfRange`, `unknownRecords`.
    public static func idx(directory: String) throws(DatasetError) -> DatasetPair {
        guard isDirectory(directory) else { throw .directoryMissing(path: directory, .idx) }
        // All four are looked for before the first is read: a missing one shows at once.
        let files = try IDXFiles(in: DataFolder(directory))
        let training = try LabelledImages(
            images: files.trainingImages, labels: files.trainingLabels, files.family)
        let test = try LabelledImages(
            images: files.testImages, labels: files.testLabels, files.family)
        guard training.size == test.size else {
            throw .sizesDiffer(
                training: files.trainingImages, trainingSize: training.size,
                test: files.testImages, testSize: test.size)
        }
        let name = directory.split(separator: "/").last { $0 != "." }.map(String.init) ?? directory
        let classes = max(2, Int(training.labels.max() ?? 0) + 1)
        return DatasetPair(
            training: try training.dataset(name: name, classes: classes),
            test: try test.dataset(name: name, classes: classes),
            files: [
                File(path: files.trainingImages, parts: [.trainingImages]),
                File(path: files.trainingLabels, parts: [.trainingLabels]),
                File(path: files.testImages, parts: [.testImages]),
                File(path: files.testLabels, parts: [.testLabels]),
            ],
            remark: files.family.remark)
    }
}

/// What the beginning of the files' names says of their content.
private struct IDXFamily {
    /// What all names begin with: "", "qmnist-", "emnist-letters-".
    let beginning: String

    /// Images are stored column by column (G. Cohen, S. Afshar, J. Tapson, A. van Schaik, "EMNIST"
    /// (2017), whose authors' tools are MATLAB's).
    var isTransposed: Bool { beginning.lowercased().hasPrefix("emnist-") }

    /// The label of the first class.
    var firstLabel: UInt8 { beginning.lowercased().hasPrefix("emnist-letters-") ? 1 : 0 }

    var remark: String? {
        guard isTransposed else { return nil }
        return "EMNIST's images turned upright"
            + (firstLabel == 1 ? ", its labels 1…26 read as 0…25" : "")
    }
}

/// Where the four files are.
private struct IDXFiles {
    let family: IDXFamily
    let trainingImages: String
    let trainingLabels: String
    let testImages: String
    let testLabels: String

    init(in folder: DataFolder) throws(DatasetError) {
        let imageEndings = ["-images-idx3-ubyte", "-images.idx3-ubyte"]
        let labelEndings = ["1-ubyte", "2-int", "1-int"].flatMap {
            ["-labels-idx" + $0, "-labels.idx" + $0]
        }
        let beginnings = Set(
            folder.names.compactMap { name -> String? in
                let plain = name.hasSuffix(".gz") ? String(name.dropLast(3)) : name
                let ending = imageEndings.first { plain.hasSuffix("train" + $0) }
                return ending.map { String(plain.dropLast("train".count + $0.count)) }
            }
        ).sorted()
        // Without a beginning they are those that the directory is named for.
        guard beginnings.count <= 1 || beginnings[0].isEmpty else {
            throw .severalDataSets(directory: folder.path, beginnings: beginnings)
        }
        let beginning = beginnings.first ?? ""
        func find(_ halves: [String], _ endings: [String]) throws(DatasetError) -> String {
            let spellings = halves.flatMap { half in endings.map { beginning + half + $0 } }
            guard let path = folder.file(spellings) else {
                throw .fileMissing(
                    directory: folder.path, tried: [spellings[0], spellings[0] + ".gz"],
                    .idx,
                    folder.content(
                        for: .idx, elsewhere: Self.elsewhere(folder, imageEndings)))
            }
            return path
        }
        family = IDXFamily(beginning: beginning)
        trainingImages = try find(["train"], imageEndings)
        trainingLabels = try find(["train"], labelEndings)
        testImages = try find(["t10k", "test"], imageEndings)
        testLabels = try find(["t10k", "test"], labelEndings)
    }

    /// A folder within that has training images.
    private static func elsewhere(_ folder: DataFolder, _ endings: [String]) -> String? {
        folder.inner { inner in inner.file(endings.map { "train" + $0 }) != nil }
    }
}

/// The images and labels of one file each.
private struct LabelledImages {
    let labels: [UInt8]
    private let images: IDXArray
    private let labelsPath: String
    private let family: IDXFamily

    init(
        images imagesPath: String, labels labelsPath: String, _ family: IDXFamily
    ) throws(DatasetError) {
        self.labelsPath = labelsPath
        self.family = family
        // Labels first: they are small, and tell at once what is wrong with a download.
        labels = try Self.labels(labelsPath, first: family.firstLabel)
        images = try IDXArray.read(path: imagesPath, forms: [.images])
        guard images.extents[0] == labels.count else {
            throw .countsDiffer(
                images: imagesPath, imageCount: images.extents[0],
                labels: labelsPath, labelCount: labels.count)
        }
        guard labels.count <= Int(Int32.max) else {
            throw .tooManySamples(file: labelsPath, count: labels.count)
        }
    }

    private static func labels(_ path: String, first: UInt8) throws(DatasetError) -> [UInt8] {
        let array = try IDXArray.read(path: path, forms: [.labels, .integerLabels, .records])
        if array.form == .records, array.extents[1] != 8 {
            throw .unknownRecords(file: path, numbers: array.extents[1])
        }
        let numbers =
            array.form == .labels ? array.elements.map { Int($0) } : array.leadingIntegers
        let range = Int(first)...Int(UInt8.max)
        if let index = numbers.firstIndex(where: { !range.contains($0) }) {
            throw .notLabel(file: path, index: index, label: numbers[index], range: range)
        }
        return numbers.map { UInt8($0) - first }
    }

    /// [height, width]
    var size: [Int] {
        let (height, width) = (images.extents[1], images.extents[2])
        return family.isTransposed ? [width, height] : [height, width]
    }

    func dataset(name: String, classes: Int) throws(DatasetError) -> Dataset {
        try Dataset(
            name: name, height: size[0], width: size[1], channels: 1, classes: classes,
            images: family.isTransposed ? images.transposedImages : images.elements,
            labels: labels, source: labelsPath)
    }
}

extension IDXArray {
    /// The bytes of images [n, height, width] as [n, width, height].
    fileprivate var transposedImages: [UInt8] {
        let (height, width) = (extents[1], extents[2])
        return [UInt8](unsafeUninitializedCapacity: elements.count) { result, count in
            for start in stride(from: 0, to: elements.count, by: height * width) {
                for y in 0..<height {
                    for x in 0..<width {
                        result[start + x * height + y] = elements[start + y * width + x]
                    }
                }
            }
            count = elements.count
        }
    }
}
