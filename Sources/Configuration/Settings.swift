/// The settings of all layers, one on top of the other.
struct Settings {
    /// A value and when it was set: later ones have a larger order.
    struct Setting {
        let value: JSON5Value
        let order: Int
        var origin: Origin { value.range.source.origin }
    }

    /// By key path; every key of the table has one.
    private var settings: [String: Setting]
    private var order = 0

    /// The embedded default.
    static let embedded: Settings = {
        let source = Source(
            name: "the embedded default", bytes: Array(RunConfiguration.defaultText.utf8),
            origin: .embedded, directory: ".")
        do {
            var settings = Settings(settings: [:])
            for entry in try entries(of: try JSON5Parser.parse(source)) {
                settings.settings[entry.path] = Setting(value: entry.value, order: 0)
            }
            return settings
        } catch {
            preconditionFailure("the embedded default is a configuration: \(error)")
        }
    }()

    private init(settings: [String: Setting]) { self.settings = settings }

    // MARK: Layers

    /// Lays a file on top.
    mutating func apply(file source: Source) throws(ConfigurationError) {
        try apply(document: try JSON5Parser.parse(source))
    }

    /// Lays a file, or the part of one that is a configuration, on top.
    mutating func apply(document: JSON5Value) throws(ConfigurationError) {
        let entries = try Self.entries(of: document)
        // Also what a later layer replaces: a mistake in a file is one on any command line.
        for entry in entries { try check(entry.value, path: entry.path) }
        apply(entries)
        try checkLength()
    }

    /// Lays the `--set` of a command line on top, the later over the earlier.
    mutating func apply(commandLine texts: [String]) throws(ConfigurationError) {
        var paths: [String] = []
        for text in texts {
            let entries = try Self.entries(of: try SettingText(text).parse())
            apply(entries)
            paths += entries.map(\.path)
        }
        // All together, because several may make one value: scaling.mean=… and scaling.std=…
        for path in paths { try check(self[path].value, path: path) }
        try checkLength()
    }

    private func check(_ value: JSON5Value, path: String) throws(ConfigurationError) {
        if !value.isNull { try Schema.keys[path]?.check(value) }
    }

    /// Lays values that are checked on top.
    mutating func apply(_ entries: [Entry]) {
        for entry in entries {
            order += 1
            let old = self[entry.path]
            let new = setting(entry.value, over: old, path: entry.path)
            settings[entry.path] = new
            guard new.value != old.value else { continue }
            for key in Keys.all where key.condition?.path == entry.path {
                drop(key, from: entry.value.range.source.origin, now: new.value)
            }
        }
    }

    /// What `value` makes of the `old` setting: null goes back to the default, and the members of
    /// an object replace those of the same names.
    private func setting(_ value: JSON5Value, over old: Setting, path: String) -> Setting {
        if value.isNull { return Self.embedded[path] }
        guard case .object(let below) = old.value.content,
            case .object(let members) = value.content
        else { return Setting(value: value, order: order) }
        let kept = below.filter { member in !members.contains { $0.key == member.key } }
        return Setting(
            value: JSON5Value(content: .object(kept + members), range: value.range), order: order)
    }

    /// Drops what an earlier layer set for another value of the key's condition.
    private mutating func drop(_ key: any SettingKey, from origin: Origin, now name: JSON5Value) {
        guard let condition = key.condition, self[key.path].origin < origin else { return }
        if condition.holds(name), condition.meansTheSame { return }
        settings[key.path] = Self.embedded[key.path]
    }

    /// Within one layer, steps and epochs contradict each other.
    private func checkLength() throws(ConfigurationError) {
        let steps = self["steps"]
        let epochs = self["epochs"]
        if !steps.value.isNull, !epochs.value.isNull, steps.origin == epochs.origin {
            let later = steps.order > epochs.order ? steps : epochs
            throw later.value.range.error(.stepsAndEpochs)
        }
    }

    // MARK: Values

    /// The setting of a key; null is one too.
    subscript(path: String) -> Setting {
        guard let setting = settings[path] else { preconditionFailure("no key \(path)") }
        return setting
    }

    /// The value of a key that always has one.
    func value<Value>(_ key: Key<Value>) throws(ConfigurationError) -> Value {
        try key.reader.read(self[key.path].value, key.path)
    }

    /// The value of a key, nil for null.
    func optional<Value>(_ key: Key<Value>) throws(ConfigurationError) -> Value? {
        self[key.path].value.isNull ? nil : try value(key)
    }

    /// An error about the settings of `paths`, at the one that was set last.
    func error(_ problem: ConfigurationError.Problem, at paths: [String]) -> ConfigurationError {
        let set = paths.map { self[$0] }.filter { $0.origin > .embedded }
        guard let last = set.max(by: { $0.order < $1.order }) else {
            return ConfigurationError(problem)
        }
        return last.value.range.error(problem)
    }

    /// Refuses what is set but has no effect; the default's value may always stand, so that a file
    /// can list every key.
    func checkConditions() throws(ConfigurationError) {
        for key in Keys.all {
            let setting = self[key.path]
            guard let condition = key.condition, !condition.holds(self[condition.path].value),
                setting.value != Self.embedded[key.path].value
            else { continue }
            throw setting.value.range.error(
                .doesNotApply(key: key.path, condition: condition.path, names: condition.names))
        }
    }

    // MARK: Entries

    /// A value that a layer gives to a key, or null.
    struct Entry {
        let path: String
        let value: JSON5Value
    }

    /// The settings in a document, whose keys are known but whose values are not checked; those of
    /// a section that is null are all null.
    static func entries(
        of value: JSON5Value, in place: String = ""
    ) throws(ConfigurationError) -> [Entry] {
        guard case .object(let members) = value.content else {
            throw value.error(
                key: place.isEmpty ? "the configuration" : place, expected: "an object in braces")
        }
        var entries: [Entry] = []
        for member in members {
            let path = place.isEmpty ? member.key : "\(place).\(member.key)"
            guard Schema.children[place]?.contains(member.key) == true else {
                throw member.keyRange.error(Schema.unknownKey(member.key, in: place))
            }
            if Schema.keys[path] != nil {
                entries.append(Entry(path: path, value: member.value))
            } else if member.value.isNull {
                let below = Keys.all.filter { $0.path.hasPrefix(path + ".") }
                entries += below.map { Entry(path: $0.path, value: member.value) }
            } else {
                entries += try self.entries(of: member.value, in: path)
            }
        }
        return entries
    }
}

extension Condition {
    func holds(_ name: JSON5Value) -> Bool {
        guard case .string(let text) = name.content else { return false }
        return names.contains(text)
    }
}
