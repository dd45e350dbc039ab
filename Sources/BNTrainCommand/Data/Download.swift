import Foundation
import Glibc
import Training

/// Fetches one file through the program curl, which knows proxies (`https_proxy`, `no_proxy`), and
/// goes on where an earlier attempt ended: what has come so far lies in `NAME.part`.
struct Download {
    let file: KnownDataset.File
    let directory: String
    let mirrors: [String]

    /// curl runs in it, and is found on its PATH.
    let environment: [String: String]

    /// Called now and then with the bytes that have come.
    let progress: (Int) -> Void

    /// Seconds in which almost nothing came, after which a mirror counts as dead.
    var patience = 30

    var target: String { directory + "/" + file.name }
    private var part: String { target + ".part" }

    private func findCurl() throws(GetDataError) -> String {
        let candidates = (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/curl" }
        guard let curl = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw .curlMissing
        }
        return curl
    }

    /// Whether the file is there and is what it should be.
    func isDone() throws(FileError) -> Bool {
        guard size(target) != nil else { return false }
        return try SHA256.digest(ofFile: target) == file.sha256
    }

    /// Fetches the file from the first mirror that has it.
    ///
    /// - Throws: `GetDataError`; `FileError` where the disk refuses.
    func run() throws {
        // A whole part, left by a run that ended before it was compared.
        if size(part) == file.size, try accept() == nil { return }
        var reasons: [String] = []
        var mismatch: GetDataError?
        for mirror in mirrors {
            let source = (mirror.hasSuffix("/") ? mirror : mirror + "/") + file.name
            let isResumed = size(part) ?? 0 > 0
            var reason = try transfer(from: source)
            var actual = reason == nil ? try accept() : nil
            if isResumed && (actual != nil || reason?.isAboutResuming == true) {
                // The beginning was of something else, or this mirror gives whole files only.
                try removePart()
                reason = try transfer(from: source)
                actual = reason == nil ? try accept() : nil
            }
            if let reason {
                reasons.append("\(mirror): \(reason.text)")
            } else if let actual {
                mismatch = .wrongChecksum(
                    file: target, source: source, expected: file.sha256, actual: actual)
            } else {
                return
            }
        }
        if let mismatch { throw mismatch }
        throw GetDataError.noMirror(
            file: target, reasons: reasons, partKept: size(part) ?? 0 > 0)
    }

    /// Compares the part, and gives it its name if it is the file; otherwise it goes.
    ///
    /// - Returns: nil, or the checksum of what it was.
    private func accept() throws -> String? {
        let digest = try SHA256.digest(ofFile: part)
        guard digest == file.sha256 else {
            try removePart()
            return digest
        }
        guard rename(part, target) == 0 else {
            throw FileError.io(path: target, operation: "write", code: errno)
        }
        return nil
    }

    private func removePart() throws(FileError) {
        guard unlink(part) == 0 || errno == ENOENT else {
            throw .io(path: part, operation: "remove", code: errno)
        }
    }

    /// Why curl failed.
    private struct Reason {
        let code: Int32
        let text: String

        /// The server has no ranges (33), cannot resume (36), or has fewer bytes than the part
        /// (22, HTTP 416).
        var isAboutResuming: Bool { code == 33 || code == 36 || text.contains("416") }
    }

    /// One run of curl; nil where it succeeded.
    private func transfer(from source: String) throws -> Reason? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try findCurl())
        process.environment = environment
        process.arguments = [
            // Without the user's .curlrc: it could print, or write elsewhere.
            "--disable", "--fail", "--location", "--silent", "--show-error", "--globoff",
            "--connect-timeout", "\(patience)", "--speed-limit", "100", "--speed-time",
            "\(patience)", "--continue-at", "-", "--output", part, "--", source,
        ]
        let errors = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        while process.isRunning {
            usleep(50_000)
            progress(size(part) ?? 0)
        }
        process.waitUntilExit()
        let text = String(
            decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        guard process.terminationStatus != 0 else { return nil }
        let lines = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        let reason = lines.last ?? "curl ended with \(process.terminationStatus)"
        // It could not write: another mirror would not help.
        if process.terminationStatus == 23 {
            throw GetDataError.notWritten(file: part, reason: reason)
        }
        return Reason(code: process.terminationStatus, text: reason)
    }

    /// The size of a file; nil if there is none.
    private func size(_ path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }
}
