extension SafetensorsFile {
    /// A tensor that a model expects.
    public struct Expectation: Equatable, Sendable {
        /// What it holds.
        public enum Kind: Sendable {
            /// Parameters or running statistics, of any floating-point type.
            case values
            /// A number of batches, of any type that holds it, with the shape [] or [1]. Files from
            /// before PyTorch counted lack it: that means 0.
            case count
        }

        /// The name.
        public let name: String
        /// What it holds.
        public let kind: Kind
        /// The extents.
        public let shape: [Int]

        /// A tensor that a model expects.
        public init(name: String, shape: [Int]) {
            (self.name, self.shape, kind) = (name, shape, .values)
        }

        /// A number of batches that a model expects, or takes for 0.
        public init(countOfBatches name: String) {
            (self.name, shape, kind) = (name, [], .count)
        }
    }

    /// How a file's tensors serve a model.
    public struct Match: Sendable {
        /// What stands before each of the model's names: `module.`, or nothing.
        public let prefix: String

        /// What a reader of the file should know: sentences without a full stop.
        public let notes: [String]
    }

    /// Checks that the file holds exactly the tensors of `model`, in any order: by their names, or
    /// all with one prefix, as wrappers of a network leave it (`module.`, `_orig_mod.`, `model.`).
    /// What its inputs are scaled by may stand there, too, and tensors of types that no parameter
    /// has, such as counters.
    ///
    /// - Parameters:
    ///   - ignoringOptimizer: whether what an optimizer keeps may stand there, too.
    ///   - ignoringOthers: whether anything may.
    /// - Throws: `CheckpointError.otherTensors` with what is missing and what is left over, else the
    ///   first `.wrongDataType` or `.wrongShape` in the model's order.
    @discardableResult
    public func match(
        _ model: [Expectation], ignoringOptimizer: Bool = false, ignoringOthers: Bool = false
    ) throws(CheckpointError) -> Match {
        let prefix = prefix(of: model)
        let missing = model.filter { self[prefix + $0.name] == nil }
        let known = Set(model.map { prefix + $0.name })
        let others = entries.filter { !known.contains($0.name) && !$0.isInputs }
            .filter { !(ignoringOptimizer && $0.isOptimizers) }
        let leftOver = ignoringOthers ? [] : others.filter { $0.dataType.isFloatingPoint }
        let lacking = missing.filter { $0.kind == .values }
        guard lacking.isEmpty, leftOver.isEmpty else {
            throw .otherTensors(
                path: path, missing: lacking.map(\.name), leftOver: leftOver.map(\.name),
                isOurs: isOurs)
        }
        var converted: [DataType: (tensors: Int, rounded: Int)] = [:]
        for expected in model {
            guard let entry = self[prefix + expected.name] else { continue }
            try check(entry, expected)
            if expected.kind == .values, entry.dataType != .float32 {
                converted[entry.dataType, default: (0, 0)].tensors += 1
                converted[entry.dataType]?.rounded += roundedValues(entry)
            }
        }
        let skipped = ignoringOthers ? [] : others.filter { !$0.dataType.isFloatingPoint }
        return Match(
            prefix: prefix,
            notes: notes(
                prefix: prefix, converted: converted, uncounted: missing.count, skipped: skipped))
    }

    /// Whether the file says of which network it is.
    private var isOurs: Bool { metadata["config"] != nil }

    /// What stands before the model's names: the prefix with which most of them are there, of those
    /// that end with a point; nothing where no other serves better.
    func prefix(of model: [Expectation]) -> String {
        func served(_ prefix: String) -> Int { model.count { self[prefix + $0.name] != nil } }
        guard let first = model.first(where: { $0.kind == .values }) else { return "" }
        var best = (prefix: "", served: served(""))
        for entry in entries where entry.name.hasSuffix("." + first.name) {
            let prefix = String(entry.name.dropLast(first.name.count))
            let count = served(prefix)
            if count > best.served { best = (prefix, count) }
        }
        return best.prefix
    }

    private func check(_ entry: Entry, _ expected: Expectation) throws(CheckpointError) {
        let type = entry.dataType
        let isCount = expected.kind == .count
        guard type.isFloatingPoint || isCount && type.isInteger else {
            throw .wrongDataType(
                path: path, tensor: entry.name,
                expected: (isCount ? DataType.int64 : .float32).rawValue, actual: type.rawValue)
        }
        guard entry.shape == expected.shape || isCount && entry.shape == [1] else {
            throw .wrongShape(
                path: path, tensor: entry.name, expected: expected.shape, actual: entry.shape,
                isOurs: isOurs)
        }
        if isCount { _ = try count(entry.name) }
    }

    private func notes(
        prefix: String, converted: [DataType: (tensors: Int, rounded: Int)], uncounted: Int,
        skipped: [Entry]
    ) -> [String] {
        func tensors(_ count: Int) -> String { count == 1 ? "1 tensor" : "\(count) tensors" }
        var notes: [String] = []
        if !prefix.isEmpty { notes.append("read without '\(oneLine(prefix))' before every name") }
        for (type, found) in converted.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            notes.append(
                "\(tensors(found.tensors)) of type \(type.rawValue), read as F32 "
                    + (found.rounded == 0 ? "exactly" : "(\(found.rounded) values rounded)"))
        }
        if uncounted > 0 {
            notes.append(
                "no num_batches_tracked in \(uncounted == 1 ? "1 layer" : "\(uncounted) layers"): "
                    + "taken for 0")
        }
        if !skipped.isEmpty {
            notes.append(
                "skipped \(tensors(skipped.count)) of types that no parameter has: "
                    + list(
                        skipped.map { "'\(oneLine($0.name))' (\(oneLine($0.dataType.rawValue)))" }))
        }
        return notes
    }
}

/// The first ten of `names`, and how many more there are.
func list(_ names: [String]) -> String {
    let shown = names.prefix(10).joined(separator: ", ")
    return names.count > 10 ? shown + " and \(names.count - 10) more" : shown
}
