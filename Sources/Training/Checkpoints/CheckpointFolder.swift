import Glibc

/// The checkpoints of a run: `checkpoints/step-N.safetensors`, and `latest` with the name of the
/// newest whole one.
public struct CheckpointFolder: Equatable, Sendable {
    /// The folder.
    public let path: String

    /// The checkpoints of the run in `folder`.
    public init(of folder: RunFolder) { path = folder.path + "/checkpoints" }

    /// The file that names the newest whole checkpoint.
    public var latest: String { path + "/latest" }

    /// The checkpoint after `step`.
    public func file(step: Int) -> String { "\(path)/step-\(step).safetensors" }

    /// The steps of the checkpoints there are, ascending; none where there is no folder.
    public func steps() throws(FileError) -> [Int] {
        var steps: [Int] = []
        for name in try names() where name.hasPrefix("step-") && name.hasSuffix(".safetensors") {
            let digits = name.dropFirst("step-".count).dropLast(".safetensors".count)
            // "007" or "+7" is none of ours.
            if let step = Int(digits), step > 0, "\(step)" == digits { steps.append(step) }
        }
        return steps.sorted()
    }

    /// The newest whole checkpoint after no more than `last` steps; `skipping` is called with what is
    /// wrong with newer ones.
    ///
    /// - Returns: nil where there is none.
    public func newestWhole(
        after last: Int = .max, skipping: (String) -> Void
    ) throws(FileError) -> Checkpoint? {
        for step in try steps().reversed() where step <= last {
            do {
                let checkpoint = try Checkpoint(contentsOf: file(step: step))
                guard checkpoint.state.step == step else {
                    throw CheckpointError.malformedField(
                        path: checkpoint.file.path, field: RunState.Field.step)
                }
                return checkpoint
            } catch {
                skipping("\(error)")
            }
        }
        return nil
    }

    /// Removes all checkpoints: another run takes the folder.
    public func removeAll() throws(FileError) {
        for step in try steps() { try remove(file(step: step)) }
        try remove(latest)
    }

    /// Renames the checkpoints after `step`, from which a run goes on, to `step-N.set-aside`: they
    /// are damaged, or of a course that the run takes again.
    ///
    /// - Returns: their new paths.
    public func setAside(after step: Int) throws(FileError) -> [String] {
        var paths: [String] = []
        for later in try steps() where later > step {
            let (old, new) = (file(step: later), "\(path)/step-\(later).set-aside")
            guard rename(old, new) == 0 else { throw .last("rename", old) }
            paths.append(new)
        }
        return paths
    }

    /// Removes what killed programs left half-written. The caller has the run's folder to itself.
    public func removeLeftovers() throws(FileError) {
        for name in try names() where name.hasPrefix(".bn-train.") && name.hasSuffix(".tmp") {
            try remove("\(path)/\(name)")
        }
    }

    /// Keeps the newest `count` and the best.
    ///
    /// - Parameter best: the step of the best evaluation; its checkpoint, or else the nearest one
    ///   behind it, stays.
    func prune(keeping count: Int, best: Int?) throws(FileError) {
        let steps = try steps()
        let nearest = best.flatMap { best in steps.first { $0 >= best } }
        for step in steps.dropLast(count) where step != nearest { try remove(file(step: step)) }
    }

    /// Removes a checkpoint that was set aside, or else the oldest one, unless it is the newest, too.
    ///
    /// - Returns: its path; nil where there is none to remove.
    func removeOldest() throws(FileError) -> String? {
        let aside = try names().filter { $0.hasPrefix("step-") && $0.hasSuffix(".set-aside") }.min()
        let oldest = try steps().dropLast().first.map { file(step: $0) }
        guard let path = aside.map({ "\(path)/\($0)" }) ?? oldest else { return nil }
        try remove(path)
        return path
    }

    private func remove(_ file: String) throws(FileError) {
        guard unlink(file) == 0 || errno == ENOENT else { throw .last("remove", file) }
    }

    private func names() throws(FileError) -> [String] {
        guard let listing = opendir(path) else {
            if errno == ENOENT { return [] }
            throw .last("read", path)
        }
        defer { closedir(listing) }
        guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { return [] }
        var names: [String] = []
        while let entry = readdir(listing) {
            names.append(
                String(
                    cString: UnsafeRawPointer(entry).advanced(by: offset)
                        .assumingMemoryBound(to: CChar.self)))
        }
        return names
    }
}
