/// What can go wrong while a data set is fetched.
enum GetDataError: Error, Equatable {
    /// No data set of this word.
    case unknownDataset(String, known: [String])
    /// The program that downloads is not on PATH.
    case curlMissing
    /// No mirror gave the file; what each said.
    case noMirror(file: String, reasons: [String], partKept: Bool)
    /// A mirror gave other bytes than the file's; so did all, or there was no other.
    case wrongChecksum(file: String, source: String, expected: String, actual: String)
    /// The disk refused.
    case notWritten(file: String, reason: String)

    var code: ExitCode {
        switch self {
        case .unknownDataset: .usage
        case .curlMissing: .missingFile
        case .noMirror, .notWritten: .inputOutput
        case .wrongChecksum: .badData
        }
    }
}

extension GetDataError: CustomStringConvertible {
    /// What, where, what to do; one line.
    var description: String {
        switch self {
        case .unknownDataset(let name, let known):
            "there is no data set '\(visible(name))' to get: it is one of "
                + known.joined(separator: ", ")
        case .curlMissing:
            "there is no curl on PATH, which downloads: install it (apt install curl), or fetch "
                + "the files in another way"
        case .noMirror(let file, let reasons, let partKept):
            "\(file) could not be downloaded: \(reasons.map(visible).joined(separator: "; ")); check "
                + "the connection and https_proxy, or give another place with --mirror URL"
                + (partKept ? "; the same command goes on where this one ended" : "")
        case .wrongChecksum(let file, let source, let expected, let actual):
            "\(file) from \(source) is not the published file: its SHA-256 is \(actual), not "
                + "\(expected); try again, or give another place with --mirror URL"
        case .notWritten(let file, let reason):
            "\(file) cannot be written: \(visible(reason)); free space, or choose another folder"
        }
    }
}
