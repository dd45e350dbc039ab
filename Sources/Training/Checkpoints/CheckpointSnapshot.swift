import Configuration
import Layers
import TensorCore

/// A copy of everything that training changes, taken between two steps and written at leisure.
///
/// Its memory is that of the parameters, the running statistics and what the optimizer keeps; it is
/// made once, and touched once, so that taking a copy is no more than copying.
final class CheckpointSnapshot {
    private let layout: ModelLayout
    private let parameters: UnsafeMutablePointer<Float>
    private let statistics: UnsafeMutablePointer<Float>
    private let buffers: [UnsafeMutablePointer<Float>]
    private var batchesTracked: [Int] = []
    /// What inputs are scaled by, which does not change.
    private let input: [SafetensorsFile.Content]
    private let inputKind: String?

    /// A snapshot of nothing yet.
    init(_ plan: RunPlan, _ layout: ModelLayout, _ optimizer: OptimizerState) {
        self.layout = layout
        input = SafetensorsFile.inputContents(plan)
        inputKind = input.isEmpty ? nil : plan.configuration.data.scaling.fittedKind
        func memory(_ count: Int) -> UnsafeMutablePointer<Float> {
            let memory = alignedAllocation(of: Float.self, count: count)
            memory.initialize(repeating: 0, count: max(count, 1))
            return memory
        }
        parameters = memory(layout.length)
        statistics = memory(layout.statisticsLength)
        buffers = (0..<optimizer.bufferCount).map { _ in memory(layout.length) }
    }

    deinit {
        parameters.deallocate()
        statistics.deallocate()
        for buffer in buffers { buffer.deallocate() }
    }

    /// Copies the present state.
    func take(_ replica: Replica, _ optimizer: OptimizerState) {
        parameters.update(from: replica.parameters, count: layout.length)
        statistics.update(from: replica.statistics, count: layout.statisticsLength)
        for (index, buffer) in buffers.enumerated() {
            buffer.update(from: optimizer.buffer(index), count: layout.length)
        }
        batchesTracked = Array(replica.batchesTracked)
    }

    /// The tensors as a checkpoint holds them, one after the other, so that no more than one is held
    /// in both layouts.
    func forEachTensor(
        _ optimizer: OptimizerState, _ body: (SafetensorsFile.Content) -> Void
    ) {
        for entry in layout.entries {
            for content in entry.contents(
                parameters: parameters, statistics: statistics, batchesTracked: batchesTracked)
            {
                body(content)
            }
        }
        input.forEach(body)
        for (index, buffer) in buffers.enumerated() {
            for parameter in layout.parameters {
                body(
                    SafetensorsFile.Content(
                        name: optimizer.name(ofBuffer: index, parameter),
                        shape: parameter.shape.dimensions, parameter.inFileLayout(from: buffer)))
            }
        }
    }

    /// The snapshot as a checkpoint's bytes: the head of the file, and its data.
    func serialized(
        _ state: RunState, _ optimizer: OptimizerState
    ) -> (head: [UInt8], data: [UInt8]) {
        let model = SHA256()
        var entries: [SafetensorsFile.Entry] = []
        var data: [UInt8] = []
        data.reserveCapacity(
            4 * ((1 + buffers.count) * layout.parameterCount + layout.statisticsLength)
                + 8 * layout.statistics.count)
        forEachTensor(optimizer) { content in
            let entry = content.entry(at: entries.last)
            content.append(to: &data)
            if !entry.isOptimizers, !entry.isInputs, entry.dataType == .float32 {
                model.update(data[entry.range])
            }
            entries.append(entry)
        }
        var metadata = state.metadata
        metadata["parameters_digest"] = model.finish()
        metadata[SafetensorsFile.inputKind] = inputKind
        let payload = SHA256()
        payload.update(data)
        metadata[RunState.Field.payload] = payload.finish()
        metadata[RunState.Field.header] = headerDigest(of: metadata, entries: entries)
        return (SafetensorsFile.head(of: entries, metadata: metadata), data)
    }
}
