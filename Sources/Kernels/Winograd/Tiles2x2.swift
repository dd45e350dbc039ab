import TensorCore

/// F(2×2, 3×3), 16 products for 4 outputs:
///
///     Bᵀ = 1  0 −1  0     G = 1   0   0     Aᵀ = 1  1  1  0
///          0  1  1  0         ½   ½   ½          0  1 −1 −1
///          0 −1  1  0         ½  −½   ½
///          0  1  0 −1         0   0   1
///
/// Products apart, these are sums and halves alone, so that the error stays that of a direct
/// convolution.
enum Tiles2x2: WinogradTransform {
    @inline(__always)
    static var outputs: Int { 2 }

    @inline(__always)
    static func transformInput(
        _ patch: some InputPatch, into frequencies: UnsafeMutablePointer<Float>, stride: Int
    ) {
        // Down the columns, then along the rows.
        let c0 = Four(patch, 0).input
        let c1 = Four(patch, 1).input
        let c2 = Four(patch, 2).input
        let c3 = Four(patch, 3).input
        Four(c0.a, c1.a, c2.a, c3.a).input.store(to: frequencies, stride: stride)
        Four(c0.b, c1.b, c2.b, c3.b).input.store(to: frequencies + 4 &* stride, stride: stride)
        Four(c0.c, c1.c, c2.c, c3.c).input.store(to: frequencies + 8 &* stride, stride: stride)
        Four(c0.d, c1.d, c2.d, c3.d).input.store(to: frequencies + 12 &* stride, stride: stride)
    }

    @inline(__always)
    static func transformOutput(
        _ frequencies: UnsafePointer<Float>, stride: Int, bias: UnsafePointer<Float>?,
        into tile: some OutputTile<UnsafeMutablePointer<Float>>
    ) {
        let r0 = Four(from: frequencies, stride: stride).output
        let r1 = Four(from: frequencies + 4 &* stride, stride: stride).output
        let r2 = Four(from: frequencies + 8 &* stride, stride: stride).output
        let r3 = Four(from: frequencies + 12 &* stride, stride: stride).output
        var left = Four(r0.0, r1.0, r2.0, r3.0).output
        var right = Four(r0.1, r1.1, r2.1, r3.1).output
        if let bias {
            let b = loadLanes(bias, laneCount)
            left = (left.0 + b, left.1 + b)
            right = (right.0 + b, right.1 + b)
        }
        tile.store(left.0, 0, 0)
        tile.store(right.0, 0, 1)
        tile.store(left.1, 1, 0)
        tile.store(right.1, 1, 1)
    }

    @inline(__always)
    static func transformOutputGradient(
        _ tile: some OutputTile<UnsafePointer<Float>>,
        into frequencies: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let left = Four(spreading: tile[0, 0], tile[1, 0])
        let right = Four(spreading: tile[0, 1], tile[1, 1])
        Four(spreading: left.a, right.a).store(to: frequencies, stride: stride)
        Four(spreading: left.b, right.b).store(to: frequencies + 4 &* stride, stride: stride)
        Four(spreading: left.c, right.c).store(to: frequencies + 8 &* stride, stride: stride)
        Four(spreading: left.d, right.d).store(to: frequencies + 12 &* stride, stride: stride)
    }

    @inline(__always)
    static func transformKernel(
        _ kernel: UnsafePointer<Float>, stride: Int,
        into frequencies: UnsafeMutablePointer<Float>, frequencyStride: Int
    ) {
        @inline(__always)
        func column(_ s: Int) -> Four {
            let first = kernel + s &* stride
            return Four(
                kernel: loadLanes(first, laneCount), loadLanes(first + 3 &* stride, laneCount),
                loadLanes(first + 6 &* stride, laneCount))
        }
        let (c0, c1, c2) = (column(0), column(1), column(2))
        let next = frequencyStride
        Four(kernel: c0.a, c1.a, c2.a).store(to: frequencies, stride: next)
        Four(kernel: c0.b, c1.b, c2.b).store(to: frequencies + 4 &* next, stride: next)
        Four(kernel: c0.c, c1.c, c2.c).store(to: frequencies + 8 &* next, stride: next)
        Four(kernel: c0.d, c1.d, c2.d).store(to: frequencies + 12 &* next, stride: next)
    }

    @inline(__always)
    static func transformKernelGradient(
        _ frequencies: UnsafePointer<Float>, frequencyStride: Int,
        into kernel: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let next = frequencyStride
        let r0 = Four(from: frequencies, stride: next).kernelGradient
        let r1 = Four(from: frequencies + 4 &* next, stride: next).kernelGradient
        let r2 = Four(from: frequencies + 8 &* next, stride: next).kernelGradient
        let r3 = Four(from: frequencies + 12 &* next, stride: next).kernelGradient
        @inline(__always)
        func write(_ s: Int, _ column: (Lanes, Lanes, Lanes)) {
            storeLanes(column.0, kernel + s &* stride, laneCount)
            storeLanes(column.1, kernel + (s &+ 3) &* stride, laneCount)
            storeLanes(column.2, kernel + (s &+ 6) &* stride, laneCount)
        }
        write(0, Four(r0.0, r1.0, r2.0, r3.0).kernelGradient)
        write(1, Four(r0.1, r1.1, r2.1, r3.1).kernelGradient)
        write(2, Four(r0.2, r1.2, r2.2, r3.2).kernelGradient)
    }
}

/// Four neighbouring values of a transform.
private struct Four {
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

    /// Column j of a patch.
    @inline(__always)
    init(_ patch: some InputPatch, _ j: Int) {
        if patch.hasColumn(j) {
            self.init(
                patch.pixel(0, j), patch.pixel(1, j), patch.pixel(2, j), patch.pixel(3, j))
        } else {
            self.init(.zero, .zero, .zero, .zero)
        }
    }

    /// A · (y, z)
    @inline(__always)
    init(spreading y: Lanes, _ z: Lanes) {
        self.init(y, y + z, y - z, -z)
    }

    /// G · (x, y, z)
    @inline(__always)
    init(kernel x: Lanes, _ y: Lanes, _ z: Lanes) {
        let sum = (x + z) * 0.5
        let middle = y * 0.5
        self.init(x, sum + middle, sum - middle, z)
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

    /// Gᵀ · self
    @inline(__always)
    var kernelGradient: (Lanes, Lanes, Lanes) {
        let sum = (b + c) * 0.5
        return (a + sum, (b - c) * 0.5, sum + d)
    }
}
