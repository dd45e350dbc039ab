import Datasets
import Foundation
import Models
import TensorCore
import Testing

@testable import BNTrainCommand

@Suite("What to do about errors of models and data, with keys and commands")
struct RemediesTests {
    private func expect(
        _ error: any Error, _ text: String, _ code: Int32,
        _ location: SourceLocation = #_sourceLocation
    ) {
        let ending = Ending(error)
        #expect(ending.message == "bn-train: error: " + text, sourceLocation: location)
        #expect(ending.code == code, sourceLocation: location)
    }

    @Test("models: the key that asks for what cannot be, or for something else")
    func models() {
        expect(
            ModelError.nothingToFreeze(prefix: "stem", names: ["conv1", "fc"]),
            "freeze: no parameter's name begins with \"stem\"; those of this network begin with "
                + "conv1, fc", 64)
        expect(
            ModelError.noWeight(coordinate: "fc.bias[9]", parameters: ["fc.bias [2]"]),
            "probes.path: the network has no weight \"fc.bias[9]\"; its parameters are fc.bias [2]",
            64)
        let small = ImageShape(height: 2, width: 2, channels: 1)
        expect(
            ModelError.imageTooSmall(model: "lenet", layer: "pool", input: small, reaching: small),
            "lenet needs larger images: of 2×2×1 only 2×2×1 reach pool, less than its window; "
                + "choose another model.name or data set", 64)
        expect(
            ModelError.channelsDoNotDivide(layer: "conv1", input: 3, output: 4, groups: 2),
            "conv1 convolves 3 into 4 channels in 2 groups; both must divide by the groups", 64)
        expect(
            ModelError.groupsDoNotDivide(layer: "bn2", channels: 84, groups: 8, largest: 6),
            "bn2 has 84 channels, which do not divide into 8 groups; set "
                + "model.normalization.groups to 6", 64)
        expect(
            ModelError.singleValueGroup(layer: "bn1", groups: 1),
            "bn1 has one value in the group of a sample, and would give its shift whatever that "
                + "is: instance normalisation needs images (H·W > 1), group normalisation fewer "
                + "groups; set model.normalization.kind to \"layer\" or \"batch\"", 64)
    }

    @Test("data: settings that ask for what there is not")
    func settings() {
        expect(
            DatasetError.limitOutOfRange(limit: 21, available: 20),
            "data.limit is 21, but there are 20 training samples: give 1…20, or null for all", 64)
        expect(
            DatasetError.validationOutOfRange(validation: 1, used: 1),
            "data.validation is 1, but 1 training sample is in use: give 0…0", 64)
        expect(
            DatasetError.noFullBatch(batch: 6, samples: 5),
            "batch.size is 6, but there are 5 training samples, and data.dropLast leaves no batch: "
                + "give at most 5, or dropLast: false", 64)
        expect(
            DatasetError.scalingChannels(means: 1, deviations: 3, channels: 3),
            "data.scaling has 1 mean and 3 deviations, but the images have 3 channels: give one of "
                + "each a channel", 64)
        expect(
            DatasetError.scalingValue(channel: 2, mean: 0.5, deviation: 0),
            "data.scaling has mean 0.5 and deviation 0.0 for channel 2: give finite numbers, and a "
                + "deviation above 0", 64)
        expect(
            DatasetError.augmentationOutOfRange(
                key: "cutout size", value: 29, range: 1...28, size: [28, 28]),
            "data.augment has cutout size 29, but the images are 28 × 28: give 1…28", 64)
        expect(
            DatasetError.constantChannel(channel: 1, value: 17),
            "data.scaling cannot standardize channel 1: all values are 17 in the training samples "
                + "in use; use \"unit\" or more samples", 65)
        expect(
            DatasetError.noEigenvectors(features: 4, status: 2),
            "data.scaling cannot whiten 4 features: LAPACK's dsyevd ends with status 2; use "
                + "\"standardizeFeatures\"", 65)
        expect(
            DatasetError.otherContent(
                expected: String(repeating: "0", count: 64),
                found: String(repeating: "f", count: 64)),
            "the data are not those that data.sha256 names (000000000000…), but others "
                + "(ffffffffffff…): give data.directory the ones that it was written for, or set "
                + "data.sha256 to null", 65)
    }

    @Test(
        "data: damaged files are to be downloaded again, with the command that knows them",
        arguments: [
            .notLabel(file: "f", index: 2, label: 256, range: 0...255),
            .notIDX(file: "f", firstBytes: [60]), .emptyExtent(file: "f", extents: [0]),
            .tooLarge(file: "f", extents: [9, 9], limit: 5),
            .truncated(file: "f", expected: 2, actual: 1), .oversized(file: "f", expected: 2),
            .corruptGzip(file: "f", reason: "r"), .corruptTar(file: "f", reason: "r"),
            .memberMissing(file: "f", member: "m"),
            .wrongRecordSize(file: "f", data: "CIFAR-10", bytes: 1, record: 3073),
            .tooMuchData(file: "f", limit: 5),
        ] as [DatasetError])
    func damaged(_ error: DatasetError) {
        #expect(error.description.hasSuffix("download it again"))
        expect(error, "\(error) (`bn-train get-data` knows the usual data sets)", 65)
    }

    private static let idx =
        "set data.directory to the folder that holds four IDX files (train-images-idx3-ubyte, "
        + "train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, plain or .gz)"

    @Test("a missing folder comes with the command that fetches it, unless another set is meant")
    func directories() {
        expect(
            DatasetError.directoryMissing(path: "no/such", .idx),
            "there is no data directory no/such: get it with `bn-train get-data mnist no/such`, or "
                + Self.idx, 66)
        expect(
            DatasetError.directoryMissing(path: "my data/Fashion's", .idx),
            "there is no data directory my data/Fashion's: get it with `bn-train get-data fashion "
                + #"'my data/Fashion'\''s'`, or "# + Self.idx, 66)
        expect(
            DatasetError.directoryMissing(path: "no/such", .cifar10),
            "there is no data directory no/such: get it with `bn-train get-data cifar10 no/such`, "
                + "or set data.directory to the folder that holds CIFAR-10's binary version "
                + "(data_batch_1.bin … data_batch_5.bin and test_batch.bin, plain or .gz, or "
                + "cifar-10-binary.tar.gz)", 66)
        expect(
            DatasetError.directoryMissing(path: "no/such", .cifar100),
            "there is no data directory no/such: get it with `bn-train get-data cifar100 no/such`, "
                + "or set data.directory to the folder that holds CIFAR-100's binary version "
                + "(train.bin and test.bin, plain or .gz, or cifar-100-binary.tar.gz)", 66)
        for name in ["data/kmnist", "EMNIST/", "qmnist"] {
            expect(
                DatasetError.directoryMissing(path: name, .idx),
                "there is no data directory \(name): " + Self.idx, 66)
        }
    }

    @Test("only an empty folder, whose name is of no other data set, is a place for a download")
    func folders() throws {
        let place = try Workplace()
        func expect(_ name: String, holding files: [String], _ hint: String) throws {
            let folder = place.file(name)
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            for file in files { try place.write([1], to: "\(name)/\(file)") }
            let error = #expect(throws: DatasetError.self) {
                _ = try DatasetPair.idx(directory: folder)
            }
            let tried = "holds none of train-images-idx3-ubyte, train-images-idx3-ubyte.gz; "
            if let error { self.expect(error, "\(folder) \(tried)\(hint)", 66) }
        }
        try expect(
            "a", holding: [],
            "it is empty: get it with `bn-train get-data mnist \(place.file("a"))`, or " + Self.idx)
        try expect("kmnist", holding: [], "it is empty: " + Self.idx)
        try expect("b", holding: ["notes.txt"], "it holds notes.txt: " + Self.idx)
        try expect(
            "d", holding: ["data_batch_1.bin", "test_batch.bin"],
            "it holds data_batch_1.bin, test_batch.bin (CIFAR-10's binary version: data.name "
                + "\"cifar10\"): " + Self.idx)
        let inner = place.file("f/MNIST/raw")
        try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
        try place.write([1], to: "f/MNIST/raw/train-images-idx3-ubyte.gz")
        try expect(
            "f", holding: [],
            "it holds MNIST/: set data.directory to \(inner), which holds such files")
    }
}
