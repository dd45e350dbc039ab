import Datasets
import Testing

@Suite struct DataSplitTests {
    private let pair = DatasetPair(
        training: patterned(count: 20, height: 2, width: 3),
        test: patterned(count: 7, height: 2, width: 3))

    @Test("without limit and validation all training samples train")
    func whole() throws {
        let split = try DataSplit(pair)
        #expect(split.training.range == 0..<20)
        #expect(split.validation.count == 0)
        #expect(split.test.range == 0..<7)
    }

    @Test(
        "limit takes the first samples, validation the last of those, and the test stays whole",
        arguments: [(20, 1), (20, 19), (12, 5), (2, 1), (1, 0), (12, 0)])
    func limited(limit: Int, validation: Int) throws {
        let split = try DataSplit(pair, limit: limit, validation: validation)
        #expect(split.training.range == 0..<limit - validation)
        #expect(split.validation.range == limit - validation..<limit)
        #expect(split.test.range == 0..<7)
        #expect(split.training.dataset === pair.training)
    }

    @Test("a view numbers its samples from 0")
    func view() throws {
        let split = try DataSplit(pair, limit: 12, validation: 5)
        #expect(split.validation.count == 5)
        for index in 0..<5 {
            #expect(split.validation.label(at: index) == Int(pair.training.labels[7 + index]))
            #expect(
                Array(split.validation.pixels(at: index))
                    == Array(pair.training.images[(7 + index) * 6..<(8 + index) * 6]))
        }
    }

    @Test("a limit that no samples can satisfy is an error", arguments: [0, -3, 21])
    func limitOutOfRange(limit: Int) {
        expectError(
            "data.limit is \(limit), but there are 20 training samples: give 1…20, or null for all",
            .settings
        ) { _ = try DataSplit(pair, limit: limit) }
    }

    @Test("a validation set that leaves nothing to train on is an error")
    func validationOutOfRange() {
        expectError(
            "data.validation is 20, but 20 training samples are in use: give 0…19", .settings
        ) { _ = try DataSplit(pair, validation: 20) }
        expectError(
            "data.validation is -1, but 5 training samples are in use: give 0…4", .settings
        ) { _ = try DataSplit(pair, limit: 5, validation: -1) }
        expectError(
            "data.validation is 1, but 1 training sample is in use: give 0…0", .settings
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
