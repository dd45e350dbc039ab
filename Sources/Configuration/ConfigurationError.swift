/// What is wrong with a configuration, where, and what to do.
///
/// Its `description` is one line, `FILE:LINE:COLUMN: …`; when the cause stands in a text, the source
/// line and a caret line follow.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public let problem: Problem

    /// Where it stands, nil for what stands in no text (a missing file, the size of the world).
    public let location: Location?

    init(_ problem: Problem, at location: Location? = nil) {
        self.problem = problem
        self.location = location
    }

    /// A place in a file or in a `--set`.
    public struct Location: Equatable, Sendable {
        /// The file, or `--set`.
        public let name: String

        /// The line, from 1; nil for a `--set`.
        public let line: Int?

        /// The column in characters, from 1.
        public let column: Int

        /// The text of the line, without control characters; long lines are cut around the place.
        public let sourceLine: String

        /// White space and a `^` that stands below the place in `sourceLine`.
        public let caretLine: String
    }

    /// Everything that can be wrong; the associated values are what was expected and what was found.
    public indirect enum Problem: Equatable, Sendable {
        // The file.

        /// There is no such file.
        case missingFile(String)
        /// There is no such sweep file.
        case missingSweep(String)
        /// The file cannot be read.
        case unreadableFile(String, reason: String)
        /// The text has more than `limit` bytes.
        case tooLarge(name: String, limit: Int)

        // The text.

        /// A byte that is not part of UTF-8.
        case invalidUTF8(byte: UInt8)
        /// Something else stands where the syntax asks for `expected`.
        case syntax(expected: String, found: String)
        /// A string or comment is never closed.
        case unterminated(String, by: String)
        /// A backslash sequence that JSON5 does not have.
        case invalidEscape
        /// A number that JSON5 does not have.
        case invalidNumber
        /// More than `limit` lists and objects inside each other.
        case tooDeep(limit: Int)
        /// A key stands twice in an object.
        case duplicateKey(String, firstLine: Int?)
        /// A `--set` without `=`.
        case missingEquals

        // The keys and values.

        /// A key that does not exist; `known` are those at this place, the nearest first.
        case unknownKey(String, place: String, nearest: String, known: [String])
        /// A name that is not in the list; `known` are those that are, the nearest first.
        case unknownName(key: String, found: String, known: [String])
        /// A value of the wrong type, or out of range.
        case invalidValue(key: String, expected: String, found: String)
        /// A value that another one asks for is not set.
        case missingValue(key: String, because: String, what: String)
        /// A value that has no effect beside another one.
        case doesNotApply(key: String, condition: String, names: [String])
        /// Both steps and epochs.
        case stepsAndEpochs

        // Values that do not go together.

        /// More shards than samples.
        case moreShardsThanSamples(shards: Int, batch: Int)
        /// The group size of the BN scope does not divide the shards.
        case groupDoesNotDivide(group: Int, shards: Int)
        /// The lists of the scaling do not hold one value a channel.
        case scalingChannels(means: Int, deviations: Int, channels: Int)
        /// Every pixel is scaled by itself, and augmentation moves pixels.
        case featuresMoved(String)
        /// Components of a whitening are no pixels that a convolution could take.
        case componentsConvolved(model: String)
        /// A setting for images, and a data set without any.
        case noImages(setting: String, data: String, instead: String)
        /// A limit beyond the samples there are.
        case limitTooLarge(limit: Int, samples: Int)
        /// The held-out samples leave none to train on.
        case validationTooLarge(validation: Int, samples: Int)
        /// Nesterov's momentum without momentum.
        case nesterovWithoutMomentum
        /// The learning rate of the end is above that of the start.
        case minimumAboveLearningRate(minimum: Double, learningRate: Double)
        /// The momentum at the highest learning rate is above that of the start.
        case minimumAboveMomentum(minimum: Double, momentum: Double, key: String)

        // The run.

        /// A world of more ranks than shards.
        case moreRanksThanShards(ranks: Int, shards: Int, batch: Int)
        /// No batch in an epoch.
        case noBatch(samples: Int, batch: Int)
        /// A statistics group with one value per channel.
        case singleValueGroup(SingleValueGroup)
    }

    /// A BN statistics group of one sample: one value per channel, whose variance is zero.
    public struct SingleValueGroup: Equatable, Sendable {
        /// The batch, from 1, of `batches` in an epoch, and its samples.
        public let batch: Int, batches: Int, samples: Int
        /// The group, from 1, of `groups` in a batch.
        public let group: Int, groups: Int
        /// Settings that avoid it.
        public let remedies: [String]
    }

    /// The message: one line, and the source line with a caret where there is one.
    public var description: String {
        guard let location else { return problem.text }
        let line = location.line.map { ":\($0):\(location.column)" } ?? ""
        return """
            \(location.name)\(line): \(problem.text)
                \(location.sourceLine)
                \(location.caretLine)
            """
    }
}

extension ConfigurationError.Problem {
    /// The problem in one line: what, and what to do.
    var text: String {
        switch self {
        case .missingFile(let path):
            """
            there is no configuration file \(path.quoted): correct --config, or leave it out for \
            the embedded default
            """
        case .missingSweep(let path):
            "there is no sweep file \(path.quoted): give one such as configs/experiments/NAME.json5"
        case .unreadableFile(let path, let reason):
            "the configuration file \(path.quoted) cannot be read: \(reason)"
        case .tooLarge(let name, let limit):
            """
            \(name.displayable) is larger than \(limit) bytes: a configuration has a few thousand; \
            is this the right file?
            """
        case .invalidUTF8(let byte):
            """
            the byte 0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true)) is not \
            UTF-8: save the file as UTF-8 text
            """
        case .syntax(let expected, let found):
            "expected \(expected), found \(found)"
        case .unterminated(let what, let end):
            "this \(what) has no end: close it with \(end)"
        case .invalidEscape:
            """
            JSON5 has no such escape sequence: use \\n \\t \\\\ \\" \\' \\xHH \\uHHHH (or a pair of \
            these), or write \\\\ for a backslash
            """
        case .invalidNumber:
            "this is no JSON5 number: write it like 60, 0.5, 1e-5 or 0xFF, text in quotes"
        case .tooDeep(let limit):
            "more than \(limit) lists and objects inside each other: remove some"
        case .duplicateKey(let key, let line):
            """
            the key \(key.quoted) stands here for the second time\
            \(line.map { " (first in line \($0))" } ?? ""): remove one of the two
            """
        case .missingEquals:
            "expected key.path=value, found no \"=\""
        case .unknownKey(let key, let place, let nearest, let known):
            """
            unknown key \(key.quoted)\(place.isEmpty ? "" : " in \(place)"); did you mean \
            \"\(nearest)\"? Known here: \(known.joined(separator: ", "))
            """
        case .unknownName(let key, let found, let known):
            "\(key): unknown name \(found.quoted); choose \(known.choice)"
        case .invalidValue(let key, let expected, let found):
            "\(key): expected \(expected), found \(found)"
        case .missingValue(let key, let because, let what):
            "\(because) needs \(key): set it to \(what)"
        case .doesNotApply(let key, let condition, let names):
            "\(key) has no effect here: remove it, or set \(condition) to \(names.choice)"
        case .stepsAndEpochs:
            "both steps and epochs are set, and either alone gives the length of a run: remove one"
        default: relationText
        }
    }

    /// The text of what does not go together.
    private var relationText: String {
        switch self {
        case .moreShardsThanSamples(let shards, let batch):
            """
            \(shards) shards are more than the \(batch) samples of a batch: set batch.shards to at \
            most \(batch) or to "auto", or batch.size to at least \(shards)
            """
        case .groupDoesNotDivide(let group, let shards):
            """
            groups of \(group) shards do not divide the \(shards) shards of a batch evenly: set \
            model.normalization.scope.group to a divisor of \(shards), or batch.shards to a \
            multiple of \(group)
            """
        case .componentsConvolved(let model):
            """
            data.scaling "pca" turns pixels into components, and \(model) convolves pixels: set \
            data.scaling to "zca", or model.name to "mlp"
            """
        case .noImages(let setting, let data, let instead):
            "\(setting) is for images, and \(data) has none: \(instead)"
        case .featuresMoved(let scaling):
            """
            data.scaling "\(scaling)" scales every pixel by itself, and data.augment \
            moves pixels: set data.scaling to "standardize", or data.augment to []
            """
        case .scalingChannels(let means, let deviations, let channels):
            """
            data.scaling: expected one mean and one std a channel, \(channels) of each, found \
            \(means) and \(deviations)
            """
        case .limitTooLarge(let limit, let samples):
            """
            data.limit is \(limit), but there are \(samples) training samples: lower it, or raise \
            data.samples
            """
        case .validationTooLarge(let validation, let samples):
            """
            holding out \(validation) of \(samples) training samples leaves none to train on: set \
            data.validation to less than \(samples)
            """
        case .nesterovWithoutMomentum:
            "Nesterov's momentum needs one: set optimizer.momentum (0.9, say) or nesterov to false"
        case .minimumAboveLearningRate(let minimum, let learningRate):
            """
            the cosine ends at \(minimum.shortest), above the learning rate \
            \(learningRate.shortest) it starts from: lower schedule.minimum
            """
        case .minimumAboveMomentum(let minimum, let momentum, let key):
            """
            the momentum's cycle goes down to \(minimum.shortest), above the \(momentum.shortest) \
            it starts from: lower schedule.minimumMomentum, or raise \(key)
            """
        case .moreRanksThanShards(let ranks, let shards, let batch):
            """
            \(ranks) ranks are more than the \(shards) shard\(shards == 1 ? "" : "s") of a batch, and \
            each rank needs one: start at most \(shards) rank\(shards == 1 ? "" : "s") and give \
            them --threads, \
            \(ranks <= batch
                ? "or set batch.shards to at least \(ranks)"
                : "or set batch.size and batch.shards to at least \(ranks)")
            """
        case .noBatch(let samples, let batch):
            samples == 0
                ? "there are no training samples: check data.directory, data.limit, data.validation"
                : """
                \(samples) training samples make no whole batch of \(batch), and data.dropLast \
                drops the rest: set data.dropLast to false or lower batch.size
                """
        case .singleValueGroup(let it) where it.samples == 1:
            """
            batch \(it.batch) of \(it.batches) has only 1 sample, and one value per channel has no \
            variance: set \(it.remedies.joined(separator: ", or "))
            """
        case .singleValueGroup(let it):
            """
            batch \(it.batch) of \(it.batches) has \(it.samples) samples, and its statistics group \
            \(it.group) of \(it.groups) only one: one value per channel has no variance; set \
            \(it.remedies.joined(separator: ", or "))
            """
        default: preconditionFailure("every problem has a text")
        }
    }
}

extension [String] {
    /// The names of a list, quoted: `"a"`, `"a" or "b"`, `"a", "b" or "c"`.
    var choice: String { map { "\"\($0)\"" }.alternatives }

    /// `a`, `a or b`, `a, b or c`.
    var alternatives: String {
        guard count > 1 else { return first ?? "" }
        return dropLast().joined(separator: ", ") + " or " + self[count - 1]
    }
}

extension Double {
    /// The shortest text that reads back as this number, without ".0".
    var shortest: String {
        let text = "\(self)"
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
