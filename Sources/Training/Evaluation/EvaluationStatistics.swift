import Collectives
import Configuration
import Kernels
import Layers
import Models
import Normalization

/// Evaluates with population statistics in place of the running ones, which stay as they were.
///
/// One worker's part; lives on its worker's thread.
final class EvaluationStatistics {
    private let communicator: Communicator
    private let population: Population
    private let calibration: CalibrationWorker
    /// The rank's model in training.
    private let replica: Replica
    /// The running statistics meanwhile; of thread 0.
    private var kept: [Float]

    init(
        _ plan: RunPlan, _ population: Population, replica: Replica, communicator: Communicator
    ) throws {
        self.communicator = communicator
        self.population = population
        self.replica = replica
        calibration = try CalibrationWorker(plan, population, communicator: communicator)
        kept = Array(repeating: 0, count: replica.layout.statisticsLength)
    }

    /// Calls `body` while the replica has the statistics of the training samples for its present
    /// parameters. All workers call it at the same point of a run.
    func during<Result>(_ body: () throws -> Result) throws -> Result {
        let count = kept.count
        // The meetings: one thread of a rank changes what all of it read.
        try alone { population.replica.take(replica) }
        try calibration.measureAnew()
        try alone {
            kept.withUnsafeMutableBufferPointer {
                $0.baseAddress?.update(from: replica.statistics, count: count)
            }
            replica.statistics.update(from: population.replica.statistics, count: count)
        }
        let result = try body()
        try alone {
            kept.withUnsafeBufferPointer {
                if let base = $0.baseAddress { replica.statistics.update(from: base, count: count) }
            }
        }
        return result
    }

    private func alone(_ change: () -> Void) throws {
        try communicator.teamBarrier()
        if communicator.thread == 0 { change() }
        try communicator.teamBarrier()
    }
}

extension RunConfiguration.Evaluate.Statistics {
    /// How population statistics are taken; nil for statistics of other kinds.
    var population: PopulationMethod? {
        switch self {
        case .moving, .batch: nil
        case .paper: .paper
        case .exact: .exact
        }
    }
}

extension RunPlan {
    /// The statistics that evaluations of the run normalise by; nil without batch normalisation.
    public var evaluationStatistics: InferenceStatistics? {
        guard network.isNormalized else { return nil }
        switch configuration.evaluate.statistics {
        case .moving: return InferenceStatistics(configuration)
        case .batch: return .batch
        case .paper: return .population(.paper)
        case .exact: return .population(.exact)
        }
    }
}
