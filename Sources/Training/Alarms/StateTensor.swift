import Kernels
import Layers

/// One tensor of what training changes, as it lies in a rank's memory: a parameter, a running
/// statistic, or what the optimizer keeps of a parameter.
package struct StateTensor: Sendable {
    /// The name in checkpoints.
    package let name: String
    nonisolated(unsafe) package let values: UnsafeMutablePointer<Float>
    package let count: Int

    /// A hash of its bits.
    var hash: UInt64 { bitHash(values, count: count) }

    /// All of them, in the order of checkpoints.
    static func all(_ replica: Replica, _ optimizer: OptimizerState) -> [StateTensor] {
        let layout = replica.layout
        var tensors = layout.entries.flatMap { entry -> [StateTensor] in
            switch entry {
            case .parameter(let parameter):
                return [
                    StateTensor(
                        name: parameter.name,
                        values: replica.parameters + parameter.range.lowerBound,
                        count: parameter.range.count)
                ]
            case .statistics(let running):
                return [("running_mean", running.mean), ("running_var", running.variance)].map {
                    StateTensor(
                        name: "\(running.name).\($0)", values: replica.statistics + $1.lowerBound,
                        count: $1.count)
                }
            }
        }
        for index in 0..<optimizer.bufferCount {
            tensors += layout.parameters.map {
                StateTensor(
                    name: optimizer.name(ofBuffer: index, $0),
                    values: optimizer.buffer(index) + $0.range.lowerBound, count: $0.range.count)
            }
        }
        return tensors
    }
}
