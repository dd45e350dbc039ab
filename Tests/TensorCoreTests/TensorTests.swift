import TensorCore
import Testing

@Suite struct TensorTests {
    @Test(
        "a tensor is aligned to a cache line and starts as zeros",
        arguments: [(0, 0), (0, 5), (3, 0), (1, 1), (7, 13), (60, 784)])
    func freshTensor(rows: Int, columns: Int) {
        let tensor = Tensor(rows: rows, columns: columns)
        #expect(UInt(bitPattern: tensor.pointer) % 64 == 0)
        #expect(tensor.elements == [Float](repeating: 0, count: rows * columns))
    }

    @Test("elements lie row by row")
    func layout() {
        let tensor = Tensor(rows: 3, columns: 5)
        tensor.elements = (0..<15).map(Float.init)
        #expect(tensor[0, 4] == 4)
        #expect(tensor[2, 1] == 11)
        #expect(tensor.row(1)[3] == 8)
        tensor[1, 3] = -1
        #expect(tensor.pointer[8] == -1)
        #expect(tensor.elements == [0, 1, 2, 3, 4, 5, 6, 7, -1, 9, 10, 11, 12, 13, 14])
    }

    @Test("a tensor refuses elements outside itself")
    func bounds() async {
        await #expect(processExitsWith: .failure) { _ = Tensor(rows: 2, columns: 3)[2, 0] }
        await #expect(processExitsWith: .failure) { _ = Tensor(rows: 2, columns: 3)[0, 3] }
        await #expect(processExitsWith: .failure) { Tensor(rows: 2, columns: 3)[0, -1] = 1 }
        await #expect(processExitsWith: .failure) {
            Tensor(rows: 2, columns: 3).elements = [1, 2]
        }
        await #expect(processExitsWith: .failure) { _ = Tensor(rows: -1, columns: 3) }
    }

    @Test("a shape counts its elements")
    func shape() {
        #expect(Shape([]).count == 1)
        #expect(Shape([4, 0, 3]).count == 0)
        let shape: Shape = [2, 3, 4]
        #expect(shape.count == 24)
        #expect(shape[1] == 3)
        #expect("\(shape)" == "[2, 3, 4]")
        #expect(shape == Shape([2, 3, 4]) && shape != [2, 4, 3])
    }
}
