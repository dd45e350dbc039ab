import COneDNN
import TensorCore

/// C [rows, columns] = A [rows, inner] · B (+ bias), with bits that do not depend on how shards
/// share a call.
///
/// What a shard's rows *are* is defined by a plan of its own row count. One plan over all rows is
/// faster (784 → 128 on Zen 4: 52 µs for 30 rows, 13 and 14 µs for shards of 7 and 8), and oneDNN's
/// brgemm works each row out alike however many there are; its GEMM does not, and nothing in its
/// documentation promises either. So each plan over several shards is compared with the shards' own
/// on random numbers, when made, and dropped if a bit differs.
final class ShardedProduct {
    private let columns: Int
    private let inner: Int
    private let operation: String
    private var parts: [(row: Int, plan: ProductPlan)]

    init(
        operation: String, rowBoundaries: [Int], inner: Int, columns: Int, transposed: Bool,
        bias: Bool
    ) throws(KernelError) {
        self.operation = operation
        self.inner = inner
        self.columns = columns
        parts = []
        func plan(_ rows: Int) throws(KernelError) -> ProductPlan {
            try ProductPlan(
                operation: operation, rows: rows, inner: inner, columns: columns,
                transposed: transposed, bias: bias)
        }
        var plans: [Int: ProductPlan] = [:]
        for (start, end) in zip(rowBoundaries, rowBoundaries.dropFirst()) where end > start {
            let shardPlan: ProductPlan
            if let made = plans[end - start] {
                shardPlan = made
            } else {
                shardPlan = try plan(end - start)
                plans[end - start] = shardPlan
            }
            parts.append((start, shardPlan))
        }
        guard parts.count > 1, let rows = rowBoundaries.last else { return }
        let whole = [(row: 0, plan: try plan(rows))]
        if try givesTheBitsOfShards(whole, rows: rows) { parts = whole }
    }

    /// Calls to oneDNN per product.
    var calls: Int { parts.count }

    /// oneDNN's name of the implementation; nil without rows.
    var implementation: String? { parts.first?.plan.implementation }

    func multiply(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?,
        _ c: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        try run(parts, a, b, bias, c)
    }

    private func run(
        _ parts: [(row: Int, plan: ProductPlan)], _ a: UnsafePointer<Float>,
        _ b: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?, _ c: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        for part in parts {
            try part.plan.execute(a + part.row * inner, b, bias, c + part.row * columns)
        }
    }

    private func givesTheBitsOfShards(
        _ whole: [(row: Int, plan: ProductPlan)], rows: Int
    ) throws(KernelError) -> Bool {
        func random(_ count: Int, _ index: UInt64) -> UnsafeMutablePointer<Float> {
            let values = alignedAllocation(of: Float.self, count: count)
            let stream = CounterRandom(seed: 0, purpose: .benchmark, index: index)
            for block in 0...(count - 1) / 4 {
                let words = stream.words(block: UInt32(truncatingIfNeeded: block))
                for lane in 0..<min(4, count - block * 4) {
                    (values + block * 4 + lane).initialize(
                        to: Float(Int32(bitPattern: words[lane])) * 0x1p-31)
                }
            }
            return values
        }
        let a = random(rows * inner, 0)
        let b = random(inner * columns, 1)
        let bias = random(columns, 2)
        let (once, apart) = (random(rows * columns, 3), random(rows * columns, 4))
        defer { for values in [a, b, bias, once, apart] { values.deallocate() } }
        try run(whole, a, b, bias, once)
        try run(parts, a, b, bias, apart)
        return (0..<rows * columns).allSatisfy { once[$0].bitPattern == apart[$0].bitPattern }
    }
}

/// One oneDNN matrix product of fixed shape.
final class ProductPlan {
    private let plan: OpaquePointer
    private let operation: String
    private let rows: Int
    private let inner: Int
    private let columns: Int
    private let bias: Bool

    init(
        operation: String, rows: Int, inner: Int, columns: Int, transposed: Bool, bias: Bool
    ) throws(KernelError) {
        self.operation = operation
        self.rows = rows
        self.inner = inner
        self.columns = columns
        self.bias = bias
        var created: OpaquePointer?
        let status = bn_dnnl_product_create(
            &created, Int64(rows), Int64(inner), Int64(columns), transposed ? 1 : 0, bias ? 1 : 0)
        guard status == 0, let created else {
            throw Self.error(status, operation, rows, inner, columns)
        }
        plan = created
    }

    deinit { bn_dnnl_destroy(plan) }

    var implementation: String { String(cString: bn_dnnl_implementation(plan)) }

    func execute(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ biasRow: UnsafePointer<Float>?,
        _ c: UnsafeMutablePointer<Float>
    ) throws(KernelError) {
        precondition(!bias || biasRow != nil, "this plan was made with a bias")
        let status = bn_dnnl_execute(plan, a, b, biasRow, c)
        if status != 0 { throw Self.error(status, operation, rows, inner, columns) }
    }

    private static func error(
        _ status: CInt, _ operation: String, _ rows: Int, _ inner: Int, _ columns: Int
    ) -> KernelError {
        .oneDNN(
            status: String(cString: bn_dnnl_status_name(status)), operation: operation,
            shape: "[\(rows), \(inner)] · [\(inner), \(columns)]")
    }
}
