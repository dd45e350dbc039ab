public import Configuration
public import Datasets

/// Why a run cannot go on from a checkpoint.
public enum ResumeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Keys whose change alters what is computed.
    case changedKeys([ConfigurationChange])
    /// The run is as long as the checkpoint is old.
    case nothingLeft(path: String, step: Int, totalSteps: Int)
    /// The folder holds a finished run, and no checkpoint that it could go on from.
    case finished(path: String)
    /// The data have another number of training samples.
    case otherData(path: String, expected: Int, actual: Int)
    /// The data are others.
    case otherContent(path: String, parts: [DataContent.Part])

    /// What, where, what to do; one line.
    public var description: String {
        switch self {
        case .changedKeys(let changes):
            let list = changes.map { "\($0.key) was \($0.old) and is \($0.new)" }
            return "the configuration differs from the checkpoint's: "
                + list.joined(separator: "; ") + "; take the changes back, or give "
                + "--resume-anyway for a run that is neither the old nor the new one"
        case .nothingLeft(let path, let step, let totalSteps):
            return "'\(oneLine(path))' was saved after step \(step) of a run of \(totalSteps): "
                + "nothing is left to train; set steps or epochs to more, or start a new run"
        case .finished(let path):
            return
                "'\(oneLine(path))' holds a finished run without checkpoints, and what its optimizer "
                + "kept is gone: start from its model with --init "
                + "\(oneLine(path))/final.safetensors and another --out, or train again with "
                + "--overwrite; a run with checkpoint.everyEpochs can go on with more epochs"
        case .otherData(let path, let expected, let actual):
            return "'\(oneLine(path))' was saved in a run on \(expected) training samples, and "
                + "there are \(actual): check data.directory"
        case .otherContent(let path, let parts):
            return "'\(oneLine(path))' was saved in a run on other data: \(parts.listed) differ; "
                + "give data.directory the data that it was trained on, or give --resume-anyway for a "
                + "run that is neither the old nor the new one"
        }
    }
}

/// A key of the configuration that has another value than before.
public struct ConfigurationChange: Equatable, Sendable {
    /// Its path, such as `optimizer.learningRate`.
    public let key: String
    /// The value before, as JSON; "unset" where it had none.
    public let old: String
    /// The value now.
    public let new: String

    /// All keys in which two configurations differ, in the order of the new one.
    public static func changes(
        from old: RunConfiguration, to new: RunConfiguration
    ) -> [ConfigurationChange] {
        let (before, after) = (leaves(old), leaves(new))
        func value(_ key: String, _ leaves: [(key: String, value: String)]) -> String {
            leaves.first { $0.key == key }?.value ?? "unset"
        }
        let keys =
            after.map(\.key)
            + before.map(\.key).filter { key in
                !after.contains { $0.key == key }
            }
        return keys.map { key in
            ConfigurationChange(key: key, old: value(key, before), new: value(key, after))
        }.filter { $0.old != $0.new }
    }

    private static func leaves(_ configuration: RunConfiguration) -> [(key: String, value: String)]
    {
        let value = try? JSONValue(parsing: configuration.canonicalJSON)
        return (value?.leaves() ?? []).map { ($0.path, $0.value.text) }
    }

    /// Whether the rest of the run computes the same: when and where it reports and saves, where
    /// the data lie and, where no learning rate depends on it, how long it is.
    func isHarmless(in configuration: RunConfiguration) -> Bool {
        let sections = ["evaluate.", "probes.", "checkpoint."]
        if sections.contains(where: { key.hasPrefix($0) }) { return true }
        let keys = [
            // What the data hold is compared by itself.
            "data.directory", "data.sha256", "tensorboard", "watch.checkReplicas",
            "watch.auditShards",
            "watch.digestSteps",
        ]
        if keys.contains(key) { return true }
        // A run that would have stopped has met no such step so far.
        if ["watch.nonFinite", "watch.rollbackFactor"].contains(key) {
            return ["\"stop\"", "unset"].contains(old)
        }
        guard ["steps", "epochs"].contains(key) else { return false }
        switch configuration.schedule.kind {
        case .constant, .step: return true
        case .cosine, .oneCycle: return false
        }
    }
}

extension Checkpoint {
    /// Checks that `plan` can go on from here.
    ///
    /// - Parameter anyway: whether keys may differ that alter what is computed.
    /// - Returns: what the user should know: changed keys, another arithmetic.
    /// - Throws: `ResumeError`; `ConfigurationError` where the header's configuration is none.
    public func check(
        _ plan: RunPlan, anyway: Bool = false
    ) throws -> [String] {
        let changes = ConfigurationChange.changes(
            from: try configuration(), to: plan.configuration)
        let grave = changes.filter { !$0.isHarmless(in: plan.configuration) }
        guard anyway || grave.isEmpty else { throw ResumeError.changedKeys(grave) }
        guard state.trainingSamples == plan.split.training.count || anyway else {
            throw ResumeError.otherData(
                path: file.path, expected: state.trainingSamples,
                actual: plan.split.training.count)
        }
        let others = state.content.differences(from: plan.content)
        guard others.isEmpty || anyway else {
            throw ResumeError.otherContent(path: file.path, parts: others)
        }
        guard state.step < plan.totalSteps else {
            throw ResumeError.nothingLeft(
                path: file.path, step: state.step, totalSteps: plan.totalSteps)
        }
        var notes: [String] = []
        if !grave.isEmpty {
            notes.append(
                "the rest of the run is computed otherwise: "
                    + grave.map { "\($0.key) was \($0.old) and is \($0.new)" }
                    .joined(separator: "; "))
        }
        if !others.isEmpty {
            notes.append("the rest of the run is on other data: \(others.listed) differ")
        }
        if state.arithmetic != arithmeticVersion {
            notes.append(
                "the checkpoint was written by \(oneLine(state.program)) with arithmetic "
                    + "\(state.arithmetic), and this is bn-train \(programVersion) with arithmetic "
                    + "\(arithmeticVersion): the rest of the run has other bits than it would have had"
            )
        }
        return notes
    }
}
