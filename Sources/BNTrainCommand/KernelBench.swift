import Foundation
import Kernels
import TensorCore
import Training

/// `bn-train bench --kernel NAME --shape …`: one kernel on one thread, beside the machine's peak.
struct KernelBench {
    let kernel: String
    let shape: String?
    let arguments: Arguments

    init(kernel: String, shape: String?, _ arguments: Arguments) {
        self.kernel = kernel
        self.shape = shape
        self.arguments = arguments
    }

    /// What one call does.
    private struct Work {
        var name: String
        var shape: [Int]
        /// Floating-point operations of products; nil where memory is what counts.
        var operations: Double?
        /// Bytes read and written.
        var bytes: Double
        var call: () throws -> Void
    }

    func run() throws -> Int32 {
        OneDNN.useOneThread()
        let work = try makeWork()
        let seconds = try medianSeconds(work)
        var parts = [
            "\(work.name) \(work.shape.map(String.init).joined(separator: "x"))",
            "\(fixed(seconds * 1e6, digits: 2)) µs",
        ]
        var json: JSONObject = [
            "command": "bench", "kernel": .string(work.name),
            "shape": .array(work.shape.map { .int($0) }), "microseconds": .double(seconds * 1e6),
        ]
        if let operations = work.operations {
            let (rate, peak) = (operations / seconds * 1e-9, measureFMAPeak(seconds: 0.1))
            parts.append(
                "\(fixed(rate, digits: 1)) GFLOP/s, \(fixed(100 * rate / peak, digits: 0)) % of "
                    + "the FMA peak of \(fixed(peak, digits: 1))")
            json["gflops"] = .double(rate)
            json["peak_gflops"] = .double(peak)
            json["share_of_peak"] = .double(rate / peak)
        } else {
            let rate = work.bytes / seconds * 1e-9
            let peak = measureMemoryBandwidth(seconds: 0.1)
            parts.append(
                "\(fixed(rate, digits: 1)) GB/s moved; main memory reads at "
                    + "\(fixed(peak, digits: 1))")
            json["gbytes_per_second"] = .double(rate)
            json["peak_gbytes_per_second"] = .double(peak)
            json["share_of_peak"] = .double(rate / peak)
        }
        if !arguments.quiet { Console.error(parts.joined(separator: " · ") + "\n") }
        if arguments.json { Console.output(JSONValue.object(json).text + "\n") }
        return 0
    }

    /// Median over about a hundred batches of calls of at least 50 µs each.
    private func medianSeconds(_ work: Work) throws -> Double {
        let clock = ContinuousClock()
        func time(_ calls: Int) throws -> Double {
            let start = clock.now
            for _ in 0..<calls { try work.call() }
            return (clock.now - start) / .seconds(1) / Double(calls)
        }
        let first = try time(10)
        let calls = max(1, Int(5e-5 / first))
        let budget = min(arguments.seconds, 2)
        let rounds = max(9, min(1000, Int(budget / (first * Double(calls)))))
        return try (0..<rounds).map { _ in try time(calls) }.sorted()[rounds / 2]
    }

    private func makeWork() throws -> Work {
        let names = ["linear", "linear_backward", "bn", "bn_backward", "sgd"]
        guard names.contains(kernel) else {
            throw BenchError.unknownKernel(kernel, known: names)
        }
        let isLinear = kernel.hasPrefix("linear")
        let count = isLinear ? 3 : kernel == "sgd" ? 1 : 2
        let standard = isLinear ? [30, 784, 128] : kernel == "sgd" ? [134_400] : [30, 128]
        let extents = try shape.map { try parse($0, count: count) } ?? standard
        return isLinear ? try product(extents) : kernel == "sgd" ? sgd(extents) : bn(extents)
    }

    private func parse(_ text: String, count: Int) throws(BenchError) -> [Int] {
        let parts = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        let extents = parts.compactMap { $0 }
        // [N, H, W, C] is [N·H·W, C] to the kernels of normalisation.
        if count == 2, extents.count == 4, parts.count == 4, extents.allSatisfy({ $0 > 0 }) {
            return [extents[0] * extents[1] * extents[2], extents[3]]
        }
        guard extents.count == count, parts.count == count, extents.allSatisfy({ $0 > 0 }) else {
            throw .wrongShape(kernel: kernel, expected: count, found: text)
        }
        return extents
    }

    private func filled(_ rows: Int, _ columns: Int) -> Tensor {
        let tensor = Tensor(rows: rows, columns: columns)
        let random = CounterRandom(seed: 1, purpose: .benchmark, index: UInt64(columns))
        for i in 0..<rows * columns {
            tensor.pointer[i] = Float(random.uniform(in: -1...1, at: i & 0xffff))
        }
        return tensor
    }

    private func product(_ extents: [Int]) throws -> Work {
        let (rows, inputs, outputs) = (extents[0], extents[1], extents[2])
        let plan = try InnerProduct(rows: rows, inputs: inputs, outputs: outputs, bias: false)
        let (x, w) = (filled(rows, inputs), filled(inputs, outputs))
        let (y, dx, dw) = (
            filled(rows, outputs), filled(rows, inputs), filled(inputs, outputs)
        )
        let backward = kernel == "linear_backward"
        let once = 2 * Double(rows * inputs * outputs)
        return Work(
            name: kernel, shape: extents, operations: backward ? 2 * once : once, bytes: 0
        ) {
            if backward {
                try plan.backwardData(
                    outputGradient: y.pointer, weight: w.pointer, inputGradient: dx.pointer)
                plan.backwardWeights(
                    input: x.pointer, outputGradient: y.pointer, weightGradient: dw.pointer,
                    biasGradient: nil)
            } else {
                try plan.forward(
                    input: x.pointer, weight: w.pointer, bias: nil, output: y.pointer)
            }
        }
    }

    private func bn(_ extents: [Int]) -> Work {
        let (rows, channels) = (extents[0], extents[1])
        let (x, y, dy) = (
            filled(rows, channels), filled(rows, channels), filled(rows, channels)
        )
        let perChannel = (0..<6).map { _ in filled(1, channels) }
        let sums = UnsafeMutablePointer<Double>.allocate(capacity: 2 * channels)
        let bytes = Double(rows * channels * 4)
        let forward = kernel == "bn"
        // Forward reads twice and writes once; backward reads three and two, and writes two.
        return Work(
            name: kernel, shape: extents, operations: nil, bytes: bytes * (forward ? 3 : 7)
        ) {
            if forward {
                channelMoments(
                    input: x.pointer, rows: rows, channels: channels, mean: sums,
                    m2: sums + channels)
                normalizeForward(
                    input: x.pointer, rows: rows, channels: channels,
                    meanHigh: perChannel[0].pointer, meanLow: perChannel[1].pointer,
                    factor: perChannel[2].pointer, shift: perChannel[3].pointer,
                    activation: .relu, output: y.pointer)
            } else {
                normalizeBackwardSums(
                    input: x.pointer, output: y.pointer, outputGradient: dy.pointer, rows: rows,
                    channels: channels, meanHigh: perChannel[0].pointer,
                    meanLow: perChannel[1].pointer, activation: .relu, sumGradient: sums,
                    sumProduct: sums + channels)
                normalizeBackward(
                    input: x.pointer, gradient: dy.pointer, rows: rows, channels: channels,
                    meanHigh: perChannel[0].pointer, meanLow: perChannel[1].pointer,
                    factor: perChannel[2].pointer, meanGradient: perChannel[4].pointer,
                    projection: perChannel[5].pointer, inputGradient: y.pointer)
            }
        }
    }

    private func sgd(_ extents: [Int]) -> Work {
        let count = extents[0]
        let (w, g, v) = (filled(1, count), filled(1, count), filled(1, count))
        return Work(name: kernel, shape: extents, operations: nil, bytes: Double(count * 20)) {
            sgdUpdate(
                parameters: w.pointer, gradient: g.pointer, velocity: v.pointer, count: count,
                learningRate: 1e-6, momentum: 0.9, nesterov: false, weightDecay: 1e-4,
                isFirstStep: false)
        }
    }
}

/// A bench that cannot be.
enum BenchError: Error, Equatable, CustomStringConvertible {
    case unknownKernel(String, known: [String])
    case wrongShape(kernel: String, expected: Int, found: String)

    /// What, where, what to do; one line.
    var description: String {
        switch self {
        case .unknownKernel(let name, let known):
            "there is no kernel '\(visible(name))'; give one of \(known.joined(separator: ", "))"
        case .wrongShape(let kernel, let expected, let found):
            "--shape '\(visible(found))' does not fit \(kernel): give \(expected) positive numbers, "
                + "such as "
                + (expected == 3
                    ? "30x784x128 (rows, inputs, outputs)"
                    : expected == 2 ? "30x128 (rows, channels) or 64x56x56x64" : "134400")
        }
    }
}
