import Testing

@testable import Datasets

@Suite struct DataSplitTests {
    private let pair = DatasetPair(
        training: patterned(count: 20, height: 2, width: 3),
        test: patterned(count: 7, height: 2, width: 3))

    private func places(_ view: SampleView) -> [Int] { (0..<view.count).map(view.place) }

    @Test("without limit and validation all training samples train")
    func whole() throws {
        let split = try DataSplit(pair)
        #expect(places(split.training) == Array(0..<20))
        #expect(split.validation.count == 0)
        #expect(places(split.test) == Array(0..<7))
    }

    @Test(
        "limit takes the first samples, validation from the end the last of those; the test stays whole",
        arguments: [(20, 1), (20, 19), (12, 5), (2, 1), (1, 0), (12, 0)])
    func limited(limit: Int, validation: Int) throws {
        let split = try DataSplit(pair, limit: limit, validation: validation, from: .end)
        #expect(places(split.training) == Array(0..<limit - validation))
        #expect(places(split.validation) == Array(limit - validation..<limit))
        #expect(places(split.test) == Array(0..<7))
        #expect(split.training.dataset === pair.training)
    }

    @Test("a view numbers its samples from 0")
    func view() throws {
        let split = try DataSplit(pair, limit: 12, validation: 5, from: .end)
        #expect(split.validation.count == 5)
        for index in 0..<5 {
            #expect(split.validation.label(at: index) == Int(pair.training.labels[7 + index]))
            #expect(
                Array(split.validation.pixels(at: index))
                    == Array(pair.training.images[(7 + index) * 6..<(8 + index) * 6]))
        }
        #expect(places(split.validation.prefix(2)) == [7, 8])
    }

    /// Samples with these labels, and few pixels.
    private func labelled(_ labels: [UInt8]) throws -> DatasetPair {
        let dataset = try Dataset(
            name: "labelled", height: 1, width: 2, channels: 1, classes: 7,
            images: labels.indices.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }, labels: labels,
            source: "labelled")
        return DatasetPair(training: dataset, test: dataset)
    }

    @Test(
        "validation spread over the file takes of each class its share, in any order of the file",
        arguments: ["sorted", "in turn", "uneven"], [1, 7, 60, 150, 292])
    func spread(order: String, validation: Int) throws {
        let labels: [UInt8] =
            switch order {
            case "sorted": (0..<300).map { UInt8($0 / 60) }
            case "in turn": (0..<300).map { UInt8($0 % 5) }
            default:  // classes of 1, 2, 3, 94, 0, 100 and 100
                (0..<300).map { [0, 1, 1, 2, 2, 2][safe: $0] ?? ($0 < 100 ? 3 : $0 < 200 ? 5 : 6) }
            }
        let pair = try labelled(labels)
        let split = try DataSplit(pair, validation: validation)
        let (trained, heldOut) = (places(split.training), places(split.validation))
        #expect(heldOut.count == validation)
        #expect(trained == trained.sorted() && heldOut == heldOut.sorted())
        #expect((trained + heldOut).sorted() == Array(0..<300))
        for index in 0..<split.training.count {
            let place = trained[index]
            #expect(split.training.label(at: index) == Int(labels[place]))
            #expect(
                Array(split.training.pixels(at: index)) == [UInt8(place & 255), UInt8(place >> 8)])
        }
        let all = SampleView(pair.training).countsOfClasses
        for (count, total) in zip(split.validation.countsOfClasses, all) where total > 0 {
            let share = Double(validation * total) / 300
            #expect(abs(Double(count) - share) <= 3, "\(count) of \(total), not \(share)")
        }
        for (count, total) in zip(split.training.countsOfClasses, all) where total > 0 {
            #expect(count > 0)
        }
        #expect(split.classesWithoutTraining.isEmpty)
        // Not only the beginnings or ends of what is spread over.
        if validation == 60, order != "uneven" {
            for first in stride(from: 0, to: 300, by: 60) {
                let count = heldOut.count { (first..<first + 60).contains($0) }
                #expect((9...15).contains(count), "\(count) of 60 from \(first)")
            }
        }
    }

    @Test(
        "the first sample of a class stays in training, unless so many are held out that none can")
    func first() throws {
        let sorted = try labelled([0, 0, 0, 1, 1, 2, 2, 2, 2])
        #expect(places(try DataSplit(sorted, validation: 6).training) == [0, 3, 5])
        let split = try DataSplit(sorted, validation: 7)
        #expect(split.training.count == 2)
        #expect(split.classesWithoutTraining.count == 1)
    }

    @Test("what is spread over the file are the same samples with every limit's own classes")
    func limitedSpread() throws {
        let pair = try labelled((0..<300).map { UInt8($0 / 60) })
        let split = try DataSplit(pair, limit: 90, validation: 30)
        #expect(places(split.training).allSatisfy { $0 < 90 })
        #expect(split.validation.countsOfClasses[2...] == [0, 0, 0, 0, 0])
        #expect((18...22).contains(split.validation.countsOfClasses[0]))
        #expect(split.classesWithoutTraining.map(\.class) == [2, 3, 4])
    }

    @Test("a limit that no samples can satisfy is an error", arguments: [0, -3, 21])
    func limitOutOfRange(limit: Int) {
        expectError(
            "limit is \(limit), but there are 20 training samples: give 1…20", .settings
        ) { _ = try DataSplit(pair, limit: limit) }
    }

    @Test("a validation set that leaves nothing to train on is an error")
    func validationOutOfRange() {
        expectError(
            "validation is 20, but 20 training samples are in use: give 0…19", .settings
        ) { _ = try DataSplit(pair, validation: 20) }
        expectError(
            "validation is -1, but 5 training samples are in use: give 0…4", .settings
        ) { _ = try DataSplit(pair, limit: 5, validation: -1) }
        expectError(
            "validation is 1, but 1 training sample is in use: give 0…0", .settings
        ) { _ = try DataSplit(pair, limit: 1, validation: 1) }
    }

    @Test("a data set refuses a label beyond its classes")
    func labelOutOfRange() {
        expectError(
            "a file has label 3 at index 1, but the training labels are 0…2: the files do not "
                + "belong together, or are damaged"
        ) {
            _ = try Dataset(
                name: "x", height: 1, width: 1, channels: 1, classes: 3, images: [0, 0, 0],
                labels: [2, 3, 9], source: "a file")
        }
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? {
        indices.contains(index) ? self[index] : nil
    }
}
