import Glibc

/// The file that `writeAtomically` fills: bytes in order, every one of them checked.
public final class AtomicFileWriter {
    private let file: FileDescriptor

    fileprivate init(file: FileDescriptor) { self.file = file }

    /// Appends `bytes`.
    public func write(_ bytes: [UInt8]) throws(FileError) {
        try file.write(bytes.span.bytes)
    }

    /// Appends `text` as UTF-8.
    public func write(_ text: String) throws(FileError) { try write(Array(text.utf8)) }

    fileprivate func finish() throws(FileError) {
        try file.synchronize()
        try file.close()
    }
}

/// Writes the file at `path` so that it is either whole or untouched, whatever happens.
///
/// `body` fills a temporary file in the same folder, which then takes the place of `path` in one
/// step: written, fsync, rename, fsync of the folder. If `body` or the disk fails, the temporary
/// is removed and an older file at `path` stays as it was.
///
/// - Throws: `FileError.io` naming `path` (never the temporary), or what `body` throws.
public func writeAtomically(
    path: String, _ body: (AtomicFileWriter) throws -> Void
) throws {
    let folder = folderOf(path)
    let temporary = try TemporaryFile(in: folder, for: path)
    do {
        let writer = AtomicFileWriter(file: try temporary.open())
        try body(writer)
        try writer.finish()
        guard rename(temporary.path, path) == 0 else { throw FileError.last("replace", path) }
    } catch {
        unlink(temporary.path)
        if case FileError.io(temporary.path, let operation, let code) = error {
            throw FileError.io(path: path, operation: operation, code: code)
        }
        throw error
    }
    let entry = try FileDescriptor(
        opening: folder, flags: O_RDONLY | O_DIRECTORY, operation: "open")
    try entry.synchronize()
}

/// Writes `text` as the whole of the file at `path`, as `writeAtomically(path:_:)` does.
public func writeAtomically(path: String, text: String) throws {
    try writeAtomically(path: path) { writer in try writer.write(text) }
}

/// The folder that holds `path`; "." for a bare name.
func folderOf(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// A name in a folder that nothing else has. Short, whatever the final name: a name may have
/// 255 bytes.
private struct TemporaryFile {
    let path: String
    private let target: String

    init(in folder: String, for target: String) throws(FileError) {
        self.target = target
        var attempt = 0
        while true {
            let candidate = "\(folder)/.bn-train.\(getpid()).\(attempt).tmp"
            let number = Glibc.open(candidate, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if number >= 0 {
                Glibc.close(number)
                path = candidate
                return
            }
            guard errno == EEXIST || errno == EINTR else { throw .last("create", target) }
            attempt += 1
        }
    }

    func open() throws(FileError) -> FileDescriptor {
        try FileDescriptor(opening: path, flags: O_WRONLY, operation: "write")
    }
}
