import Training

/// Why there is nothing to report on.
enum ReportError: Error, Equatable {
    /// There is no such folder.
    case missingFolder(String)
    /// It is a file.
    case notAFolder(String)
    /// The folder holds none of a run's files.
    case noRun(String)
    /// `config.json` is damaged.
    case damagedConfiguration(path: String, reason: String)
    /// A line of `metrics.jsonl` before the last is damaged.
    case damagedMetrics(path: String, line: Int, reason: String)
    /// `table.json` of a sweep is damaged.
    case damagedTable(path: String, reason: String)
    /// There is no such file of claims.
    case missingClaims(String)
    /// A page without a place for the claims.
    case noPlaceForClaims(String)

    var code: ExitCode {
        switch self {
        case .missingFolder, .noRun, .missingClaims: .missingFile
        case .notAFolder, .noPlaceForClaims: .usage
        case .damagedConfiguration, .damagedMetrics, .damagedTable: .badData
        }
    }
}

extension ReportError: CustomStringConvertible {
    /// What, where, what to do; one line.
    var description: String {
        switch self {
        case .missingFolder(let path):
            "no folder '\(visible(path))': give the folder of a run, such as runs/NAME-1"
        case .notAFolder(let path):
            "'\(visible(path))' is a file: give the folder of a run, such as runs/NAME-1"
        case .noRun(let path):
            "'\(visible(path))' holds no run (no config.json): give the folder that `bn-train train` "
                + "printed as its output, such as runs/NAME-1"
        case .damagedConfiguration(let path, let reason):
            "'\(visible(path))' is damaged: \(visible(reason)); copy the run again, or train it again"
        case .damagedMetrics(let path, let line, let reason):
            "line \(line) of '\(visible(path))' is damaged: \(visible(reason)); copy the run again, "
                + "or delete the line"
        case .damagedTable(let path, let reason):
            "'\(visible(path))' is damaged: \(visible(reason)); run the sweep again, which finds its "
                + "finished runs"
        case .missingClaims(let path):
            "there is no file of claims '\(visible(path))': give one such as "
                + "configs/experiments/claims.json5"
        case .noPlaceForClaims(let path):
            "'\(visible(path))' has no lines \(ClaimsCommand.markers.0) and "
                + "\(ClaimsCommand.markers.1): add them where the table belongs, or give another file "
                + "with -o"
        }
    }
}
