import Configuration
import Foundation
import Reports
import Training

/// A run folder as it is found: whole, under way, or cut off.
struct StoredRun {
    /// The folder.
    let path: String

    /// The text of config.json.
    let configurationText: String

    /// What the report shows of it.
    var record: RunRecord

    /// Whether it has a trained model.
    let hasModel: Bool

    /// `parameters_digest` after each step of which metrics.jsonl has it.
    private(set) var digests: [Int: String] = [:]

    /// `parameters_digest` of the last evaluation.
    private(set) var lastDigest: String?

    /// The path of a file of the folder.
    func file(_ name: String) -> String { path + "/" + name }

    /// The configuration, with settings of the command line on top.
    func configuration(_ settings: [String]) throws(ConfigurationError) -> RunConfiguration {
        try RunConfiguration.load(
            recorded: configurationText, name: file("config.json"), settings: settings)
    }

    /// Reads the folder at `path`, which the report calls `name`.
    ///
    /// - Throws: `ReportError`.
    init(_ path: String, name: String) throws(ReportError) {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw .missingFolder(path)
        }
        guard isFolder.boolValue else { throw .notAFolder(path) }
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        func bytes(_ name: String) -> [UInt8]? {
            FileManager.default.contents(atPath: "\(path)/\(name)").map { [UInt8]($0) }
        }
        guard let configuration = bytes("config.json") else { throw .noRun(path) }
        configurationText = String(decoding: configuration, as: UTF8.self)
        record = RunRecord(name: name)
        do {
            let value = try JSONValue(parsing: configuration)
            record.settings = Self.settings(value)
        } catch {
            throw .damagedConfiguration(path: "\(path)/config.json", reason: error.description)
        }
        hasModel = FileManager.default.fileExists(atPath: "\(path)/final.safetensors")
        if let metrics = bytes("metrics.jsonl") { try read(metrics: metrics) }
        if let summary = bytes("summary.json") { read(summary: summary) }
        if record.evaluations.isEmpty {
            record.notes.append("There is no evaluation yet: metrics.jsonl has no whole line.")
        }
        if !hasModel {
            record.notes.append(
                "The run is not finished: there is no final.safetensors. What follows is as far as "
                    + "it came.")
        }
    }

    // MARK: config.json

    /// The leaves of the configuration by their key paths; a key's own object is one leaf.
    private static func settings(_ value: JSONValue) -> [RunRecord.Setting] {
        let keys = Set(RunConfiguration.documentation.map(\.key))
        return value.leaves(whole: keys).map {
            RunRecord.Setting($0.path, $0.value.string ?? $0.value.text)
        }
    }

    // MARK: metrics.jsonl

    private mutating func read(metrics: [UInt8]) throws(ReportError) {
        let lines = metrics.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() where !line.isEmpty {
            do {
                add(try JSONValue(parsing: Array(line)))
            } catch {
                // A program that is stopped while it writes leaves the last line cut.
                guard index == lines.count - 1 else {
                    throw .damagedMetrics(
                        path: file("metrics.jsonl"), line: index + 1, reason: error.description)
                }
                record.notes.append("The last line of metrics.jsonl is cut off, and left out here.")
            }
        }
    }

    private mutating func add(_ line: JSONValue) {
        guard let object = line.object, let step = line["step"]?.int else { return }
        if let digest = line["parameters_digest"]?.string { digests[step] = digest }
        guard line["event"] == nil else { return }
        if let kind = line["probe"]?.string {
            if kind == "path" || kind == "contours" {
                add(kind, of: line)
                return
            }
            for member in object.members where !["probe", "step", "epoch"].contains(member.name) {
                // The landscape is that of the whole network: its members are no layers.
                let isWhole = kind == "landscape"
                add(
                    member.value, probe: isWhole ? "\(kind): \(member.name)" : kind,
                    part: isWhole ? "" : member.name, step: step)
            }
            return
        }
        lastDigest = line["parameters_digest"]?.string ?? lastDigest
        var values: [String: Double] = [:]
        for member in object.members {
            if let number = member.value.double { values[member.name] = number }
        }
        record.evaluations.append(RunRecord.Evaluation(step: step, values: values))
    }

    /// A point of the path, or the loss around it.
    private mutating func add(_ kind: String, of line: JSONValue) {
        var path = record.path ?? DescentPath(points: [], contours: nil)
        func numbers(_ value: JSONValue?) -> [Double] {
            (value?.array ?? []).map { $0.double ?? .nan }
        }
        func point(_ value: JSONValue?) -> DescentPath.Point? {
            guard let x = value?["x"]?.double, let y = value?["y"]?.double else { return nil }
            return DescentPath.Point(x, y)
        }
        if kind == "path" {
            if let point = point(line) { path.points.append(point) }
        } else if let minimum = point(line["minimum"]),
            let lowest = line["minimum"]?["loss"]?.double, let end = line["end"]?.double
        {
            let (x, y) = (numbers(line["x"]), numbers(line["y"]))
            let loss = (line["loss"]?.array ?? []).map { numbers($0) }
            guard loss.count == y.count, loss.allSatisfy({ $0.count == x.count }) else { return }
            path.contours = DescentPath.Contours(
                x: x, y: y, loss: loss, minimum: minimum, minimumLoss: lowest, endLoss: end,
                ratio: line["ratio"]?.double)
        }
        record.path = path
    }

    /// The numbers of a layer: one, percentiles or extremes about a middle, or several of which
    /// each has a chart of its own.
    private mutating func add(_ value: JSONValue, probe kind: String, part: String, step: Int) {
        func numbers(_ low: String, _ high: String) -> (Double, Double)? {
            guard let low = value[low]?.double, let high = value[high]?.double, low <= high else {
                return nil
            }
            return (low, high)
        }
        var middle = value.double
        var range: ClosedRange<Double>?
        if let (low, high) = numbers("p15", "p85") {
            middle = value["p50"]?.double
            range = low...high
        } else if let (low, high) = numbers("min", "max") {
            middle = (low + high) / 2
            range = low...high
        }
        if let middle {
            record.probes.append(
                RunRecord.Probe(kind: kind, part: part, step: step, value: middle, range: range))
            return
        }
        for member in value.object?.members ?? [] {
            add(member.value, probe: "\(kind): \(member.name)", part: part, step: step)
        }
    }

    // MARK: summary.json

    private mutating func read(summary bytes: [UInt8]) {
        guard let summary = try? JSONValue(parsing: bytes) else {
            record.notes.append("summary.json is damaged, and left out here.")
            return
        }
        func add(_ key: String, _ value: String?) {
            if let value { record.facts.append(RunRecord.Setting(key, value)) }
        }
        add("program", summary["program"]?.string)
        add("host", summary["host"]?.string)
        add("CPU", summary["cpu"]?.string)
        add("instruction set", summary["instruction_set"]?.string)
        if let world = summary["world"], let ranks = world["ranks"]?.int,
            let threads = world["threads"]?.int
        {
            add("world", "\(counted(ranks, "rank")) × \(counted(threads, "thread"))")
        }
        add("training time", summary["seconds"]?.double.map(duration))
        add("speed", summary["images_per_second"]?.double.map { "\(count($0)) images/s" })
        add("digest", summary["parameters_digest"]?.string.map { String($0.prefix(16)) + "…" })
    }
}
