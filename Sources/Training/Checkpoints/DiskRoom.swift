import Glibc

/// What a run gives up where its disk is full: its own checkpoints, those set aside first, then the
/// oldest. The newest one stays, from which the run can go on.
public struct DiskRoom: Sendable {
    private let folder: CheckpointFolder
    private let removed: @Sendable (_ path: String) -> Void

    /// The room that checkpoints of the run in `folder` take; `removed` is told of each that goes.
    public init(_ folder: RunFolder, removed: @escaping @Sendable (_ path: String) -> Void) {
        self.init(CheckpointFolder(of: folder), removed: removed)
    }

    init(_ folder: CheckpointFolder, removed: @escaping @Sendable (_ path: String) -> Void) {
        self.folder = folder
        self.removed = removed
    }

    /// Does `work`, which writes; again, with a checkpoint less, for as long as the disk is full.
    ///
    /// - Throws: what `work` throws when nothing is left to give up.
    @discardableResult
    public func making<Result>(_ work: () throws -> Result) throws -> Result {
        while true {
            do {
                return try work()
            } catch let error as FileError where error.isOfFullDisk {
                guard let path = try folder.removeOldest() else { throw error }
                removed(path)
            }
        }
    }
}

extension FileError {
    /// Whether less on the disk, or in the user's share of it, would have helped.
    var isOfFullDisk: Bool {
        if case .io(_, _, ENOSPC) = self { return true }
        if case .io(_, _, EDQUOT) = self { return true }
        return false
    }
}
