// Sums of flat buffers: gradients, moments, loss. Every element is computed alone.

/// target += source, element by element.
///
/// - Parameters:
///   - source: [count]
///   - target: [count]
public func add(
    _ source: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>, count: Int
) {
    sum(UnsafePointer(target), source, into: target, count: count)
}

/// target += source, element by element.
///
/// - Parameters:
///   - source: [count]
///   - target: [count]
public func add(
    _ source: UnsafePointer<Double>, into target: UnsafeMutablePointer<Double>, count: Int
) {
    sum(UnsafePointer(target), source, into: target, count: count)
}

/// target = left + right, element by element.
///
/// - Parameters:
///   - left: [count]
///   - right: [count]
///   - target: [count]; may be `left` or `right`.
public func sum(
    _ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>,
    into target: UnsafeMutablePointer<Float>, count: Int
) {
    var i = 0
    while i &+ laneCount <= count {
        let value = loadLanes(left + i, laneCount) + loadLanes(right + i, laneCount)
        storeLanes(value, target + i, laneCount)
        i &+= laneCount
    }
    if i < count {
        let lanes = count - i
        storeLanes(loadLanes(left + i, lanes) + loadLanes(right + i, lanes), target + i, lanes)
    }
}

/// target = left + right, element by element.
///
/// - Parameters:
///   - left: [count]
///   - right: [count]
///   - target: [count]; may be `left` or `right`.
public func sum(
    _ left: UnsafePointer<Double>, _ right: UnsafePointer<Double>,
    into target: UnsafeMutablePointer<Double>, count: Int
) {
    var i = 0
    while i &+ laneCount <= count {
        let value = loadLanes(left + i, laneCount) + loadLanes(right + i, laneCount)
        storeLanes(value, target + i, laneCount)
        i &+= laneCount
    }
    if i < count {
        let lanes = count - i
        storeLanes(loadLanes(left + i, lanes) + loadLanes(right + i, lanes), target + i, lanes)
    }
}

/// The sums over rows, for every column: the gradient of a bias. Rows are added in four chains,
/// the first of which takes what is left.
///
/// - Parameters:
///   - values: [rows, columns]
///   - sums: [columns], overwritten
package func columnSums(
    _ values: UnsafePointer<Float>, rows: Int, columns: Int,
    into sums: UnsafeMutablePointer<Float>
) {
    var column = 0
    while column < columns {
        let lanes = min(laneCount, columns &- column)
        // A vector may reach into the next row, but not past the end; surplus lanes are dropped.
        let missing = laneCount &- lanes
        let whole = max(0, rows &- (missing &+ columns &- 1) / columns)
        var a = SIMD16<Float>()
        var (b, c, d) = (a, a, a)
        var x = values + column
        var row = 0
        while row &+ 4 <= whole {
            a += loadLanes(x, laneCount)
            b += loadLanes(x + columns, laneCount)
            c += loadLanes(x + 2 &* columns, laneCount)
            d += loadLanes(x + 3 &* columns, laneCount)
            x += 4 &* columns
            row &+= 4
        }
        while row < rows {
            a += loadLanes(x, lanes)
            x += columns
            row &+= 1
        }
        storeLanes((a + b) + (c + d), sums + column, lanes)
        column &+= laneCount
    }
}

/// Whether any of the values is NaN or infinite.
///
/// - Parameter values: [count]
public func anyNonFinite(values: UnsafePointer<Float>, count: Int) -> Bool {
    // x·0 is ±0 for a finite x and NaN otherwise. Four sums hide the latency of the addition.
    var a = SIMD16<Float>()
    var (b, c, d) = (a, a, a)
    let zero = SIMD16<Float>()
    var i = 0
    while i &+ 4 &* laneCount <= count {
        let p = values + i
        a.addProduct(loadLanes(p, laneCount), zero)
        b.addProduct(loadLanes(p + laneCount, laneCount), zero)
        c.addProduct(loadLanes(p + 2 * laneCount, laneCount), zero)
        d.addProduct(loadLanes(p + 3 * laneCount, laneCount), zero)
        i &+= 4 &* laneCount
    }
    while i < count {
        a.addProduct(loadLanes(values + i, min(laneCount, count &- i)), zero)
        i &+= laneCount
    }
    let sum = (a + b) + (c + d)
    return any(sum .!= sum)
}
