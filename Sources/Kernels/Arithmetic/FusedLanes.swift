import CPlatform

// Fused multiply-adds of whole vectors, in place of the standard library's, which are the same values
// lane by lane: on NEON Winograd's transforms were scalar with those, and spilled on AVX2.

extension SIMD16<Float> {
    /// self + a·b, rounded once.
    @inline(__always)
    func addingProduct(_ a: Self, _ b: Self) -> Self { bn_fma_float16(a, b, self) }

    @inline(__always)
    func addingProduct(_ a: Self, _ b: Float) -> Self {
        bn_fma_float16(a, Self(repeating: b), self)
    }

    @inline(__always)
    func addingProduct(_ a: Float, _ b: Self) -> Self {
        bn_fma_float16(Self(repeating: a), b, self)
    }

    /// self += a·b, rounded once.
    @inline(__always)
    mutating func addProduct(_ a: Self, _ b: Self) { self = bn_fma_float16(a, b, self) }
}

extension SIMD8<Float> {
    /// self += a·b, rounded once.
    @inline(__always)
    mutating func addProduct(_ a: Self, _ b: Self) { self = bn_fma_float8(a, b, self) }
}

extension SIMD16<Double> {
    /// self + a·b, rounded once.
    @inline(__always)
    func addingProduct(_ a: Self, _ b: Self) -> Self { bn_fma_double16(a, b, self) }

    @inline(__always)
    func addingProduct(_ a: Double, _ b: Self) -> Self {
        bn_fma_double16(Self(repeating: a), b, self)
    }

    @inline(__always)
    func addingProduct(_ a: Self, _ b: Double) -> Self {
        bn_fma_double16(a, Self(repeating: b), self)
    }

    /// self += a·b, rounded once.
    @inline(__always)
    mutating func addProduct(_ a: Self, _ b: Self) { self = bn_fma_double16(a, b, self) }
}

/// A vector of channels that fits one register: 16 for AVX-512, else 8.
protocol RegisterVector: BitwiseCopyable {
    static var zero: Self { get }
    static func + (left: Self, right: Self) -> Self
    /// self += a·b, rounded once.
    mutating func addProduct(_ a: Self, _ b: Self)
}

extension SIMD8: RegisterVector where Scalar == Float {}
extension SIMD16: RegisterVector where Scalar == Float {}

extension RegisterVector {
    @inline(__always)
    init(from pointer: UnsafePointer<Float>) {
        self = UnsafeRawPointer(pointer).loadUnaligned(as: Self.self)
    }

    @inline(__always)
    func store(to pointer: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(pointer).storeBytes(of: self, as: Self.self)
    }
}
