// Reading the parts of a sweep file, which has no table of keys.

extension JSON5Value {
    /// The members of an object; with `known`, only of these names.
    func members(
        _ place: String, known: [String]? = nil
    ) throws(ConfigurationError) -> [Member] {
        guard case .object(let members) = content else {
            throw error(key: place, expected: "an object in braces")
        }
        for member in members {
            guard let known, !known.contains(member.key) else { continue }
            let sorted = known.sorted(byDistanceTo: member.key)
            throw member.keyRange.error(
                .unknownKey(
                    member.key, place: place == "the sweep" ? "" : place, nearest: sorted[0],
                    known: sorted))
        }
        return members
    }

    func elements(_ key: String) throws(ConfigurationError) -> [JSON5Value] {
        guard case .array(let elements) = content else {
            throw error(key: key, expected: "a list in brackets")
        }
        return elements
    }

    func text(_ key: String) throws(ConfigurationError) -> String {
        guard case .string(let text) = content, !text.isEmpty else {
            throw error(key: key, expected: "a text")
        }
        return text
    }

    /// The value for a column: strings without quotes, all else in one line.
    var shortText: String {
        switch content {
        case .null: return "null"
        case .bool(let value): return "\(value)"
        case .number(let number): return number.whole.map { "\($0)" } ?? number.value.shortest
        case .string(let text): return text.displayable
        case .array(let elements):
            return "[" + elements.map(\.shortText).joined(separator: ", ") + "]"
        case .object(let members):
            return members.map { "\($0.key) \($0.value.shortText)" }.joined(separator: ", ")
        }
    }
}
