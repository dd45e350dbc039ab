import Collectives
import Configuration
import Foundation
import Models
import Training

/// What `verify` found.
struct VerifyReport {
    let run: Launch.Run

    /// The comparison with the reference; rank 0 has it.
    let verification: Verification?

    /// The digest of every rank's replica.
    let digests: [String]

    /// The other worlds, with `--worlds`.
    let worlds: [VerifyWorld]?

    let seconds: Double

    /// Whether nothing differs.
    var agrees: Bool {
        verification?.isAllowed != false && disagreeingRank == nil && badWorlds.isEmpty
    }

    private var disagreeingRank: Int? { digests.firstIndex { $0 != digests[0] } }

    private var badWorlds: [VerifyWorld] { (worlds ?? []).filter { $0.digest != digests[0] } }

    // MARK: for people

    /// The tables.
    var lines: [String] { differenceLines + worldLines }

    private var differenceLines: [String] {
        guard let verification else { return [] }
        let rows = verification.tensors.map { Self.row($0, name: $0.name) }
        let loss = verification.loss
        let last = Self.row(loss.difference, name: "loss (step \(loss.step))", shape: "")
        let head = ["tensor", "shape", "max|a-b|", "/ max|b|", "of what is allowed"]
        var lines = Self.table([head] + rows + [last], leftAligned: 1)
        if let blurred = verification.blurred {
            lines.append(
                "note     in \(counted(verification.steps, "step")) of this run rounding alone may "
                    + "change \(blurred.name) by more than a tenth of its size: larger statistics "
                    + "groups or fewer --steps compare more sharply")
        }
        return lines
    }

    private static func row(
        _ difference: Verification.Difference, name: String, shape: String? = nil
    ) -> [String] {
        [
            name, shape ?? "\(difference.shape)", scientific(difference.absolute),
            scientific(difference.relative),
            percent(difference.share) + (difference.isAllowed ? "" : "  DIFFERENT"),
        ]
    }

    private var worldLines: [String] {
        guard let worlds else { return [] }
        var rows = [["world", "digest", ""]]
        rows.append(["this one: \(VerifyWorld.words(run.world))", shortened(digests[0]), ""])
        rows += worlds.map { world in
            guard let digest = world.digest else {
                return [world.words, "-", "FAILED: \(world.failure ?? "no digest")"]
            }
            return [world.words, shortened(digest), digest == digests[0] ? "same" : "DIFFERENT"]
        }
        return [""] + Self.table(rows, leftAligned: 3)
    }

    private func shortened(_ digest: String) -> String { "\(digest.prefix(16))…" }

    /// Columns, two spaces apart; the first `leftAligned` begin in one column, the others end so.
    private static func table(_ rows: [[String]], leftAligned: Int) -> [String] {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, text) in row.enumerated() {
                let space = String(repeating: " ", count: widths[column] - text.count)
                line += column < leftAligned ? text + space : space + text
                if column + 1 < row.count { line += "  " }
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// One sentence.
    var verdict: String {
        "verdict  " + (agrees ? agreement : problems.joined(separator: "; "))
    }

    private var agreement: String {
        var text = ""
        if let verification, let worst = verification.differences.first {
            text =
                "this world trains as one Float64 trainer of whole batches does: after "
                + "\(counted(verification.steps, "step")) the largest difference, in "
                + "\(worst.name), is \(percent(worst.share)) of what Float32 explains"
        }
        if let worlds {
            text +=
                worlds.isEmpty
                ? "; there is no other world to compare with"
                : ", and \(counted(worlds.count, "other world")) gave the same bits"
        }
        return text
    }

    private var problems: [String] {
        var problems: [String] = []
        let bad = verification?.differences.filter { !$0.isAllowed } ?? []
        if let verification, let worst = bad.first {
            let others = bad.count == 1 ? "" : " and \(counted(bad.count - 1, "other"))"
            problems.append(
                "DIFFERENT from the Float64 trainer after \(counted(verification.steps, "step")): "
                    + "\(worst.name)\(others), by \(scientific(worst.absolute)) where Float32 "
                    + "explains \(scientific(worst.allowed))")
        }
        if let rank = disagreeingRank {
            problems.append("DIFFERENT replicas: rank \(rank) does not have the bits of rank 0")
        }
        let different = badWorlds.filter { $0.digest != nil }
        if !different.isEmpty {
            let why =
                run.world.arithmetic == .mpi
                ? ", as collectives \"mpi\" makes them: \"tree\" is the one that promises the same"
                : ""
            problems.append(
                "DIFFERENT bits in \(different.count) of \(counted((worlds ?? []).count, "other world"))"
                    + ", first with \(different[0].words)" + why)
        }
        if let failed = badWorlds.first(where: { $0.digest == nil }) {
            let number = badWorlds.count - different.count
            problems.append(
                "\(counted(number, "world")) FAILED, first \(failed.words): "
                    + (failed.failure ?? "no digest"))
        }
        return problems
    }

    // MARK: for machines

    /// The object that `--json` prints.
    var json: JSONValue {
        let (plan, configuration) = (run.plan, run.plan.configuration)
        let differences: [JSONValue] = (verification?.tensors ?? []).map(Self.json)
        let loss = verification?.loss
        return .object([
            "command": .string("verify"), "model": .string(plan.network.name),
            "data": .string(configuration.data.source.name), "world": worldJSON(run.world),
            "shards": .int(plan.shards), "batch": .int(configuration.batch.size),
            "scope": scopeJSON(plan), "steps": .int(plan.totalSteps),
            "seconds": .double(seconds), "parameters_digest": .string(digests[0]),
            "agrees": .bool(agrees), "verdict": .string(String(verdict.dropFirst(9))),
            "loss": loss.map { Self.json($0.difference) } ?? .null,
            "tensors": .array(differences),
            "worlds": worlds.map { .array($0.map { $0.json(same: digests[0]) }) } ?? .null,
        ])
    }

    private static func json(_ difference: Verification.Difference) -> JSONValue {
        .object([
            "name": .string(difference.name),
            "shape": .array(difference.shape.map { .int($0) }),
            "absolute": .double(difference.absolute), "relative": .double(difference.relative),
            "allowed": .double(difference.allowed), "agrees": .bool(difference.isAllowed),
        ])
    }
}

/// "3.1e-07".
private func scientific(_ number: Double) -> String {
    number == 0 ? "0" : String(format: "%.1e", number)
}

/// A share of 1 as "0.35 %", "12 %".
private func percent(_ share: Double) -> String {
    guard share.isFinite else { return "∞" }
    let value = share * 100
    return (value < 10 ? String(format: "%.2g", value) : String(format: "%.0f", value)) + " %"
}
