/// A Float64 matrix `[rows, columns]`, row by row: plain loops, meant to be read.
public struct ReferenceMatrix: Equatable {
    /// Its extents.
    public let rows: Int, columns: Int
    /// Row by row.
    public var values: [Double]

    /// A matrix of these values.
    public init(rows: Int, columns: Int, values: [Double]) {
        precondition(values.count == rows * columns, "a matrix's extents and values differ")
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    /// Zeros.
    public init(rows: Int, columns: Int) {
        self.init(
            rows: rows, columns: columns, values: [Double](repeating: 0, count: rows * columns))
    }

    /// A value.
    public subscript(row: Int, column: Int) -> Double {
        get { values[row * columns + column] }
        set { values[row * columns + column] = newValue }
    }

    /// The same values in rows of `columns`: [N, H·W·C] as [N·H·W, C], and back.
    public func asRows(of columns: Int) -> ReferenceMatrix {
        ReferenceMatrix(rows: values.count / columns, columns: columns, values: values)
    }

    /// Each row [positions, C] as [C, positions]: an image flattened as files count.
    public func channelsFirst(positions: Int) -> ReferenceMatrix {
        guard positions > 1 else { return self }
        let channels = columns / positions
        var result = self
        for row in 0..<rows {
            for i in 0..<columns {
                result[row, i % channels * positions + i / channels] = self[row, i]
            }
        }
        return result
    }

    /// The inverse of `channelsFirst`.
    public func channelsLast(positions: Int) -> ReferenceMatrix {
        channelsFirst(positions: columns / positions)
    }

    /// The sum of two of the same shape.
    public static func + (a: ReferenceMatrix, b: ReferenceMatrix) -> ReferenceMatrix {
        var sum = a
        for i in sum.values.indices { sum.values[i] += b.values[i] }
        return sum
    }

    /// The product of two of the same shape, value by value.
    public func times(_ other: ReferenceMatrix) -> ReferenceMatrix {
        var product = self
        for i in product.values.indices { product.values[i] *= other.values[i] }
        return product
    }

    /// The same shape, `function` of each value.
    public func map(_ function: (Double) -> Double) -> ReferenceMatrix {
        ReferenceMatrix(rows: rows, columns: columns, values: values.map(function))
    }

    /// [columns, rows].
    public var transposed: ReferenceMatrix {
        var result = ReferenceMatrix(rows: columns, columns: rows)
        for i in 0..<rows {
            for j in 0..<columns { result[j, i] = self[i, j] }
        }
        return result
    }

    /// Σ over the rows: one value a column.
    public var columnSums: [Double] {
        var sums = [Double](repeating: 0, count: columns)
        for i in 0..<rows {
            for j in 0..<columns { sums[j] += self[i, j] }
        }
        return sums
    }

    /// The product a·b: `[a.rows, b.columns]`.
    public static func * (a: ReferenceMatrix, b: ReferenceMatrix) -> ReferenceMatrix {
        precondition(a.columns == b.rows, "matrices do not fit")
        var product: [Double] = []
        product.reserveCapacity(a.rows * b.columns)
        // A row of a times the rows of b: the inner loop runs along memory, and vectorizes.
        for i in 0..<a.rows {
            var row = [Double](repeating: 0, count: b.columns)
            for k in 0..<a.columns {
                let factor = a[i, k]
                let start = k * b.columns
                for j in row.indices { row[j] += factor * b.values[start + j] }
            }
            product += row
        }
        return ReferenceMatrix(rows: a.rows, columns: b.columns, values: product)
    }
}
