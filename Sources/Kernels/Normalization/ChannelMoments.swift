/// Mean and M2 = Σ(x − mean)² of every channel of a shard, in Float64: its part of the batch
/// statistics, in the centred form that Chan's formula merges.
///
///     d = x − pivot,  mean = pivot + Σd / rows,  M2 = Σd² − (Σd)² / rows
///
/// The pivot is the channel's value in the shard's first row, so that a mean far from zero cancels
/// before anything is rounded. Sums run down the rows in order.
///
/// Edge cases:
/// - M2 ≥ 0, and NaN where the input has NaN or ±∞;
/// - a constant channel gives exactly its value and 0;
/// - no rows give 0 and 0;
/// - error: the pivot is one of the rows, so that Σd² ≤ (rows + 1)·M2, and M2 is good to about
///   rows²·2⁻⁵³ even if the first row is the only one away from the mean; rows·2⁻⁵³ else.
///
/// - Parameters:
///   - input: [rows, channels]
///   - mean: [channels]
///   - m2: [channels]
public func channelMoments(
    input: UnsafePointer<Float>, rows: Int, channels: Int, mean: UnsafeMutablePointer<Double>,
    m2: UnsafeMutablePointer<Double>
) {
    guard rows > 0 else {
        mean.update(repeating: 0, count: channels)
        m2.update(repeating: 0, count: channels)
        return
    }
    // Until the end, `mean` holds Σd and `m2` Σd².
    mean.update(repeating: 0, count: channels)
    m2.update(repeating: 0, count: channels)
    let step = rowsAtOnce(rows, channels: channels, most: 64)
    var row = 0
    while row < rows {
        let part = min(step, rows &- row)
        let x = input + row &* channels
        let rows = Range(uncheckedBounds: (row, row &+ part))
        var c = 0
        while c < channels {
            let lanes = min(laneCount, channels &- c)
            var ahead = Ahead(rows, channels: channels, c: c)
            for _ in 0..<part { ahead.advance(input) }
            addMoments(input + c, x + c, part, channels, lanes, mean + c, m2 + c)
            c &+= laneCount
        }
        row &+= step
    }
    var c = 0
    while c < channels {
        let lanes = min(laneCount, channels &- c)
        let sum = loadLanes(mean + c, lanes)
        let shift = sum / Double(rows)
        let centred = loadLanes(m2 + c, lanes) - sum * shift
        storeLanes(widen(loadLanes(input + c, lanes)) + shift, mean + c, lanes)
        storeLanes(centred.replacing(with: 0, where: centred .< 0), m2 + c, lanes)
        c &+= laneCount
    }
}

/// Adds `lanes` channels of some rows, from `x` on, about the pivots at `input`.
@inline(__always)
func addMoments(
    _ input: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ rows: Int, _ stride: Int,
    _ lanes: Int, _ sums: UnsafeMutablePointer<Double>, _ squares: UnsafeMutablePointer<Double>
) {
    let pivot = widen(loadLanes(input, lanes))
    var sum = loadLanes(sums, lanes)
    var square = loadLanes(squares, lanes)
    var row = x
    for _ in 0..<rows {
        let d = widen(loadLanes(row, lanes)) - pivot
        sum += d
        square.addProduct(d, d)
        row += stride
    }
    storeLanes(sum, sums, lanes)
    storeLanes(square, squares, lanes)
}

/// Plain Σx and Σx² of every channel of a shard, in Float64.
///
/// What a literal MPI_Allreduce of sums needs (`collectives: "mpi"`). Their difference
/// Σx² − (Σx)² / rows cancels: at mean / std = 1e6 it has lost 2.7e-3 of the variance.
///
/// - Parameters:
///   - input: [rows, channels]
///   - sum: [channels]
///   - squares: [channels]
public func channelSums(
    input: UnsafePointer<Float>, rows: Int, channels: Int, sum: UnsafeMutablePointer<Double>,
    squares: UnsafeMutablePointer<Double>
) {
    var c = 0
    while c &+ laneCount <= channels {
        sumsBlock(input + c, rows, channels, laneCount, sum + c, squares + c)
        c &+= laneCount
    }
    if c < channels {
        sumsBlock(input + c, rows, channels, channels - c, sum + c, squares + c)
    }
}

@inline(__always)
private func sumsBlock(
    _ input: UnsafePointer<Float>, _ rows: Int, _ stride: Int, _ lanes: Int,
    _ sum: UnsafeMutablePointer<Double>, _ squares: UnsafeMutablePointer<Double>
) {
    var total = SIMD16<Double>()
    var totalSquares = SIMD16<Double>()
    var row = input
    for _ in 0..<rows {
        let x = widen(loadLanes(row, lanes))
        total += x
        totalSquares.addProduct(x, x)
        row += stride
    }
    storeLanes(total, sum, lanes)
    storeLanes(totalSquares, squares, lanes)
}
