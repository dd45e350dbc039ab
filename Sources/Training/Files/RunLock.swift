import Glibc

/// The right to train in a run's folder: of one program at a time, on any host that sees it.
///
/// Ranks of a killed job can outlive mpirun by seconds, and must not write where a resumed run
/// does. The lock is the kernel's (flock) on a file that says who has it; it is gone with the
/// process, however that ends. File systems that know no locks give none, and nobody waits.
public final class RunLock {
    private let file: FileDescriptor
    private let path: String
    private var isReleased = false

    /// Takes the lock of `folder`, which exists.
    ///
    /// - Parameter seconds: how long to wait for another program to let go of it.
    /// - Throws: `FileError.folderLocked` naming the holder; `FileError.io`.
    public init(of folder: RunFolder, waiting seconds: Double = 0) throws(FileError) {
        path = folder.lock
        let clock = ContinuousClock()
        let start = clock.now
        while true {
            let file = try FileDescriptor(
                opening: path, flags: O_RDWR | O_CREAT, operation: "create")
            if try file.lock() {
                // The holder before may have removed the file that this one waited for.
                if file.isFile(at: path) {
                    try file.truncate(to: 0)
                    try file.write(Array("process \(getpid()) on \(hostName())\n".utf8).span.bytes)
                    self.file = file
                    return
                }
            } else if (clock.now - start) / .seconds(1) >= seconds {
                let text = String(decoding: try file.read(count: 256), as: UTF8.self)
                let holder = text.split(separator: "\n").first.map(String.init)
                throw .folderLocked(
                    path: folder.path, holder: holder ?? "another program", seconds: seconds)
            } else {
                usleep(100_000)
            }
        }
    }

    /// Lets go of the folder, and leaves no trace in it. A second call does nothing.
    public func release() {
        guard !isReleased else { return }
        isReleased = true
        // Before the lock is gone: nobody's file but ours is removed.
        unlink(path)
        try? file.close()
    }
}

private func hostName() -> String {
    var bytes = [CChar](repeating: 0, count: 256)
    guard gethostname(&bytes, bytes.count - 1) == 0 else { return "this host" }
    return String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}
