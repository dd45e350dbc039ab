import Glibc

/// What the operating system refused, or what a run must not overwrite.
public enum FileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A call failed. `operation` is its verb ("write"), `code` its errno.
    case io(path: String, operation: String, code: Int32)

    /// The folder for a new run holds one already; `file` is the file that shows it.
    case folderHoldsRun(path: String, file: String)

    /// A file that would be replaced.
    case fileExists(path: String)

    /// Another program trains in the folder; `holder` is what its lock says of it.
    case folderLocked(path: String, holder: String, seconds: Double)

    /// The operating system's words for an `io` error; nil for others.
    public var reason: String? {
        if case .io(_, _, let code) = self { String(cString: strerror(code)) } else { nil }
    }

    /// What, where, what to do; one line.
    public var description: String {
        switch self {
        case .io(let path, let operation, let code):
            let reason = String(cString: strerror(code))
            return "cannot \(operation) '\(oneLine(path))': \(reason); \(remedy(code))"
        case .folderHoldsRun(let path, let file):
            return "'\(oneLine(path))' already holds a run (\(file)): "
                + "give --resume auto to go on, --overwrite to replace it, or another folder "
                + "with --out"
        case .fileExists(let path):
            return "'\(oneLine(path))' exists already: "
                + "give --overwrite to replace it or another file with -o"
        case .folderLocked(let path, let holder, let seconds):
            let waited = seconds > 0 ? " after \(Int(seconds)) s of waiting" : ""
            return "'\(oneLine(path))' is still in use by \(oneLine(holder))\(waited): end it, or "
                + "give another folder with --out"
        }
    }

    private func remedy(_ code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT, EFBIG: "free space there or choose another folder"
        case EACCES, EPERM, EROFS: "change its permissions or choose another path"
        case ENOENT, ENOTDIR, EISDIR, EEXIST, ENAMETOOLONG, ELOOP: "check the path"
        default: "check the disk, then try again"
        }
    }

    /// The error of the call that just failed on this thread.
    static func last(_ operation: String, _ path: String) -> FileError {
        .io(path: path, operation: operation, code: errno)
    }
}
