import TensorCore

// The transforms of Winograd's convolution F(2×2, 3×3): a tile of 2×2 outputs is made from a patch
// of 4×4 inputs with 16 products in place of 36 (Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2015):
//
//     Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A
//
//     Bᵀ = 1  0 −1  0     G = 1   0   0     Aᵀ = 1  1  1  0
//          0  1  1  0         ½   ½   ½          0  1 −1 −1
//          0 −1  1  0         ½  −½   ½
//          0  1  0 −1         0   0   1
//
// The gradient of g is the transposed: Gᵀ[Σ (A dY Aᵀ) ⊙ (Bᵀ d B)]G, summed over tiles before it is
// transformed back. Products apart, these are sums and halves alone, so that the error stays that
// of a direct convolution (larger tiles save more, and lose digits).

typealias Lanes = SIMD16<Float>

/// Four neighbouring values of a transform.
struct Four {
    var a: Lanes
    var b: Lanes
    var c: Lanes
    var d: Lanes

    @inline(__always)
    init(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes) {
        (self.a, self.b, self.c, self.d) = (a, b, c, d)
    }

    /// From four places, `stride` Floats apart.
    @inline(__always)
    init(from pointer: UnsafePointer<Float>, stride: Int) {
        a = loadLanes(pointer, laneCount)
        b = loadLanes(pointer + stride, laneCount)
        c = loadLanes(pointer + 2 &* stride, laneCount)
        d = loadLanes(pointer + 3 &* stride, laneCount)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int) {
        storeLanes(a, pointer, laneCount)
        storeLanes(b, pointer + stride, laneCount)
        storeLanes(c, pointer + 2 &* stride, laneCount)
        storeLanes(d, pointer + 3 &* stride, laneCount)
    }

    /// Bᵀ · self
    @inline(__always)
    var input: Four { Four(a - c, b + c, c - b, b - d) }

    /// Aᵀ · self
    @inline(__always)
    var output: (Lanes, Lanes) { (a + b + c, b - c - d) }
}

/// 16 channels of a patch of 4×4 pixels, column by column.
protocol InputPatch {
    func column(_ j: Int) -> Four
}

/// A patch inside its image.
struct Patch: InputPatch {
    private let pointer: UnsafePointer<Float>
    private let (rowStride, columnStride): (Int, Int)

    /// From the patch's first pixel; `row` and `column` Floats from one to the next.
    @inline(__always)
    init(_ pointer: UnsafePointer<Float>, row: Int, column: Int) {
        (self.pointer, rowStride, columnStride) = (pointer, row, column)
    }

    @inline(__always)
    func column(_ j: Int) -> Four { Four(from: pointer + j &* columnStride, stride: rowStride) }
}

/// A patch that reaches over its image's edge, with zeros there.
struct BorderPatch: InputPatch {
    private let pointer: UnsafePointer<Float>
    private let (rowStride, columnStride): (Int, Int)
    /// What of the patch lies in the image.
    private let (rows, columns): (Range<Int>, Range<Int>)

    /// As a patch inside; `top` and `left` are the first pixel's row and column in the image, whose
    /// extents are given too.
    @inline(__always)
    init(
        _ pointer: UnsafePointer<Float>, row: Int, column: Int, top: Int, left: Int, height: Int,
        width: Int
    ) {
        (self.pointer, rowStride, columnStride) = (pointer, row, column)
        rows = max(0, 0 &- top)..<min(4, height &- top)
        columns = max(0, 0 &- left)..<min(4, width &- left)
    }

    @inline(__always)
    func column(_ j: Int) -> Four {
        let zero = Lanes.zero
        guard columns.contains(j) else { return Four(zero, zero, zero, zero) }
        let first = pointer + j &* columnStride
        @inline(__always)
        func pixel(_ i: Int) -> Lanes {
            rows.contains(i) ? loadLanes(first + i &* rowStride, laneCount) : zero
        }
        return Four(pixel(0), pixel(1), pixel(2), pixel(3))
    }
}

/// Bᵀ d B of 16 channels of one patch.
///
/// - Parameter frequencies: 16 vectors, `stride` Floats from one to the next, overwritten
@inline(__always)
func transformInput(
    _ patch: some InputPatch, into frequencies: UnsafeMutablePointer<Float>, stride: Int
) {
    // Down the columns, then along the rows.
    let c0 = patch.column(0).input
    let c1 = patch.column(1).input
    let c2 = patch.column(2).input
    let c3 = patch.column(3).input
    Four(c0.a, c1.a, c2.a, c3.a).input.store(to: frequencies, stride: stride)
    Four(c0.b, c1.b, c2.b, c3.b).input.store(to: frequencies + 4 &* stride, stride: stride)
    Four(c0.c, c1.c, c2.c, c3.c).input.store(to: frequencies + 8 &* stride, stride: stride)
    Four(c0.d, c1.d, c2.d, c3.d).input.store(to: frequencies + 12 &* stride, stride: stride)
}

/// Aᵀ m A of 16 channels of one tile: its 2×2 outputs, row by row.
@inline(__always)
func transformOutput(
    _ frequencies: UnsafePointer<Float>, stride: Int
) -> (Lanes, Lanes, Lanes, Lanes) {
    let r0 = Four(from: frequencies, stride: stride).output
    let r1 = Four(from: frequencies + 4 &* stride, stride: stride).output
    let r2 = Four(from: frequencies + 8 &* stride, stride: stride).output
    let r3 = Four(from: frequencies + 12 &* stride, stride: stride).output
    let left = Four(r0.0, r1.0, r2.0, r3.0).output
    let right = Four(r0.1, r1.1, r2.1, r3.1).output
    return (left.0, right.0, left.1, right.1)
}

/// A dY Aᵀ of 16 channels of one tile, whose 2×2 gradients are given row by row.
@inline(__always)
func transformOutputGradient(
    _ y: (Lanes, Lanes, Lanes, Lanes), into frequencies: UnsafeMutablePointer<Float>, stride: Int
) {
    @inline(__always)
    func spread(_ a: Lanes, _ b: Lanes) -> Four { Four(a, a + b, a - b, -b) }
    let left = spread(y.0, y.2)
    let right = spread(y.1, y.3)
    spread(left.a, right.a).store(to: frequencies, stride: stride)
    spread(left.b, right.b).store(to: frequencies + 4 &* stride, stride: stride)
    spread(left.c, right.c).store(to: frequencies + 8 &* stride, stride: stride)
    spread(left.d, right.d).store(to: frequencies + 12 &* stride, stride: stride)
}

/// G g Gᵀ of 16 kernels.
///
/// - Parameters:
///   - kernel: 3×3 vectors, `stride` Floats from one to the next
///   - frequencies: 16 vectors, `frequencyStride` Floats from one to the next, overwritten
@inline(__always)
func transformKernel(
    _ kernel: UnsafePointer<Float>, stride: Int,
    into frequencies: UnsafeMutablePointer<Float>, frequencyStride: Int
) {
    @inline(__always)
    func spread(_ a: Lanes, _ b: Lanes, _ c: Lanes) -> Four {
        let sum = (a + c) * 0.5
        let middle = b * 0.5
        return Four(a, sum + middle, sum - middle, c)
    }
    @inline(__always)
    func column(_ s: Int) -> Four {
        let first = kernel + s &* stride
        return spread(
            loadLanes(first, laneCount), loadLanes(first + 3 &* stride, laneCount),
            loadLanes(first + 6 &* stride, laneCount))
    }
    let (c0, c1, c2) = (column(0), column(1), column(2))
    let next = frequencyStride
    spread(c0.a, c1.a, c2.a).store(to: frequencies, stride: next)
    spread(c0.b, c1.b, c2.b).store(to: frequencies + 4 &* next, stride: next)
    spread(c0.c, c1.c, c2.c).store(to: frequencies + 8 &* next, stride: next)
    spread(c0.d, c1.d, c2.d).store(to: frequencies + 12 &* next, stride: next)
}

/// Gᵀ u G of 16 kernels: the gradient of the 3×3 weights from that of their frequencies.
@inline(__always)
func transformKernelGradient(
    _ frequencies: UnsafePointer<Float>, frequencyStride: Int,
    into kernel: UnsafeMutablePointer<Float>, stride: Int
) {
    @inline(__always)
    func gather(_ u: Four) -> (Lanes, Lanes, Lanes) {
        let sum = (u.b + u.c) * 0.5
        return (u.a + sum, (u.b - u.c) * 0.5, sum + u.d)
    }
    let next = frequencyStride
    let r0 = gather(Four(from: frequencies, stride: next))
    let r1 = gather(Four(from: frequencies + 4 &* next, stride: next))
    let r2 = gather(Four(from: frequencies + 8 &* next, stride: next))
    let r3 = gather(Four(from: frequencies + 12 &* next, stride: next))
    @inline(__always)
    func write(_ s: Int, _ column: (Lanes, Lanes, Lanes)) {
        storeLanes(column.0, kernel + s &* stride, laneCount)
        storeLanes(column.1, kernel + (s &+ 3) &* stride, laneCount)
        storeLanes(column.2, kernel + (s &+ 6) &* stride, laneCount)
    }
    write(0, gather(Four(r0.0, r1.0, r2.0, r3.0)))
    write(1, gather(Four(r0.1, r1.1, r2.1, r3.1)))
    write(2, gather(Four(r0.2, r1.2, r2.2, r3.2)))
}
