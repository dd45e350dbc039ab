import Kernels

/// How a batch's mean and variance are taken: what some rows contribute, [2·C], and what is made of the
/// contributions of all.
protocol BatchMoments {
    /// Of `rows` of `input`, [rows, C].
    func take(
        _ input: UnsafePointer<Float>, rows: Int, channels: Int,
        into contribution: UnsafeMutablePointer<Double>)

    /// Mean and biased variance, [C], of m = `count` values a channel.
    func moments(
        of sum: UnsafePointer<Double>, count: Int, channels: Int,
        mean: UnsafeMutablePointer<Double>, variance: UnsafeMutablePointer<Double>)
}

/// Mean and M2 = Σ(x − mean)², merged by Chan's formula: exact whatever the mean is.
struct CentredMoments: BatchMoments {
    func take(
        _ input: UnsafePointer<Float>, rows: Int, channels: Int,
        into contribution: UnsafeMutablePointer<Double>
    ) {
        channelMoments(
            input: input, rows: rows, channels: channels, mean: contribution,
            m2: contribution + channels)
    }

    func moments(
        of sum: UnsafePointer<Double>, count: Int, channels: Int,
        mean: UnsafeMutablePointer<Double>, variance: UnsafeMutablePointer<Double>
    ) {
        // Division by the group's count, the forward one of BN's two.
        for c in 0..<channels {
            mean[c] = sum[c]
            variance[c] = sum[channels + c] / Double(count)
        }
    }
}

/// Σx and Σx², as they stand in most programs: the baseline, which loses the variance where the mean is
/// large.
struct LiteralMoments: BatchMoments {
    func take(
        _ input: UnsafePointer<Float>, rows: Int, channels: Int,
        into contribution: UnsafeMutablePointer<Double>
    ) {
        channelSums(
            input: input, rows: rows, channels: channels, sum: contribution,
            squares: contribution + channels)
    }

    func moments(
        of sum: UnsafePointer<Double>, count: Int, channels: Int,
        mean: UnsafeMutablePointer<Double>, variance: UnsafeMutablePointer<Double>
    ) {
        let m = Double(count)
        for c in 0..<channels {
            mean[c] = sum[c] / m
            variance[c] = max(sum[channels + c] / m - mean[c] * mean[c], 0)
        }
    }
}
