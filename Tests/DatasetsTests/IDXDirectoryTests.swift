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
            "there is no data directory no/such/place: get it with `bn-train get-data mnist "
                + "no/such/place`, or set data.directory to the folder that holds "
                + DataOrigin.idx.files, .missingFile
        ) { _ = try DatasetPair.idx(directory: "no/such/place") }
        try withDirectory { directory in
            try write([1], to: directory + "/file")
            expectError(
                "there is no data directory \(directory)/file: get it with `bn-train get-data "
                    + "mnist \(directory)/file`, or set data.directory to the folder that holds "
                    + DataOrigin.idx.files, .missingFile
            ) { _ = try DatasetPair.idx(directory: directory + "/file") }
        }
    }

    @Test("a missing file is told with the names that were tried and where files come from")
    func fileMissing() throws {
        try withDirectory { directory in
            try fill(directory)
            try FileManager.default.removeItem(atPath: directory + "/t10k-labels-idx1-ubyte")
            expectError(
                "\(directory) holds none of t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte.gz, "
                    + "t10k-labels.idx1-ubyte, t10k-labels.idx1-ubyte.gz: get it with `bn-train "
                    + "get-data mnist \(directory)`; it needs four IDX files "
                    + "(train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
                    + "t10k-labels-idx1-ubyte, plain or .gz)", .missingFile
            ) { _ = try DatasetPair.idx(directory: directory) }
        }
    }

    @Test("what is not a regular file is not opened")
    func notAFile() throws {
        try withDirectory { directory in
            try fill(directory)
            let path = directory + "/train-labels-idx1-ubyte"
            try FileManager.default.removeItem(atPath: path)
            #expect(mkfifo(path, 0o600) == 0)
            expectError("\(path) cannot be read: it is not a regular file", .inputOutput) {
                _ = try DatasetPair.idx(directory: directory)
            }
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
