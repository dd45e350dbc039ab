import KernelReferences
import TensorCore
import TestSupport
import Testing

@testable import Kernels

/// The bits of a product by their definition: one chain of fused multiply-adds, then the bias.
private func chain(
    _ a: [Float], _ b: [Float], bias: [Float]?, rows: Int, inner: Int, columns: Int,
    transposed: Bool
) -> [UInt32] {
    (0..<rows * columns).map { place in
        let (row, column) = (place / columns, place % columns)
        var sum: Float = 0
        for k in 0..<inner {
            let factor = transposed ? b[column * inner + k] : b[k * columns + column]
            sum = sum.addingProduct(a[row * inner + k], factor)
        }
        return (bias.map { sum + $0[column] } ?? sum).bitPattern
    }
}

@Suite("Products of matrices")
struct MatrixProductTests {
    private func expectChain(
        rows: Int, inner: Int, columns: Int, transposed: Bool, bias: Bool, most: Int? = nil
    ) {
        let a = GuardedBuffer(normals(rows * inner, index: 1))
        let b = GuardedBuffer(normals(inner * columns, index: 2))
        let biases = GuardedBuffer(normals(columns, index: 3))
        let c = GuardedBuffer<Float>(count: rows * columns)
        MatrixProduct(
            rows: most ?? rows, inner: inner, columns: columns, transposed: transposed
        ).multiply(
            a.pointer, rows: rows, b.pointer, bias ? biases.pointer : nil, into: c.pointer)
        let expected = chain(
            a.values, b.values, bias: bias ? biases.values : nil, rows: rows, inner: inner,
            columns: columns, transposed: transposed)
        #expect(
            c.values.map(\.bitPattern) == expected,
            "[\(rows), \(inner)] · [\(inner), \(columns)]\(transposed ? ", transposed" : "")")
        #expect([a, b, biases, c].allSatisfy { $0.isIntact })
    }

    @Test(
        "every value is one chain of fused multiply-adds, whatever stands beside it",
        arguments: [false, true], [false, true])
    func chains(transposed: Bool, bias: Bool) {
        // Columns around every width of a panel, inner lengths around every block.
        for columns in [1, 3, 10, 15, 16, 17, 31, 32, 33, 48, 49, 63, 64, 65, 100, 113, 255, 257] {
            for (rows, inner) in [(1, 1), (2, 5), (5, 17), (6, 111), (7, 113), (16, 30), (3, 500)] {
                expectChain(
                    rows: rows, inner: inner, columns: columns, transposed: transposed, bias: bias)
            }
        }
        let random = CounterRandom(seed: 11, purpose: .benchmark, index: transposed ? 1 : 0)
        for test in 0..<250 {
            func draw(_ bound: Int, _ position: Int) -> Int {
                random.integer(below: bound, at: 4 * test + position)
            }
            let rows = draw(25, 0)
            expectChain(
                rows: rows, inner: 1 + draw(300, 1), columns: 1 + draw(150, 2),
                transposed: transposed, bias: bias, most: rows + draw(3, 3))
        }
    }

    struct Case: CustomTestStringConvertible {
        let rows: Int
        let inner: Int
        let bias: Bool
        var testDescription: String { "\(rows) × \(inner)\(bias ? ", bias" : "")" }
    }

    /// Rows around a tile's 6, and inner lengths around the 112 that are worked on at a time.
    static let cases = [1, 2, 5, 6, 7, 11, 12, 13, 30, 60].flatMap { rows in
        [1, 5, 111, 112, 113, 224, 784].map { inner in
            Case(rows: rows, inner: inner, bias: (rows + inner) % 2 == 0)
        }
    }

    private func product(
        _ input: Tensor, rows: Range<Int>, _ panel: Tensor, _ bias: Tensor?,
        fetching: PrefetchQueue? = nil
    ) -> Tensor {
        let output = Tensor(rows: max(rows.count, 1), columns: panelWidth)
        panelProduct(
            UnsafePointer(input.row(rows.lowerBound)), rows: rows.count, inner: input.columns,
            panel: UnsafePointer(panel.pointer), bias: bias.map { UnsafePointer($0.pointer) },
            into: output.pointer, fetching: fetching)
        return output
    }

    private func operands(_ test: Case) -> (input: Tensor, panel: Tensor, bias: Tensor?) {
        (
            randomTensor(test.rows, test.inner, 1), randomTensor(test.inner, panelWidth, 2),
            test.bias ? randomTensor(1, panelWidth, 3) : nil
        )
    }

    private func bits(_ tensor: Tensor) -> [UInt32] { tensor.elements.map(\.bitPattern) }

    @Test("agrees with the Float64 reference", arguments: cases)
    func reference(_ test: Case) {
        let (input, panel, bias) = operands(test)
        let expected = panelProductReference(
            input.elements.map(Double.init), rows: test.rows, inner: test.inner,
            panel: panel.elements.map(Double.init), bias: bias?.elements.map(Double.init))
        let output = product(input, rows: 0..<test.rows, panel, bias).elements
        let scale = expected.map(abs).max() ?? 1
        let worst = zip(output, expected).map { abs(Double($0) - $1) }.max() ?? 0
        #expect(worst <= 2e-6 * scale)
    }

    @Test("a row's bits depend on no other row, nor on what is fetched meanwhile", arguments: cases)
    func rowsAlone(_ test: Case) {
        let (input, panel, bias) = operands(test)
        let elsewhere = randomTensor(40, 100, 4)
        let queue = PrefetchQueue(capacity: 2)
        queue.add(UnsafePointer(elsewhere.pointer), columns: 64, rows: 40, stride: 100)
        queue.add(UnsafePointer(panel.pointer), columns: 64, willBeWritten: true)
        let together = product(input, rows: 0..<test.rows, panel, bias, fetching: queue)
        let apart = (0..<test.rows).flatMap {
            bits(product(input, rows: $0..<$0 + 1, panel, bias))
        }
        #expect(bits(together) == apart)
    }

    @Test("any alignment, the same bits, and nothing written outside", arguments: cases)
    func guarded(_ test: Case) {
        let (input, panel, bias) = operands(test)
        let expected = bits(product(input, rows: 0..<test.rows, panel, bias))
        let guardedInput = GuardedBuffer(input.elements, offset: 3)
        let guardedPanel = GuardedBuffer(panel.elements, offset: 1)
        let guardedBias = GuardedBuffer(bias?.elements ?? [], offset: 2)
        let output = GuardedBuffer<Float>(count: test.rows * panelWidth, offset: 5)
        panelProduct(
            UnsafePointer(guardedInput.pointer), rows: test.rows, inner: test.inner,
            panel: UnsafePointer(guardedPanel.pointer),
            bias: bias == nil ? nil : UnsafePointer(guardedBias.pointer), into: output.pointer)
        #expect(output.values.map(\.bitPattern) == expected)
        #expect(output.isIntact)
    }

    @Test("no rows: nothing is written")
    func empty() {
        let output = randomTensor(1, panelWidth, 5)
        let before = bits(output)
        panelProduct(
            UnsafePointer(randomTensor(1, 7, 1).pointer), rows: 0, inner: 7,
            panel: UnsafePointer(randomTensor(7, panelWidth, 2).pointer), bias: nil,
            into: output.pointer)
        #expect(bits(output) == before)
    }

    @Test("a queue gives every line of its blocks, row by row, and leaves out what is too much")
    func queue() {
        let tensor = randomTensor(8, 64, 6)
        let first = UnsafePointer(tensor.pointer)
        let queue = PrefetchQueue(capacity: 3)
        func take(_ count: Int) -> [String] {
            var lines: [String] = []
            queue.take(count) { line, willBeWritten in
                let place = UnsafeRawPointer(first).distance(to: line) / 64
                lines.append("\(place)\(willBeWritten ? "w" : "")")
            }
            return lines
        }
        queue.add(first, columns: 0)
        queue.add(first, columns: 64, rows: 0)
        queue.add(first, columns: 33)
        queue.add(first + 16, columns: 16, rows: 3, stride: 64)
        queue.add(first + 448, columns: 32, willBeWritten: true)
        queue.add(first, columns: 16)
        #expect(take(2) == ["0", "1"])
        #expect(take(3) == ["2", "1", "5"])
        #expect(take(100) == ["9", "28w", "29w"])
        #expect(take(1) == [])
        queue.removeAll()
        queue.add(first + 32, columns: 16)
        #expect(take(1) == ["2"])
    }
}
