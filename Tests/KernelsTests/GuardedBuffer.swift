import Glibc

/// Memory with a page behind it, and one before it, that nobody may touch: a kernel that reads or
/// writes there ends the process, whoever generated its code. What lies between the pages and the
/// values holds a guard value, so that a write there is found out, too.
///
/// Freed with the object: give it a name, since a temporary's pointer outlives it.
final class GuardedBuffer<Scalar: BinaryFloatingPoint & BitwiseCopyable> {
    let pointer: UnsafeMutablePointer<Scalar>
    private let count: Int
    private let mapping: UnsafeMutableRawPointer
    private let bytes: Int
    private let guardValue: Scalar = -12345.5

    /// The last value ends where the forbidden page begins; or the first starts `offset` scalars behind
    /// a 64-byte boundary, and the page begins less than 64 bytes and `offset` scalars behind the last.
    init(_ values: [Scalar], offset: Int? = nil) {
        count = values.count
        let size = MemoryLayout<Scalar>.stride
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let used = count * size
        let inner = (used + (offset ?? 0) * size + 64 + page - 1) / page * page
        bytes = inner + 2 * page
        guard
            let mapping = mmap(
                nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            mapping != MAP_FAILED,
            mprotect(mapping, page, PROT_NONE) == 0,
            mprotect(mapping + (page + inner), page, PROT_NONE) == 0
        else { preconditionFailure("no memory for a test") }
        self.mapping = mapping
        let scalars = (mapping + page).bindMemory(to: Scalar.self, capacity: inner / size)
        scalars.initialize(repeating: guardValue, count: inner / size)
        let first =
            offset.map { (inner - used - $0 * size) / 64 * 64 + $0 * size } ?? inner - used
        pointer = scalars + first / size
        for (i, value) in values.enumerated() { pointer[i] = value }
    }

    convenience init(count: Int, offset: Int? = nil) {
        self.init(Array(repeating: 77, count: count), offset: offset)
    }

    deinit { munmap(mapping, bytes) }

    var values: [Scalar] { Array(UnsafeBufferPointer(start: pointer, count: count)) }

    /// Whether nothing was written before or behind the values.
    var isIntact: Bool {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let all = UnsafeRawBufferPointer(start: mapping + page, count: bytes - 2 * page)
            .bindMemory(to: Scalar.self)
        guard let start = all.baseAddress else { return false }
        let first = pointer - UnsafeMutablePointer(mutating: start)
        return all[..<first].allSatisfy { $0 == guardValue }
            && all[(first + count)...].allSatisfy { $0 == guardValue }
    }
}

/// The shapes every per-channel kernel is tested with: around the width of a vector, and none.
let channelShapes: [(rows: Int, channels: Int)] = [0, 1, 2, 7, 8, 15, 30, 33].flatMap { rows in
    [1, 2, 3, 10, 15, 16, 17, 31, 64, 100, 128].map { (rows, $0) }
}
