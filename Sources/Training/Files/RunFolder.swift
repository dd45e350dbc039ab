import Glibc

/// The folder of one run: its resolved config, metrics and models.
///
/// Rank 0 creates it; other ranks never touch it.
public struct RunFolder: Equatable, Sendable {
    /// The folder.
    public let path: String

    /// The resolved configuration: `config.json`.
    public var config: String { path + "/config.json" }
    /// One JSON object per report: `metrics.jsonl`.
    public var metrics: String { path + "/metrics.jsonl" }
    /// Held by the program that trains here: `.lock`.
    var lock: String { path + "/.lock" }
    /// The trained model: `final.safetensors`.
    public var finalModel: String { path + "/final.safetensors" }
    /// What the finished run came to, one JSON object: `summary.json`, written last.
    public var summary: String { path + "/summary.json" }
    /// The model before step 1: `initial.safetensors`.
    public var initialModel: String { path + "/initial.safetensors" }

    /// Creates the folder at `path`, with the folders above it, or takes the existing one.
    ///
    /// A folder that holds files of a run is refused, unless `overwrite`: then each of them stays
    /// until the new run writes its own in its place.
    ///
    /// - Throws: `FileError.folderHoldsRun`, or `FileError.io` if it cannot be made or written to.
    public init(creating path: String, overwrite: Bool = false) throws(FileError) {
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        try makeFolder(self.path)
        if !overwrite {
            for file in [config, metrics, finalModel, initialModel] where access(file, F_OK) == 0 {
                throw .folderHoldsRun(path: path, file: String(file.dropFirst(self.path.count + 1)))
            }
        }
        try requireWritable(self.path)
    }

    /// Removes the summary of an older run, which this one takes the place of.
    public func removeSummary() throws(FileError) {
        guard unlink(summary) == 0 || errno == ENOENT else { throw .last("remove", summary) }
    }

    /// The text of `config.json`: the configuration of the run.
    public func configText() throws(FileError) -> String {
        String(decoding: try FileDescriptor.contents(of: config), as: UTF8.self)
    }

    /// Creates the next free `NAME-N` in the folder `parent`, which is made if missing.
    ///
    /// N is one more than the largest there is. `mkdir` decides between programs that race for it.
    ///
    /// - Precondition: `name` is not empty and has no slash.
    public init(creatingNextNamed name: String, in parent: String = "runs") throws(FileError) {
        precondition(!name.isEmpty && !name.contains("/"), "a run's name is one path component")
        try makeFolder(parent)
        var number = 1 + (try largestNumber(in: parent, prefix: name + "-"))
        while true {
            let candidate = "\(parent)/\(name)-\(number)"
            if mkdir(candidate, 0o777) == 0 {
                path = candidate
                return
            }
            guard errno == EEXIST else { throw .last("create", candidate) }
            number += 1
        }
    }
}

/// Makes the folder `path` and those above it, as `mkdir -p` does.
package func makeFolder(_ path: String) throws(FileError) {
    if mkdir(path, 0o777) == 0 { return }
    switch errno {
    case EEXIST:
        var status = stat()
        guard stat(path, &status) == 0 else { throw .last("create", path) }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .io(path: path, operation: "create", code: ENOTDIR)
        }
    case ENOENT where path.contains("/") && folderOf(path) != path:
        try makeFolder(folderOf(path))
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw .last("create", path) }
    default: throw .last("create", path)
    }
}

/// Proves that a file can be created in `folder`, before hours of training end in the answer.
private func requireWritable(_ folder: String) throws(FileError) {
    let probe = "\(folder)/.bn-train.\(getpid()).probe"
    let number = open(probe, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    guard number >= 0 else { throw .last("write to", folder) }
    close(number)
    unlink(probe)
}

/// The largest N of the names `prefix`N in `folder`; 0 if there is none.
private func largestNumber(in folder: String, prefix: String) throws(FileError) -> Int {
    guard let listing = opendir(folder) else { throw .last("read", folder) }
    defer { closedir(listing) }
    // An entry is as long as its name: the whole structure must not be copied.
    guard let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) else { return 0 }
    var largest = 0
    while let entry = readdir(listing) {
        let name = String(
            cString: UnsafeRawPointer(entry).advanced(by: nameOffset)
                .assumingMemoryBound(to: CChar.self))
        if name.hasPrefix(prefix), let number = Int(name.dropFirst(prefix.count)),
            number > largest, number < Int.max
        {
            largest = number
        }
    }
    return largest
}
