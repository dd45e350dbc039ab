import CLAPACK
import Glibc

/// Mean and covariance (÷ n) of the features on the unit scale.
///
/// Sums of products of bytes are whole numbers: those of 256 samples are exact in Float32, where
/// vectors are wide, and all of them in Float64. Nothing depends on an order.
///
/// - Returns: the mean, [features], and the covariance, both halves, [features, features].
func featureCovariance(of samples: SampleView) -> (mean: [Double], covariance: [Double]) {
    let n = samples.dataset.features
    let padded = (n + 31) / 32 * 32
    let most = 256  // 256 · 255² < 2²⁴
    var sums = [Double](repeating: 0, count: n)
    var products = [Double](repeating: 0, count: padded * padded)
    var block = [SIMD16<Float>](repeating: .zero, count: most * padded / 16)
    samples.dataset.images.withUnsafeBufferPointer { images in
        for first in stride(from: 0, to: samples.count, by: most) {
            let count = min(most, samples.count - first)
            block.withUnsafeMutableBytes { bytes in
                let values = bytes.assumingMemoryBound(to: Float.self)
                for row in 0..<count {
                    let start = samples.place(of: first + row) * n
                    for feature in 0..<n {
                        let value = images[start + feature]
                        values[row * padded + feature] = Float(value)
                        sums[feature] += Double(value)
                    }
                }
            }
            addProducts(of: block, rows: count, columns: padded, to: &products)
        }
    }
    let count = Double(samples.count)
    let mean = sums.map { $0 / count / 255 }
    var covariance = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
        for j in 0...i {
            // n·Σxy − Σx·Σy is a whole number: nothing cancels before the division.
            let value =
                (count * products[i * padded + j] - sums[i] * sums[j]) / (count * count * 65_025)
            covariance[i * n + j] = value
            covariance[j * n + i] = value
        }
    }
    return (mean, covariance)
}

/// products += XᵀX, the lower half in tiles of 4 rows and 32 columns.
///
/// - Parameter block: X. [rows, columns]
private func addProducts(
    of block: [SIMD16<Float>], rows: Int, columns: Int, to products: inout [Double]
) {
    products.withUnsafeMutableBufferPointer { products in
        block.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            let values = base.assumingMemoryBound(to: Float.self)
            for i in stride(from: 0, to: columns, by: 4) {
                for j in stride(from: 0, to: i + 4, by: 32) {
                    var (a0, a1) = (SIMD16<Float>.zero, SIMD16<Float>.zero)
                    var (b0, b1) = (a0, a1)
                    var (c0, c1) = (a0, a1)
                    var (d0, d1) = (a0, a1)
                    for row in 0..<rows {
                        let line = values + row * columns
                        let raw = UnsafeRawPointer(line + j)
                        let x0 = raw.load(as: SIMD16<Float>.self)
                        let x1 = raw.load(fromByteOffset: 64, as: SIMD16<Float>.self)
                        let a = SIMD16<Float>(repeating: line[i])
                        let b = SIMD16<Float>(repeating: line[i + 1])
                        let c = SIMD16<Float>(repeating: line[i + 2])
                        let d = SIMD16<Float>(repeating: line[i + 3])
                        a0 = a0.addingProduct(a, x0)
                        a1 = a1.addingProduct(a, x1)
                        b0 = b0.addingProduct(b, x0)
                        b1 = b1.addingProduct(b, x1)
                        c0 = c0.addingProduct(c, x0)
                        c1 = c1.addingProduct(c, x1)
                        d0 = d0.addingProduct(d, x0)
                        d1 = d1.addingProduct(d, x1)
                    }
                    let tile = [(a0, a1), (b0, b1), (c0, c1), (d0, d1)]
                    for (row, sums) in tile.enumerated() {
                        let place = (i + row) * columns + j
                        for lane in 0..<16 {
                            products[place + lane] += Double(sums.0[lane])
                            products[place + 16 + lane] += Double(sums.1[lane])
                        }
                    }
                }
            }
        }
    }
}

/// The eigenvalues of a symmetric matrix, rising, and its eigenvectors, one after the other, by
/// LAPACK's dsyevd.
///
/// - Throws: `noEigenvectors`.
func eigenvectors(
    of matrix: [Double], order: Int
) throws(DatasetError) -> (values: [Double], vectors: [Double]) {
    keepLAPACKOnOneThread()
    var vectors = matrix
    var values = [Double](repeating: 0, count: order)
    let status = LAPACKE_dsyevd(
        LAPACK_COL_MAJOR, CChar(UInt8(ascii: "V")), CChar(UInt8(ascii: "L")), Int32(order),
        &vectors, Int32(order), &values)
    guard status == 0 else { throw .noEigenvectors(features: order, status: Int(status)) }
    return (values, vectors)
}

/// A LAPACK with threads of its own, such as OpenBLAS, would divide the work by their number, and
/// the bits would depend on the machine.
private func keepLAPACKOnOneThread() {
    typealias SetThreads = @convention(c) (Int32) -> Void
    guard let symbol = dlsym(nil, "openblas_set_num_threads") else { return }
    unsafeBitCast(symbol, to: SetThreads.self)(1)
}
