/// A fault that a test plants in a run, to see who notices.
package enum PlantedFault: Sendable {
    /// A worker that throws, in a step.
    case thrown(worker: Int, step: Int)
    /// One bit of one value of a rank's replica, flipped after a step.
    case replica(rank: Int, step: Int, tensor: String, index: Int, bit: Int)
    /// One bit of one value that a shard's samples have in a layer's output, or, with the name
    /// "loss", in the gradient of the logits; between the forward and the backward pass.
    case activation(shard: Int, step: Int, layer: String, index: Int, bit: Int)
    /// NaN in a shard's first sample: in the input, or between the passes in the output of a layer or,
    /// with the name "loss", in the gradient of the logits.
    case notANumber(shard: Int, step: Int, layer: String)
    /// One bit of one value of what an audited shard contributes to the gradient of a parameter
    /// that is summed up shard by shard: all but the weights of fully connected layers.
    case gradient(shard: Int, step: Int, parameter: String, index: Int, bit: Int)
    /// A signal that a rank gets in a part of a step: SIGUSR1 by way of its parent, mpirun, any
    /// other from itself.
    case signal(number: Int32, rank: Int, step: Int, part: StepPart)
}

/// Where in a step a signal comes.
package enum StepPart: String, Sendable {
    /// Before the forward pass.
    case forward
    /// Before the backward pass.
    case backward
    /// Before an evaluation.
    case evaluation
    /// Right after the writing of a checkpoint has begun.
    case saving
}
