import Glibc

/// A file of one JSON object a line (`metrics.jsonl`), which other programs may read as it grows.
///
/// Each line reaches the operating system whole before `append` returns. A line that does not fit
/// on the disk is taken back, so that the file stays readable.
public final class MetricsLog {
    private let file: FileDescriptor
    private var length: Int
    private let room: DiskRoom?

    /// Opens the file at `path` for new lines; an older one is emptied unless `keepingLines`.
    ///
    /// - Parameter room: what is given up where a line does not fit on the disk.
    public init(
        path: String, keepingLines: Bool = false, room: DiskRoom? = nil
    ) throws(FileError) {
        self.room = room
        let file = try FileDescriptor(
            opening: path, flags: O_WRONLY | O_CREAT | O_APPEND | (keepingLines ? 0 : O_TRUNC),
            operation: "create")
        length = keepingLines ? try file.size() : 0
        self.file = file
    }

    /// Opens the file at `path` for lines after `step`: those of later steps, which a run wrote
    /// before it was interrupted, are cut off, and so is a line that is not whole.
    public convenience init(
        path: String, resumingAfterStep step: Int, room: DiskRoom? = nil
    ) throws(FileError) {
        try self.init(path: path, keepingLines: true, room: room)
        let bytes = try FileDescriptor(opening: path, flags: O_RDONLY, operation: "open")
            .read(count: length)
        var kept = 0
        while let end = bytes[kept...].firstIndex(of: UInt8(ascii: "\n")) {
            guard let line = try? JSONValue(parsing: Array(bytes[kept..<end])),
                let lineStep = line["step"]?.int, lineStep <= step
            else { break }
            kept = end + 1
        }
        try file.truncate(to: kept)
        length = kept
    }

    /// Appends `object` as one line, its members in order. NaN and infinities become null.
    public func append(_ object: JSONObject) throws {
        let line = Array((JSONValue.object(object).text + "\n").utf8)
        try room?.making { try append(line) } ?? append(line)
    }

    private func append(_ line: [UInt8]) throws(FileError) {
        do {
            try file.write(line.span.bytes)
        } catch {
            // The first error is the one to report; a device cannot be cut.
            try? file.truncate(to: length)
            throw error
        }
        length += line.count
    }
}
