import TensorCore
import Testing

@testable import Datasets

@Suite("Whitening")
struct WhiteningTests {
    /// Correlated features of many scales, the first of them constant.
    private func correlated(
        _ count: Int, _ height: Int, _ width: Int, _ channels: Int = 1
    ) throws -> Dataset {
        let features = height * width * channels
        let random = CounterRandom(seed: 3, purpose: .benchmark, index: 0)
        var images: [UInt8] = []
        for sample in 0..<count {
            var before = random.integer(below: 128, at: sample * (features + 1))
            for feature in 0..<features {
                let noise = random.integer(
                    below: 12 + 9 * (feature % 7), at: sample * (features + 1) + feature + 1)
                before = (before + 2 * noise) % 256
                images.append(feature == 0 ? 77 : UInt8(before))
            }
        }
        return try Dataset(
            name: "correlated", height: height, width: width, channels: channels, classes: 2,
            images: images, labels: (0..<count).map { UInt8($0 % 2) }, source: "correlated")
    }

    /// Mean and covariance of the rows, in Float64, as they are defined.
    private func moments(_ rows: [[Double]]) -> (mean: [Double], covariance: [[Double]]) {
        let n = Double(rows.count)
        let features = rows[0].indices
        let mean = features.map { feature in rows.reduce(0) { $0 + $1[feature] } / n }
        let covariance = features.map { i in
            features.map { j in rows.reduce(0) { $0 + ($1[i] - mean[i]) * ($1[j] - mean[j]) } / n }
        }
        return (mean, covariance)
    }

    private func unitRows(_ view: SampleView) -> [[Double]] {
        (0..<view.count).map { view.pixels(at: $0).map { Double($0) / 255 } }
    }

    private func whitened(_ view: SampleView, _ scaling: InputScaling) -> [[Double]] {
        let features = view.dataset.features
        let batch = Tensor(rows: view.count, columns: features)
        scaling.fill(batch, from: view, at: 0..<view.count)
        return (0..<view.count).map { row in
            (0..<features).map { Double(batch.pointer[row * features + $0]) }
        }
    }

    @Test(
        "the covariance is that of its definition, from exact sums, of the samples in use",
        arguments: [(1, 1, 1, 5), (3, 11, 1, 300), (5, 3, 3, 520), (1, 2, 2, 256)])
    func covariance(height: Int, width: Int, channels: Int, count: Int) throws {
        let view = SampleView(try correlated(count + 4, height, width, channels), range: 3..<count)
        let (mean, covariance) = featureCovariance(of: view)
        let expected = moments(unitRows(view))
        let n = mean.count
        for i in 0..<n {
            #expect(abs(mean[i] - expected.mean[i]) < 1e-14)
            for j in 0..<n {
                #expect(abs(covariance[i * n + j] - expected.covariance[i][j]) < 1e-13)
            }
        }
    }

    @Test(
        "without ε the samples in use have covariance 1, but for a feature that never changes",
        arguments: Whitening.Kind.allCases, [(3, 4, 1), (3, 3, 3), (1, 37, 1)])
    func identity(kind: Whitening.Kind, shape: (Int, Int, Int)) throws {
        let view = SampleView(try correlated(400, shape.0, shape.1, shape.2), range: 5..<390)
        let scaling = try InputScaling(.whitened(kind, epsilon: 0), for: view)
        let (mean, covariance) = moments(whitened(view, scaling))
        let features = mean.indices
        // PCA's components are in the order of their variance: what has none is the last.
        let constant = kind == .zca ? 0 : features.count - 1
        for i in features {
            #expect(abs(mean[i]) < 2e-5)
            for j in features {
                let expected = i == j && i != constant ? 1.0 : 0
                #expect(abs(covariance[i][j] - expected) < 1e-4, "\(i), \(j)")
            }
        }
    }

    @Test("with ε a component of variance λ keeps λ / (λ + ε), largest first")
    func epsilon() throws {
        let view = SampleView(try correlated(300, 4, 4))
        let ε = 0.01
        let raw = moments(unitRows(view)).covariance
        let (values, _) = try eigenvectors(of: raw.flatMap { $0 }, order: 16)
        let scaling = try InputScaling(.whitened(.pca, epsilon: ε), for: view)
        let covariance = moments(whitened(view, scaling)).covariance
        for (row, λ) in values.reversed().enumerated() {
            #expect(abs(covariance[row][row] - max(λ, 0) / (λ + ε)) < 1e-5)
        }
        guard case .matrix(let matrix)? = scaling.statistics?.transform else {
            Issue.record("no matrix")
            return
        }
        for row in 0..<16 {
            let weights = matrix[row * 16..<(row + 1) * 16]
            let largest = weights.max { abs($0) < abs($1) } ?? 0
            #expect(largest >= 0, "the sign of a component is that of its largest weight")
        }
    }

    @Test("ZCA is symmetric to the bit, and its square inverts C + ε")
    func symmetry() throws {
        let view = SampleView(try correlated(300, 3, 5))
        let ε = 0.02
        let scaling = try InputScaling(.whitened(.zca, epsilon: ε), for: view)
        guard case .matrix(let w)? = scaling.statistics?.transform else {
            Issue.record("no matrix")
            return
        }
        let n = 15
        let c = moments(unitRows(view)).covariance
        for i in 0..<n {
            for j in 0..<n {
                #expect(w[i * n + j] == w[j * n + i])
                var sum = 0.0
                for k in 0..<n {
                    for l in 0..<n {
                        let inner = c[k][l] + (k == l ? ε : 0)
                        sum += Double(w[i * n + k]) * inner * Double(w[l * n + j])
                    }
                }
                // The constant feature is left at 0.
                #expect(abs(sum - (i == j && i != 0 ? 1 : 0)) < 1e-5, "\(i), \(j)")
            }
        }
    }

    @Test("samples that are all alike become 0", arguments: Whitening.Kind.allCases)
    func alike(kind: Whitening.Kind) throws {
        let dataset = try Dataset(
            name: "alike", height: 2, width: 3, channels: 1, classes: 2,
            images: (0..<12).map { UInt8($0 % 6 * 40) }, labels: [0, 1], source: "alike")
        let view = SampleView(dataset)
        for epsilon in [0, 0.01] {
            let scaling = try InputScaling(.whitened(kind, epsilon: epsilon), for: view)
            #expect(whitened(view, scaling) == [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
        }
    }

    @Test("the bits of a sample do not depend on its neighbours", arguments: [1, 2, 3, 4, 5, 7])
    func neighbours(count: Int) throws {
        let view = SampleView(try correlated(60, 5, 9))
        let scaling = try InputScaling(.whitened(.zca, epsilon: 0.01), for: view)
        let all = whitened(view, scaling)
        let batch = Tensor(rows: count, columns: 45)
        let indices = (0..<count).map { Int32(($0 * 23 + 11) % 60) }
        scaling.fill(batch, from: view, at: indices.span)
        for (row, index) in indices.enumerated() {
            let values = (0..<45).map { Double(batch.pointer[row * 45 + $0]) }
            #expect(values == all[Int(index)])
        }
    }
}
