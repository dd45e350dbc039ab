public import TensorCore

/// How weights start. Biases start at 0, γ at 1, β at 0.
///
/// A weight is a pure function of (seed, ordinal of the weighted layer, position in PyTorch's
/// layout): the same seed gives the same weights with and without BN and for every placement.
public enum Initialization: Hashable, Sendable {
    /// Normal, mean 0, of this standard deviation.
    case normal(standardDeviation: Double)

    /// Uniform in ±gain·√(6 / (in + out)): Glorot, Bengio, "Understanding the difficulty of training
    /// deep feedforward neural networks", 2010.
    case xavier(gain: Double)

    /// Normal, mean 0, standard deviation gain·√(2 / in): He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015.
    case he(gain: Double)

    /// The weights of the weighted layer `ordinal`, of shape [out, in] or [out, in, height, width].
    public func values(shape: Shape, seed: UInt64, ordinal: Int) -> [Float] {
        let random = CounterRandom(
            seed: seed, purpose: .initialWeights, index: UInt64(ordinal))
        let field = shape.dimensions.dropFirst(2).reduce(1, *)
        let (fanOut, fanIn) = (Double(shape[0] * field), Double(shape[1] * field))
        switch self {
        case .normal(let deviation):
            return normal(shape.count, random, deviation)
        case .he(let gain):
            return normal(shape.count, random, gain * (2 / fanIn).squareRoot())
        case .xavier(let gain):
            let bound = gain * (6 / (fanIn + fanOut)).squareRoot()
            return (0..<shape.count).map { Float((2 * random.uniform(at: $0) - 1) * bound) }
        }
    }

    /// Box and Muller, "A note on the generation of random normal deviates", 1958: a pair from two
    /// uniform numbers.
    private func normal(
        _ count: Int, _ random: CounterRandom, _ deviation: Double
    ) -> [Float] {
        var values = [Float](repeating: 0, count: count)
        for i in stride(from: 0, to: count, by: 2) {
            // In (0, 1]: the logarithm of 0 is not wanted.
            let radius = (-2 * Portable.log(1 - random.uniform(at: i))).squareRoot() * deviation
            // In units of π.
            let angle = 2 * random.uniform(at: i + 1)
            values[i] = Float(radius * Portable.cosPi(angle))
            if i + 1 < count { values[i + 1] = Float(radius * Portable.sinPi(angle)) }
        }
        return values
    }
}
