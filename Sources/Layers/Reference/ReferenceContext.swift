import TensorCore

/// What a module's formula is taken with, beside its input.
public struct ReferenceContext {
    /// Where the module stands.
    public let place: ModulePlace
    /// Its parameters by name, in the layout of files.
    public let parameters: [String: [Double]]
    /// For a batch normalisation, what each group of rows is normalised by.
    public let moments: [ReferenceMoments]
    /// The optimizer step; nil in inference.
    public let step: Int?
    /// Of what is random.
    public let seed: UInt64
    /// How near to 0 an input counts as on the other side when its gradient is taken; see
    /// `Module.hasEdge`.
    public let edge: Double

    /// What a formula is taken with.
    public init(
        _ place: ModulePlace, parameters: [String: [Double]] = [:],
        moments: [ReferenceMoments] = [], step: Int? = nil, seed: UInt64 = 0, edge: Double = 0
    ) {
        self.place = place
        self.parameters = parameters
        self.moments = moments
        self.step = step
        self.seed = seed
        self.edge = edge
    }

    /// γ [C], 1 where there is none.
    public var scale: [Double] {
        parameters["weight"] ?? Array(repeating: 1, count: place.input.channels)
    }

    /// β [C], 0 where there is none.
    public var shift: [Double] {
        parameters["bias"] ?? Array(repeating: 0, count: place.input.channels)
    }
}

/// The gradients of a module's input, and by name of its parameters, in the layout of files.
public struct ReferenceGradients {
    /// As the input.
    public let input: ReferenceMatrix
    /// By name.
    public let parameters: [String: [Double]]

    /// Gradients.
    public init(_ input: ReferenceMatrix, _ parameters: [String: [Double]] = [:]) {
        self.input = input
        self.parameters = parameters
    }
}

/// Mean and biased variance of each channel over some rows of a batch: what a batch normalisation
/// takes of one group.
public struct ReferenceMoments: Sendable {
    /// The group's.
    public let rows: Range<Int>
    /// [C].
    public let mean: [Double]
    /// [C], divided by the number of rows.
    public let variance: [Double]

    /// Known ones.
    public init(rows: Range<Int>, mean: [Double], variance: [Double]) {
        self.rows = rows
        self.mean = mean
        self.variance = variance
    }

    /// mean = Σ x / m, variance = Σ (x − mean)² / m over the m `rows` of `input` [n, C].
    public init(of input: ReferenceMatrix, rows: Range<Int>) {
        let m = Double(rows.count)
        var mean = [Double](repeating: 0, count: input.columns)
        var variance = mean
        for c in 0..<input.columns where !rows.isEmpty {
            for i in rows { mean[c] += input[i, c] }
            mean[c] /= m
            for i in rows { variance[c] += (input[i, c] - mean[c]) * (input[i, c] - mean[c]) }
            variance[c] /= m
        }
        self.init(rows: rows, mean: mean, variance: variance)
    }
}
