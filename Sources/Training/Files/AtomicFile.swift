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
}

/// Writes the file at `path` so that it is either whole or untouched, whatever happens.
///
/// `body` fills a temporary file in the same folder, which then takes the place of `path` in one
/// step: written, fsync, rename, fsync of the folder. If `body` or the disk fails, the temporary
/// is removed and an older file at `path` stays as it was.
///
/// - Returns: whether the file system has confirmed that the name is on disk, too.
/// - Throws: `FileError.io` naming `path` (never the temporary), or what `body` throws.
@discardableResult
public func writeAtomically(
    path: String, _ body: (AtomicFileWriter) throws -> Void
) throws -> Bool {
    let folder = folderOf(path)
    let (file, temporary) = try createTemporary(in: folder, for: path)
    do {
        try body(AtomicFileWriter(file: file))
        try file.synchronize()
        try file.close()
        guard rename(temporary, path) == 0 else { throw FileError.last("replace", path) }
    } catch {
        unlink(temporary)
        throw error
    }
    let entry = try FileDescriptor(
        opening: folder, flags: O_RDONLY | O_DIRECTORY, operation: "open")
    return try entry.synchronizeNames()
}

/// Writes `text` as the whole of the file at `path`, as `writeAtomically(path:_:)` does.
@discardableResult
public func writeAtomically(path: String, text: String) throws -> Bool {
    try writeAtomically(path: path) { writer in try writer.write(text) }
}

/// The folder that holds `path`; "." for a bare name.
func folderOf(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// A new file in `folder`, and its path. Messages call it by `target`, whose place it takes.
///
/// Its own name is short whatever the target's: a name may have 255 bytes.
private func createTemporary(
    in folder: String, for target: String
) throws(FileError) -> (file: FileDescriptor, path: String) {
    var attempt = 0
    while true {
        let path = "\(folder)/.bn-train.\(getpid()).\(attempt).tmp"
        do throws(FileError) {
            let file = try FileDescriptor(
                opening: path, flags: O_WRONLY | O_CREAT | O_EXCL, operation: "create",
                shownAs: target)
            return (file, path)
        } catch {
            guard case .io(_, _, let code) = error, code == EEXIST else { throw error }
            attempt += 1
        }
    }
}
