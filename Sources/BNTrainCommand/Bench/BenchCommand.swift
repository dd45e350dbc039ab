import Collectives
import Configuration
import Foundation
import Glibc
import Kernels
import Layers
import MPICollectives
import Models
import Training

/// `bn-train bench`: how fast steps are on this machine, and how their time divides.
struct BenchCommand {
    let launch: Launch

    init(_ launch: Launch) { self.launch = launch }

    func run() throws -> Int32 {
        let arguments = launch.arguments
        if !arguments.compared.isEmpty { return try BenchComparison(launch).run() }
        if let kernel = arguments.kernel {
            guard launch.speaks else { return 0 }
            return try KernelBench(kernel: kernel, shape: arguments.shape, arguments).run()
        }
        let configuration = try launch.agree { try Self.configuration(arguments) }
        let benchmark = try launch.agree { try Benchmark(configuration) }
        let run = try launch.frame(configuration, plan: benchmark.runPlan)
        launch.say(
            "bn-train \(programVersion) · bench \(benchmark.runPlan.network.name), "
                + "batch \(configuration.batch.size) in \(counted(run.plan.shards, "shard")), "
                + "\(counted(run.world.ranks, "rank")) × "
                + counted(run.world.computingThreadsPerRank, "thread"))
        let result = try benchmark.run(
            in: run.world, transport: launch.session.transport, timeout: arguments.timeout,
            spinning: run.spinning, seconds: arguments.seconds)
        if launch.speaks { report(result, run) }
        return 0
    }

    /// The embedded default (or `--config`) with the bench's own options on top.
    static func configuration(_ arguments: Arguments) throws -> RunConfiguration {
        var settings: [String] = []
        if let model = arguments.model { settings.append("model.name=\(model)") }
        if let batch = arguments.batch { settings.append("batch.size=\(batch)") }
        if let shards = arguments.shards { settings.append("batch.shards=\(shards)") }
        // Random data cannot be learnt: a small rate keeps the numbers in range.
        settings.append("optimizer.learningRate=0.001")
        return try RunConfiguration.load(
            file: arguments.config, settings: settings + arguments.settings)
    }

    private func report(_ result: Benchmark.Result, _ run: Launch.Run) {
        let batch = Double(run.plan.configuration.batch.size)
        let steps = result.imagesPerSecond / batch
        let rate = result.operationsPerStep * steps * 1e-9
        launch.say(
            "speed    \(count(result.imagesPerSecond)) images/s, \(count(steps)) steps/s, "
                + "\(fixed(1000 / steps, digits: 4)) ms a step; median of "
                + "\(result.repetitions) × \(grouped(result.stepsPerRepetition)) steps, "
                + "\(count(result.range.lowerBound)) … \(count(result.range.upperBound))")
        launch.say(
            "products \(fixed(rate, digits: 1)) GFLOP/s of "
                + "\(fixed(result.peakOfAll, digits: 1)) on \(counted(run.world.computingThreadsPerRank, "thread")) "
                + "(\(fixed(result.peakOfOne, digits: 1)) on one: FMA scaling "
                + "\(fixed(result.peakOfAll / result.peakOfOne, digits: 2)))")
        let total = result.division.total
        for part in result.division.parts {
            launch.say(
                "         " + part.name.padding(to: 26)
                    + "\(fixed(part.seconds * 1e6, digits: 1)) µs".leftPadding(to: 12)
                    + "\(fixed(100 * part.seconds / total, digits: 1)) %".leftPadding(to: 9))
        }
        launch.say("meeting  \(fixed(result.meeting * 1e6, digits: 2)) µs for all workers")
        launch.say("memory   \(byteCount(peakMemory)) at the peak")
        guard launch.arguments.json else { return }
        var json = RunSummary(
            command: "bench", run: run, imagesPerSecond: result.imagesPerSecond,
            seconds: launch.arguments.seconds
        ).json
        guard case .object(var object) = json else { return }
        object["data"] = .string("random")
        object["steps_per_second"] = .double(steps)
        object["ms_per_step"] = .double(1000 / steps)
        object["division"] = .object(
            JSONObject(
                result.division.parts.map {
                    JSONObject.Member(name: $0.name, value: .double($0.seconds / total))
                }))
        object["peak_memory_bytes"] = .int(peakMemory)
        object["gflops"] = .double(rate)
        object["fma_gflops_one_thread"] = .double(result.peakOfOne)
        object["fma_gflops_all_threads"] = .double(result.peakOfAll)
        object["meeting_microseconds"] = .double(result.meeting * 1e6)
        json = .object(object)
        Console.output(json.text + "\n")
    }

    /// The largest resident size this process has had, in bytes.
    private var peakMemory: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }
}

extension String {
    /// At least `width` characters, filled with spaces on the left.
    func leftPadding(to width: Int) -> String {
        String(repeating: " ", count: max(0, width - count)) + self
    }
}
