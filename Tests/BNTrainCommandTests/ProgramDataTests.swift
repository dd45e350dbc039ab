import Foundation
import TestSupport
import Testing
import Training

/// What to do about damaged files.
private let again = "download it again (`bn-train get-data` knows the usual data sets)"

/// What a data directory must hold, as messages about missing ones say it.
private let files =
    "four IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
    + "t10k-labels-idx1-ubyte, plain or .gz)"

/// Trains on the folder "data" of the working directory.
private let training = [
    "--set", "data.name=idx", "--set", "data.directory=data", "--set", "batch.size=8",
    "--set", "batch.shards=2", "--set", "model.hidden=[4]", "--set", "steps=3",
]

private let trainImages = "data/train-images-idx3-ubyte"
private let trainLabels = "data/train-labels-idx1-ubyte"
private let testLabels = "data/t10k-labels-idx1-ubyte"

extension ProgramTests {
    @Suite("Bad data files end a run before it starts")
    struct DataFiles {
        /// Runs on a data set that `damage` has spoilt.
        private func expect(
            _ code: Int32, _ message: (_ folder: String) -> String,
            sourceLocation: SourceLocation = #_sourceLocation,
            damage: (Workplace) throws -> Void
        ) throws {
            let place = try Workplace()
            try place.makeData(in: "data")
            try damage(place)
            try place.run(training)
                .expect(code, message(place.path), sourceLocation: sourceLocation)
            // Nothing was begun.
            #expect(
                try !place.names(in: ".").contains("runs"), sourceLocation: sourceLocation)
        }

        @Test("the whole data set trains: what follows fails for its damage alone")
        func whole() throws {
            let place = try Workplace()
            try place.makeData(in: "data")
            let result = try place.run(training + ["--json"])
            result.expectSuccess()
            #expect(try result.lastObject()["data"] == "idx")
        }

        @Test("a missing folder, a file in its place, and a missing file")
        func missing() throws {
            let folder = { (path: String) in
                "there is no data directory \(path)/data: get it with `bn-train get-data mnist "
                    + "\(path)/data`, or set data.directory to the folder that holds " + files
            }
            try expect(66, folder) { try FileManager.default.removeItem(atPath: $0.file("data")) }
            let place = try Workplace()
            try place.write("text", to: "data")
            try place.run(training).expect(66, folder(place.path))
            try expect(66) { path in
                "\(path)/data holds none of t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte.gz; it "
                    + "holds t10k-images-idx3-ubyte, train-images-idx3-ubyte, "
                    + "train-labels-idx1-ubyte: set data.directory to the folder that holds "
                    + files
            } damage: {
                try FileManager.default.removeItem(atPath: $0.file(testLabels))
            }
        }

        @Test("truncated, empty and oversized files")
        func wrongSize() throws {
            try expect(65) {
                "\($0)/\(trainImages) is truncated: it should have 1216 bytes but ends after "
                    + "1116; " + again
            } damage: {
                try $0.write(Array(try $0.bytes(of: trainImages).dropLast(100)), to: trainImages)
            }
            try expect(65) {
                "\($0)/\(trainLabels) is truncated: it should have 8 bytes but ends after 0; "
                    + again
            } damage: {
                try $0.write([UInt8](), to: trainLabels)
            }
            try expect(65) {
                "\($0)/\(trainImages) goes on after the 1216 bytes that its header declares: "
                    + again
            } damage: {
                try $0.write(try $0.bytes(of: trainImages) + [1, 2], to: trainImages)
            }
        }

        @Test("other content: a web page, swapped files, other elements, impossible sizes")
        func notIDX() throws {
            try expect(65) {
                "\($0)/\(trainImages) is not an IDX file: it begins with 3c 21 44 4f, not with "
                    + "00 00 08; " + again
            } damage: {
                try $0.write("<!DOCTYPE html>", to: trainImages)
            }
            try expect(65) {
                "\($0)/\(trainImages) has 1 dimension, but 3 are needed, as images have: check "
                    + "that images and labels are not swapped"
            } damage: {
                try $0.write(try $0.bytes(of: trainLabels), to: trainImages)
            }
            try expect(65) {
                "\($0)/\(trainLabels) holds 32-bit floats (type 0d), but images are unsigned "
                    + "bytes (type 08), and labels these or 32-bit integers (type 0c): convert it"
            } damage: {
                try $0.write([0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0], to: trainLabels)
            }
            let place = try Workplace()
            try place.makeData(in: "data")
            try place.write(idx([0xffff_ffff, 0xffff, 0xffff], []), to: trainImages)
            let result = try place.run(training)
            #expect(result.status == 65)
            #expect(
                result.stderr.hasPrefix(
                    "bn-train: error: \(place.path)/\(trainImages) cannot be kept in memory: its "
                        + "header says 4294967295 × 65535 × 65535 bytes, the limit is "))
            #expect(
                result.stderr.hasSuffix("; if the file is not meant to be so large, \(again)\n"))
        }

        @Test("gzip data that is damaged or ends in the middle")
        func corruptGzip() throws {
            for (keeps, reason) in [
                (.max, "incorrect data check"), (60, "it ends in the middle"),
            ] as [(Int, String)] {
                try expect(65) {
                    "\($0)/\(trainLabels).gz is damaged gzip data (\(reason)): " + again
                } damage: { place in
                    let packed = try runProcess(["-C", place.path, "gzip", "-9n", trainLabels])
                    #expect(packed.status == 0)
                    var bytes = Array(try place.bytes(of: trainLabels + ".gz").prefix(keeps))
                    // The checksum stands 8 bytes before the end.
                    if keeps == .max { bytes[bytes.count - 8] ^= 0xff } else { bytes.removeLast(4) }
                    try place.write(bytes, to: trainLabels + ".gz")
                }
            }
        }

        @Test("labels out of range, and other counts of images and labels")
        func labels() throws {
            try expect(65) {
                "\($0)/\(testLabels) has label 10 at index 3, but the training labels are 0…9: "
                    + "the files do not belong together, or are damaged"
            } damage: { place in
                var bytes = try place.bytes(of: testLabels)
                bytes[8 + 3] = 10
                try place.write(bytes, to: testLabels)
            }
            try expect(65) {
                "\($0)/\(trainImages) has 40 images, but \($0)/\(trainLabels) has 39 labels: the "
                    + "files do not belong together"
            } damage: {
                try $0.write(idx([39], (0..<39).map { $0 % 10 }), to: trainLabels)
            }
        }

        @Test("classes that nothing is trained for are a warning that says why")
        func missingClasses() throws {
            let place = try Workplace()
            func run(trained: [UInt8], tested: [UInt8], _ settings: String...) throws -> String {
                for (prefix, labels) in [("train", trained), ("t10k", tested)] {
                    try place.write(
                        idx([labels.count, 2, 2], labels.flatMap { [$0, 255 - $0, 7, 9] }),
                        to: "data/\(prefix)-images-idx3-ubyte")
                    try place.write(
                        idx([labels.count], labels), to: "data/\(prefix)-labels-idx1-ubyte")
                }
                let words =
                    [
                        "data.name=idx", "data.directory=data", "batch.size=4", "batch.shards=2",
                        "model.hidden=[3]", "steps=2",
                    ] + settings
                let result = try place.run(
                    words.flatMap { ["--set", $0] } + ["--quiet", "--overwrite", "--out", "run"])
                result.expectSuccess()
                return result.stderr
            }
            let sorted: [UInt8] = (0..<40).map { UInt8($0 / 10) }
            let mixed: [UInt8] = (0..<40).map { UInt8($0 % 4) }
            let behind =
                "the file where it has all samples of a class behind those of another; shuffle the "
                + "file, or "
            #expect(
                try run(trained: sorted, tested: mixed, "data.limit=20")
                    == "bn-train: warning: nothing is trained for classes 2 and 3: data.limit 20 "
                    + "cuts \(behind)use more of it\n")
            let cut = ["data.limit=38", "data.validation=8"]
            #expect(
                try run(
                    trained: sorted, tested: mixed, cut[0], cut[1], "data.validationFrom=end")
                    == "bn-train: warning: nothing is trained for class 3: data.limit 38 and "
                    + "data.validation 8 cut \(behind)set data.validationFrom to \"spread\"\n")
            #expect(try run(trained: sorted, tested: mixed, cut[0], cut[1]) == "")
            #expect(
                try run(trained: sorted, tested: mixed, "data.validation=38", "batch.size=2")
                    == "bn-train: warning: nothing is trained for classes 0 and 2: data.validation 38 "
                    + "leaves too few samples; hold out fewer\n")
            #expect(try run(trained: mixed, tested: sorted, "data.limit=20") == "")
            #expect(try run(trained: sorted, tested: mixed) == "")
            #expect(
                try run(trained: mixed.map { $0 == 1 ? 0 : $0 }, tested: sorted)
                    == "bn-train: warning: nothing is trained for class 1: only test samples have it; "
                    + "check that both files are of one data set\n")
        }

        @Test("get-data refuses words and addresses that lead nowhere, with one line each")
        func getData() throws {
            let place = try Workplace()
            try place.run(["get-data", "imagenet"]).expect(
                64,
                "there is no data set 'imagenet' to get: it is one of mnist, fashion, cifar10, "
                    + "cifar100")
            try place.run(["get-data"]).expect(
                64,
                "get-data takes a data set (mnist, fashion, cifar10, cifar100) and a folder, found "
                    + "nothing; see `bn-train get-data --help`")
            try place.run(["--mirror", "http://a"]).expect(
                64,
                "--mirror is an option of get-data, not of train: leave it out; see `bn-train "
                    + "--help`")
        }

        @Test(
            "get-data says what curl says of a mirror that is not there",
            .enabled(if: hasCurl, "there is no curl"))
        func getDataFromNowhere() throws {
            let place = try Workplace()
            let result = try place.run(
                ["get-data", "mnist", "d", "--mirror", "file://\(place.path)/no"])
            #expect(result.status == 74)
            #expect(
                result.stderr.hasPrefix(
                    "bn-train: error: d/train-images-idx3-ubyte.gz could not be downloaded: "
                        + "file://\(place.path)/no: curl: (37) "))
        }

        @Test(
            "get-data brings MNIST, says what it has, and the run that it proposes trains",
            .enabled(
                if: hasCurl && FileManager.default.fileExists(atPath: sharedMNIST),
                "there is no ../shared/data/mnist, or no curl"))
        func getMNIST() throws {
            let place = try Workplace()
            let get = ["get-data", "mnist", "d", "--json", "--mirror", "file://\(sharedMNIST)"]
            let first = try place.run(get)
            first.expectSuccess()
            #expect(first.stderr.hasPrefix("got      d/train-images-idx3-ubyte.gz, 9.9 MB"))
            #expect(try first.lastObject()["directory"] == "d")
            #expect(try place.run(get).stderr.hasPrefix("have     d/train-images-idx3-ubyte.gz\n"))
            try place.run(
                ["--set", "data.name=idx", "--set", "data.directory=d", "--set", "steps=2"]
            ).expectSuccess()
        }
    }
}

/// ../shared/data/mnist beside the package, which not every machine has.
private let sharedMNIST = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("shared/data/mnist")
    .resolvingSymlinksInPath().path
