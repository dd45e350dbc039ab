/// One setting: where it stands, its default, what it means, and how its value is read.
struct Key<Value: Sendable>: SettingKey {
    let path: String
    let defaultText: String
    let doc: String
    let condition: Condition?
    let reader: Reader<Value>

    /// - Parameters:
    ///   - path: key.path in the configuration.
    ///   - defaultText: JSON5, as it stands in configs/default.json5.
    ///   - reader: what the key takes.
    ///   - condition: the name that the setting belongs to.
    ///   - doc: one line.
    init(
        _ path: String, default defaultText: String, _ reader: Reader<Value>,
        for condition: Condition? = nil, doc: String
    ) {
        self.path = path
        self.defaultText = defaultText
        self.doc = doc
        self.condition = condition
        self.reader = reader
    }

    func check(_ value: JSON5Value) throws(ConfigurationError) {
        _ = try reader.read(value, path)
    }
}

/// A key without the type of its value, for the table of all keys.
protocol SettingKey: Sendable {
    var path: String { get }
    var defaultText: String { get }
    var doc: String { get }
    var condition: Condition? { get }

    /// Throws if the key does not take this value, which is not null.
    func check(_ value: JSON5Value) throws(ConfigurationError)
}

/// A setting that belongs to some values of another one, as data.samples to data.name.
///
/// When a later layer changes that other one, what earlier layers set for the old value is dropped.
struct Condition: Sendable {
    /// The key of the other one.
    let path: String

    /// Its values with which the setting has an effect.
    let names: [String]

    /// Whether the setting means the same with all of `names`.
    var meansTheSame = true
}

/// How the value of a key is read, and what a message says is expected.
struct Reader<Value: Sendable>: Sendable {
    /// Reads a value, which is not null, for the key of this path.
    let read: @Sendable (JSON5Value, String) throws(ConfigurationError) -> Value
}

extension Reader where Value == UInt64 {
    /// A whole number of 64 bits.
    static let seed = Reader { (value, key) throws(ConfigurationError) in
        guard case .number(let number) = value.content, let whole = number.whole else {
            throw value.error(key: key, expected: "a whole number from 0 to 2^64 - 1")
        }
        return whole
    }
}

extension Reader where Value == Int {
    /// A whole number in a range.
    static func whole(_ range: ClosedRange<Int>) -> Reader {
        Reader { (value, key) throws(ConfigurationError) in
            guard case .number(let number) = value.content, let whole = number.whole,
                let result = Int(exactly: whole), range.contains(result)
            else {
                // The upper bound is of interest only to what is above it.
                let isAbove =
                    if case .number(let number) = value.content {
                        number.value > Double(range.upperBound)
                    } else { false }
                let bounds =
                    isAbove
                    ? "from \(range.lowerBound) to \(range.upperBound)"
                    : "of at least \(range.lowerBound)"
                throw value.error(key: key, expected: "a whole number " + bounds)
            }
            return result
        }
    }
}

extension Reader where Value == Double {
    /// A finite number that `isAllowed`, which is what `expected` says.
    static func number(
        _ expected: String, where isAllowed: @escaping @Sendable (Double) -> Bool
    ) -> Reader {
        Reader { (value, key) throws(ConfigurationError) in
            guard case .number(let number) = value.content, number.value.isFinite,
                isAllowed(number.value)
            else { throw value.error(key: key, expected: expected) }
            // −0 becomes 0, so that equal configurations have the same canonical JSON.
            return number.value == 0 ? 0 : number.value
        }
    }

    static let positive = number("a number above 0") { $0 > 0 }
    static let nonNegative = number("a number of at least 0") { $0 >= 0 }
    static let finite = number("a number") { _ in true }
    static let belowOne = number("a number of at least 0 and below 1") { $0 >= 0 && $0 < 1 }
}

extension Reader where Value == Bool {
    static let flag = Reader { (value, key) throws(ConfigurationError) in
        guard case .bool(let flag) = value.content else {
            throw value.error(key: key, expected: "true or false")
        }
        return flag
    }
}

extension Reader where Value: CaseIterable & RawRepresentable<String> {
    /// One of the names of an enumeration.
    static var name: Reader {
        Reader { (value, key) throws(ConfigurationError) in
            try named(Value.allCases.map(\.rawValue), value, key) { Value(rawValue: $0) }
        }
    }
}

/// Reads one of the `names`, of each of which `make` makes a value; `other` is what else the key takes.
func named<Value>(
    _ names: [String], or other: String? = nil, _ value: JSON5Value, _ key: String,
    make: (String) -> Value?
) throws(ConfigurationError) -> Value {
    guard case .string(let text) = value.content else {
        let choices = names.map { "\"\($0)\"" } + (other.map { [$0] } ?? [])
        throw value.error(key: key, expected: choices.alternatives)
    }
    guard let result = make(text) else {
        throw value.range.error(
            .unknownName(key: key, found: text, known: names.sorted(byDistanceTo: text)))
    }
    return result
}

/// Reads a list whose elements `element` reads.
func list<Element: Sendable>(
    of element: Reader<Element>, upTo limit: Int, _ value: JSON5Value, _ key: String
) throws(ConfigurationError) -> [Element] {
    guard case .array(let elements) = value.content else {
        throw value.error(key: key, expected: "a list in brackets")
    }
    if elements.count > limit {
        throw value.range.error(
            .invalidValue(
                key: key, expected: "a list of at most \(limit)", found: "\(elements.count)"))
    }
    var result: [Element] = []
    for (i, item) in elements.enumerated() {
        result.append(try element.read(item, "\(key)[\(i)]"))
    }
    return result
}

/// Reads the members of an object that must have exactly these keys.
func object(
    _ members: [JSON5Value.Member], of value: JSON5Value, keys: [String], _ path: String
) throws(ConfigurationError) -> [JSON5Value] {
    for member in members where !keys.contains(member.key) {
        let sorted = keys.sorted(byDistanceTo: member.key)
        throw member.keyRange.error(
            .unknownKey(member.key, place: path, nearest: sorted[0], known: sorted))
    }
    var result: [JSON5Value] = []
    for key in keys {
        guard let member = members.first(where: { $0.key == key }), !member.value.isNull else {
            let shape = "{ " + keys.map { "\($0): …" }.joined(separator: ", ") + " }"
            throw value.range.error(
                .invalidValue(key: path, expected: shape, found: "an object without \(key)"))
        }
        result.append(member.value)
    }
    return result
}
