extension RunConfiguration {
    /// All keys in the order of the configuration, each with its default and what it means: for
    /// `--help`. Defaults are JSON5.
    public static var documentation: [(key: String, default: String, doc: String)] {
        Keys.all.map { (key: $0.path, default: $0.defaultText, doc: $0.doc) }
    }

    /// The embedded default as a commented file: what configs/default.json5 holds.
    public static let defaultText: String = {
        var lines = [
            "// The embedded default: what bn-train runs without --config.",
            "// It has every key. A file needs only those it changes; --set key.path=value changes",
            "// one from the command line, and null takes one back to its default.",
            "{",
        ]
        let docs = Dictionary(uniqueKeysWithValues: Keys.sections.map { ($0.path, $0.doc) })
        var open: [Substring] = []
        func indent() -> String { String(repeating: "  ", count: open.count + 1) }
        for key in Keys.all {
            let names = key.path.split(separator: ".")
            while !names.starts(with: open) {
                open.removeLast()
                lines.append(indent() + "},")
            }
            if open.isEmpty, lines.count > 4 { lines.append("") }
            for name in names.dropFirst(open.count).dropLast() {
                let path = (open + [name]).joined(separator: ".")
                lines.append(indent() + "// " + (docs[path] ?? ""))
                lines.append(indent() + name + ": {")
                open.append(name)
            }
            lines.append(indent() + "// " + key.doc)
            lines.append(indent() + names[names.count - 1] + ": " + key.defaultText + ",")
        }
        return lines.joined(separator: "\n") + "\n}\n"
    }()

    /// The configuration as JSON with every key that has an effect, in a fixed order: what a run
    /// folder stores and the ranks compare. Loading it gives an equal configuration, anywhere.
    public var canonicalJSON: String { json.text(indent: "") + "\n" }

    private var json: JSON {
        .object([
            ("seed", .literal("\(seed)")),
            ("model", model.json),
            ("data", data.json),
            ("batch", .object([("size", .whole(batch.size)), ("shards", batch.shards.json)])),
            ("loss", .object([("labelSmoothing", .number(loss.labelSmoothing))])),
            ("optimizer", optimizer.json),
            ("schedule", schedule.json),
            ("freeze", .list(freeze.map(JSON.string))),
            length.json,
            (
                "evaluate",
                .object([
                    ("everySteps", .whole(evaluate.everySteps)),
                    ("statistics", .string(evaluate.statistics.rawValue)),
                ])
            ),
            ("probes", probes.json),
            ("checkpoint", checkpoint.json),
            ("watch", watch.json),
            ("tensorboard", .flag(tensorboard)),
            ("collectives", .string(collectives.rawValue)),
        ])
    }
}

extension RunConfiguration.Probes {
    fileprivate var json: JSON {
        var members: [(String, JSON)] = [
            ("everySteps", everySteps.map(JSON.whole) ?? .literal("null")),
            ("landscape", .flag(landscape)),
        ]
        if let path {
            members.append(
                ("path", .object([("x", .string(path.x.text)), ("y", .string(path.y.text))])))
        }
        return .object(members)
    }
}

extension RunConfiguration.Model {
    fileprivate var json: JSON {
        var members: [(String, JSON)] = [("name", .string(name.rawValue))]
        if name == .mlp {
            members += [
                ("hidden", .list(hidden.map(JSON.whole))),
                ("activation", .string(activation.rawValue)),
            ]
        }
        if name == .mlp || name == .mnistCNN {
            members.append(("placement", .string(placement.rawValue)))
        }
        if name == .vgg11 || Name.large.contains(name) {
            members.append(("stem", .string(stem.rawValue)))
        }
        if (Name.small + Name.large).contains(name) {
            members += [
                ("shortcut", .string(shortcut.rawValue)),
                ("zeroInitialBlocks", .flag(zeroInitialBlocks)),
            ]
        }
        return .object(
            members + [
                ("dropout", .number(dropout)),
                (
                    "initialization",
                    .object([
                        ("kind", .string(initialization.kind.rawValue)),
                        ("scale", .number(initialization.scale)),
                    ])
                ),
                ("normalization", normalization.json),
            ])
    }
}

extension RunConfiguration.Normalization {
    fileprivate var json: JSON {
        guard case .batch(let batch) = self else {
            guard case .sample(let sample) = self else {
                return .object([("kind", .string("none"))])
            }
            var members = [("kind", JSON.string(sample.kind.name))]
            if case .group(let groups) = sample.kind { members.append(("groups", .whole(groups))) }
            members += [
                ("epsilon", .number(sample.epsilon)), ("affine", .flag(sample.affine)),
            ]
            return .object(members)
        }
        let scope: JSON =
            switch batch.scope {
            case .global: .string("global")
            case .group(let size): .object([("group", .whole(size))])
            case .shard: .string("shard")
            }
        let momentum: JSON =
            switch batch.momentum {
            case .weight(let weight): .number(weight)
            case .cumulative: .string("cumulative")
            }
        var members: [(String, JSON)] = [
            ("kind", .string("batch")),
            ("scope", scope),
            ("momentum", momentum),
            ("epsilon", .number(batch.epsilon)),
            ("runningVariance", .string(batch.runningVariance.rawValue)),
            ("affine", .flag(batch.affine)),
        ]
        if let noise = batch.noise {
            members.append(
                (
                    "noise",
                    .object([
                        ("mean", .number(noise.mean)), ("deviation", .number(noise.deviation)),
                        ("spread", .number(noise.spread)),
                    ])
                ))
        }
        return .object(members)
    }
}

extension RunConfiguration.Data {
    fileprivate var json: JSON {
        var members: [(String, JSON)] = [("name", .string(source.name))]
        switch source {
        case .syntheticDigits(let samples, let testSamples),
            .twoFeatures(let samples, let testSamples):
            members += [("samples", .whole(samples)), ("testSamples", .whole(testSamples))]
        case .idx(let directory), .cifar10(let directory), .cifar100(let directory):
            members.append(("directory", .string(directory)))
            members.append(("sha256", contentDigest.map(JSON.string) ?? .literal("null")))
        }
        typealias Whitening = RunConfiguration.Data.Whitening
        let scaling: JSON =
            switch scaling {
            case .none: .string("none")
            case .unit: .string("unit")
            case .standardize: .string("standardize")
            case .standardizeFeatures: .string("standardizeFeatures")
            case .whitened(let kind, Whitening.defaultEpsilon): .string(kind.rawValue)
            case .whitened(let kind, let epsilon):
                .object([("whiten", .string(kind.rawValue)), ("epsilon", .number(epsilon))])
            case .fixed(let mean, let deviation):
                .object([
                    ("mean", .list(mean.map(JSON.number))),
                    ("std", .list(deviation.map(JSON.number))),
                ])
            }
        return .object(
            members + [
                ("scaling", scaling),
                ("shuffle", .flag(shuffle)),
                ("dropLast", .flag(dropLast)),
                ("limit", limit.map(JSON.whole) ?? .literal("null")),
                ("validation", .whole(validation)),
                ("validationFrom", .string(validationFrom.rawValue)),
                (
                    "testShift",
                    testShift.map {
                        .object([
                            ("brightness", .number($0.brightness)),
                            ("contrast", .number($0.contrast)),
                        ])
                    } ?? .literal("null")
                ),
                ("augment", .list(augment.map(\.json))),
            ])
    }
}

extension RunConfiguration.Data.Augmentation {
    fileprivate var json: JSON {
        switch self {
        case .padCrop(let padding):
            .object([("kind", .string("padCrop")), ("padding", .whole(padding))])
        case .flip: .object([("kind", .string("flip"))])
        case .cutout(let size): .object([("kind", .string("cutout")), ("size", .whole(size))])
        }
    }
}

extension RunConfiguration.Batch.Shards {
    fileprivate var json: JSON {
        switch self {
        case .auto: .string("auto")
        case .count(let count): .whole(count)
        }
    }
}

extension RunConfiguration.Optimizer {
    fileprivate var json: JSON {
        var members = [
            ("name", JSON.string(name.rawValue)), ("learningRate", .number(learningRate)),
        ]
        switch rule {
        case .sgd(let momentum, let nesterov):
            members += [("momentum", .number(momentum)), ("nesterov", .flag(nesterov))]
        case .adam(let beta1, let beta2, let epsilon), .adamW(let beta1, let beta2, let epsilon):
            members += [
                ("betas", .list([.number(beta1), .number(beta2)])), ("epsilon", .number(epsilon)),
            ]
        case .lars(let momentum, let trustCoefficient, let epsilon):
            members += [
                ("momentum", .number(momentum)), ("trustCoefficient", .number(trustCoefficient)),
                ("epsilon", .number(epsilon)),
            ]
        }
        return .object(
            members + [
                ("weightDecay", .number(weightDecay)), ("decayAll", .flag(decayAll)),
                ("clipNorm", clipNorm.map(JSON.number) ?? .literal("null")),
            ])
    }
}

extension RunConfiguration.Schedule {
    fileprivate var json: JSON {
        let warmup = ("warmupSteps", JSON.whole(warmupSteps))
        var members: [(String, JSON)]
        switch kind {
        case .constant: members = [("kind", .string("constant")), warmup]
        case .step(let milestones, let factor):
            members = [
                ("kind", .string("step")), warmup,
                ("milestones", .list(milestones.map(JSON.whole))), ("factor", .number(factor)),
            ]
        case .cosine(let minimum):
            members = [("kind", .string("cosine")), warmup, ("minimum", .number(minimum))]
        case .oneCycle(let cycle):
            members = [
                ("kind", .string("one-cycle")), ("pctStart", .number(cycle.pctStart)),
                ("divFactor", .number(cycle.divFactor)),
                ("finalDivFactor", .number(cycle.finalDivFactor)),
                ("minimumMomentum", cycle.minimumMomentum.map(JSON.number) ?? .literal("null")),
            ]
        }
        members.append(("scaleWithBatch", scaleWithBatch.map(JSON.whole) ?? .literal("null")))
        return .object(members)
    }
}

extension RunConfiguration.Checkpoint {
    fileprivate var json: JSON {
        let null = JSON.literal("null")
        return .object([
            ("everySteps", everySteps.map(JSON.whole) ?? null),
            ("everyEpochs", everyEpochs.map(JSON.whole) ?? null),
            ("everyMinutes", everyMinutes.map(JSON.number) ?? null),
            ("keep", .whole(keep)), ("onError", .string(onError.rawValue)),
        ])
    }
}

extension RunConfiguration.Watch {
    fileprivate var json: JSON {
        var members: [(String, JSON)] = [
            ("checkReplicas", .whole(checkReplicas)), ("auditShards", .whole(auditShards)),
            ("nonFinite", .string(nonFinite.rawValue)),
        ]
        if nonFinite == .rollback { members.append(("rollbackFactor", .number(rollbackFactor))) }
        members.append(("digestSteps", digestSteps.map(JSON.whole) ?? .literal("null")))
        return .object(members)
    }
}

extension RunConfiguration.Length {
    fileprivate var json: (String, JSON) {
        switch self {
        case .steps(let steps): ("steps", .whole(steps))
        case .epochs(let epochs): ("epochs", .whole(epochs))
        }
    }
}

/// A JSON text to be written; members keep their order.
private enum JSON {
    case literal(String)
    case list([JSON])
    case object([(String, JSON)])

    static func whole(_ value: Int) -> JSON { .literal("\(value)") }
    static func number(_ value: Double) -> JSON { .literal(value.shortest) }
    static func flag(_ value: Bool) -> JSON { .literal("\(value)") }

    static func string(_ value: String) -> JSON {
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\0"..."\u{1F}":
                let code = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - code.count) + code
            default: text.unicodeScalars.append(scalar)
            }
        }
        return .literal(text + "\"")
    }

    /// Objects with a member a line, lists in one line.
    func text(indent: String) -> String {
        switch self {
        case .literal(let text): return text
        case .list(let elements):
            return "[" + elements.map(\.line).joined(separator: ", ") + "]"
        case .object(let members):
            let lines = members.map { name, value in
                "\(indent)  \"\(name)\": " + value.text(indent: indent + "  ")
            }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
        }
    }

    /// All in one line.
    private var line: String {
        switch self {
        case .literal(let text): text
        case .list(let elements): "[" + elements.map(\.line).joined(separator: ", ") + "]"
        case .object(let members):
            "{" + members.map { "\"\($0)\": \($1.line)" }.joined(separator: ", ") + "}"
        }
    }
}
