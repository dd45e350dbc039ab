import Foundation
import Testing

@testable import Datasets

@Suite struct CIFARTests {
    /// The files of a small data set, one to three records each.
    private func files(_ variant: CIFAR) -> [(name: String, content: [UInt8])] {
        (variant.trainingFiles + [variant.testFile]).enumerated().map { index, name in
            (name, cifarRecords(variant, count: 1 + index % 3, seed: index * 5))
        }
    }

    private func fill(
        _ directory: String, _ variant: CIFAR, suffix: String = "",
        pack: ([UInt8]) -> [UInt8] = { $0 }
    ) throws {
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        for (name, content) in files(variant) {
            try write(pack(content), to: "\(directory)/\(name)\(suffix)")
        }
    }

    /// The archive as the official one is: in a folder, among other files, in another order.
    private func archive(_ variant: CIFAR) -> [UInt8] {
        let members = files(variant).map { tarMember("\(variant.folder)/\($0.name)", $0.content) }
        return tarMember(variant.folder + "/", [], type: 0x35)
            + members.reversed().joined()
            + tarMember("\(variant.folder)/readme.html", Array("<html>".utf8))
            + tarMember("\(variant.folder)/\(variant.testFile)", [], type: 0x32) + tarEnd
    }

    private func expectContent(_ pair: DatasetPair, _ variant: CIFAR) {
        let parts = files(variant).map(\.content)
        let training = parts.dropLast().flatMap(\.self)
        #expect(pair.training.images == interleaved(variant, training))
        #expect(pair.test.images == interleaved(variant, parts[parts.count - 1]))
        for (dataset, content) in [(pair.training, training), (pair.test, parts.last ?? [])] {
            #expect(dataset.name == variant.name && dataset.classes == variant.classes)
            #expect(dataset.height == 32 && dataset.width == 32 && dataset.channels == 3)
            let count = content.count / variant.recordBytes
            #expect(
                dataset.labels
                    == (0..<count).map {
                        content[$0 * variant.recordBytes + variant.labelBytes - 1]
                    }
            )
        }
    }

    @Test("plain, packed, in the archive's folder, in the archive", arguments: CIFAR.allCases)
    func places(variant: CIFAR) throws {
        try withDirectory { directory in
            try fill(directory, variant)
            expectContent(try DatasetPair.cifar(variant, directory: directory), variant)
        }
        try withDirectory { directory in
            try fill(directory + "/" + variant.folder, variant, suffix: ".gz") { gzip($0) }
            let pair = try DatasetPair.cifar(variant, directory: directory)
            expectContent(pair, variant)
            #expect(pair.files.count == variant.trainingFiles.count + 1)
            #expect(
                pair.files.dropLast().allSatisfy { $0.parts == [.trainingImages, .trainingLabels] })
            #expect(pair.files.last?.parts == [.testImages, .testLabels])
        }
        for packed in [true, false] {
            try withDirectory { directory in
                let bytes = archive(variant)
                try write(packed ? gzip(bytes) : bytes, to: "\(directory)/\(variant.archive)")
                let pair = try DatasetPair.cifar(variant, directory: directory + "/")
                expectContent(pair, variant)
                #expect(pair.files.map(\.path) == ["\(directory)/\(variant.archive)"])
            }
        }
    }

    @Test("what is missing is named")
    func missing() throws {
        expectError(
            "there is no data directory no/such", .missingFile
        ) { _ = try DatasetPair.cifar(.ten, directory: "no/such") }
        try withDirectory { directory in
            expectError(
                "\(directory) holds none of data_batch_1.bin, data_batch_1.bin.gz, "
                    + "cifar-10-batches-bin/data_batch_1.bin, cifar-10-binary.tar.gz; it is empty",
                .missingFile
            ) { _ = try DatasetPair.cifar(.ten, directory: directory) }
            let folder = directory + "/cifar-10-batches-bin"
            try fill(folder, .ten)
            try FileManager.default.removeItem(atPath: folder + "/data_batch_4.bin")
            expectError(
                "\(folder) holds none of data_batch_4.bin, data_batch_4.bin.gz; it holds "
                    + "data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_5.bin, "
                    + "test_batch.bin", .missingFile
            ) { _ = try DatasetPair.cifar(.ten, directory: directory) }
            // A folder in a file's place is none.
            try FileManager.default.createDirectory(
                atPath: folder + "/data_batch_4.bin", withIntermediateDirectories: false)
            expectError(
                "\(folder) holds none of data_batch_4.bin, data_batch_4.bin.gz; it holds "
                    + "data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_4.bin/, "
                    + "data_batch_5.bin and 1 more", .missingFile
            ) { _ = try DatasetPair.cifar(.ten, directory: directory) }
            // A whole archive beside it serves.
            try write(gzip(archive(.ten)), to: directory + "/cifar-10-binary.tar.gz")
            expectContent(try DatasetPair.cifar(.ten, directory: directory), .ten)
        }
    }

    private func parse(_ content: [UInt8], _ variant: CIFAR = .ten) throws(DatasetError) {
        _ = try CIFARRecords(variant, from: MemoryStream(content), file: "d/f.bin")
    }

    @Test("files that are not made of records are refused")
    func recordSize() {
        let ten = cifarRecords(.ten, count: 2)
        for (content, bytes) in [
            (ten.dropLast(), "6145 bytes"), (ten + [1], "6147 bytes"), ([], "0 bytes"),
            ([7], "1 byte"),
        ] as [([UInt8], String)] {
            let text =
                "d/f.bin has \(bytes), but a file of CIFAR-10 is made of records of 3073: "
                + downloadAgain
            expectError(text) { try parse(content) }
            expectError(text) { try parse(gzip(content)) }
        }
        expectError(
            "d/f.bin has 6146 bytes, but a file of CIFAR-100 is made of records of 3074: "
                + downloadAgain
        ) { try parse(ten, .hundred) }
    }

    @Test("labels out of range are named by file and index")
    func labels() {
        var content = cifarRecords(.ten, count: 3)
        content[2 * 3073] = 10
        expectError(
            "d/f.bin has label 10 at index 2, but the training labels are 0…9: the files do not "
                + "belong together, or are damaged"
        ) { try parse(content) }
        var fine = cifarRecords(.hundred, count: 1)
        fine[0] = 255  // The coarse label does not count.
        #expect(throws: Never.self) { try parse(fine, .hundred) }
        fine[1] = 100
        expectError(
            "d/f.bin has label 100 at index 0, but the training labels are 0…99: the files do not "
                + "belong together, or are damaged"
        ) { try parse(fine, .hundred) }
    }

    @Test("packed data that ends early or unpacks without end is refused")
    func packed() {
        let packed = gzip(cifarRecords(.ten, count: 3))
        expectError("d/f.bin is damaged gzip data (it ends in the middle): " + downloadAgain) {
            try parse(packed.dropLast(9))
        }
        let zeros = gzip([UInt8](repeating: 0, count: 3073 * 200))
        expectError(
            "d/f.bin holds more than the 100000 bytes of memory: if it is not meant to be so "
                + "large, " + downloadAgain
        ) {
            _ = try CIFARRecords(
                .ten, from: MemoryStream(zeros), file: "d/f.bin", memoryLimit: 100_000)
        }
    }

    private func parts(_ archive: [UInt8]) throws(DatasetError) {
        _ = try DatasetPair.cifarParts(.hundred, archive: MemoryStream(archive), file: "c.tar.gz")
    }

    @Test("damaged archives are refused")
    func archives() throws {
        let whole = archive(.hundred)
        #expect(throws: Never.self) { try parts(whole) }
        // The end may lack its zeros, as old programs wrote it.
        #expect(throws: Never.self) { try parts(whole.dropLast(1024)) }
        let middle = "c.tar.gz is a damaged tar archive (it ends in the middle): " + downloadAgain
        for count in [100, 512 + 511, 2000, whole.count - 1024 - 512 - 300] {
            expectError(middle) { try parts(Array(whole.prefix(count))) }
        }
        expectError(
            "c.tar.gz is damaged gzip data (it ends in the middle): " + downloadAgain
        ) { try parts(gzip(whole).dropLast(20)) }
        expectError("c.tar.gz is damaged gzip data (incorrect data check): " + downloadAgain) {
            var packed = gzip(whole)
            packed[packed.count - 8] ^= 1
            try parts(packed)
        }
        expectError(
            "c.tar.gz is a damaged tar archive (a header has the wrong checksum): " + downloadAgain
        ) {
            var damaged = whole
            damaged[0] ^= 1
            try parts(damaged)
        }
        expectError(
            "c.tar.gz is a damaged tar archive (a header has no readable size): " + downloadAgain
        ) { try parts(tarMember("a", [], size: "\u{1}\u{1}\u{1}")) }
        expectError("c.tar.gz holds no train.bin: " + downloadAgain) { try parts(tarEnd) }
        expectError("c.tar.gz holds no test.bin: " + downloadAgain) {
            try parts(tarMember("x/train.bin", cifarRecords(.hundred, count: 1)))
        }
        expectError(
            "c.tar.gz (train.bin) has 3073 bytes, but a file of CIFAR-100 is made of records of "
                + "3074: " + downloadAgain
        ) { try parts(tarMember("train.bin", cifarRecords(.ten, count: 1))) }
        expectError(
            "c.tar.gz (test.bin) has label 200 at index 1, but the training labels are 0…99: the "
                + "files do not belong together, or are damaged"
        ) {
            var records = cifarRecords(.hundred, count: 2)
            records[3074 + 1] = 200
            try parts(tarMember("test.bin", records))
        }
    }
}
