/// Functions of Float64 with the same bits on every machine.
///
/// A C library's differ between its versions and, by the instructions that it finds, between CPUs;
/// only square roots and fused multiply-adds are the same everywhere. These are sums and products in
/// a fixed order, within 1 unit in the last place of the true value. Names are those of IEEE 754-2019,
/// chapter 9.
public enum Portable {
    // MARK: logarithm

    /// ln x.
    ///
    /// x = 2ᵏ·(1 + f) with 1 + f in √½ … √2, and with s = f / (2 + f)
    ///
    ///     ln(1 + f) = 2s + s·R(s²) = f − (f²/2 − s·(f²/2 + R(s²)))
    ///
    /// where R is a polynomial of degree 14 (coefficients of FreeBSD's e_log.c: Sun Microsystems 1993,
    /// error of R below 2⁻⁵⁸·⁴⁵).
    ///
    /// Edge cases: −∞ for 0, NaN below and for NaN, +∞ for +∞.
    public static func log(_ x: Double) -> Double {
        guard x > 0, x.isFinite else { return x == 0 ? -.infinity : x > 0 ? x : .nan }
        var (k, m) = (Double(x.exponent), x.significand)
        if m > 1.414_213_562_373_095_1 { (k, m) = (k + 1, m / 2) }
        let f = m - 1
        let half = 0.5 * f * f
        let s = f / (2 + f)
        let z = s * s
        let w = z * z
        let odd =
            z
            * (6.666666666666735130e-01
                + w
                * (2.857142874366239149e-01
                    + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)))
        let even =
            w
            * (3.999999999940941908e-01
                + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
        // ln 2 in two parts; the first has 33 bits, so that k times it is exact.
        return s * (half + (even + odd)) + k * 1.90821492927058770002e-10 - half + f
            + k * 6.93147180369123816490e-01
    }

    // MARK: sine and cosine

    /// sin πx; 0 for integers, NaN for infinities and NaN.
    public static func sinPi(_ x: Double) -> Double { sine(x, quarterTurns: 0) }

    /// cos πx.
    public static func cosPi(_ x: Double) -> Double { sine(x, quarterTurns: 1) }

    /// sin π(x + quarterTurns/2): x is n/2 + r with |r| ≤ ¼, exactly.
    private static func sine(_ x: Double, quarterTurns: Int) -> Double {
        guard x.isFinite else { return .nan }
        // A multiple of 2 changes nothing.
        let turn = x.remainder(dividingBy: 2)
        let n = (2 * turn).rounded(.toNearestOrEven)
        let r = turn - 0.5 * n
        // π in two parts: πr as a sum of two numbers.
        let a = r * Double.pi
        let b = (-a).addingProduct(r, Double.pi) + r * 1.2246467991473532e-16
        switch (Int(n) + quarterTurns) & 3 {
        case 0: return sine(a, b)
        case 1: return cosine(a, b)
        case 2: return -sine(a, b)
        default: return -cosine(a, b)
        }
    }

    /// sin(a + b) for |a| ≤ π/4 and b much smaller; coefficients of FreeBSD's k_sin.c.
    private static func sine(_ a: Double, _ b: Double) -> Double {
        let z = a * a
        let cube = z * a
        let tail =
            8.33333333332248946124e-03
            + z
            * (-1.98412698298579493134e-04
                + z
                * (2.75573137070700676789e-06
                    + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))
        return a - ((z * (0.5 * b - cube * tail) - b) - cube * -1.66666666666666324348e-01)
    }

    /// cos(a + b) likewise; coefficients of k_cos.c.
    private static func cosine(_ a: Double, _ b: Double) -> Double {
        let z = a * a
        let tail =
            z
            * (4.16666666666666019037e-02
                + z
                * (-1.38888888888741095749e-03
                    + z
                    * (2.48015872894767294178e-05
                        + z
                        * (-2.75573143513906633035e-07
                            + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))))
        let half = 0.5 * z
        let rest = 1 - half
        return rest + (((1 - rest) - half) + (z * tail - a * b))
    }

    // MARK: power

    /// xⁿ for n ≥ 0; 1 for n = 0, whatever x is.
    ///
    /// A product of n factors, kept as a sum of two numbers: for counts of milestones, not for large n.
    public static func pown(_ x: Double, _ n: Int) -> Double {
        precondition(n >= 0, "the exponent is negative")
        var (high, low) = (1.0, 0.0)
        for _ in 0..<n {
            let product = high * x
            guard product.isFinite, product != 0 else { return product }
            let error = (-product).addingProduct(high, x) + low * x
            high = product + error
            low = (product - high) + error
        }
        return high
    }
}
