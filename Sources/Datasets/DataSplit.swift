import TensorCore

/// Some of a data set's samples, numbered from 0; a view, no sample is copied.
public struct SampleView: Sendable {
    /// The data set it looks into.
    public let dataset: Dataset

    /// Where its samples are in the data set.
    private enum Places: Sendable {
        case run(Range<Int>)
        case list([Int32])
    }

    private let places: Places

    /// A view of `range`, or of all samples.
    public init(_ dataset: Dataset, range: Range<Int>? = nil) {
        let range = range ?? 0..<dataset.count
        precondition(
            range.lowerBound >= 0 && range.upperBound <= dataset.count,
            "the view reaches past the data set")
        self.dataset = dataset
        places = .run(range)
    }

    /// A view of these samples of `dataset`, in this order.
    init(_ dataset: Dataset, samples: [Int32]) {
        precondition(
            samples.allSatisfy { $0 >= 0 && $0 < dataset.count },
            "the view reaches past the data set")
        self.dataset = dataset
        places = .list(samples)
    }

    /// A view of the first `count` of its samples.
    public func prefix(_ count: Int) -> SampleView {
        precondition(count <= self.count, "the view has fewer samples")
        switch places {
        case .run(let range):
            return SampleView(dataset, range: range.lowerBound..<range.lowerBound + count)
        case .list(let samples): return SampleView(dataset, samples: Array(samples.prefix(count)))
        }
    }

    /// The number of samples; may be zero.
    public var count: Int {
        switch places {
        case .run(let range): range.count
        case .list(let samples): samples.count
        }
    }

    /// Where sample `index` of this view is in the data set.
    public func place(of index: Int) -> Int {
        precondition(index >= 0 && index < count, "the sample is outside the view")
        switch places {
        case .run(let range): return range.lowerBound + index
        case .list(let samples): return Int(samples[index])
        }
    }

    /// The class of sample `index` of this view.
    public func label(at index: Int) -> Int { Int(dataset.labels[place(of: index)]) }

    /// The pixels of sample `index` of this view. [height, width, channels]
    public func pixels(at index: Int) -> ArraySlice<UInt8> {
        let start = place(of: index) * dataset.features
        return dataset.images[start..<start + dataset.features]
    }

    /// Samples of each class. [classes]
    public var countsOfClasses: [Int] {
        var counts = [Int](repeating: 0, count: dataset.classes)
        for index in 0..<count { counts[label(at: index)] += 1 }
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

    /// Which training samples are held out.
    public enum Holdout: Sendable {
        /// Spread over the file, of each class its share, the same for every seed: one out of each of
        /// as many runs of samples sorted by class, at random. The first sample of each class stays,
        /// so that training has all of them, whatever the order of the file.
        case spread
        /// The last ones.
        case end
    }

    /// Takes the first `limit` training samples (all without one) and holds out `validation` of
    /// those. The test samples are never limited.
    ///
    /// - Throws: `limitOutOfRange` unless 1 ≤ limit ≤ samples there are; `validationOutOfRange`
    ///   unless 0 ≤ validation < limit.
    public init(
        _ pair: DatasetPair, limit: Int? = nil, validation: Int = 0, from holdout: Holdout = .spread
    ) throws(DatasetError) {
        let available = pair.training.count
        let used = limit ?? available
        guard used >= 1 && used <= available else {
            throw .limitOutOfRange(limit: used, available: available)
        }
        guard validation >= 0 && validation < used else {
            throw .validationOutOfRange(validation: validation, used: used)
        }
        test = SampleView(pair.test)
        switch holdout {
        case .spread where validation > 0:
            let heldOut = Self.spread(validation, over: pair.training.labels[..<used])
            var isHeldOut = [Bool](repeating: false, count: used)
            for sample in heldOut { isHeldOut[Int(sample)] = true }
            training = SampleView(
                pair.training,
                samples: (0..<Int32(used)).filter { !isHeldOut[Int($0)] })
            self.validation = SampleView(pair.training, samples: heldOut)
        case .spread, .end:
            let kept = used - validation
            training = SampleView(pair.training, range: 0..<kept)
            self.validation = SampleView(pair.training, range: kept..<used)
        }
    }

    /// `count` of the samples that have these labels, ascending.
    private static func spread(_ count: Int, over labels: ArraySlice<UInt8>) -> [Int32] {
        var byClass = [[Int32]](repeating: [], count: 256)
        for (sample, label) in labels.enumerated() { byClass[Int(label)].append(Int32(sample)) }
        let free = byClass.flatMap { $0.dropFirst() }
        // So many are held out that a class must go.
        let pool = count <= free.count ? free : byClass.flatMap(\.self)
        let random = CounterRandom(seed: 0, purpose: .holdout, index: 0)
        return (0..<count).map { run in
            let (first, end) = (run * pool.count / count, (run + 1) * pool.count / count)
            return pool[first + random.integer(below: end - first, at: run)]
        }.sorted()
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
