/// How bytes become the inputs of a network.
public enum Scaling: Hashable, Sendable {
    /// As they are: 0…255, or in the units that the data set has.
    case none

    /// Divided by 255: 0…1.
    case unit

    /// On the unit scale, less the mean and divided by the deviation of the training samples in
    /// use, channel by channel.
    case standardize

    /// The same for each feature: every channel of every pixel by itself. A feature that has one
    /// value in all of those samples becomes 0.
    case standardizeFeatures

    /// On the unit scale, less each feature's mean, then times a matrix after which the features of
    /// the training samples are uncorrelated and of variance 1: see `Whitening`.
    case whitened(Whitening.Kind, epsilon: Double)

    /// On the unit scale, less a given mean and divided by a given deviation, per channel.
    case fixed(mean: [Double], deviation: [Double])
}

/// A scaling whose numbers are known: input = byte · scale + offset, per channel or per feature; or
/// a whitening.
///
/// The product is fused with the sum and rounded once, everywhere.
public struct InputScaling: Hashable, Sendable {
    /// What a byte is multiplied by. [channels], or [features] where each has its own; none where
    /// samples are whitened
    public let scale: [Float]

    /// What is then added, as `scale`.
    public let offset: [Float]

    /// What was fitted to training samples, and belongs to the model; nil for scalings that need
    /// none.
    public let statistics: InputStatistics?

    /// `scale` and `offset` over and over, as lanes of vectors: 16 pixels are C vectors. [C][16]
    let scaleLanes: [SIMD16<Float>]
    let offsetLanes: [SIMD16<Float>]

    /// The product that whitens samples; nil where they are scaled one value by itself.
    let whitening: Whitening?

    /// The numbers of `scaling` for `samples`, which are looked at only where numbers are fitted.
    ///
    /// Means and deviations come from exact integer counts of the 256 values in Float64, so that
    /// they are a pure function of the samples. The deviation is that of the population (÷ n).
    ///
    /// - Throws: `scalingChannels`, `scalingValue` for given numbers that do not fit;
    ///   `constantChannel` where there is no deviation to divide by; `noEigenvectors`.
    public init(_ scaling: Scaling, for samples: SampleView) throws(DatasetError) {
        let channels = samples.dataset.channels
        switch scaling {
        case .none:
            guard let units = samples.dataset.units else {
                self.init(factor: 1, channels: channels)
                return
            }
            self.init(
                scale: units.map { ($0.upperBound - $0.lowerBound) / 255 },
                offset: units.map(\.lowerBound))
        case .unit:
            self.init(factor: 1.0 / 255, channels: channels)
        case .standardize:
            let moments = PixelMoments(of: samples)
            if let channel = moments.deviation.firstIndex(of: 0) {
                throw .constantChannel(
                    channel: channel, value: Int((moments.mean[channel] * 255).rounded()))
            }
            self.init(InputStatistics(mean: moments.mean, deviation: moments.deviation))
        case .standardizeFeatures:
            let moments = featureMoments(of: samples)
            self.init(InputStatistics(mean: moments.mean, deviation: moments.deviation))
        case .whitened(let kind, let epsilon):
            self.init(try InputStatistics(whitening: kind, epsilon: epsilon, of: samples))
        case .fixed(let mean, let deviation):
            guard mean.count == channels && deviation.count == channels else {
                throw .scalingChannels(
                    means: mean.count, deviations: deviation.count, channels: channels)
            }
            for channel in 0..<channels {
                let (μ, σ) = (mean[channel], deviation[channel])
                guard μ.isFinite && σ.isFinite && σ > 0 else {
                    throw .scalingValue(channel: channel, mean: μ, deviation: σ)
                }
            }
            self.init(
                scale: deviation.map { Float(1 / (255 * $0)) },
                offset: zip(mean, deviation).map { Float(-$0 / $1) })
        }
    }

    /// The scaling by what was fitted before, to whatever samples.
    public init(_ statistics: InputStatistics) {
        switch statistics.transform {
        case .deviation(let deviation):
            // Of the numbers as files hold them, so that a file gives the same bits.
            self.init(
                scale: deviation.map { $0 == 0 ? 0 : Float(1 / (255 * Double($0))) },
                offset: zip(statistics.mean, deviation).map {
                    $1 == 0 ? 0 : Float(-Double($0) / Double($1))
                }, statistics: statistics)
        case .matrix(let matrix):
            self.init(
                scale: [], offset: [], statistics: statistics,
                whitening: Whitening(mean: statistics.mean, matrix: matrix))
        }
    }

    /// byte · factor, in every channel.
    private init(factor: Float, channels: Int) {
        self.init(
            scale: Array(repeating: factor, count: channels),
            offset: Array(repeating: 0, count: channels))
    }

    private init(
        scale: [Float], offset: [Float], statistics: InputStatistics? = nil,
        whitening: Whitening? = nil
    ) {
        self.scale = scale
        self.offset = offset
        self.statistics = statistics
        self.whitening = whitening
        scaleLanes = repeatedLanes(scale)
        offsetLanes = repeatedLanes(offset)
    }

    /// Whether both make the same inputs.
    public static func == (left: InputScaling, right: InputScaling) -> Bool {
        left.scale == right.scale && left.offset == right.offset
            && left.statistics == right.statistics
    }

    /// Of what is compared.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(scale)
        hasher.combine(offset)
        hasher.combine(statistics)
    }
}

/// C vectors whose lanes, one after the other, are `values` sixteen times. C = values.count
private func repeatedLanes(_ values: [Float]) -> [SIMD16<Float>] {
    values.indices.map { vector in
        var lanes = SIMD16<Float>()
        for lane in 0..<16 { lanes[lane] = values[(vector * 16 + lane) % values.count] }
        return lanes
    }
}

/// Mean and population deviation of each channel, on the unit scale.
public struct PixelMoments: Hashable, Sendable {
    /// [channels]
    public let mean: [Double]

    /// [channels]
    public let deviation: [Double]

    /// The moments of these samples, from exact integer counts of the 256 values.
    ///
    /// - Precondition: at least one sample.
    public init(of samples: SampleView) {
        precondition(samples.count > 0, "no samples, no moments")
        let counts = valueCounts(of: samples)
        var mean: [Double] = []
        var deviation: [Double] = []
        for histogram in counts {
            let total = Double(histogram.reduce(0, +))
            let sum = histogram.enumerated().reduce(0) { $0 + $1.offset * $1.element }
            let μ = Double(sum) / total
            let squares = histogram.enumerated().reduce(0.0) {
                $0 + Double($1.element) * (Double($1.offset) - μ) * (Double($1.offset) - μ)
            }
            mean.append(μ / 255)
            deviation.append((squares / total).squareRoot() / 255)
        }
        self.mean = mean
        self.deviation = deviation
    }
}

/// Mean and population deviation of each feature, on the unit scale, from exact integer sums.
/// [features] each
private func featureMoments(of samples: SampleView) -> (mean: [Double], deviation: [Double]) {
    let (dataset, features) = (samples.dataset, samples.dataset.features)
    precondition(samples.count > 0, "no samples, no moments")
    var sums = [Int](repeating: 0, count: features)
    var squares = sums
    dataset.images.withUnsafeBufferPointer { images in
        for index in 0..<samples.count {
            let sample = samples.place(of: index)
            for feature in 0..<features {
                let value = Int(images[sample * features + feature])
                sums[feature] &+= value
                squares[feature] &+= value * value
            }
        }
    }
    let n = samples.count
    return (
        sums.map { Double($0) / Double(n) / 255 },
        // n·Σx² − (Σx)² is a whole number: nothing cancels before the root.
        zip(sums, squares).map { Double(n * $1 - $0 * $0).squareRoot() / Double(n) / 255 }
    )
}

/// How often each value occurs. [channels][256]
private func valueCounts(of samples: SampleView) -> [[Int]] {
    let dataset = samples.dataset
    let channels = dataset.channels
    // Four tables in turn: images are full of equal neighbours, and adding to one counter twice
    // in a row waits for the first sum to be stored.
    let tables = 4
    var counts = [Int](repeating: 0, count: tables * channels * 256)
    counts.withUnsafeMutableBufferPointer { counts in
        dataset.images.withUnsafeBufferPointer { images in
            for sample in 0..<samples.count {
                let first = samples.place(of: sample) * dataset.features
                for pixel in 0..<dataset.height * dataset.width {
                    let table = (pixel % tables) * channels
                    for channel in 0..<channels {
                        let value = Int(images[first + pixel * channels + channel])
                        counts[(table + channel) * 256 + value] += 1
                    }
                }
            }
        }
    }
    return (0..<channels).map { channel in
        (0..<256).map { value in
            (0..<tables).reduce(0) { $0 + counts[($1 * channels + channel) * 256 + value] }
        }
    }
}
