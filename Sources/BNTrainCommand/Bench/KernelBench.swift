import Foundation
import Kernels
import TensorCore
import Training

/// `bn-train bench --kernel NAME --shape …`: one kernel on one thread, or a layer of normalisation
/// on several, beside the machine's peak.
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
    struct Work {
        var name: String
        var shape: [Int]
        /// Floating-point operations of products; nil where memory is what counts.
        var operations: Double?
        /// Bytes read and written; 0 where products alone count.
        var bytes: Double
        var call: () throws -> Void = {}
        /// Measures the seconds of one, where that is not timing calls on this thread.
        var seconds: (() throws -> Double)?
    }

    func run() throws -> Int32 {
        let work = try makeWork()
        let seconds = try work.seconds?() ?? medianSeconds(work)
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
        }
        if work.bytes > 0 {
            let rate = work.bytes / seconds * 1e-9
            let peak = measureMemoryBandwidth(seconds: 0.1)
            parts.append(
                "\(fixed(rate, digits: 1)) GB/s moved; main memory reads at "
                    + "\(fixed(peak, digits: 1))")
            json["gbytes_per_second"] = .double(rate)
            json["peak_gbytes_per_second"] = .double(peak)
            if work.operations == nil { json["share_of_peak"] = .double(rate / peak) }
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

    /// The kernels, each with a standard shape and how few of its numbers must be given.
    private static let kernels: KeyValuePairs<String, (standard: [Int], fewest: Int)> = [
        "linear": ([30, 784, 128], 3), "linear_backward": ([30, 784, 128], 3),
        "conv": ([16, 32, 32, 16, 16, 3, 1], 4),
        "conv_backward_data": ([16, 32, 32, 16, 16, 3, 1], 4),
        "conv_backward_weights": ([16, 32, 32, 16, 16, 3, 1], 4),
        "depthwise": ([16, 112, 112, 32, 3, 1], 4),
        "depthwise_backward_data": ([16, 112, 112, 32, 3, 1], 4),
        "depthwise_backward_weights": ([16, 112, 112, 32, 3, 1], 4),
        "bn": ([30, 128], 2), "bn_backward": ([30, 128], 2),
        "batch_norm": ([128, 32, 32, 16], 2), "batch_norm_relu": ([128, 32, 32, 16], 2),
        "layer_norm": ([128, 32, 32, 16], 2), "instance_norm": ([128, 32, 32, 16], 2),
        "group_norm": ([128, 32, 32, 16], 2),
        "bn_add_relu": ([16, 32, 32, 16], 2), "bn_add_relu_backward": ([16, 32, 32, 16], 2),
        "max_pool": ([16, 28, 28, 6, 2, 2], 4), "max_pool_backward": ([16, 28, 28, 6, 2, 2], 4),
        "sgd": ([134_400], 1),
    ]

    private func makeWork() throws -> Work {
        guard let (_, known) = Self.kernels.first(where: { $0.key == kernel }) else {
            throw BenchError.unknownKernel(kernel, known: Self.kernels.map(\.key))
        }
        let extents =
            try shape.map { try parse($0, standard: known.standard, known.fewest) }
            ?? known.standard
        switch kernel {
        case "linear", "linear_backward": return product(extents)
        case "conv", "conv_backward_data", "conv_backward_weights":
            return try convolution(extents)
        case "depthwise", "depthwise_backward_data", "depthwise_backward_weights":
            return try depthwise(extents)
        case "max_pool", "max_pool_backward": return try maxPooling(extents)
        case "sgd": return sgd(extents)
        case "batch_norm", "batch_norm_relu", "layer_norm", "instance_norm", "group_norm":
            return try normalization(extents)
        default: return bn(extents)
        }
    }

    /// The numbers of `text`; those left out at the end are the standard's.
    private func parse(
        _ text: String, standard: [Int], _ fewest: Int
    ) throws(BenchError) -> [Int] {
        let parts = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        let extents = parts.compactMap { $0 }
        // [N, H, W, C] is [N·H·W, C] to the kernels of normalisation.
        let most = fewest == 2 ? 4 : standard.count
        guard extents.count == parts.count, extents.allSatisfy({ $0 > 0 }),
            (fewest...most).contains(extents.count), !(fewest == 2 && extents.count == 3)
        else {
            throw .wrongShape(kernel: kernel, found: text)
        }
        if fewest == 2 { return extents }
        // A convolution keeps the channels unless told otherwise.
        let channels = extents.count == 4 && standard.count == 7 ? [extents[3]] : []
        return extents + channels + Array(standard[(extents.count + channels.count)...])
    }

    func filled(_ rows: Int, _ columns: Int) -> Tensor {
        let tensor = Tensor(rows: rows, columns: columns)
        let random = CounterRandom(seed: 1, purpose: .benchmark, index: UInt64(columns))
        for i in 0..<rows * columns {
            tensor.pointer[i] = Float(random.uniform(in: -1...1, at: i & 0xffff))
        }
        return tensor
    }

    private func product(_ extents: [Int]) -> Work {
        let (rows, inputs, outputs) = (extents[0], extents[1], extents[2])
        let plan = InnerProduct(rows: rows, inputs: inputs, outputs: outputs)
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
                plan.backwardData(
                    outputGradient: y.pointer, weight: w.pointer, inputGradient: dx.pointer)
                plan.backwardWeights(
                    input: x.pointer, outputGradient: y.pointer, weightGradient: dw.pointer,
                    biasGradient: nil)
            } else {
                plan.forward(
                    input: x.pointer, weight: w.pointer, bias: nil, output: y.pointer)
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
    case wrongShape(kernel: String, found: String)
    case kernelDoesNotFit(kernel: String, found: [Int])
    case groupsDoNotDivide(channels: Int, groups: Int)
    case singleValueGroup(kernel: String, found: [Int])
    case tooManyThreads(Int, shards: Int)
    case tooManyShards(Int, samples: Int)
    case comparedUnderLauncher
    case noMpirun
    /// One of the benches that are compared, with its exit code.
    case runFailed(options: String, message: String, code: Int32)

    /// How the program leaves.
    var code: ExitCode {
        guard case .runFailed(_, _, let code) = self else { return .usage }
        return ExitCode(rawValue: code) ?? .internalError
    }

    /// What, where, what to do; one line.
    var description: String {
        switch self {
        case .unknownKernel(let name, let known):
            "there is no kernel '\(visible(name))'; give one of \(known.joined(separator: ", "))"
        case .wrongShape(let kernel, let found):
            "--shape '\(visible(found))' does not fit \(kernel): give positive numbers, such as "
                + Self.example(of: kernel)
        case .kernelDoesNotFit(let kernel, let found):
            "the window of \(kernel) does not fit an image of --shape "
                + "'\(found.map(String.init).joined(separator: "x"))': give one such as "
                + Self.example(of: kernel)
        case .groupsDoNotDivide(let channels, let groups):
            "group_norm takes \(groups) groups, which do not divide the \(channels) channels of "
                + "--shape: give a multiple of \(groups)"
        case .singleValueGroup(let kernel, let found):
            "\(kernel) would take the statistics of single values with --shape "
                + "'\(found.map(String.init).joined(separator: "x"))': give one such as 64x56x56x64"
        case .tooManyThreads(let threads, let shards):
            "--threads \(threads) are more than the \(shards) shards: give --shards of at least "
                + "\(threads), or fewer threads"
        case .tooManyShards(let shards, let samples):
            "--shards \(shards) are more than the \(samples) samples of --shape: give fewer shards"
        case .comparedUnderLauncher:
            "bench --compare starts ranks itself: run it without mpirun, and give --ranks N"
        case .noMpirun: "--ranks needs mpirun on PATH: launch/setup installs it"
        case .runFailed(let options, let message, _):
            "bench \(visible(options)) failed: \(visible(message))"
        }
    }

    private static func example(of kernel: String) -> String {
        switch kernel {
        case _ where kernel.hasPrefix("linear"): "30x784x128 (rows, inputs, outputs)"
        case _ where kernel.hasPrefix("conv"):
            "16x32x32x16 (images, height, width, channels), or 16x32x32x16x32x3x2 "
                + "(then output channels, kernel, stride)"
        case _ where kernel.hasPrefix("depthwise"):
            "16x112x112x32 (images, height, width, channels), or 16x112x112x32x5x2 "
                + "(then kernel, stride)"
        case _ where kernel.hasPrefix("max_pool"):
            "16x28x28x6 (images, height, width, channels), or 16x28x28x6x3x2 "
                + "(then kernel, stride)"
        case _
        where kernel.hasPrefix("bn") || kernel.hasSuffix("norm") || kernel.hasPrefix("batch_norm"):
            "30x128 (rows, channels) or 64x56x56x64"
        default: "134400"
        }
    }
}
