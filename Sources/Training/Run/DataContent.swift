public import Datasets
import Dispatch
import Foundation

/// What the samples of a run are, as SHA-256 of their bytes, part by part: as read, in order, before
/// `data.limit` and `data.validation` choose among them.
///
/// Files may lie elsewhere or be packed; what counts is what is read out of them. Bytes are taken in
/// chunks of 1 MiB, which all cores digest side by side; a part's digest is that of its extents and its
/// chunks' digests.
public struct DataContent: Equatable, Sendable {
    /// What can differ by itself.
    public typealias Part = DatasetPair.Part

    private let digests: [Part: String]

    /// The content of `pair`.
    public init(_ pair: DatasetPair) {
        digests = [
            .trainingImages: Self.images(pair.training),
            .trainingLabels: Self.labels(pair.training),
            .testImages: Self.images(pair.test), .testLabels: Self.labels(pair.test),
        ]
    }

    /// SHA-256 of all parts, 64 hexadecimal digits: `data.sha256`.
    public var digest: String {
        SHA256.digest(of: Part.allCases.map { digests[$0] ?? "" }.joined(separator: "\n"))
    }

    /// SHA-256 of one.
    public func digest(of part: Part) -> String { digests[part] ?? "" }

    /// The parts that are not those of `other`.
    public func differences(from other: DataContent) -> [Part] {
        Part.allCases.filter { digests[$0] != other.digests[$0] }
    }

    private static func images(_ dataset: Dataset) -> String {
        let units = dataset.units?.map { "\($0.lowerBound)…\($0.upperBound)" } ?? []
        return digest(
            dataset.images,
            extents: "\(dataset.count) × \(dataset.height) × \(dataset.width) × "
                + "\(dataset.channels) \(units)")
    }

    private static func labels(_ dataset: Dataset) -> String {
        digest(dataset.labels, extents: "\(dataset.count) of \(dataset.classes) classes")
    }

    private static let chunk = 1 << 20

    private static func digest(_ bytes: [UInt8], extents: String) -> String {
        let chunks = (bytes.count + chunk - 1) / chunk
        // No `Mutex`, which ThreadSanitizer does not see; the lock guards `found`.
        let lock = NSLock()
        nonisolated(unsafe) var found = [String](repeating: "", count: chunks)
        DispatchQueue.concurrentPerform(iterations: chunks) { index in
            let hash = SHA256()
            hash.update(bytes[index * chunk..<min((index + 1) * chunk, bytes.count)])
            let digest = hash.finish()
            lock.withLock { found[index] = digest }
        }
        let whole = SHA256()
        whole.update(extents)
        for digest in found { whole.update("\n" + digest) }
        return whole.finish()
    }
}

// MARK: - In files

extension DataContent {
    /// The name in the headers of checkpoints and models.
    static let field = "data_sha256"

    /// JSON with a digest for each part.
    var text: String {
        JSONValue.object(
            JSONObject(
                Part.allCases.map { .init(name: $0.rawValue, value: .string(digest(of: $0))) })
        ).text
    }

    /// Nil for what `text` does not write.
    init?(_ text: String) {
        guard let json = try? JSONValue(parsing: text) else { return nil }
        var digests: [Part: String] = [:]
        for part in Part.allCases {
            guard let digest = json[part.rawValue]?.string, digest.utf8.count == 64 else {
                return nil
            }
            digests[part] = digest
        }
        self.digests = digests
    }
}

extension [DatasetPair.Part] {
    /// "the training labels and the test images".
    package var listed: String {
        let names = map { "the \($0.rawValue)" }
        return names.count < 2
            ? names.joined()
            : names.dropLast().joined(separator: ", ") + " and " + names[names.count - 1]
    }
}
