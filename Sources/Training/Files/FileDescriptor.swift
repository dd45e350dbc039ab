import Glibc

/// An open file. It is closed when its owner goes; `close()` reports what closing finds.
///
/// Short counts and EINTR are handled here and nowhere else.
final class FileDescriptor {
    /// The number that the kernel knows the file by.
    private var number: Int32
    /// The file's name in messages.
    let path: String

    /// Opens `path`; `operation` is the verb of the error's text, `name` stands there for a path
    /// that means nothing to people.
    init(
        opening path: String, flags: Int32, operation: String, shownAs name: String? = nil
    ) throws(FileError) {
        var number: Int32
        repeat {
            number = open(path, flags | O_CLOEXEC, 0o666)
        } while number < 0 && errno == EINTR
        guard number >= 0 else { throw .last(operation, name ?? path) }
        self.number = number
        self.path = name ?? path
    }

    deinit { if number >= 0 { _ = Glibc.close(number) } }

    /// Bytes in the file, which must be a regular one.
    func size() throws(FileError) -> Int {
        var status = stat()
        guard fstat(number, &status) == 0 else { throw .last("read", path) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return Int(status.st_size)
        case S_IFDIR: throw .io(path: path, operation: "read", code: EISDIR)
        default: throw .io(path: path, operation: "read", code: ESPIPE)
        }
    }

    /// Writes all of `bytes`.
    func write(_ bytes: RawSpan) throws(FileError) {
        try bytes.withUnsafeBytes { (buffer) throws(FileError) in
            var written = 0
            while written < buffer.count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[written...])
                let count = Glibc.write(number, rest.baseAddress, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw FileError.last("write", path)
                }
                written += count
            }
        }
    }

    /// Reads up to `buffer.count` bytes; fewer only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = Glibc.read(number, rest.baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw .last("read", path)
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    /// Reads up to `count` bytes; fewer only at the end of the file.
    func read(count: Int) throws(FileError) -> [UInt8] {
        var failure: FileError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(FileError) {
                filled = try read(into: UnsafeMutableRawBufferPointer(buffer))
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// All bytes of the file at `path`.
    static func contents(of path: String) throws(FileError) -> [UInt8] {
        let file = try FileDescriptor(
            opening: path, flags: O_RDONLY | O_NONBLOCK, operation: "open")
        return try file.read(count: try file.size())
    }

    /// Returns when the file's bytes are on the disk. A file system that cannot say (EINVAL) is
    /// taken at its word.
    func synchronize() throws(FileError) {
        guard fsync(number) == 0 || errno == EINVAL else { throw .last("write", path) }
    }

    /// Returns when the names in this folder are on the disk: true. Network and user-space file systems
    /// (CIFS, FUSE) may have no way to say: false.
    func synchronizeNames() throws(FileError) -> Bool {
        guard fsync(number) != 0 else { return true }
        let code = errno
        switch code {
        case EINVAL: return true
        case EOPNOTSUPP, ENOSYS, EBADF: return false
        default: throw .io(path: path, operation: "write", code: code)
        }
    }

    /// Takes the file's lock (flock), if no other process has it. A file system without locks
    /// gives it to everybody.
    func lock() throws(FileError) -> Bool {
        if flock(number, LOCK_EX | LOCK_NB) == 0 { return true }
        switch errno {
        case EWOULDBLOCK, EINTR: return false
        case ENOLCK, ENOSYS, EOPNOTSUPP, EINVAL: return true
        default: throw .last("lock", path)
        }
    }

    /// Whether `path` names this very file.
    func isFile(at path: String) -> Bool {
        var (mine, there) = (stat(), stat())
        return fstat(number, &mine) == 0 && stat(path, &there) == 0
            && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev
    }

    /// Cuts the file to `length` bytes.
    func truncate(to length: Int) throws(FileError) {
        guard ftruncate(number, off_t(length)) == 0 else { throw .last("truncate", path) }
    }

    /// Closes the file; nothing may follow. Network file systems report a full disk only here.
    func close() throws(FileError) {
        // Linux frees the descriptor even on EINTR: a second close could hit another file.
        let result = Glibc.close(number)
        number = -1
        guard result == 0 || errno == EINTR else { throw .last("write", path) }
    }
}
