import Training

/// `inspect FILE` and `inspect A B`: what model files hold, and how two differ.
enum InspectCommand {
    /// Runs the command on one or two files. The report goes to standard output; with `json` one
    /// object instead.
    ///
    /// - Parameter speaks: whether to print: rank 0 does, and all ranks return alike.
    /// - Returns: one file: 0, or 65 where the stored digest is not that of the values. Two files:
    ///   0 if all tensors are equal, else 1.
    /// - Throws: `CheckpointError`, also where a checkpoint's own SHA-256 do not agree; `FileError`.
    static func run(_ files: [String], json: Bool, speaks: Bool = true) throws -> Int32 {
        let files = try files.map { try SafetensorsFile(contentsOf: $0) }
        if files.count == 1 {
            let summary = try FileSummary(files[0])
            if speaks { Console.output(json ? summary.json.text + "\n" : summary.text) }
            if summary.metadata["checkpoint_format"] != nil { _ = try Checkpoint(files[0]) }
            return summary.digestAgrees == false ? ExitCode.badData.rawValue : 0
        }
        let comparison = try FileComparison(files[0], files[1])
        if speaks { Console.output(json ? comparison.json.text + "\n" : comparison.text) }
        return (comparison.isEqual ? ExitCode.done : ExitCode.different).rawValue
    }
}

/// What one model file holds.
struct FileSummary {
    /// A tensor, and the range of its values; nil where it has none, or one is NaN.
    struct Row: Equatable {
        let entry: SafetensorsFile.Entry
        let smallest: Double?
        let largest: Double?
        let mean: Double?
    }

    let path: String
    let metadata: [String: String]
    let rows: [Row]
    let digest: String

    /// The trained values: all but running statistics and counters.
    let parameters: Int

    init(_ file: SafetensorsFile) throws(CheckpointError) {
        path = file.path
        metadata = file.metadata
        digest = file.parametersDigest
        var rows: [Row] = []
        for entry in file.entries {
            let values = try file.numbers(entry) ?? []
            let isOrdered = !values.isEmpty && !values.contains { $0.isNaN }
            rows.append(
                Row(
                    entry: entry, smallest: isOrdered ? values.min() : nil,
                    largest: isOrdered ? values.max() : nil,
                    mean: isOrdered ? values.reduce(0, +) / Double(values.count) : nil))
        }
        self.rows = rows
        parameters = file.entries.filter {
            $0.dataType.isFloatingPoint && !$0.isRunningStatistic && !$0.isOptimizers
                && !$0.isInputs
        }.reduce(0) { $0 + $1.count }
    }

    /// The digest in the header; nil for files of other programs.
    var storedDigest: String? { metadata["parameters_digest"] }

    /// Whether the values are those that were saved; nil where the header does not tell.
    var digestAgrees: Bool? { storedDigest.map { $0 == digest } }

    /// The configuration in the header, if it is one.
    private var configuration: JSONValue? {
        metadata["config"].flatMap { try? JSONValue(parsing: $0) }
    }

    var json: JSONValue {
        .object([
            "command": "inspect", "file": .string(path),
            "program": metadata["program"].map(JSONValue.string) ?? nil,
            "config": configuration ?? nil, "parameters": .int(parameters),
            "parameters_digest": .string(digest),
            "stored_digest": storedDigest.map(JSONValue.string) ?? nil,
            "digest_agrees": digestAgrees.map(JSONValue.bool) ?? nil,
            "tensors": .array(
                rows.map { row in
                    .object([
                        "name": .string(row.entry.name),
                        "dtype": .string(row.entry.dataType.rawValue),
                        "shape": .array(row.entry.shape.map(JSONValue.int)),
                        "min": row.smallest.map(JSONValue.double) ?? nil,
                        "max": row.largest.map(JSONValue.double) ?? nil,
                        "mean": row.mean.map(JSONValue.double) ?? nil,
                    ])
                }),
        ])
    }

    var text: String {
        var lines = ["file     \(visible(path))"]
        lines.append("program  " + (metadata["program"].map(visible) ?? "not named in the header"))
        for name in metadata.keys.sorted()
        where !["config", "program", "parameters_digest"].contains(name) {
            lines.append("\(visible(name)): \(visible(metadata[name] ?? ""))")
        }
        lines.append("digest   \(digest)" + verdict)
        if let config = metadata["config"] {
            lines.append("config")
            lines += config.split(separator: "\n").map { "  " + visible(String($0)) }
        } else {
            lines.append("config   none in the header")
        }
        lines.append("")
        lines += columns(
            [["tensor", "type", "shape", "min", "max", "mean"]]
                + rows.map { row in
                    [
                        visible(row.entry.name), row.entry.dataType.rawValue,
                        shape(row.entry.shape), significant(row.smallest),
                        significant(row.largest), significant(row.mean),
                    ]
                }, left: 3)
        lines += ["", "\(rows.count) tensors, \(parameters) parameters"]
        return lines.joined(separator: "\n") + "\n"
    }

    private var verdict: String {
        switch digestAgrees {
        case true?: " (as stored)"
        case false?:
            "\nWARNING  the header has \(visible(storedDigest ?? "")): the values were "
                + "changed after they were saved; take another copy"
        case nil: " (none stored)"
        }
    }
}

/// How two model files differ, tensor by tensor.
struct FileComparison {
    /// What is different in one tensor.
    enum Difference: Equatable {
        /// In which file it is missing, 1 or 2.
        case missing(file: Int)
        case shapes([Int], [Int])
        case types(String, String)
        /// `values` of `count` have other bits; the largest |a − b| and the same over the largest
        /// |b|, nil where a NaN or an infinity stands against another value.
        case values(Int, of: Int, absolute: Double?, relative: Double?)
    }

    struct Row: Equatable {
        let name: String
        var isCounter = false
        let difference: Difference?
    }

    let paths: [String]

    /// The tensors of the first file, then those that only the second has.
    let rows: [Row]

    init(_ a: SafetensorsFile, _ b: SafetensorsFile) throws(CheckpointError) {
        paths = [a.path, b.path]
        var rows: [Row] = []
        for entry in a.entries {
            rows.append(
                Row(
                    name: entry.name, isCounter: !entry.dataType.isFloatingPoint,
                    difference: try Self.difference(entry, a, b)))
        }
        for entry in b.entries where a[entry.name] == nil {
            rows.append(Row(name: entry.name, difference: .missing(file: 1)))
        }
        self.rows = rows
    }

    /// Whether all tensors are there, with the same shapes and bits.
    var isEqual: Bool { rows.allSatisfy { $0.difference == nil } }

    private static func difference(
        _ entry: SafetensorsFile.Entry, _ a: SafetensorsFile, _ b: SafetensorsFile
    ) throws(CheckpointError) -> Difference? {
        guard let other = b[entry.name] else { return .missing(file: 2) }
        if entry.dataType != other.dataType {
            return .types(entry.dataType.rawValue, other.dataType.rawValue)
        }
        if entry.shape != other.shape { return .shapes(entry.shape, other.shape) }
        let (first, second) = (a.bytes(of: entry), b.bytes(of: other))
        if first == second { return nil }
        guard let size = entry.dataType.byteCount, let left = try a.numbers(entry),
            let right = try b.numbers(other)
        else {
            return .values(entry.count, of: entry.count, absolute: nil, relative: nil)
        }
        var differing = 0
        var absolute = 0.0
        var isFinite = true
        for index in left.indices {
            let (i, j) = (first.startIndex + index * size, second.startIndex + index * size)
            if first[i..<i + size] == second[j..<j + size] { continue }
            differing += 1
            let difference = abs(left[index] - right[index])
            isFinite = isFinite && difference.isFinite
            absolute = max(absolute, difference)
        }
        let largest = right.lazy.map { abs($0) }.filter { $0.isFinite }.max() ?? 0
        return .values(
            differing, of: left.count, absolute: isFinite ? absolute : nil,
            relative: isFinite && largest > 0 ? absolute / largest : nil)
    }

    /// The largest differences over all floating-point tensors in both files; nil if one of them has
    /// none. Counters of batches would drown them.
    var largestDifference: (absolute: Double?, relative: Double?) {
        var result: (absolute: Double?, relative: Double?) = (0, 0)
        for row in rows where !row.isCounter {
            guard case .values(_, _, let absolute, let relative)? = row.difference else { continue }
            result.absolute = combined(result.absolute, absolute)
            result.relative = combined(result.relative, relative)
        }
        return result
    }

    private func combined(_ a: Double?, _ b: Double?) -> Double? {
        guard let a, let b else { return nil }
        return max(a, b)
    }

    var json: JSONValue {
        let largest = largestDifference
        return .object([
            "command": "inspect", "files": .array(paths.map(JSONValue.string)),
            "equal": .bool(isEqual), "tensors": .int(rows.count),
            "max_absolute": largest.absolute.map(JSONValue.double) ?? nil,
            "max_relative": largest.relative.map(JSONValue.double) ?? nil,
            "differences": .array(
                rows.compactMap { row in row.difference.map { json($0, of: row.name) } }),
        ])
    }

    private func json(_ difference: Difference, of name: String) -> JSONValue {
        var object: JSONObject = ["name": .string(name)]
        switch difference {
        case .missing(let file):
            object["kind"] = "missing"
            object["missing_in"] = .string(paths[file - 1])
        case .shapes(let a, let b):
            object["kind"] = "shape"
            object["shapes"] = .array([a, b].map { .array($0.map(JSONValue.int)) })
        case .types(let a, let b):
            object["kind"] = "dtype"
            object["dtypes"] = .array([.string(a), .string(b)])
        case .values(let differing, let count, let absolute, let relative):
            object["kind"] = "values"
            object["differing"] = .int(differing)
            object["count"] = .int(count)
            object["max_absolute"] = absolute.map(JSONValue.double) ?? .null
            object["max_relative"] = relative.map(JSONValue.double) ?? .null
        }
        return .object(object)
    }

    var text: String {
        var lines = ["a  \(visible(paths[0]))", "b  \(visible(paths[1]))", ""]
        lines += columns(
            [["tensor", "", "max |a - b|", "over max |b|"]]
                + rows.map { [visible($0.name)] + cells($0.difference) }, left: 2)
        let differing = rows.count { $0.difference != nil }
        lines += [
            "",
            isEqual
                ? "equal: all \(rows.count) tensors have the same bits"
                : "different: \(differing) of \(rows.count) tensors",
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    private func cells(_ difference: Difference?) -> [String] {
        switch difference {
        case nil: ["same bits", "0", "0"]
        case .missing(let file)?: ["only in \(file == 1 ? "b" : "a")", "", ""]
        case .shapes(let a, let b)?: ["shape \(shape(a)) against \(shape(b))", "", ""]
        case .types(let a, let b)?: ["type \(a) against \(b)", "", ""]
        case .values(let differing, let count, let absolute, let relative)?:
            [
                "\(differing) of \(count) values", significant(absolute), significant(relative),
            ]
        }
    }
}

extension SafetensorsFile.Entry {
    fileprivate var isRunningStatistic: Bool {
        name.hasSuffix("running_mean") || name.hasSuffix("running_var")
    }
}

// MARK: - Tables

private func shape(_ shape: [Int]) -> String {
    shape.isEmpty ? "one value" : shape.map { "\($0)" }.joined(separator: " x ")
}

/// Five significant digits; "-" where there is no number.
func significant(_ number: Double?) -> String {
    guard let number else { return "-" }
    guard number != 0, number.isFinite else { return number == 0 ? "0" : "\(number)" }
    let size = abs(number)
    if size < 1e6, number == number.rounded() { return "\(Int(number))" }
    guard size < 1e-3 || size >= 1e6 else {
        let digits = size >= 1e4 ? 0 : size >= 1e3 ? 1 : size >= 100 ? 2 : size >= 10 ? 3 : 4
        return fixed(number, digits: size < 0.1 ? 6 : size < 1 ? 5 : digits)
    }
    var exponent = 0
    var mantissa = size
    while mantissa >= 9.99995 {
        mantissa /= 10
        exponent += 1
    }
    while mantissa < 0.999995 {
        mantissa *= 10
        exponent -= 1
    }
    return (number < 0 ? "-" : "") + fixed(mantissa, digits: 4) + "e\(exponent)"
}

/// Rows in columns two blanks apart; the first `left` columns begin, the others end in line.
func columns(_ rows: [[String]], left: Int) -> [String] {
    var widths: [Int] = []
    for row in rows {
        for (index, cell) in row.enumerated() {
            if index == widths.count { widths.append(0) }
            widths[index] = max(widths[index], cell.count)
        }
    }
    return rows.map { row in
        var line = ""
        for (index, cell) in row.enumerated() {
            let blanks = String(repeating: " ", count: widths[index] - cell.count)
            line += (index > 0 ? "  " : "") + (index < left ? cell + blanks : blanks + cell)
        }
        while line.last == " " { line.removeLast() }
        return line
    }
}
