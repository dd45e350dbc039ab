package import Collectives
import Configuration
import Datasets
import Kernels
import Layers
import Models
import Normalization
import TensorCore

/// Over what population statistics were taken.
public struct Calibration: Sendable {
    /// Training samples.
    public let samples: Int
    /// Batches they came in.
    public let batches: Int
    /// How far the furthest running mean moved, in deviations of its channel, and where.
    public let largestMove: (deviations: Double, layer: String)
}

extension Trainer {
    /// Replaces the running statistics by those of the training samples for the present weights: in
    /// the order of the file, in the configuration's batches and shards, without augmentation and
    /// dropout. The bits are the same in any world.
    ///
    /// - Parameters:
    ///   - batches: only the first so many; nil for all of an epoch.
    package func recalibrate(
        _ method: PopulationMethod, batches: Int? = nil, in world: World,
        transport: (any RankTransport)? = nil, timeout: Double = 300, spinning: Bool = true
    ) throws(WorkerFailure) -> Calibration {
        let population = Population(plan, method, batches: batches)
        let (copy, order) = (population.replica, population.order)
        copy.take(replica)
        try Team.run(world, transport: transport, timeout: timeout, spinning: spinning) {
            communicator in
            try CalibrationWorker(plan, population, communicator: communicator).measure()
        }
        let move = largestMove(to: copy)
        replica.statistics.update(from: copy.statistics, count: plan.layout.statisticsLength)
        return Calibration(
            samples: order.samples, batches: order.counts.count, largestMove: move)
    }

    private func largestMove(to other: Replica) -> (deviations: Double, layer: String) {
        var largest = (deviations: 0.0, layer: "")
        for entry in plan.layout.statistics {
            for c in 0..<entry.channels {
                let variance = Double(other.statistics[entry.variance.lowerBound + c])
                let move = abs(
                    Double(other.statistics[entry.mean.lowerBound + c])
                        - Double(replica.statistics[entry.mean.lowerBound + c]))
                let deviations = move == 0 ? 0 : move / variance.squareRoot()
                if deviations > largest.deviations { largest = (deviations, entry.name) }
            }
        }
        return largest
    }
}

/// What population statistics are taken with, and into; shared by the workers of a rank.
struct Population: Sendable {
    let method: PopulationMethod
    let network: NetworkSpecification
    /// Parameters and statistics, laid out for the network in the method's scope.
    let replica: Replica
    fileprivate let order: CalibrationOrder

    init(_ plan: RunPlan, _ method: PopulationMethod, batches: Int? = nil) {
        self.method = method
        var settings = plan.network.normalization
        settings.unbiasedRunningVariance = true
        // Exact moments are those of all samples, whoever shares statistics in training.
        if method == .exact { settings.scope = .global }
        network = plan.network.normalizing(settings)
        replica = Replica(network.layout(shards: plan.shards))
        order = CalibrationOrder(plan, batches: batches, method)
    }
}

extension Replica {
    /// Takes over the parameters and statistics of the same network in another scope.
    func take(_ other: Replica) {
        for parameter in other.layout.parameters {
            guard let target = layout.parameter(parameter.name) else { continue }
            setValues(other.values(of: parameter), of: target)
        }
        statistics.update(from: other.statistics, count: layout.statisticsLength)
    }
}

/// The batches that population statistics are taken over.
private struct CalibrationOrder: Sendable {
    /// Samples of each batch.
    let counts: [Int]

    var samples: Int { counts.reduce(0, +) }

    init(_ plan: RunPlan, batches: Int?, _ method: PopulationMethod) {
        let (size, count) = (plan.configuration.batch.size, plan.split.training.count)
        var counts = Array(repeating: size, count: count / size)
        // An epoch may leave out a batch too short for statistics of its own.
        let dropsLast = method == .paper && plan.configuration.data.dropLast
        if count % size > 0 && !(dropsLast && count >= size) { counts.append(count % size) }
        self.counts = Array(counts.prefix(batches ?? .max))
    }
}

/// One worker's part in taking statistics of the training samples. Lives on its worker's thread.
final class CalibrationWorker {
    private let plan: RunPlan
    private let network: Network
    private let order: CalibrationOrder
    private let method: PopulationMethod
    private let communicator: Communicator
    private let shards: Range<Int>
    private let input: Tensor
    /// What groups other than the whole batch contribute; nil in scope global.
    private let shared: StatisticsReduction?

    init(_ plan: RunPlan, _ population: Population, communicator: Communicator) throws {
        self.plan = plan
        order = population.order
        method = population.method
        self.communicator = communicator
        network = try Network(
            population.network, replica: population.replica, communicator: communicator,
            shards: plan.shards,
            batches: Set(order.counts).sorted(by: >).map { ($0, false) })
        shards = communicator.world.shards(ofWorker: communicator.worker, of: plan.shards)
        input = Tensor(
            rows: network.shapes.map(\.rows).max() ?? 0, columns: plan.network.inputs)
        let length = network.sharedStatisticsLength
        shared =
            length == 0
            ? nil
            : StatisticsReduction(
                communicator, shards: plan.shards, group: plan.shards, length: length,
                moments: false, kind: .metrics, layer: -1)
        // Team-mates read this worker's tensors.
        communicator.keep(self)
    }

    /// Sets the replica's running statistics to those of the training samples.
    func measure() throws {
        switch method {
        case .paper: try averageBatches()
        case .exact: try measureLayers()
        }
    }

    /// The same for parameters that have changed since.
    func measureAnew() throws {
        try network.prepareWeights()
        try measure()
    }

    /// Calls `body` for each batch, its samples loaded.
    private func forEachBatch(_ body: (Pass) throws -> Void) throws {
        var start = 0
        for count in order.counts {
            guard let shape = network.shapes.first(where: { $0.samples == count }) else {
                preconditionFailure("a batch of \(count) samples was not planned")
            }
            let mine = ShardedBatch(samples: count, shards: plan.shards).samples(ofShards: shards)
            plan.scaling.fill(
                input, from: plan.split.training,
                at: start + mine.lowerBound..<start + mine.upperBound)
            try body(Pass(.calibration, shape))
            start += count
        }
    }

    // MARK: paper

    /// Σ m·μ and Σ m·(m/(m − 1))·σ² of every layer over all groups of all batches, over Σ m.
    private func averageBatches() throws {
        let layers = network.normalizations
        var sums = layers.map { [Double](repeating: 0, count: 2 * $0.channelCount) }
        try forEachBatch { pass in
            _ = try network.layers.forward(input, pass)
            try shareStatistics(pass)
            var offset = 0
            for (index, layer) in layers.enumerated() {
                let (length, channels) = (layer.sharedStatisticsLength, layer.channelCount)
                if let shared, length > 0 {
                    let result = shared.result(ofGroup: 0) + offset
                    for i in 0..<length { sums[index][i] += result[i] }
                    offset += length
                } else {
                    let (count, mean, variance) = layer.batchStatistics
                    let m = Double(count)
                    for c in 0..<channels {
                        sums[index][c] += m * mean[c]
                        sums[index][channels + c] +=
                            m * (count > 1 ? m / (m - 1) : 1) * variance[c]
                    }
                }
            }
        }
        try writing {
            for (layer, sums) in zip(layers, sums) {
                let total = Double(order.samples * layer.valuesPerSample)
                let averages = sums.map { $0 / total }
                layer.setRunningStatistics(
                    mean: Array(averages.prefix(layer.channelCount)),
                    variance: Array(averages.suffix(layer.channelCount)))
            }
        }
    }

    /// The collective: a worker knows the statistics of its own groups alone.
    private func shareStatistics(_ pass: Pass) throws {
        guard let shared else { return }
        shared.begin(ShardedBatch(samples: pass.samples, shards: plan.shards))
        for position in pass.shardRows.indices {
            var offset = 0
            for layer in network.normalizations where layer.sharedStatisticsLength > 0 {
                layer.shareStatistics(shard: position, into: shared.leaf + offset)
                offset += layer.sharedStatisticsLength
            }
            shared.push()
        }
        try shared.finish()
    }

    // MARK: exact

    /// Moments of what each layer is given when those before it normalise as in inference; layers
    /// that meet at the same time do not depend on each other.
    private func measureLayers() throws {
        for layer in network.normalizations { layer.isCalibrating = false }
        for meeting in network.layers.meetings {
            let layers = meeting.compactMap { $0 as? BatchNormLayer }
            for layer in layers { layer.isCalibrating = true }
            var moments = layers.map { PopulationMoments(channels: $0.channelCount) }
            try forEachBatch { pass in
                try network.layers.forward(input, pass, toMeetingOf: meeting)
                for (index, layer) in layers.enumerated() {
                    let (count, mean, variance) = layer.batchStatistics
                    moments[index].merge(count: count, mean: mean, variance: variance)
                }
            }
            for layer in layers { layer.isCalibrating = false }
            try writing {
                for (layer, moments) in zip(layers, moments) {
                    layer.setRunningStatistics(mean: moments.mean, variance: moments.variance)
                }
            }
        }
    }

    /// Changes what all workers of the rank read: one does, when none is reading.
    private func writing(_ change: () -> Void) throws {
        try communicator.teamBarrier()
        if communicator.thread == 0 { change() }
        try communicator.teamBarrier()
    }
}

/// Mean and M2 of all values so far, [C]; batches are merged by Chan's formula, in order.
private struct PopulationMoments {
    private(set) var mean: [Double]
    private var m2: [Double]
    private var count = 0.0

    init(channels: Int) {
        mean = Array(repeating: 0, count: channels)
        m2 = mean
    }

    var variance: [Double] { m2.map { $0 / count } }

    mutating func merge(
        count: Int, mean other: UnsafePointer<Double>, variance: UnsafePointer<Double>
    ) {
        let m = Double(count)
        let total = self.count + m
        for c in mean.indices {
            let difference = other[c] - mean[c]
            mean[c] += difference * m / total
            m2[c] += variance[c] * m + difference * difference * self.count * m / total
        }
        self.count = total
    }
}
