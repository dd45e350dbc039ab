import Foundation
import Testing

@testable import Datasets

@Suite struct IDXDirectoryTests {
    /// Writes four small files; each argument replaces one of them.
    private func fill(
        _ directory: String, suffix: String = "", trainingImages: [UInt8]? = nil,
        trainingLabels: [UInt8]? = nil, testImages: [UInt8]? = nil, testLabels: [UInt8]? = nil,
        pack: ([UInt8]) -> [UInt8] = { $0 }
    ) throws {
        let files: [(String, [UInt8])] = [
            (
                "train-images-idx3-ubyte",
                trainingImages ?? idx(extents: [4, 2, 3], elements: (0..<24).map { UInt8($0) })
            ),
            (
                "train-labels-idx1-ubyte",
                trainingLabels ?? idx(extents: [4], elements: [0, 2, 1, 2])
            ),
            (
                "t10k-images-idx3-ubyte",
                testImages ?? idx(extents: [2, 2, 3], elements: (0..<12).map { 255 - UInt8($0) })
            ),
            ("t10k-labels-idx1-ubyte", testLabels ?? idx(extents: [2], elements: [1, 0])),
        ]
        for (name, bytes) in files {
            try write(pack(bytes), to: "\(directory)/\(name)\(suffix)")
        }
    }

    private func expectContent(_ pair: DatasetPair) {
        #expect(pair.training.images == (0..<24).map { UInt8($0) })
        #expect(pair.training.labels == [0, 2, 1, 2])
        #expect(pair.test.images == (0..<12).map { 255 - UInt8($0) })
        #expect(pair.test.labels == [1, 0])
        for dataset in [pair.training, pair.test] {
            #expect(dataset.height == 2 && dataset.width == 3 && dataset.channels == 1)
            #expect(dataset.classes == 3 && dataset.features == 6)
        }
        #expect(pair.training.count == 4 && pair.test.count == 2)
    }

    @Test("plain and packed files are found, with a hyphen or a dot")
    func spellings() throws {
        try withDirectory { directory in
            try fill(directory)
            expectContent(try DatasetPair.idx(directory: directory))
            expectContent(try DatasetPair.idx(directory: directory + "/"))
        }
        try withDirectory { directory in
            try fill(directory, suffix: ".gz", pack: { gzip($0, fileName: "a.name") })
            expectContent(try DatasetPair.idx(directory: directory))
        }
        try withDirectory { directory in
            // Content decides, not the name: a browser may have unpacked a download.
            try fill(directory, suffix: ".gz")
            for (name, packed) in [
                ("train-images", true), ("t10k-images", false), ("train-labels", true),
            ] {
                let rest = name.hasSuffix("images") ? "idx3-ubyte" : "idx1-ubyte"
                let bytes = try Data(
                    contentsOf: URL(fileURLWithPath: "\(directory)/\(name)-\(rest).gz"))
                try FileManager.default.removeItem(atPath: "\(directory)/\(name)-\(rest).gz")
                try write(
                    packed ? gzip(Array(bytes)) : Array(bytes),
                    to: "\(directory)/\(name).\(rest)\(packed ? ".gz" : "")")
            }
            expectContent(try DatasetPair.idx(directory: directory))
        }
    }

    @Test("name and files say where the samples came from")
    func provenance() throws {
        try withDirectory { directory in
            let inner = directory + "/mnist"
            try FileManager.default.createDirectory(
                atPath: inner, withIntermediateDirectories: false)
            try fill(inner)
            let pair = try DatasetPair.idx(directory: inner + "/")
            #expect(pair.training.name == "mnist" && pair.test.name == "mnist")
            #expect(
                pair.files.map(\.parts)
                    == [[.trainingImages], [.trainingLabels], [.testImages], [.testLabels]])
            #expect(pair.files[1].path == inner + "/train-labels-idx1-ubyte")
        }
    }

    @Test("the greatest training label decides the classes; there are at least two")
    func classes() throws {
        try withDirectory { directory in
            try fill(
                directory, trainingLabels: idx(extents: [4], elements: [0, 61, 0, 5]),
                testLabels: idx(extents: [2], elements: [60, 61]))
            #expect(try DatasetPair.idx(directory: directory).test.classes == 62)
            try fill(
                directory, trainingLabels: idx(extents: [4], elements: [0, 0, 0, 0]),
                testLabels: idx(extents: [2], elements: [0, 1]))
            #expect(try DatasetPair.idx(directory: directory).training.classes == 2)
            try fill(directory, trainingLabels: idx(extents: [4], elements: [0, 255, 0, 0]))
            #expect(try DatasetPair.idx(directory: directory).training.classes == 256)
        }
    }

    @Test("a missing directory, or a file in its place, is named")
    func directoryMissing() throws {
        expectError(
            "there is no data directory no/such/place", .missingFile
        ) { _ = try DatasetPair.idx(directory: "no/such/place") }
        try withDirectory { directory in
            try write([1], to: directory + "/file")
            expectError(
                "there is no data directory \(directory)/file", .missingFile
            ) { _ = try DatasetPair.idx(directory: directory + "/file") }
        }
    }

    @Test("a missing file is told with the names that were tried, and what is there")
    func fileMissing() throws {
        try withDirectory { directory in
            try fill(directory)
            try FileManager.default.removeItem(atPath: directory + "/t10k-labels-idx1-ubyte")
            expectError(
                "\(directory) holds none of t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte.gz; it "
                    + "holds t10k-images-idx3-ubyte, train-images-idx3-ubyte, "
                    + "train-labels-idx1-ubyte", .missingFile
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }

    @Test("other files than those that were asked for are named for what they are")
    func others() throws {
        let tried = "holds none of train-images-idx3-ubyte, train-images-idx3-ubyte.gz; "
        try withDirectory { directory in
            func expect(_ folder: String, holding files: [String], _ content: String) throws {
                let folder = "\(directory)/\(folder)"
                for file in files { try fillFolder(folder, file) }
                if files.isEmpty { try makeFolder(folder) }
                expectError("\(folder) \(tried)" + content, .missingFile) {
                    _ = try DatasetPair.idx(directory: folder)
                }
            }
            try expect("a", holding: [], "it is empty")
            try expect("b", holding: ["notes.txt"], "it holds notes.txt")
            try expect(
                "c", holding: ["kmnist-train-imgs.npz", "kmnist-test-imgs.npz"],
                "it holds kmnist-test-imgs.npz, kmnist-train-imgs.npz (NumPy arrays, which are not "
                    + "read)")
            try expect(
                "d", holding: ["data_batch_1.bin", "test_batch.bin"],
                "it holds data_batch_1.bin, test_batch.bin (CIFAR-10's binary version)")
            try expect(
                "e", holding: ["data_batch_1", "data_batch_2", "3", "4", "5", "6", "7"],
                "it holds 3, 4, 5, 6, 7 and 2 more (CIFAR's Python version, which is not read)")
            try fillFolder("\(directory)/f/MNIST/raw", "train-images-idx3-ubyte.gz")
            try expect("f", holding: [], "it holds MNIST/")
        }
    }

    private func makeFolder(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
    }

    private func fillFolder(_ folder: String, _ file: String) throws {
        try makeFolder(folder)
        try write([0], to: "\(folder)/\(file)")
    }

    // MARK: other families

    @Test("files in folders of their own names are read, beside copies with other names")
    func kaggle() throws {
        try withDirectory { directory in
            try withDirectory { plain in
                try fill(plain)
                for (stem, ending) in [
                    ("train-images", "idx3"), ("train-labels", "idx1"), ("t10k-images", "idx3"),
                    ("t10k-labels", "idx1"),
                ] {
                    let name = "\(stem)-\(ending)-ubyte"
                    try makeFolder("\(directory)/\(name)")
                    try FileManager.default.copyItem(
                        atPath: "\(plain)/\(name)", toPath: "\(directory)/\(name)/\(name)")
                }
                let pair = try DatasetPair.idx(directory: directory)
                expectContent(pair)
                let name = "train-labels-idx1-ubyte"
                #expect(pair.files[1].path == "\(directory)/\(name)/\(name)")
                // An empty folder, and the file beside it.
                try FileManager.default.removeItem(atPath: "\(directory)/\(name)/\(name)")
                try FileManager.default.copyItem(
                    atPath: "\(plain)/\(name)", toPath: "\(directory)/train-labels.idx1-ubyte")
                expectContent(try DatasetPair.idx(directory: directory))
            }
        }
    }

    /// Big-endian 32-bit integers.
    private func integers(_ extents: [Int], _ elements: [Int32]) -> [UInt8] {
        var bytes = idx(
            extents: extents,
            elements: elements.flatMap { value in
                withUnsafeBytes(of: value.bigEndian) { Array($0) }
            })
        bytes[2] = 0x0c
        return bytes
    }

    @Test("QMNIST: labels are the first of eight integers; plain integers are labels, too")
    func qmnist() throws {
        func records(_ classes: [Int32]) -> [UInt8] {
            // Class, NIST's series, writer, index, code, its own index, and two zeros.
            integers([classes.count, 8], classes.flatMap { [$0, 0, 2_500, 13, 33, 70_000, 0, 0] })
        }
        for labels in [records, { (classes: [Int32]) in integers([classes.count], classes) }] {
            try withDirectory { directory in
                try fill(
                    directory, trainingLabels: gzip(labels([0, 2, 1, 2])),
                    testLabels: labels([1, 0]))
                for (old, new) in [
                    ("train-images-idx3-ubyte", "qmnist-train-images-idx3-ubyte"),
                    ("train-labels-idx1-ubyte", "qmnist-train-labels-idx2-int.gz"),
                    ("t10k-images-idx3-ubyte", "qmnist-test-images-idx3-ubyte"),
                    ("t10k-labels-idx1-ubyte", "qmnist-test-labels-idx2-int"),
                ] {
                    try FileManager.default.moveItem(
                        atPath: "\(directory)/\(old)", toPath: "\(directory)/\(new)")
                }
                let pair = try DatasetPair.idx(directory: directory)
                expectContent(pair)
                #expect(pair.remark == nil)
            }
        }
        try withDirectory { directory in
            let path = "\(directory)/train-labels-idx1-ubyte"
            try fill(directory, trainingLabels: integers([4, 3], Array(repeating: 1, count: 12)))
            expectError(
                "\(path) has records of 3 numbers, but labels are one number each, or QMNIST's "
                    + "records of 8: keep the classes alone"
            ) { _ = try DatasetPair.idx(directory: directory) }
            try fill(directory, trainingLabels: integers([4], [0, 1, 256, 1]))
            expectError(
                "\(path) has label 256 at index 2, but labels are 0…255: " + downloadAgain
            ) { _ = try DatasetPair.idx(directory: directory) }
            try fill(directory, trainingLabels: integers([4], [0, 1, -1, 1]))
            expectError(
                "\(path) has label -1 at index 2, but labels are 0…255: " + downloadAgain
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }

    @Test("EMNIST: images are turned upright, and letters count from 0")
    func emnist() throws {
        func move(_ directory: String, to beginning: String) throws {
            for (old, new) in [
                ("train-images-idx3", "train-images-idx3"),
                ("train-labels-idx1", "train-labels-idx1"),
                ("t10k-images-idx3", "test-images-idx3"), ("t10k-labels-idx1", "test-labels-idx1"),
            ] {
                try FileManager.default.moveItem(
                    atPath: "\(directory)/\(old)-ubyte",
                    toPath: "\(directory)/\(beginning)\(new)-ubyte")
            }
        }
        // Stored column by column: [n, 3, 2] of images of 2 rows and 3 columns.
        let upright: [[UInt8]] = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]
        let stored: [UInt8] = [1, 4, 2, 5, 3, 6, 7, 10, 8, 11, 9, 12]
        try withDirectory { directory in
            func fillLetters() throws {
                try fill(
                    directory, trainingImages: idx(extents: [2, 3, 2], elements: stored),
                    trainingLabels: idx(extents: [2], elements: [1, 3]),
                    testImages: idx(extents: [2, 3, 2], elements: stored),
                    testLabels: idx(extents: [2], elements: [2, 1]))
            }
            try fillLetters()
            try move(directory, to: "emnist-letters-")
            let pair = try DatasetPair.idx(directory: directory)
            #expect(pair.training.images == upright.flatMap(\.self))
            #expect(pair.test.images == pair.training.images)
            #expect(pair.training.height == 2 && pair.training.width == 3)
            #expect(pair.training.labels == [0, 2] && pair.test.labels == [1, 0])
            #expect(pair.training.classes == 3)
            #expect(
                pair.remark == "EMNIST's images turned upright, its labels 1…26 read as 0…25")
            // As their authors' archive holds them: all in one folder.
            try fillLetters()
            try move(directory, to: "emnist-balanced-")
            expectError(
                "\(directory) holds the files of several data sets (emnist-balanced-…, "
                    + "emnist-letters-…): put the four of one into a folder of its own"
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
        try withDirectory { directory in
            try fill(
                directory, trainingImages: idx(extents: [2, 3, 2], elements: stored),
                trainingLabels: idx(extents: [2], elements: [0, 3]),
                testImages: idx(extents: [2, 3, 2], elements: stored),
                testLabels: idx(extents: [2], elements: [2, 1]))
            try move(directory, to: "emnist-digits-")
            let pair = try DatasetPair.idx(directory: directory)
            #expect(pair.training.images == upright.flatMap(\.self))
            #expect(pair.training.labels == [0, 3] && pair.training.classes == 4)
            #expect(pair.remark == "EMNIST's images turned upright")
        }
        try withDirectory { directory in
            try fill(directory)
            try move(directory, to: "emnist-letters-")
            expectError(
                "\(directory)/emnist-letters-train-labels-idx1-ubyte has label 0 at index 0, but "
                    + "labels are 1…255: " + downloadAgain
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }

    @Test("what is not a regular file is no file of the data set")
    func notAFile() throws {
        try withDirectory { directory in
            try fill(directory)
            let path = directory + "/train-labels-idx1-ubyte"
            try FileManager.default.removeItem(atPath: path)
            #expect(mkfifo(path, 0o600) == 0)
            expectError(
                "\(directory) holds none of train-labels-idx1-ubyte, train-labels-idx1-ubyte.gz; it "
                    + "holds t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, "
                    + "train-images-idx3-ubyte, train-labels-idx1-ubyte", .missingFile
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }

    @Test("files that are damaged on disk are named with their path")
    func damaged() throws {
        try withDirectory { directory in
            try fill(directory, testImages: [])
            expectError(
                "\(directory)/t10k-images-idx3-ubyte is truncated: it should have 16 bytes but "
                    + "ends after 0; " + downloadAgain
            ) { _ = try DatasetPair.idx(directory: directory) }
            try fill(directory, testLabels: idx(extents: [2], elements: [1, 0, 1]))
            expectError(
                "\(directory)/t10k-labels-idx1-ubyte goes on after the 10 bytes that its header "
                    + "declares: " + downloadAgain
            ) { _ = try DatasetPair.idx(directory: directory) }
            try fill(directory, trainingLabels: gzip(idx(extents: [4], elements: [1])))
            expectError(
                "\(directory)/train-labels-idx1-ubyte is truncated: it should have 12 bytes but "
                    + "ends after 9; " + downloadAgain
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }

    @Test("a test label beyond the training classes is named by index and value")
    func labelOutOfRange() throws {
        try withDirectory { directory in
            try fill(directory, testLabels: idx(extents: [2], elements: [2, 3]))
            expectError(
                "\(directory)/t10k-labels-idx1-ubyte has label 3 at index 1, but the training "
                    + "labels are 0…2: the files do not belong together, or are damaged"
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }

    @Test("images and labels of different counts are told")
    func countsDiffer() throws {
        try withDirectory { directory in
            try fill(directory, trainingLabels: idx(extents: [1], elements: [1]))
            expectError(
                "\(directory)/train-images-idx3-ubyte has 4 images, but "
                    + "\(directory)/train-labels-idx1-ubyte has 1 label: the files do not belong "
                    + "together"
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }

    @Test("training and test images of different sizes are told")
    func sizesDiffer() throws {
        try withDirectory { directory in
            try fill(
                directory,
                testImages: idx(extents: [2, 3, 2], elements: [UInt8](repeating: 0, count: 12)))
            expectError(
                "\(directory)/train-images-idx3-ubyte has images of 2 × 3, but "
                    + "\(directory)/t10k-images-idx3-ubyte of 3 × 2: the files do not belong "
                    + "together"
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }
}
