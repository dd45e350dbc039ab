/// A fault that a test plants in a run, to see who notices.
package enum PlantedFault: Sendable {
    /// A worker that throws, in a step.
    case thrown(worker: Int, step: Int)
    /// One bit of one value of a rank's replica, flipped after a step.
    case replica(rank: Int, step: Int, tensor: String, index: Int, bit: Int)
}
