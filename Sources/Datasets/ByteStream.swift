import Glibc

/// Bytes read in turn, from memory, a file, or what gzip made of either.
protocol ByteStream: AnyObject {
    /// Fills the front of `buffer` and returns how many bytes: fewer than asked for only where
    /// the stream ends, 0 at its end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(DatasetError) -> Int
}

/// A stream that can begin again, and knows how much it holds.
protocol RewindableStream: ByteStream {
    /// Bytes in all.
    var size: Int { get }

    /// Goes back to the first byte.
    func rewind() throws(DatasetError)
}

/// The bytes of an array.
final class MemoryStream: RewindableStream {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var size: Int { bytes.count }

    func rewind() { position = 0 }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = min(buffer.count, bytes.count - position)
        buffer.copyBytes(from: bytes[position..<position + count])
        position += count
        return count
    }
}

/// The bytes of a regular file.
final class FileStream: RewindableStream {
    let path: String
    let size: Int
    private let descriptor: Int32

    /// Opens the file.
    ///
    /// - Throws: `unreadable`, also for what is not a regular file: opening a pipe would wait.
    init(path: String) throws(DatasetError) {
        self.path = path
        var status = stat()
        guard stat(path, &status) == 0 else { throw .system(path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable(path: path, reason: "it is not a regular file")
        }
        size = Int(status.st_size)
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(path) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func rewind() throws(DatasetError) {
        guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw .system(path) }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(DatasetError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = Glibc.read(descriptor, rest.baseAddress, rest.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .system(path) }
            if count == 0 { break }
            filled += count
        }
        return filled
    }
}

extension DatasetError {
    /// What the system's last error says about `path`.
    static func system(_ path: String) -> DatasetError {
        .unreadable(path: path, reason: String(cString: strerror(errno)))
    }
}
