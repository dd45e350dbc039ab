import Glibc

/// A file of one JSON object a line (`metrics.jsonl`), which other programs may read as it grows.
///
/// Each line reaches the operating system whole before `append` returns. A line that does not fit
/// on the disk is taken back, so that the file stays readable.
public final class MetricsLog {
    private let file: FileDescriptor
    private var length: Int

    /// Opens the file at `path` for new lines; an older one is emptied unless `keepingLines`.
    public init(path: String, keepingLines: Bool = false) throws(FileError) {
        let file = try FileDescriptor(
            opening: path, flags: O_WRONLY | O_CREAT | O_APPEND | (keepingLines ? 0 : O_TRUNC),
            operation: "create")
        length = keepingLines ? try file.size() : 0
        self.file = file
    }

    /// Appends `object` as one line, its members in order. NaN and infinities become null.
    public func append(_ object: JSONObject) throws(FileError) {
        let line = Array((JSONValue.object(object).text + "\n").utf8)
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
