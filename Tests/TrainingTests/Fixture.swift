import Foundation
import Training

/// Results of PyTorch, written by `Fixtures/make_mlp_fixtures.py`: NAME.json and NAME.safetensors.
struct Fixture: Sendable {
    /// In which arithmetic PyTorch computed.
    enum Precision: String, CaseIterable, Sendable {
        case float32, float64
    }

    let name: String
    let settings: JSONValue
    let file: SafetensorsFile

    static var folder: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures").path
    }

    init(_ name: String) throws {
        self.name = name
        file = try SafetensorsFile(contentsOf: "\(Self.folder)/\(name).safetensors")
        settings = try JSONValue(
            parsing: String(contentsOfFile: "\(Self.folder)/\(name).json", encoding: .utf8))
    }

    /// The tensor PRECISION.NAME, such as float64.gradient1.layers.0.weight, row by row.
    func values(_ name: String, _ precision: Precision) throws -> [Double] {
        let name = "\(precision.rawValue).\(name)"
        // Float64 is stored as its bits in I64.
        return switch precision {
        case .float32: try file.floats(name).map(Double.init)
        case .float64:
            try file.integers(name).map { Double(bitPattern: UInt64(bitPattern: $0)) }
        }
    }

    /// All tensors PRECISION.PREFIX.NAME by NAME; without num_batches_tracked.
    func values(under prefix: String, _ precision: Precision) throws -> [String: [Double]] {
        var found: [String: [Double]] = [:]
        for entry in file.entries where !entry.name.hasSuffix("num_batches_tracked") {
            let start = "\(precision.rawValue).\(prefix)."
            guard entry.name.hasPrefix(start) else { continue }
            let name = String(entry.name.dropFirst(start.count))
            found[name] = try values("\(prefix).\(name)", precision)
        }
        return found
    }

    /// The extents of the tensor PRECISION.NAME.
    func shape(_ name: String, _ precision: Precision) throws -> [Int] {
        try required(file["\(precision.rawValue).\(name)"]).shape
    }
}

/// A fixture mlp-*: 20 steps of a small MLP on samples in file order, with a short last batch.
struct MLPFixture: Sendable {
    static let names = [
        "plain", "momentum", "nesterov", "cumulative", "decay-all", "relu-before", "no-affine",
        "none", "groups", "adam", "adamw", "one-cycle", "adam-one-cycle", "clip",
    ]

    let fixture: Fixture
    let widths: [Int]
    /// sigmoid, tanh or relu.
    let activation: String
    /// before, after or none.
    let placement: String
    let epsilon: Double
    /// nil: cumulative.
    let runningMomentum: Double?
    let isAffine: Bool
    /// Into how many runs of rows a batch is cut, each with statistics of its own.
    let groups: Int
    let batch: Int
    /// One a step.
    let learningRates: [Double]
    let momentum: Double
    let nesterov: Bool
    let weightDecay: Double
    let decaysAll: Bool
    /// sgd, adam or adamw.
    let optimizer: String
    /// Adam's.
    let betas: [Double]
    let optimizerEpsilon: Double?
    let clipNorm: Double?
    let labelSmoothing: Double
    /// One a step, where a cycle moves it: μ, or β1.
    let momenta: [Double]
    /// The schedule that made the rates and momenta, as a configuration has it.
    let oneCycle: String?
    /// All samples, Float32 values; in epochs of file order.
    let samples: [[Double]]
    let labels: [Int]
    /// By name; Float32 values.
    let initial: [String: [Double]]

    init(_ name: String) throws {
        fixture = try Fixture("mlp-\(name)")
        let settings = fixture.settings
        widths = try required(settings["widths"]?.array).compactMap(\.int)
        activation = try required(settings["activation"]?.string)
        placement = try required(settings["placement"]?.string)
        epsilon = try required(settings["epsilon"]?.double)
        runningMomentum = settings["runningMomentum"]?.double
        isAffine = try required(settings["affine"]?.bool)
        groups = try required(settings["groups"]?.int)
        batch = try required(settings["batch"]?.int)
        learningRates = try required(settings["learningRates"]?.array).compactMap(\.double)
        momentum = try required(settings["momentum"]?.double)
        nesterov = try required(settings["nesterov"]?.bool)
        weightDecay = try required(settings["weightDecay"]?.double)
        decaysAll = try required(settings["decayAll"]?.bool)
        optimizer = try required(settings["optimizer"]?.string)
        betas = settings["betas"]?.array?.compactMap(\.double) ?? []
        optimizerEpsilon = settings["optimizerEpsilon"]?.double
        clipNorm = settings["clipNorm"]?.double
        labelSmoothing = try required(settings["labelSmoothing"]?.double)
        momenta = try required(settings["momenta"]?.array).compactMap(\.double)
        oneCycle = try settings["oneCycle"].flatMap { cycle in
            if cycle == .null { return nil }
            func number(_ key: String) throws -> Double { try required(cycle[key]?.double) }
            return """
                {kind: "one-cycle", pctStart: \(try number("pct_start")), \
                divFactor: \(try number("div_factor")), \
                finalDivFactor: \(try number("final_div_factor")), \
                minimumMomentum: \(try number("base_momentum"))}
                """
        }
        let inputs = try fixture.values("inputs", .float32)
        samples = stride(from: 0, to: inputs.count, by: widths[0]).map { [start = widths[0]] in
            Array(inputs[$0..<$0 + start])
        }
        labels = try fixture.file.integers("labels").map { Int($0) }
        initial = try fixture.values(under: "initial", .float32)
    }

    /// The rate that a schedule starts from: the highest of a cycle.
    var learningRate: Double {
        get throws {
            if let highest = fixture.settings["oneCycle"]?["max_lr"]?.double { return highest }
            return learningRates[0]
        }
    }

    /// The samples of a step, which counts from 1.
    func rows(ofStep step: Int) -> Range<Int> {
        let batches = (samples.count + batch - 1) / batch
        let start = (step - 1) % batches * batch
        return start..<min(start + batch, samples.count)
    }

    /// The runs of rows of a batch of `count` that have statistics of their own.
    func groups(ofRows count: Int) -> [Range<Int>] {
        (0..<groups).map { $0 * count / groups..<($0 + 1) * count / groups }
    }

    /// The loss of each step.
    func losses(_ precision: Fixture.Precision) throws -> [Double] {
        try required(fixture.settings["losses"]?[precision.rawValue]?.array).compactMap(\.double)
    }

    /// The gradients of step 1 or the last, by name.
    func gradients(step: Int, _ precision: Fixture.Precision) throws -> [String: [Double]] {
        try fixture.values(under: "gradient\(step)", precision)
    }

    /// Parameters and running statistics after step 1 or the last, by name.
    func state(afterStep step: Int, _ precision: Fixture.Precision) throws -> [String: [Double]] {
        try fixture.values(under: "after\(step)", precision)
    }

    /// The output of module `index` in step 1.
    func output(ofModule index: Int, _ precision: Fixture.Precision) throws -> [Double] {
        try fixture.values("output1.layers.\(index)", precision)
    }

    /// The logits of all samples after the last step, with the running statistics.
    func inference(_ precision: Fixture.Precision) throws -> [Double] {
        try fixture.values("inference", precision)
    }
}

/// A fixture layer-*: one forward and backward pass of one or two layers.
struct LayerFixture: Sendable {
    static let names = [
        "linear", "linear-batchnorm", "batchnorm-sigmoid", "batchnorm-tanh", "batchnorm-relu",
        "sigmoid-batchnorm", "tanh-batchnorm", "relu-batchnorm", "batchnorm2d", "batchnorm2d-relu",
    ]

    let fixture: Fixture
    /// Linear, BatchNorm1d, BatchNorm2d, Sigmoid, Tanh, ReLU.
    let modules: [String]
    /// [N, C] or [N, H, W, C].
    let shape: [Int]
    /// Float32 values, as are `outputGradient` and `initial`.
    let inputs: [Double]
    let outputGradient: [Double]
    let initial: [String: [Double]]

    init(_ name: String) throws {
        fixture = try Fixture("layer-\(name)")
        modules = try required(fixture.settings["modules"]?.array).compactMap(\.string)
        shape = try required(fixture.settings["shape"]?.array).compactMap(\.int)
        inputs = try fixture.values("inputs", .float32)
        outputGradient = try fixture.values("outputGradient", .float32)
        initial = try fixture.values(under: "initial", .float32)
    }

    func output(_ precision: Fixture.Precision) throws -> [Double] {
        try fixture.values("output", precision)
    }

    func inputGradient(_ precision: Fixture.Precision) throws -> [Double] {
        try fixture.values("inputGradient", precision)
    }

    /// The parameters' gradients by name.
    func gradients(_ precision: Fixture.Precision) throws -> [String: [Double]] {
        try fixture.values(under: "gradient", precision)
    }

    /// Parameters and running statistics after the pass, by name.
    func state(_ precision: Fixture.Precision) throws -> [String: [Double]] {
        try fixture.values(under: "after", precision)
    }
}

/// max|a − b| / max|b|; infinite where the counts differ or something is not a number.
func relativeDifference(_ a: [Double], _ b: [Double]) -> Double {
    guard a.count == b.count, !b.isEmpty else { return .infinity }
    let difference = zip(a, b).map { abs($0 - $1) }
    guard difference.allSatisfy(\.isFinite) else { return .infinity }
    let largest = b.map(abs).max() ?? 0
    let worst = difference.max() ?? 0
    return worst == 0 ? 0 : worst / largest
}

/// The largest relative difference of the tensors, by name; infinite where names differ.
func relativeDifference(_ a: [String: [Double]], _ b: [String: [Double]]) -> Double {
    guard Set(a.keys) == Set(b.keys) else { return .infinity }
    return a.map { name, values in relativeDifference(values, b[name] ?? []) }.max() ?? 0
}

private struct MissingSetting: Error {}

private func required<Value>(_ value: Value?) throws -> Value {
    guard let value else { throw MissingSetting() }
    return value
}
