import TensorCore

/// F(4×4, 3×3), 36 products for 16 outputs, from the points 0, ±¾, ±3⁄2 and ∞. With a = ¾, b = 3⁄2:
///
///     Bᵀ = a²b²   0   −a²−b²   0     1   0     G = 1/a²b²    0      0      Aᵀ = 1  1   1   1   1  0
///           0   −ab²   −b²     a     1   0         1/n     a/n   a²/n           0  a  −a   b  −b  0
///           0    ab²   −b²    −a     1   0         1/n    −a/n   a²/n           0  a²  a²  b²  b² 0
///           0   −a²b   −a²     b     1   0         1/m     b/m   b²/m           0  a³ −a³  b³ −b³ 1
///           0    a²b   −a²    −b     1   0         1/m    −b/m   b²/m
///           0   a²b²    0   −a²−b²   0   1          0       0      1
///
/// with n = 2a²(a² − b²), m = 2b²(b² − a²). All entries of A and B are exact. Errors, of the largest
/// output: 2 to 5 times those of a direct convolution; the usual points 0, ±1, ±2 lose four times as
/// much (Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for
/// deep neural networks", 2020, on the choice of points).
enum Tiles4x4: WinogradTransform {
    @inline(__always)
    static var outputs: Int { 4 }

    @inline(__always)
    static func transformInput(
        _ patch: some InputPatch, into frequencies: UnsafeMutablePointer<Float>, stride: Int
    ) {
        // Down the columns, then along the rows.
        let c0 = Six(patch, 0).input
        let c1 = Six(patch, 1).input
        let c2 = Six(patch, 2).input
        let c3 = Six(patch, 3).input
        let c4 = Six(patch, 4).input
        let c5 = Six(patch, 5).input
        @inline(__always)
        func write(
            _ row: Int, _ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes, _ e: Lanes, _ f: Lanes
        ) {
            Six(a, b, c, d, e, f).input.store(
                to: frequencies + 6 &* row &* stride, stride: stride)
        }
        write(0, c0.a, c1.a, c2.a, c3.a, c4.a, c5.a)
        write(1, c0.b, c1.b, c2.b, c3.b, c4.b, c5.b)
        write(2, c0.c, c1.c, c2.c, c3.c, c4.c, c5.c)
        write(3, c0.d, c1.d, c2.d, c3.d, c4.d, c5.d)
        write(4, c0.e, c1.e, c2.e, c3.e, c4.e, c5.e)
        write(5, c0.f, c1.f, c2.f, c3.f, c4.f, c5.f)
    }

    @inline(__always)
    static func transformOutput(
        _ frequencies: UnsafePointer<Float>, stride: Int, bias: UnsafePointer<Float>?,
        into tile: some OutputTile<UnsafeMutablePointer<Float>>
    ) {
        @inline(__always)
        func row(_ i: Int) -> (Lanes, Lanes, Lanes, Lanes) {
            Six(from: frequencies + 6 &* i &* stride, stride: stride).output
        }
        let (r0, r1, r2, r3, r4, r5) = (row(0), row(1), row(2), row(3), row(4), row(5))
        @inline(__always)
        func write(
            _ j: Int, _ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes, _ e: Lanes, _ f: Lanes
        ) {
            var out = Six(a, b, c, d, e, f).output
            if let bias {
                let b = loadLanes(bias, laneCount)
                out = (out.0 + b, out.1 + b, out.2 + b, out.3 + b)
            }
            tile.store(out.0, 0, j)
            tile.store(out.1, 1, j)
            tile.store(out.2, 2, j)
            tile.store(out.3, 3, j)
        }
        write(0, r0.0, r1.0, r2.0, r3.0, r4.0, r5.0)
        write(1, r0.1, r1.1, r2.1, r3.1, r4.1, r5.1)
        write(2, r0.2, r1.2, r2.2, r3.2, r4.2, r5.2)
        write(3, r0.3, r1.3, r2.3, r3.3, r4.3, r5.3)
    }

    @inline(__always)
    static func transformOutputGradient(
        _ tile: some OutputTile<UnsafePointer<Float>>,
        into frequencies: UnsafeMutablePointer<Float>, stride: Int
    ) {
        @inline(__always)
        func column(_ j: Int) -> Six {
            Six(spreading: tile[0, j], tile[1, j], tile[2, j], tile[3, j])
        }
        let (c0, c1, c2, c3) = (column(0), column(1), column(2), column(3))
        @inline(__always)
        func write(_ row: Int, _ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes) {
            Six(spreading: a, b, c, d).store(
                to: frequencies + 6 &* row &* stride, stride: stride)
        }
        write(0, c0.a, c1.a, c2.a, c3.a)
        write(1, c0.b, c1.b, c2.b, c3.b)
        write(2, c0.c, c1.c, c2.c, c3.c)
        write(3, c0.d, c1.d, c2.d, c3.d)
        write(4, c0.e, c1.e, c2.e, c3.e)
        write(5, c0.f, c1.f, c2.f, c3.f)
    }

    @inline(__always)
    static func transformKernel(
        _ kernel: UnsafePointer<Float>, stride: Int,
        into frequencies: UnsafeMutablePointer<Float>, frequencyStride: Int
    ) {
        @inline(__always)
        func column(_ s: Int) -> Six {
            let first = kernel + s &* stride
            return Six(
                kernel: loadLanes(first, laneCount), loadLanes(first + 3 &* stride, laneCount),
                loadLanes(first + 6 &* stride, laneCount))
        }
        let (c0, c1, c2) = (column(0), column(1), column(2))
        @inline(__always)
        func write(_ row: Int, _ a: Lanes, _ b: Lanes, _ c: Lanes) {
            Six(kernel: a, b, c).store(
                to: frequencies + 6 &* row &* frequencyStride, stride: frequencyStride)
        }
        write(0, c0.a, c1.a, c2.a)
        write(1, c0.b, c1.b, c2.b)
        write(2, c0.c, c1.c, c2.c)
        write(3, c0.d, c1.d, c2.d)
        write(4, c0.e, c1.e, c2.e)
        write(5, c0.f, c1.f, c2.f)
    }

    @inline(__always)
    static func transformKernelGradient(
        _ frequencies: UnsafePointer<Float>, frequencyStride: Int,
        into kernel: UnsafeMutablePointer<Float>, stride: Int
    ) {
        @inline(__always)
        func row(_ i: Int) -> (Lanes, Lanes, Lanes) {
            Six(from: frequencies + 6 &* i &* frequencyStride, stride: frequencyStride)
                .kernelGradient
        }
        let (r0, r1, r2, r3, r4, r5) = (row(0), row(1), row(2), row(3), row(4), row(5))
        @inline(__always)
        func write(
            _ s: Int, _ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes, _ e: Lanes, _ f: Lanes
        ) {
            let column = Six(a, b, c, d, e, f).kernelGradient
            storeLanes(column.0, kernel + s &* stride, laneCount)
            storeLanes(column.1, kernel + (s &+ 3) &* stride, laneCount)
            storeLanes(column.2, kernel + (s &+ 6) &* stride, laneCount)
        }
        write(0, r0.0, r1.0, r2.0, r3.0, r4.0, r5.0)
        write(1, r0.1, r1.1, r2.1, r3.1, r4.1, r5.1)
        write(2, r0.2, r1.2, r2.2, r3.2, r4.2, r5.2)
    }
}

/// Six neighbouring values of a transform.
private struct Six {
    var a: Lanes
    var b: Lanes
    var c: Lanes
    var d: Lanes
    var e: Lanes
    var f: Lanes

    @inline(__always)
    init(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes, _ e: Lanes, _ f: Lanes) {
        (self.a, self.b, self.c) = (a, b, c)
        (self.d, self.e, self.f) = (d, e, f)
    }

    /// From six places, `stride` Floats apart.
    @inline(__always)
    init(from pointer: UnsafePointer<Float>, stride: Int) {
        a = loadLanes(pointer, laneCount)
        b = loadLanes(pointer + stride, laneCount)
        c = loadLanes(pointer + 2 &* stride, laneCount)
        d = loadLanes(pointer + 3 &* stride, laneCount)
        e = loadLanes(pointer + 4 &* stride, laneCount)
        f = loadLanes(pointer + 5 &* stride, laneCount)
    }

    /// Column j of a patch.
    @inline(__always)
    init(_ patch: some InputPatch, _ j: Int) {
        if patch.hasColumn(j) {
            self.init(
                patch.pixel(0, j), patch.pixel(1, j), patch.pixel(2, j), patch.pixel(3, j),
                patch.pixel(4, j), patch.pixel(5, j))
        } else {
            self.init(.zero, .zero, .zero, .zero, .zero, .zero)
        }
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>, stride: Int) {
        storeLanes(a, pointer, laneCount)
        storeLanes(b, pointer + stride, laneCount)
        storeLanes(c, pointer + 2 &* stride, laneCount)
        storeLanes(d, pointer + 3 &* stride, laneCount)
        storeLanes(e, pointer + 4 &* stride, laneCount)
        storeLanes(f, pointer + 5 &* stride, laneCount)
    }

    // a = ¾, a² = 0.5625, a³ = 0.421875; b = 1.5, b² = 2.25, b³ = 3.375;
    // a²b² = 1.265625, a² + b² = 2.8125; 1/n = −128/243, 1/m = 32/243.

    /// Bᵀ · self
    @inline(__always)
    var input: Six {
        let evenA = e.addingProduct(c, -2.25)
        let oddA = d.addingProduct(b, -2.25)
        let evenB = e.addingProduct(c, -0.5625)
        let oddB = d.addingProduct(b, -0.5625)
        return Six(
            e.addingProduct(c, -2.8125).addingProduct(a, 1.265625),
            evenA.addingProduct(oddA, 0.75), evenA.addingProduct(oddA, -0.75),
            evenB.addingProduct(oddB, 1.5), evenB.addingProduct(oddB, -1.5),
            f.addingProduct(d, -2.8125).addingProduct(b, 1.265625))
    }

    /// Aᵀ · self
    @inline(__always)
    var output: (Lanes, Lanes, Lanes, Lanes) {
        let (evenA, oddA) = (b + c, b - c)
        let (evenB, oddB) = (d + e, d - e)
        return (
            a + evenA + evenB,
            (oddA * 0.75).addingProduct(oddB, 1.5),
            (evenA * 0.5625).addingProduct(evenB, 2.25),
            f.addingProduct(oddA, 0.421875).addingProduct(oddB, 3.375)
        )
    }

    /// A · (w, x, y, z)
    @inline(__always)
    init(spreading w: Lanes, _ x: Lanes, _ y: Lanes, _ z: Lanes) {
        let evenA = w.addingProduct(y, 0.5625)
        let oddA = x.addingProduct(z, 0.5625)
        let evenB = w.addingProduct(y, 2.25)
        let oddB = x.addingProduct(z, 2.25)
        self.init(
            w, evenA.addingProduct(oddA, 0.75), evenA.addingProduct(oddA, -0.75),
            evenB.addingProduct(oddB, 1.5), evenB.addingProduct(oddB, -1.5), z)
    }

    /// G · (x, y, z)
    @inline(__always)
    init(kernel x: Lanes, _ y: Lanes, _ z: Lanes) {
        let evenA = x.addingProduct(z, 0.5625)
        let evenB = x.addingProduct(z, 2.25)
        self.init(
            x * (64 / 81),
            evenA.addingProduct(y, 0.75) * (-128 / 243),
            evenA.addingProduct(y, -0.75) * (-128 / 243),
            evenB.addingProduct(y, 1.5) * (32 / 243), evenB.addingProduct(y, -1.5) * (32 / 243),
            z)
    }

    /// Gᵀ · self
    @inline(__always)
    var kernelGradient: (Lanes, Lanes, Lanes) {
        let (evenA, oddA) = ((b + c) * (-128 / 243), (b - c) * (-128 / 243))
        let (evenB, oddB) = ((d + e) * (32 / 243), (d - e) * (32 / 243))
        return (
            (a * (64 / 81)) + evenA + evenB,
            (oddA * 0.75).addingProduct(oddB, 1.5),
            f.addingProduct(evenA, 0.5625).addingProduct(evenB, 2.25)
        )
    }
}
