import Foundation
import TensorCore

/// One rank's copy of the model: parameters, their gradient, running statistics.
///
/// The workers of a rank share it: they read it together during a step, and each writes its own
/// slice in the update, between two meetings of the team. That discipline, kept by the training
/// loop, is what makes sharing sound.
public final class Replica: Sendable {
    /// Where everything lies.
    public let layout: ModelLayout

    /// The flat parameters, `layout.length` values.
    nonisolated(unsafe) public let parameters: UnsafeMutablePointer<Float>

    /// The flat gradient of the step, as `parameters`.
    nonisolated(unsafe) public let gradient: UnsafeMutablePointer<Float>

    /// The flat running means and variances, `layout.statisticsLength` values.
    nonisolated(unsafe) public let statistics: UnsafeMutablePointer<Float>

    /// Batches that each layer's running statistics have seen, by `RunningStatistics.index`:
    /// PyTorch's num_batches_tracked.
    nonisolated(unsafe) public let batchesTracked: UnsafeMutableBufferPointer<Int>

    /// Whose parameters these are; nil for its own.
    private let owner: Replica?

    /// A replica of parameters as they start, but for weights, which are 0; running variances are 1.
    public init(_ layout: ModelLayout) {
        self.layout = layout
        func zeros(_ count: Int) -> UnsafeMutablePointer<Float> {
            let memory = alignedAllocation(of: Float.self, count: count)
            memory.initialize(repeating: 0, count: max(count, 1))
            return memory
        }
        parameters = zeros(layout.length)
        gradient = zeros(layout.length)
        statistics = zeros(layout.statisticsLength)
        batchesTracked = .allocate(capacity: layout.statistics.count)
        batchesTracked.initialize(repeating: 0)
        owner = nil
        for parameter in layout.parameters where parameter.start != 0 {
            (parameters + parameter.range.lowerBound).update(
                repeating: parameter.start, count: parameter.range.count)
        }
        for entry in layout.statistics {
            (statistics + entry.variance.lowerBound).update(repeating: 1, count: entry.channels)
        }
    }

    /// The parameters and statistics of `other`, with a gradient of its own: for passes whose
    /// gradients are not the step's.
    package init(sharing other: Replica) {
        layout = other.layout
        parameters = other.parameters
        statistics = other.statistics
        batchesTracked = other.batchesTracked
        owner = other
        gradient = alignedAllocation(of: Float.self, count: layout.length)
        gradient.initialize(repeating: 0, count: max(layout.length, 1))
    }

    /// By thread, and under nil what all workers read; `copiesLock` guards the dictionary.
    nonisolated(unsafe) private var copies: [Int?: WeightCopies] = [:]

    /// No `Mutex`, which ThreadSanitizer does not see.
    private let copiesLock = NSLock()

    /// Copies of weights in the layouts of passes: one worker's, or (nil) those of all workers, who fill
    /// them together after every update. All networks of the replica read the same; nil where none
    /// has asked for them.
    package func copies(ofThread thread: Int?) -> WeightCopies? {
        if let owner { return owner.copies(ofThread: thread) }
        return copiesLock.withLock { copies[thread] }
    }

    /// Keeps them for as long as this replica lives.
    package func keep(_ new: WeightCopies, ofThread thread: Int?) {
        if let owner { return owner.keep(new, ofThread: thread) }
        copiesLock.withLock { copies[thread] = new }
    }

    deinit {
        gradient.deallocate()
        guard owner == nil else { return }
        parameters.deallocate()
        statistics.deallocate()
        batchesTracked.deallocate()
    }

    /// Bytes that one replica holds, without optimizer state.
    public var byteCount: Int { (2 * layout.length + layout.statisticsLength) * 4 }

    /// Fills the weights: the same for a given seed, whatever lies between them.
    public func initialize(_ initialization: Initialization, seed: UInt64) {
        for parameter in layout.parameters where parameter.role == .weight {
            setValues(
                initialization.values(
                    shape: parameter.shape, seed: seed, ordinal: parameter.ordinal),
                of: parameter)
        }
    }

    /// The values of `parameter` in the layout of files.
    public func values(of parameter: Parameter) -> [Float] {
        inFileLayout(parameter, from: parameters)
    }

    /// The gradient of `parameter` in the layout of files.
    public func gradient(of parameter: Parameter) -> [Float] {
        inFileLayout(parameter, from: gradient)
    }

    /// Values of `parameter` in a flat buffer laid out like the parameters, in the layout of files.
    public func inFileLayout(
        _ parameter: Parameter, from flat: UnsafeMutablePointer<Float>
    ) -> [Float] {
        parameter.inFileLayout(from: flat)
    }

    /// Sets `parameter` from values in the layout of files.
    public func setValues(_ values: [Float], of parameter: Parameter) {
        parameter.set(values, in: parameters)
    }
}
