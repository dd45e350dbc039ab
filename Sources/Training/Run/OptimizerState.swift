import Layers
import Optimization
import TensorCore

/// The optimizer's memory of one rank, and which parts of the flat parameters decay.
///
/// Shared by the workers of the rank, who update disjoint ranges between two meetings of the team.
final class OptimizerState: Sendable {
    private let optimizer: Optimizer
    private let replica: Replica

    // Workers update many small parts at the same time: what they all look at is plain memory, since
    // counting references to it would have them write one cache line.
    private let rule: Optimizer.Rule
    nonisolated(unsafe) private let flat: ParameterBuffers
    nonisolated(unsafe) private let runs: UnsafeBufferPointer<Run>

    /// What the rule keeps: `stateCount` buffers as long as the parameters, zeros before step 1.
    nonisolated(unsafe) private let buffers: [UnsafeMutablePointer<Float>]

    /// Neighbouring flat parameters that decay alike; all runs ascend, and frozen ones are in none.
    private struct Run {
        var range: Range<Int>
        let decays: Bool
    }

    /// The norms that clipping and LARS need; nil where an update needs no more than its elements.
    let norms: ParameterNorms?

    init(
        _ optimizer: Optimizer, replica: Replica, decayAll: Bool,
        measuresGradient: Bool = false, isFrozen: (Parameter) -> Bool = { _ in false }
    ) {
        self.optimizer = optimizer
        rule = optimizer.rule
        self.replica = replica
        let length = replica.layout.length
        buffers = (0..<optimizer.stateCount).map { _ in
            let memory = alignedAllocation(of: Float.self, count: length)
            memory.initialize(repeating: 0, count: max(length, 1))
            return memory
        }
        let extents = replica.layout.extents
        var runs: [Run] = []
        for (parameter, range) in extents where !isFrozen(parameter) {
            let decays = decayAll || parameter.decays || !optimizer.hasWeightDecay
            if let last = runs.last, last.decays == decays,
                last.range.upperBound == range.lowerBound
            {
                runs[runs.count - 1].range = last.range.lowerBound..<range.upperBound
            } else {
                runs.append(Run(range: range, decays: decays))
            }
        }
        let memory = UnsafeMutableBufferPointer<Run>.allocate(capacity: runs.count)
        _ = memory.initialize(from: runs)
        self.runs = UnsafeBufferPointer(memory)
        flat = ParameterBuffers(
            parameters: replica.parameters, gradient: replica.gradient,
            first: buffers.isEmpty ? nil : buffers[0],
            second: buffers.count < 2 ? nil : buffers[1])
        norms =
            optimizer.needsNorms || measuresGradient
            ? ParameterNorms(
                tensors: extents.map { parameter, range in
                    ParameterNorms.Tensor(
                        range: range, isWeight: parameter.decays,
                        decays: decayAll || parameter.decays, isFrozen: isFrozen(parameter))
                }, replica: replica, ofParameters: optimizer.isLARS) : nil
    }

    deinit {
        for buffer in buffers { buffer.deallocate() }
        runs.deallocate()
    }

    /// How many buffers the rule keeps.
    var bufferCount: Int { buffers.count }

    /// One of them, laid out as the parameters.
    func buffer(_ index: Int) -> UnsafeMutablePointer<Float> { buffers[index] }

    /// Updates the parameters in `range`, by a rule that needs no norms.
    func update(_ range: Range<Int>, at step: StepSettings) {
        for run in runs where run.range.overlaps(range) {
            rule.update(
                flat, range: run.range.clamped(to: range), decays: run.decays,
                at: step)
        }
    }

    /// Updates the parameters in these chunks of `norms`, all of which are measured.
    func update(chunks: Range<Int>, of norms: ParameterNorms, at step: StepSettings) {
        let clip =
            optimizer.clipNorm == nil ? 1 : optimizer.clipFactor(norm: norms.gradientNorm)
        var current = -1
        var localRate: Double?
        for chunk in norms.chunks[chunks] {
            let tensor = norms.tensors[chunk.tensor]
            if tensor.isFrozen { continue }
            if chunk.tensor != current, case .lars(let lars) = rule {
                current = chunk.tensor
                let of = norms.norms(ofTensor: current)
                localRate =
                    tensor.isWeight
                    ? lars.localRate(
                        parameterNorm: of.parameter, gradientNorm: clip * of.gradient) : nil
            }
            if clip != 1 { norms.scaleGradient(in: chunk.range, by: clip) }
            rule.update(
                flat, range: chunk.range, decays: tensor.decays, localRate: localRate,
                at: step)
        }
    }
}

extension Optimizer {
    fileprivate var isLARS: Bool { if case .lars = rule { true } else { false } }
}

extension ModelLayout {
    /// The parameters as they lie in memory, ascending and without gaps: each up to the next, as
    /// the gap that aligns it holds zeros, and keeps them.
    fileprivate var extents: [(parameter: Parameter, range: Range<Int>)] {
        let sorted = parameters.sorted { $0.range.lowerBound < $1.range.lowerBound }
        return sorted.enumerated().map { index, parameter in
            let end = index + 1 < sorted.count ? sorted[index + 1].range.lowerBound : length
            return (parameter, parameter.range.lowerBound..<end)
        }
    }
}
