import TensorCore
import TestSupport
import Testing

@testable import Layers

@Suite("Noise behind normalisation")
struct NoiseTests {
    private let distribution = Noise.Distribution(mean: 0.5, deviation: 1.25, spread: 0.1)

    private func noise(columns: Int, positions: Int = 1, rows: Int) -> NoiseLayer {
        NoiseLayer(
            name: "noise", distribution, seed: 7, ordinal: 3, columns: columns,
            positions: positions, rows: rows)
    }

    @Test("inference and calibration are without it", arguments: [1, 6])
    func inference(positions: Int) throws {
        let (samples, columns) = (5, 17)
        let layer = noise(columns: columns, positions: positions, rows: samples)
        let shape = wholeShape(samples: samples, shards: 2)
        let input = normals(samples * positions * columns, index: 1)
        let graph = try LayerGraph(
            chain: [layer], shapes: [shape], inputSize: positions * columns)
        let x = tensor(input, columns: columns)
        for mode in [Mode.inference, .calibration] {
            #expect(try graph.forward(x, Pass(mode, shape, step: 4)).elements == input)
        }
        #expect(try graph.forward(x, Pass(.training, shape, step: 4)).elements != input)
    }

    @Test("y = s·x + m and dx = s·dy, with s and m as wide as they should be")
    func distributions() throws {
        let (samples, columns) = (400, 30)
        let layer = noise(columns: columns, rows: samples)
        let shape = wholeShape(samples: samples, shards: 3)
        let graph = try LayerGraph(
            chain: [layer], shapes: [shape], inputSize: columns, needsInputGradient: true)
        func outputs(_ value: Float, step: Int) throws -> [Float] {
            let x = tensor([Float](repeating: value, count: samples * columns), columns: columns)
            return try graph.forward(x, Pass(.training, shape, step: step)).elements
        }
        var channels: [(mean: Double, deviation: Double)] = []
        for step in 1...20 {
            let summands = doubles(try outputs(0, step: step))
            let sums = doubles(try outputs(1, step: step))
            let ones = tensor([Float](repeating: 1, count: samples * columns), columns: columns)
            let factors = doubles(
                try graph.backward(ones, Pass(.training, shape, step: step))?.elements ?? [])
            for (sum, parts) in zip(sums, zip(factors, summands)) {
                #expect(abs(sum - parts.0 - parts.1) < 1e-6)
            }
            for c in 0..<columns {
                let own = stride(from: c, to: samples * columns, by: columns)
                let m = own.map { summands[$0] }
                let s = own.map { factors[$0] }
                // m is uniform in μ ± 0.1; s normal about σ, of deviation 0.1.
                let μ = m.reduce(0, +) / Double(samples)
                let σ = s.reduce(0, +) / Double(samples)
                #expect((m.max() ?? 9) - (m.min() ?? 0) <= 0.2 + 1e-6)
                let variance = s.reduce(0) { $0 + ($1 - σ) * ($1 - σ) } / Double(samples)
                #expect((0.08...0.12).contains(variance.squareRoot()))
                channels.append((μ, σ))
            }
        }
        // Anew for each channel in each step: μ in ± 0.5, σ in 1…1.25, evenly.
        let (means, deviations) = (channels.map(\.mean), channels.map(\.deviation))
        #expect(means.allSatisfy { abs($0) < 0.51 } && deviations.allSatisfy { 0.97...1.28 ~= $0 })
        #expect(abs(means.reduce(0, +) / 600) < 0.05)
        #expect(abs(deviations.reduce(0, +) / 600 - 1.125) < 0.02)
        #expect((means.max() ?? 0) > 0.45 && (means.min() ?? 0) < -0.45)
    }
}
