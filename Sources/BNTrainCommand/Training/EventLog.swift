import Foundation
import Glibc
import Layers
import Reports
import Training

/// TensorBoard's event file of a run, beside metrics.jsonl: `events.out.tfevents.SECONDS.HOST`.
final class EventLog {
    private let path: String
    private let file: Int32
    private let replica: Replica
    private let room: DiskRoom?

    /// Opens a new file in the run's folder.
    ///
    /// - Parameters:
    ///   - folder: the run's.
    ///   - replica: whose parameters become histograms.
    ///   - resumedStep: steps done in an earlier part of the run, whose files stay, as TensorBoard joins
    ///     them; nil for a new run, which takes the place of others in the folder.
    ///   - room: what is given up where a record does not fit on the disk.
    /// - Throws: `FileError.io`.
    init(
        folder: String, host: String, replica: Replica, resumingAfterStep resumedStep: Int?,
        room: DiskRoom? = nil
    ) throws {
        self.room = room
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        if resumedStep == nil {
            for name in names where name.hasPrefix("events.out.tfevents.") {
                unlink("\(folder)/\(name)")
            }
        }
        let seconds = Int(Date().timeIntervalSince1970)
        path = "\(folder)/events.out.tfevents.\(seconds).\(host.isEmpty ? "host" : host)"
        file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard file >= 0 else { throw FileError.io(path: path, operation: "create", code: errno) }
        self.replica = replica
        try append(0, .version(EventRecord.version))
        if let resumedStep { try restart(afterStep: resumedStep) }
    }

    /// The run goes on from `step`: what was written of later steps no longer holds.
    func restart(afterStep step: Int) throws { try append(step + 1, .sessionStart) }

    deinit { close(file) }

    /// Appends the numbers of an evaluation and the histograms of all tensors.
    func append(_ report: EvaluationReport) throws {
        var values: [EventRecord.Value] = []
        func add(_ tag: String, _ value: Double?) {
            if let value { values.append(.init(tag, .scalar(Float(value)))) }
        }
        add("loss/train", report.trainingLoss)
        add("loss/validation", report.validation?.loss)
        add("loss/test", report.test?.loss)
        add("accuracy/train", report.trainingAccuracy)
        add("accuracy/validation", report.validation?.accuracy)
        add("accuracy/test", report.test?.accuracy)
        add("learning_rate", report.learningRate)
        add("images_per_second", report.imagesPerSecond)
        for content in replica.fileContents {
            if case .float32(let numbers) = content.values,
                let histogram = EventHistogram(numbers)
            {
                values.append(.init(content.name, .histogram(histogram)))
            }
        }
        try append(report.step, .summary(values))
    }

    private func append(_ step: Int, _ content: EventRecord.Content) throws {
        let record = EventRecord(
            time: Date().timeIntervalSince1970, step: step, content: content)
        var bytes = record.bytes[...]
        func write() throws(FileError) {
            while !bytes.isEmpty {
                let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
                if count > 0 {
                    bytes = bytes.dropFirst(count)
                } else if count == 0 || errno != EINTR {
                    throw .io(path: path, operation: "write to", code: count == 0 ? EIO : errno)
                }
            }
        }
        try room?.making(write) ?? write()
    }
}
