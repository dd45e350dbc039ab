import Configuration
import Datasets
import Training

/// What the data files of a sweep hold now, read once for each set that its runs name.
final class SweepData {
    private var digests: [RunConfiguration.Data.Source: String] = [:]
    private let threads: Int

    /// Runs that were finished on other data.
    fileprivate(set) var others = 0

    init(threads: Int) { self.threads = threads }

    /// Whether a run of `configuration` that has recorded `digest` was on the data there are now.
    ///
    /// What is made from a seed cannot change, and of files that are gone nothing else can be said than
    /// that the run was finished.
    func isSame(_ configuration: RunConfiguration, digest: String?) -> Bool {
        guard let digest, let now = present(configuration), now != digest else { return true }
        others += 1
        return false
    }

    private func present(_ configuration: RunConfiguration) -> String? {
        let source = configuration.data.source
        switch source {
        case .syntheticDigits, .twoFeatures: return nil
        case .idx, .cifar10, .cifar100: break
        }
        // A shift of the test samples is another content of the same files.
        guard configuration.data.testShift == nil else {
            return (try? DatasetPair.load(configuration, threads: threads)).map {
                DataContent($0).digest
            }
        }
        if let known = digests[source] { return known }
        guard let pair = try? DatasetPair.load(configuration, threads: threads) else { return nil }
        digests[source] = DataContent(pair).digest
        return digests[source]
    }
}
