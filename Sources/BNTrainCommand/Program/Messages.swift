import Collectives
import Configuration
import Datasets
import Kernels
import MPICollectives
import Models
import Training

/// What the program's exit code says.
enum ExitCode: Int32, CaseIterable {
    case done = 0
    case different = 1
    case usage = 64
    case badData = 65
    case missingFile = 66
    case internalError = 70
    case lostPeer = 71
    case replicasDisagree = 72
    case diverged = 73
    case inputOutput = 74
    case stopped = 75

    /// For `help exit-codes`.
    var meaning: String {
        switch self {
        case .done: "done"
        case .different: "verify, inspect, replay or bisect found a difference"
        case .usage: "command line, configuration, or a run that cannot start as asked"
        case .badData: "bad data set or model file"
        case .missingFile: "missing file or folder"
        case .internalError: "internal error"
        case .lostPeer: "a rank was lost or too slow; starting again can help"
        case .replicasDisagree: "replicas or shards disagree: a host computes wrongly"
        case .diverged: "training diverged: the loss became NaN or infinite"
        case .inputOutput: "reading or writing failed: disk full, no permission"
        case .stopped: "stopped by a signal, after saving"
        }
    }
}

/// How the program ends on an error: its message and exit code. The one place that knows both.
struct Ending: Equatable {
    /// The text for stderr, without the last newline. One line; a configuration's error adds its
    /// source line and a caret.
    let message: String

    /// What the process returns.
    let code: Int32

    /// True where the error is one worker's own, so that its rank must speak; false where all
    /// ranks find it alike and rank 0 speaks for them.
    let isOneWorkers: Bool

    /// What an error says, without a place in the world.
    static func text(of error: any Error) -> String { Finding(error, in: World()).text }

    /// The ending for an error of this rank.
    ///
    /// - Parameter world: where the error happened; without one, a world of one worker.
    init(_ error: any Error, in world: World = World()) {
        self.init(Finding(error, in: world))
    }

    private init(_ finding: Finding) {
        message = "bn-train: error: \(finding.text)"
        code = finding.code.rawValue
        isOneWorkers = finding.isOneWorkers
    }
}

/// What an error says and means, before it becomes a message.
private struct Finding {
    var text: String
    let code: ExitCode
    var isOneWorkers = false

    init(_ text: String, _ code: ExitCode, isOneWorkers: Bool = false) {
        self.text = text
        self.code = code
        self.isOneWorkers = isOneWorkers
    }

    init(_ error: any Error, in world: World) {
        switch error {
        case let failure as WorkerFailure:
            self.init(failure.error, at: Place(world: world, worker: failure.worker))
        default:
            self.init(error, at: Place(world: world, worker: nil))
        }
    }

    /// Where in the world an error happened, as far as it is known.
    struct Place {
        let world: World
        let worker: Int?
        var epoch: Int?
        var step: Int?

        /// "rank 0, worker 1, epoch 1, step 12: "; empty where nothing is known.
        var prefix: String {
            let parts = [
                worker.map { "rank \(world.rank), worker \($0)" },
                epoch.map { "epoch \($0)" }, step.map { "step \($0)" },
            ].compactMap { $0 }
            return parts.isEmpty ? "" : parts.joined(separator: ", ") + ": "
        }
    }

    private init(_ error: any Error, at place: Place) {
        switch error {
        case let error as UsageError: self.init(error.description, .usage)
        case let error as PathEncodingError: self.init(error.description, .usage)
        case let error as ConfigurationError:
            switch error.problem {
            case .missingFile, .missingSweep: self.init(error.description, .missingFile)
            default: self.init(error.description, .usage)
            }
        case let error as ModelError: self.init(error.message, .usage)
        case let error as DatasetError: self.init(error.message, error.category.exitCode)
        case let error as CheckpointError:
            if case .missingFile = error {
                self.init(error.description, .missingFile)
            } else {
                self.init(error.description, .badData)
            }
        case let error as FileError:
            switch error {
            case .folderHoldsRun, .fileExists: self.init(error.description, .usage)
            case .folderLocked: self.init(error.description, .lostPeer)
            case .io: self.init(error.description, .inputOutput)
            }
        case let error as VerifyError: self.init(error.description, .usage)
        case let error as ResumeError: self.init(error.description, .usage)
        case let error as MPISessionError: self.init(error.description, .usage)
        case let error as BenchError: self.init(error.description, error.code)
        case let error as GetDataError: self.init(error.description, error.code)
        case let error as SweepError: self.init(error.description, error.code)
        case let error as ReplayError: self.init(error.description, error.code)
        case let error as ReportError: self.init(error.description, error.code)
        case let error as PredictError: self.init(error.description, .usage)
        case let error as StatisticsError: self.init(error.description, .usage)
        case let error as StartRecord.Difference: self.init(error.description, .usage)
        case let error as TrainingError: self.init(error, at: place)
        case let error as CollectiveError: self.init(error, at: place)
        default:
            self.init(
                place.prefix + "internal error: \(visible("\(error)")); please report it with the "
                    + "output of `bn-train doctor`", .internalError, isOneWorkers: true)
        }
    }

    private init(_ error: TrainingError, at place: Place) {
        switch error {
        case .diverged, .rollback: self.init(error.description, .diverged)
        case .replicasDiffer, .shardDiffers: self.init(error.description, .replicasDisagree)
        case .failed(let step, let epoch, let cause):
            var place = place
            place.epoch = epoch
            place.step = step
            self.init(cause, at: place)
        }
    }

    private init(_ error: CollectiveError, at place: Place) {
        let rank = place.world.rank
        switch error {
        case .peerFailed:
            self.init(
                place.prefix + "another worker failed first; see its message", .lostPeer,
                isOneWorkers: true)
        case .timeout(let peers, let seconds, let fingerprint):
            // The sentence names the rank, and the thread that waits is always its first.
            let epoch = place.epoch.map { "epoch \($0), " } ?? ""
            let meeting = fingerprint.map { epoch + $0.words } ?? "the start or end of the run"
            let several = peers.count != 1
            self.init(
                "rank \(rank) waited \(short(seconds)) s for \(names(ofRanks: peers)) in "
                    + "\(meeting): \(several ? "they are" : "it is") stopped, dead or much slower; "
                    + "see \(several ? "their" : "its") output, or raise --timeout", .lostPeer,
                isOneWorkers: true)
        case .mismatch(let here, let mine, let there, let theirs):
            // Only a rank's first thread meets other ranks, and it never meets itself in a team.
            let threads = place.world.threadsPerRank
            let ranks = place.world.ranks > 1 && (place.worker ?? here) % threads == 0
            let noun = ranks ? "rank" : "worker"
            var place = place
            place.step = nil
            self.init(
                place.prefix + "\(noun) \(here) came to \(mine.words), but \(noun) \(there) to "
                    + "\(theirs.words); this is an internal error: please report it with the "
                    + "command and its configuration", .internalError, isOneWorkers: true)
        case .transport(let text):
            self.init(
                place.prefix + "a message between ranks failed: \(visible(text)); see the other "
                    + "ranks' output, then start again", .lostPeer, isOneWorkers: true)
        }
    }
}

extension DatasetError.Category {
    fileprivate var exitCode: ExitCode {
        switch self {
        case .settings: .usage
        case .badData: .badData
        case .missingFile: .missingFile
        case .inputOutput: .inputOutput
        }
    }
}

extension Fingerprint {
    /// Which collective this is: "step 12, layer 1's forward statistics, 256 values".
    ///
    /// Layers are the normalisation layers, counted from 1.
    var words: String {
        let what =
            switch kind {
            case .moments: "forward statistics"
            case .momentGradients: "backward statistics"
            case .gradients: "gradients"
            case .metrics: "metrics"
            case .barrier: "a barrier"
            case .digest: "digests of replicas"
            case .start: "records of the start"
            }
        let owner = layer >= 0 ? "layer \(layer + 1)'s " : ""
        let size = kind == .barrier ? "" : ", \(length) value\(length == 1 ? "" : "s")"
        return (step > 0 ? "step \(step), " : "before step 1, ") + owner + what + size
    }
}

/// "rank 2", "ranks 1 and 3", "ranks 1, 2, 3 and 12 more"; "the other ranks" where it is not known
/// which of them.
private func names(ofRanks ranks: [Int]) -> String {
    if ranks.isEmpty { return "the other ranks" }
    guard ranks.count > 1 else { return "rank \(ranks[0])" }
    let shown = ranks.count > 5 ? Array(ranks.prefix(4)) : ranks
    var names = shown.map { "\($0)" }
    if shown.count < ranks.count { names.append("\(ranks.count - shown.count) more") }
    return "ranks " + names.dropLast().joined(separator: ", ") + " and " + names[names.count - 1]
}

/// 300 rather than 300.0.
private func short(_ number: Double) -> String {
    number == number.rounded() && abs(number) < 1e15 ? "\(Int(number))" : "\(number)"
}
