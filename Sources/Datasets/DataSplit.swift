/// A contiguous run of a data set's samples, numbered from 0; a view, nothing is copied.
public struct SampleView: Sendable {
    /// The data set it looks into.
    public let dataset: Dataset

    /// Its samples, as indices of the data set.
    public let range: Range<Int>

    /// A view of `range`, or of all samples.
    public init(_ dataset: Dataset, range: Range<Int>? = nil) {
        let range = range ?? 0..<dataset.count
        precondition(
            range.lowerBound >= 0 && range.upperBound <= dataset.count,
            "the view reaches past the data set")
        self.dataset = dataset
        self.range = range
    }

    /// The number of samples; may be zero.
    public var count: Int { range.count }

    /// The class of sample `index` of this view.
    public func label(at index: Int) -> Int {
        precondition(index >= 0 && index < count, "the sample is outside the view")
        return Int(dataset.labels[range.lowerBound + index])
    }

    /// The pixels of sample `index` of this view. [height, width, channels]
    public func pixels(at index: Int) -> ArraySlice<UInt8> {
        precondition(index >= 0 && index < count, "the sample is outside the view")
        let start = (range.lowerBound + index) * dataset.features
        return dataset.images[start..<start + dataset.features]
    }
}

extension SampleView {
    /// Samples of each class. [classes]
    public var countsOfClasses: [Int] {
        var counts = [Int](repeating: 0, count: dataset.classes)
        for label in dataset.labels[range] { counts[Int(label)] += 1 }
        return counts
    }
}

/// Which samples a run trains on, which it holds out, and which it is judged by.
public struct DataSplit: Sendable {
    /// The samples the parameters are fitted to.
    public let training: SampleView

    /// Training samples held out to watch a run; may be empty.
    public let validation: SampleView

    /// The test samples, all of them.
    public let test: SampleView

    /// Takes the first `limit` training samples (all without one) and holds out the last
    /// `validation` of those. The test samples are never limited.
    ///
    /// - Throws: `limitOutOfRange` unless 1 ≤ limit ≤ samples there are; `validationOutOfRange`
    ///   unless 0 ≤ validation < limit.
    public init(
        _ pair: DatasetPair, limit: Int? = nil, validation: Int = 0
    ) throws(DatasetError) {
        let available = pair.training.count
        let used = limit ?? available
        guard used >= 1 && used <= available else {
            throw .limitOutOfRange(limit: used, available: available)
        }
        guard validation >= 0 && validation < used else {
            throw .validationOutOfRange(validation: validation, used: used)
        }
        let kept = used - validation
        training = SampleView(pair.training, range: 0..<kept)
        self.validation = SampleView(pair.training, range: kept..<used)
        test = SampleView(pair.test)
    }

    /// Classes that nothing trains for, although there are samples of them, and whether those are
    /// training samples that the split leaves out.
    public var classesWithoutTraining: [(class: Int, isLeftOut: Bool)] {
        let (trained, all) = (
            training.countsOfClasses, SampleView(training.dataset).countsOfClasses
        )
        let tested = test.countsOfClasses
        return trained.indices.filter { trained[$0] == 0 && all[$0] + tested[$0] > 0 }
            .map { ($0, all[$0] > 0) }
    }
}
