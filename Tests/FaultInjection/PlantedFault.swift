import Foundation
package import Training

/// A fault that a test plants in a run, to see who notices.
package enum PlantedFault: Sendable {
    /// A worker that throws `Failure`, in a step.
    case thrown(worker: Int, step: Int)
    /// One bit of one value of a rank's replica, flipped after a step.
    case replica(rank: Int, step: Int, tensor: String, index: Int, bit: Int)
    /// One bit of one value that a shard's samples have in a layer's output, or, with the name
    /// "loss", in the gradient of the logits; between the forward and the backward pass.
    case activation(shard: Int, step: Int, layer: String, index: Int, bit: Int)
    /// NaN in a shard's first sample: in the input, or between the passes in the output of a layer or,
    /// with the name "loss", in the gradient of the logits.
    case notANumber(shard: Int, step: Int, layer: String)
    /// A signal that a rank gets before a phase of a step, or right after its saving has begun: SIGUSR1
    /// by way of its parent, mpirun, any other from itself.
    case signal(number: Int32, rank: Int, step: Int, phase: StepPhase)

    /// What a worker throws.
    package struct Failure: Error, CustomStringConvertible {
        package let description = "a planted fault"
    }

    /// The environment variable that a faulty program reads.
    package static let variable = "BN_TRAIN_PLANT"

    /// - Parameter text: "throw=WORKER@STEP", "flip=RANK@STEP@TENSOR", "nan=SHARD@STEP@LAYER",
    ///   "TERM=RANK@STEP@PHASE" or "USR1=RANK@STEP@PHASE"; nil for any other.
    package init?(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        let words = parts[1].split(separator: "@")
        let numbers = words.prefix(2).compactMap { Int($0) }
        guard numbers.count == 2 else { return nil }
        let name = words.count == 3 ? String(words[2]) : nil
        switch (parts[0], name) {
        case ("throw", nil): self = .thrown(worker: numbers[0], step: numbers[1])
        case ("flip", let tensor?):
            self = .replica(
                rank: numbers[0], step: numbers[1], tensor: tensor, index: 3, bit: 7)
        case ("nan", let layer?):
            self = .notANumber(shard: numbers[0], step: numbers[1], layer: layer)
        case ("TERM", let name?), ("USR1", let name?):
            guard let phase = StepPhase(rawValue: name) else { return nil }
            self = .signal(
                number: parts[0] == "TERM" ? SIGTERM : SIGUSR1, rank: numbers[0],
                step: numbers[1], phase: phase)
        default: return nil
        }
    }
}
