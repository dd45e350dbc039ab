import Glibc
import Synchronization
import Training

/// The two streams of the program: people read standard error, machines standard output.
enum Console {
    /// The errno of the first failed write to standard output; 0 without one.
    private static let outputFailure = Atomic<Int32>(0)

    /// Writes all of `text` to standard error at once, so that lines of several ranks stay whole.
    static func error(_ text: String) { _ = write(text, to: STDERR_FILENO) }

    /// Writes all of `text` to standard output; see `requireOutputWritten`.
    static func output(_ text: String) {
        let code = write(text, to: STDOUT_FILENO)
        if code != 0 { outputFailure.store(code, ordering: .relaxed) }
    }

    /// Fails where a result did not reach standard output. A reader that went away ( | head) has
    /// what it wanted.
    static func requireOutputWritten() throws(FileError) {
        let code = outputFailure.load(ordering: .relaxed)
        if code != 0, code != EPIPE {
            throw .io(path: "standard output", operation: "write to", code: code)
        }
    }

    /// Gives streams that the parent process closed to /dev/null: the next file opened would take
    /// the stream's number, and get its text.
    static func openClosedStreams() {
        for descriptor in STDIN_FILENO...STDERR_FILENO
        where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
            // The lowest free number is this one.
            _ = open("/dev/null", O_RDWR)
        }
    }

    /// - Returns: 0, or the errno that ended the text; the run goes on.
    private static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                bytes = bytes.dropFirst(count)
            } else if count == 0 || errno != EINTR {
                return count == 0 ? EIO : errno
            }
        }
        return 0
    }

    /// Columns of the terminal on standard error; nil if it is none.
    static var errorWidth: Int? {
        guard isatty(STDERR_FILENO) == 1 else { return nil }
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}
