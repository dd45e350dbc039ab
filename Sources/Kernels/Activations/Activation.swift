/// The activation functions that kernels fuse with their neighbours.
///
/// | kind | y | y′ from y |
/// |---|---|---|
/// | identity | z | 1 |
/// | sigmoid | 1 / (1 + e^−z) | y·(1 − y) |
/// | tanh | (e^2z − 1) / (e^2z + 1) | 1 − y² |
/// | relu | max(z, 0) | 1 where y > 0, else 0 |
///
/// Accuracy: within 2.5 ulp. Edge cases: NaN stays NaN, also through relu, so that a divergence is
/// found; ±∞ give the limits; a sigmoid below 2⁻¹²⁷ is 0.
public enum ActivationKind: String, Sendable, CaseIterable {
    /// y = z.
    case identity
    /// y = 1 / (1 + e^−z).
    case sigmoid
    /// y = tanh z.
    case tanh
    /// y = max(z, 0).
    case relu
}

/// An activation as kernels see it: a type, so that each kernel is compiled once for every
/// activation and has no branch in its loop.
protocol VectorActivation {
    /// Whether the function changes nothing, so that its passes over memory can be left out.
    static var isIdentity: Bool { get }

    /// y from z.
    static func value(_ z: SIMD16<Float>) -> SIMD16<Float>

    /// dz = dy·y′, from y.
    static func gradient(_ outputGradient: SIMD16<Float>, output: SIMD16<Float>) -> SIMD16<Float>
}

enum Identity: VectorActivation {
    static var isIdentity: Bool { true }

    @inline(__always)
    static func value(_ z: SIMD16<Float>) -> SIMD16<Float> { z }

    @inline(__always)
    static func gradient(_ outputGradient: SIMD16<Float>, output: SIMD16<Float>) -> SIMD16<Float> {
        outputGradient
    }
}

enum Sigmoid: VectorActivation {
    static var isIdentity: Bool { false }

    @inline(__always)
    static func value(_ z: SIMD16<Float>) -> SIMD16<Float> { 1 / (1 + exponential(-z)) }

    @inline(__always)
    static func gradient(_ outputGradient: SIMD16<Float>, output: SIMD16<Float>) -> SIMD16<Float> {
        outputGradient * (output * (1 - output))
    }
}

enum HyperbolicTangent: VectorActivation {
    static var isIdentity: Bool { false }

    /// t / (t + 2) with t = e^2|z| − 1, which keeps its relative accuracy near 0; then z's sign.
    @inline(__always)
    static func value(_ z: SIMD16<Float>) -> SIMD16<Float> {
        let bits = unsafeBitCast(z, to: SIMD16<UInt32>.self)
        let sign = bits & 0x8000_0000
        let magnitude = unsafeBitCast(bits & 0x7FFF_FFFF, to: SIMD16<Float>.self)
        // From 9.02 on the nearest Float32 is 1.
        let bounded = magnitude.replacing(with: 10, where: magnitude .> 10)
        let t = exponentialMinusOne(bounded + bounded)
        let y = t / (t + 2)
        return unsafeBitCast(unsafeBitCast(y, to: SIMD16<UInt32>.self) | sign, to: SIMD16.self)
    }

    @inline(__always)
    static func gradient(_ outputGradient: SIMD16<Float>, output: SIMD16<Float>) -> SIMD16<Float> {
        outputGradient * SIMD16(repeating: 1).addingProduct(-output, output)
    }
}

enum Rectifier: VectorActivation {
    static var isIdentity: Bool { false }

    @inline(__always)
    static func value(_ z: SIMD16<Float>) -> SIMD16<Float> {
        z.replacing(with: 0, where: z .< 0)
    }

    @inline(__always)
    static func gradient(_ outputGradient: SIMD16<Float>, output: SIMD16<Float>) -> SIMD16<Float> {
        outputGradient.replacing(with: 0, where: output .<= 0)
    }
}

/// output = activation(input), element by element.
///
/// - Parameters:
///   - input: [count]
///   - output: [count]; may be `input`.
public func activate(
    input: UnsafePointer<Float>, count: Int, activation: ActivationKind,
    output: UnsafeMutablePointer<Float>
) {
    switch activation {
    case .identity:
        if UnsafePointer(output) != input { output.update(from: input, count: count) }
    case .sigmoid: activate(Sigmoid.self, input, count, output)
    case .tanh: activate(HyperbolicTangent.self, input, count, output)
    case .relu: activate(Rectifier.self, input, count, output)
    }
}

private func activate<Activation: VectorActivation>(
    _: Activation.Type, _ input: UnsafePointer<Float>, _ count: Int,
    _ output: UnsafeMutablePointer<Float>
) {
    var i = 0
    while i &+ laneCount <= count {
        storeLanes(Activation.value(loadLanes(input + i, laneCount)), output + i, laneCount)
        i &+= laneCount
    }
    if i < count {
        storeLanes(Activation.value(loadLanes(input + i, count - i)), output + i, count - i)
    }
}

/// inputGradient = outputGradient · activation′, the derivative taken from the output.
///
/// - Parameters:
///   - output: [count], what `activate` wrote.
///   - outputGradient: [count]
///   - inputGradient: [count]; may be `outputGradient`.
public func activateBackward(
    output: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>, count: Int,
    activation: ActivationKind, inputGradient: UnsafeMutablePointer<Float>
) {
    switch activation {
    case .identity:
        if UnsafePointer(inputGradient) != outputGradient {
            inputGradient.update(from: outputGradient, count: count)
        }
    case .sigmoid: activateBackward(Sigmoid.self, output, outputGradient, count, inputGradient)
    case .tanh:
        activateBackward(HyperbolicTangent.self, output, outputGradient, count, inputGradient)
    case .relu: activateBackward(Rectifier.self, output, outputGradient, count, inputGradient)
    }
}

private func activateBackward<Activation: VectorActivation>(
    _: Activation.Type, _ output: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
    _ count: Int, _ inputGradient: UnsafeMutablePointer<Float>
) {
    var i = 0
    while i < count {
        let lanes = min(laneCount, count &- i)
        let gradient = Activation.gradient(
            loadLanes(outputGradient + i, lanes), output: loadLanes(output + i, lanes))
        storeLanes(gradient, inputGradient + i, lanes)
        i &+= laneCount
    }
}
