import Glibc

/// The two streams of the program: people read standard error, machines standard output.
enum Console {
    /// Writes all of `text` to standard error at once, so that lines of several ranks stay whole.
    static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Writes all of `text` to standard output.
    static func output(_ text: String) { write(text, to: STDOUT_FILENO) }

    /// A reader that went away or a full disk ends the text, not the run.
    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                bytes = bytes.dropFirst(count)
            } else if count == 0 || errno != EINTR {
                return
            }
        }
    }

    /// Columns of the terminal on standard error; nil if it is none.
    static var errorWidth: Int? {
        guard isatty(STDERR_FILENO) == 1 else { return nil }
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}
