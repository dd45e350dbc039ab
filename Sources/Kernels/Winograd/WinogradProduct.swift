import CPlatform
import TensorCore

/// Eight rows of accumulators in registers, as ``Tile`` has six: 16 channels are two of them.
struct Tile8<Row: TileRow> {
    private var row0 = Row.zero
    private var row1 = Row.zero
    private var row2 = Row.zero
    private var row3 = Row.zero
    private var row4 = Row.zero
    private var row5 = Row.zero
    private var row6 = Row.zero
    private var row7 = Row.zero

    static var rows: Int { 8 }

    @inline(__always)
    init() {}

    /// Rows that lie `stride` Floats apart.
    @inline(__always)
    init(from pointer: UnsafePointer<Float>, stride: Int) {
        row0 = Row(from: pointer)
        row1 = Row(from: pointer + stride)
        row2 = Row(from: pointer + 2 &* stride)
        row3 = Row(from: pointer + 3 &* stride)
        row4 = Row(from: pointer + 4 &* stride)
        row5 = Row(from: pointer + 5 &* stride)
        row6 = Row(from: pointer + 6 &* stride)
        row7 = Row(from: pointer + 7 &* stride)
    }

    /// self[i] += factors[i · stride] · row; rows behind `last` repeat it.
    @inline(__always)
    mutating func add(_ factors: UnsafePointer<Float>, _ offsets: Offsets, times row: Row) {
        row0.add(factors[0], times: row)
        row1.add(factors[offsets.row1], times: row)
        row2.add(factors[offsets.row2], times: row)
        row3.add(factors[offsets.row3], times: row)
        row4.add(factors[offsets.row4], times: row)
        row5.add(factors[offsets.row5], times: row)
        row6.add(factors[offsets.row6], times: row)
        row7.add(factors[offsets.row7], times: row)
    }

    /// Row i to `pointer` + offsets[i].
    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, _ offsets: Offsets) {
        row0.store(to: pointer)
        row1.store(to: pointer + offsets.row1)
        row2.store(to: pointer + offsets.row2)
        row3.store(to: pointer + offsets.row3)
        row4.store(to: pointer + offsets.row4)
        row5.store(to: pointer + offsets.row5)
        row6.store(to: pointer + offsets.row6)
        row7.store(to: pointer + offsets.row7)
    }

    /// Where each row is, counted from the first. Rows behind `last` are the last again, worked out
    /// to the same bits.
    struct Offsets {
        let row1: Int
        let row2: Int
        let row3: Int
        let row4: Int
        let row5: Int
        let row6: Int
        let row7: Int

        /// Rows anywhere.
        @inline(__always)
        init(
            row1: Int, row2: Int, row3: Int, row4: Int, row5: Int, row6: Int, row7: Int
        ) {
            self.row1 = row1
            self.row2 = row2
            self.row3 = row3
            self.row4 = row4
            self.row5 = row5
            self.row6 = row6
            self.row7 = row7
        }

        @inline(__always)
        init(last: Int, stride: Int) {
            row1 = min(1, last) &* stride
            row2 = min(2, last) &* stride
            row3 = min(3, last) &* stride
            row4 = min(4, last) &* stride
            row5 = min(5, last) &* stride
            row6 = min(6, last) &* stride
            row7 = min(7, last) &* stride
        }
    }
}

/// output[t, k] = Σ_c input[t, c] · weights[c, k], of rows 0..<rows.
///
/// - Parameters:
///   - input: [rows, C]
///   - weights: [K / 32 panels, C, 32]; a last panel of 16 is [C, 16]
///   - output: [rows, K], overwritten
func multiplyRows(
    _ input: UnsafePointer<Float>, rows: Int, inputs: Int, _ weights: UnsafePointer<Float>,
    outputs: Int, into output: UnsafeMutablePointer<Float>
) {
    var k = 0
    while k < outputs {
        let panel = weights + k &* inputs
        let width = min(32, outputs &- k)
        if bn_compiled_for_512_bit_vectors() == 0 {
            TileProduct(rows: rows, inner: inputs, 0..<inputs, stride: width, columns: outputs)
                .run(input, panel, bias: nil, into: output + k, width: width)
            k &+= width
        } else if width == 32 {
            multiplyPanel(TileRow2.self, input, rows, inputs, panel, output + k, outputs)
            k &+= 32
        } else {
            multiplyPanel(TileRow1.self, input, rows, inputs, panel, output + k, outputs)
            k &+= 16
        }
    }
}

@inline(__always)
private func multiplyPanel<Row: TileRow>(
    _: Row.Type, _ input: UnsafePointer<Float>, _ rows: Int, _ inputs: Int,
    _ panel: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>, _ outputStride: Int
) {
    var first = 0
    while first < rows {
        let last = min(7, rows &- first &- 1)
        let offsets = Tile8<Row>.Offsets(last: last, stride: inputs)
        var tile = Tile8<Row>()
        var factors = input + first &* inputs
        var row = panel
        for _ in 0..<inputs {
            tile.add(factors, offsets, times: Row(from: row))
            factors += 1
            row += 16 &* Row.vectors
        }
        tile.store(
            to: output + first &* outputStride,
            Tile8<Row>.Offsets(last: last, stride: outputStride))
        first &+= 8
    }
}

/// sums[c, k] += Σ_t input[t, c] · gradient[t, k], over `rows` tiles in order.
///
/// - Parameters:
///   - input: [rows, C], C a multiple of 16; `stride` Floats from a row to the next
///   - gradient: [rows, K]
///   - sums: [C, K]; overwritten where `isFirst`
func addOuterProducts(
    _ input: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>, rows: Int, stride: Int,
    inputs: Int, outputs: Int, into sums: UnsafeMutablePointer<Float>, isFirst: Bool
) {
    var k = 0
    while k < outputs {
        let width = min(32, outputs &- k)
        if bn_compiled_for_512_bit_vectors() == 0 {
            TileProduct(
                inner: .init(count: rows, a: stride, b: outputs), rows: inputs, perLine: inputs,
                aRows: .init(stride: 1, line: 0), cRows: .init(stride: outputs, line: 0),
                adds: !isFirst
            ).run(input, gradient + k, bias: nil, into: sums + k, width: width)
            k &+= width
        } else if width == 32 {
            addPanel(
                TileRow2.self, input, stride, gradient + k, rows, inputs, outputs, sums + k,
                isFirst)
            k &+= 32
        } else {
            addPanel(
                TileRow1.self, input, stride, gradient + k, rows, inputs, outputs, sums + k,
                isFirst)
            k &+= 16
        }
    }
}

@inline(__always)
private func addPanel<Row: TileRow>(
    _: Row.Type, _ input: UnsafePointer<Float>, _ stride: Int, _ gradient: UnsafePointer<Float>,
    _ rows: Int, _ inputs: Int, _ outputs: Int, _ sums: UnsafeMutablePointer<Float>,
    _ isFirst: Bool
) {
    let neighbours = Tile8<Row>.Offsets(last: 7, stride: 1)
    var c = 0
    while c < inputs {
        let target = sums + c &* outputs
        var tile = isFirst ? Tile8<Row>() : Tile8<Row>(from: target, stride: outputs)
        var factors = input + c
        var row = gradient
        for _ in 0..<rows {
            tile.add(factors, neighbours, times: Row(from: row))
            factors += stride
            row += outputs
        }
        tile.store(to: target, Tile8<Row>.Offsets(last: 7, stride: outputs))
        c &+= 8
    }
}
