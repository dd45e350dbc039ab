/// What was fitted to the training samples, and is applied to every sample that the model sees.
///
/// In Float32, as files hold it: a scaling made from a file has the bits of the one that was fitted.
public struct InputStatistics: Hashable, Sendable {
    /// What happens to samples on the unit scale, less the mean.
    public enum Transform: Hashable, Sendable {
        /// Divided by this, as many as means; 0 where all samples have one value, which becomes 0.
        case deviation([Float])

        /// Multiplied by this. [features, features], a row an output
        case matrix([Float])
    }

    /// On the unit scale, 0…1. [channels] or [features]
    public let mean: [Float]

    /// What follows.
    public let transform: Transform

    /// - Precondition: as many means as the transform takes.
    public init(mean: [Float], _ transform: Transform) {
        switch transform {
        case .deviation(let deviation):
            precondition(deviation.count == mean.count, "a deviation for each mean")
        case .matrix(let matrix):
            precondition(matrix.count == mean.count * mean.count, "a square matrix of features")
        }
        self.mean = mean
        self.transform = transform
    }

    init(mean: [Double], deviation: [Double]) {
        self.init(mean: mean.map { Float($0) }, .deviation(deviation.map { Float($0) }))
    }

    /// The mean and the whitening matrix of `samples`.
    ///
    /// With the covariance C = U·diag(λ)·Uᵀ of the features on the unit scale (÷ n):
    /// - `pca`: W = diag((λ + ε)^−½)·Uᵀ, largest variance first, each component with its largest
    ///   weight positive;
    /// - `zca`: W = U·diag((λ + ε)^−½)·Uᵀ, which is symmetric, and of all whitenings the one that
    ///   changes the samples least.
    ///
    /// Components with λ no larger than the rounding of C have no direction: their factor is 0, and
    /// so a feature that is the same in all samples becomes 0, even with ε = 0. Float64, on one
    /// thread, from exact integer sums: the same bits on every rank.
    ///
    /// - Throws: `noEigenvectors` where LAPACK finds none.
    init(
        whitening kind: Whitening.Kind, epsilon: Double, of samples: SampleView
    ) throws(DatasetError) {
        let (mean, covariance) = featureCovariance(of: samples)
        let n = mean.count
        var (variances, vectors) = try eigenvectors(of: covariance, order: n)
        // Of C's eigenvalues, LAPACK's errors are about this large.
        let rounding = Double(n) * .ulpOfOne * max(variances.last ?? 0, 0)
        let factors = variances.map { $0 <= rounding ? 0 : 1 / ($0 + epsilon).squareRoot() }
        var matrix = [Float](repeating: 0, count: n * n)
        switch kind {
        case .pca:
            for row in 0..<n {
                let component = n - 1 - row
                let vector = vectors[component * n..<(component + 1) * n]
                let largest = vector.max { abs($0) < abs($1) } ?? 0
                let factor = largest < 0 ? -factors[component] : factors[component]
                for (column, value) in vector.enumerated() {
                    matrix[row * n + column] = Float(factor * value)
                }
            }
        case .zca:
            for component in 0..<n {
                let root = factors[component].squareRoot()
                for index in component * n..<(component + 1) * n { vectors[index] *= root }
            }
            addOuterProducts(of: vectors, order: n, into: &matrix)
        }
        self.init(mean: mean.map { Float($0) }, .matrix(matrix))
    }
}

/// matrix = Σ over k of v_k·v_kᵀ, its lower half computed and mirrored: symmetric to the bit.
///
/// - Parameter vectors: v_k after v_k. [order, order]
private func addOuterProducts(of vectors: [Double], order n: Int, into matrix: inout [Float]) {
    var row = [Double](repeating: 0, count: n)
    for i in 0..<n {
        row.withUnsafeMutableBufferPointer { row in
            vectors.withUnsafeBufferPointer { vectors in
                guard let sums = row.baseAddress, var vector = vectors.baseAddress else { return }
                sums.update(repeating: 0, count: n)
                for _ in 0..<n {
                    let weight = vector[i]
                    for j in 0...i { sums[j] = sums[j].addingProduct(weight, vector[j]) }
                    vector += n
                }
            }
        }
        for j in 0...i {
            matrix[i * n + j] = Float(row[j])
            matrix[j * n + i] = matrix[i * n + j]
        }
    }
}
