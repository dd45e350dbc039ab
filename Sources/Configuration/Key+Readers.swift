import Foundation

/// The readers of settings that are more than a number, a name or a flag.
extension Reader where Value == [Int] {
    /// The widths of hidden layers.
    static let widths = Reader { (value, key) throws(ConfigurationError) in
        try list(of: .whole(1...65_536), upTo: 1000, value, key)
    }

    /// Steps in rising order.
    static let milestones = Reader { (value, key) throws(ConfigurationError) in
        let steps = try list(of: .whole(1...1_000_000_000_000), upTo: 1000, value, key)
        if case .array(let elements) = value.content {
            for i in steps.indices.dropFirst() where steps[i] <= steps[i - 1] {
                throw elements[i].error(
                    key: "\(key)[\(i)]", expected: "a step after \(steps[i - 1])")
            }
        }
        return steps
    }
}

extension Reader where Value == [Double] {
    /// Adam's β1 and β2.
    static let betas = Reader { (value, key) throws(ConfigurationError) in
        guard case .array(let elements) = value.content, elements.count == 2 else {
            throw value.error(key: key, expected: "two numbers like [0.9, 0.999]")
        }
        return try list(of: .belowOne, upTo: 2, value, key)
    }
}

extension Reader where Value == RunConfiguration.Batch.Shards {
    static let shards = Reader { (value, key) throws(ConfigurationError) in
        switch value.content {
        case .string("auto"): return .auto
        case .number(let number):
            if let whole = number.whole, 1...65_536 ~= whole { return .count(Int(whole)) }
        default: break
        }
        throw value.error(key: key, expected: "\"auto\" or a whole number from 1 to 65536")
    }
}

extension Reader where Value == RunConfiguration.BatchNormalization.Scope {
    static let scope = Reader { (value, key) throws(ConfigurationError) in
        if case .object(let members) = value.content {
            let group = try object(members, of: value, keys: ["group"], key)[0]
            return .group(try Reader<Int>.whole(1...65_536).read(group, key + ".group"))
        }
        return try named(["global", "shard"], or: "{ group: … }", value, key) {
            $0 == "global" ? .global : $0 == "shard" ? .shard : nil
        }
    }
}

extension Reader where Value == RunConfiguration.BatchNormalization.Momentum {
    static let momentum = Reader { (value, key) throws(ConfigurationError) in
        switch value.content {
        case .string("cumulative"): return .cumulative
        case .number(let number):
            if number.value > 0, number.value <= 1 { return .weight(number.value) }
        default: break
        }
        throw value.error(
            key: key, expected: "a number above 0 and at most 1, or \"cumulative\"")
    }
}

extension Reader where Value == RunConfiguration.BatchNormalization.Noise {
    static let noise = Reader { (value, key) throws(ConfigurationError) in
        guard case .object(let members) = value.content else {
            throw value.error(
                key: key, expected: "{ mean: …, deviation: …, spread: … } or null")
        }
        let values = try object(
            members, of: value, keys: ["mean", "deviation", "spread"], key)
        let deviation = Reader<Double>.number("a number of at least 1") { $0 >= 1 }
        return RunConfiguration.BatchNormalization.Noise(
            mean: try Reader<Double>.nonNegative.read(values[0], key + ".mean"),
            deviation: try deviation.read(values[1], key + ".deviation"),
            spread: try Reader<Double>.nonNegative.read(values[2], key + ".spread"))
    }
}

extension Reader where Value == RunConfiguration.Data.Scaling {
    static let scaling = Reader { (value, key) throws(ConfigurationError) in
        if case .object(let members) = value.content {
            if members.contains(where: { $0.key == "whiten" }) {
                let values = try object(members, of: value, keys: ["whiten", "epsilon"], key)
                let kind = try named(["pca", "zca"], values[0], key + ".whiten") {
                    RunConfiguration.Data.Whitening(rawValue: $0)
                }
                return .whitened(
                    kind, epsilon: try Reader<Double>.positive.read(values[1], key + ".epsilon"))
            }
            let values = try object(members, of: value, keys: ["mean", "std"], key)
            return .fixed(
                mean: try list(of: .finite, upTo: 1000, values[0], key + ".mean"),
                deviation: try list(of: .positive, upTo: 1000, values[1], key + ".std"))
        }
        let names: [String: RunConfiguration.Data.Scaling] = [
            "none": .none, "unit": .unit, "standardize": .standardize,
            "standardizeFeatures": .standardizeFeatures,
            "pca": .whitened(.pca, epsilon: RunConfiguration.Data.Whitening.defaultEpsilon),
            "zca": .whitened(.zca, epsilon: RunConfiguration.Data.Whitening.defaultEpsilon),
        ]
        return try named(
            ["none", "unit", "standardize", "standardizeFeatures", "pca", "zca"],
            or: "{ mean: […], std: […] }", value, key
        ) { names[$0] }
    }
}

extension Reader where Value == RunConfiguration.Data.TestShift {
    static let testShift = Reader { (value, key) throws(ConfigurationError) in
        guard case .object(let members) = value.content else {
            throw value.error(key: key, expected: "{ brightness: …, contrast: … } or null")
        }
        let values = try object(members, of: value, keys: ["brightness", "contrast"], key)
        let brightness = Reader<Double>.number("a number from -1 to 1") { (-1...1).contains($0) }
        return RunConfiguration.Data.TestShift(
            brightness: try brightness.read(values[0], key + ".brightness"),
            contrast: try Reader<Double>.positive.read(values[1], key + ".contrast"))
    }
}

extension Reader where Value == [RunConfiguration.Data.Augmentation] {
    static let augmentations = Reader { (value, key) throws(ConfigurationError) in
        try list(of: Reader<RunConfiguration.Data.Augmentation>.augmentation, upTo: 16, value, key)
    }
}

extension Reader where Value == RunConfiguration.Data.Augmentation {
    /// An object with its kind and what belongs to it; of a kind that has nothing more, the kind.
    static let augmentation = Reader { (value, key) throws(ConfigurationError) in
        let kinds = ["padCrop", "flip", "cutout"]
        guard case .object(let members) = value.content else {
            let kind = try named(kinds, or: "{ kind: … }", value, key) {
                kinds.contains($0) ? $0 : nil
            }
            if kind == "flip" { return .flip }
            let member = kind == "padCrop" ? "padding" : "size"
            throw value.error(key: key, expected: "{ kind: \"\(kind)\", \(member): … }")
        }
        guard let kind = members.first(where: { $0.key == "kind" })?.value else {
            throw value.range.error(
                .invalidValue(key: key, expected: "{ kind: … }", found: "an object without kind"))
        }
        func number(
            _ name: String, _ range: ClosedRange<Int>
        ) throws(ConfigurationError) -> Int {
            let values = try object(members, of: value, keys: ["kind", name], key)
            return try Reader<Int>.whole(range).read(values[1], "\(key).\(name)")
        }
        switch try named(
            kinds, kind, key + ".kind", make: { kinds.contains($0) ? $0 : nil })
        {
        case "padCrop": return .padCrop(padding: try number("padding", 0...65_536))
        case "cutout": return .cutout(size: try number("size", 1...65_536))
        default:
            _ = try object(members, of: value, keys: ["kind"], key)
            return .flip
        }
    }
}

extension Reader where Value == [String] {
    /// Beginnings of names.
    static let prefixes = Reader { (value, key) throws(ConfigurationError) in
        try list(of: Reader<String>.prefix, upTo: 1000, value, key)
    }
}

extension Reader where Value == String {
    /// The beginning of a parameter's name.
    static let prefix = Reader { (value, key) throws(ConfigurationError) in
        guard case .string(let name) = value.content, !name.isEmpty else {
            throw value.error(key: key, expected: "a name such as \"layers.0\", in quotes")
        }
        return name
    }

    /// SHA-256 in hexadecimal digits.
    static let sha256 = Reader { (value, key) throws(ConfigurationError) in
        guard case .string(let text) = value.content, text.utf8.count == 64,
            text.utf8.allSatisfy({ "0123456789abcdef".utf8.contains($0) })
        else { throw value.error(key: key, expected: "64 hexadecimal digits in quotes, or null") }
        return text
    }

    /// A folder; relative ones start from the folder of the file, or for a `--set` from the working
    /// directory. The result is absolute, so that it means the same wherever it is read again.
    static let folder = Reader { (value, key) throws(ConfigurationError) in
        guard case .string(let path) = value.content, !path.isEmpty, !path.contains("\0") else {
            throw value.error(key: key, expected: "the path of a folder, in quotes")
        }
        return absolute(path, from: value.range.source.directory)
    }
}

/// The absolute path of `path` in the folder `directory`.
///
/// Links in `directory` are resolved first, so that leading `..` mean what the system takes them to
/// mean; absolute paths stay as they are, so that reading a stored configuration changes nothing.
func absolute(_ path: String, from directory: String) -> String {
    if path.hasPrefix("/") { return path }
    if path == "~" || path.hasPrefix("~/") {
        return FileManager.default.homeDirectoryForCurrentUser.path + path.dropFirst()
    }
    let base = URL(fileURLWithPath: directory, isDirectory: true).resolvingSymlinksInPath().path
    var parts = base.split(separator: "/")
    var rest = path.split(separator: "/")[...]
    while let first = rest.first, first == "." || first == ".." {
        if first == ".." { _ = parts.popLast() }
        rest = rest.dropFirst()
    }
    return "/" + (parts + rest.filter { $0 != "." }).joined(separator: "/")
}
