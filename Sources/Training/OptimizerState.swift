import Layers
import Optimization
import TensorCore

/// The optimizer's memory of one rank, and which parts of the flat parameters decay.
///
/// Shared by the workers of the rank, who update disjoint ranges between two meetings of the team.
final class OptimizerState: Sendable {
    private let optimizer: SGD
    private let replica: Replica

    /// As long as the parameters; empty without momentum.
    nonisolated(unsafe) private let velocity: UnsafeMutablePointer<Float>?

    /// Runs of the flat parameters that decay alike, ascending, without gaps.
    private let runs: [(range: Range<Int>, decays: Bool)]

    init(_ optimizer: SGD, replica: Replica, decayAll: Bool) {
        self.optimizer = optimizer
        self.replica = replica
        let length = replica.layout.length
        if optimizer.needsVelocity {
            let memory = alignedAllocation(of: Float.self, count: length)
            memory.initialize(repeating: 0, count: max(length, 1))
            velocity = memory
        } else {
            velocity = nil
        }
        var runs: [(range: Range<Int>, decays: Bool)] = []
        let parameters = replica.layout.parameters.sorted {
            $0.range.lowerBound < $1.range.lowerBound
        }
        for (index, parameter) in parameters.enumerated() {
            // Up to the next parameter: the gap that aligns it holds zeros, and keeps them.
            let end =
                index + 1 < parameters.count ? parameters[index + 1].range.lowerBound : length
            let decays = decayAll || parameter.decays || optimizer.weightDecay == 0
            if let last = runs.last, last.decays == decays {
                runs[runs.count - 1].range = last.range.lowerBound..<end
            } else {
                runs.append((parameter.range.lowerBound..<end, decays))
            }
        }
        self.runs = runs
    }

    deinit { velocity?.deallocate() }

    /// Updates the parameters in `range` as step `step` of `totalSteps`.
    func update(_ range: Range<Int>, step: Int, learningRate: Double, isFirstStep: Bool) {
        for run in runs where run.range.overlaps(range) {
            optimizer.update(
                parameters: replica.parameters, gradient: replica.gradient, velocity: velocity,
                range: run.range.clamped(to: range), decays: run.decays,
                learningRate: learningRate, isFirstStep: isFirstStep)
        }
    }
}
